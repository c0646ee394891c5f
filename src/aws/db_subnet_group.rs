//! A subnet group of RDS: the subnets in which a database may stand.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_rds::types::DbSubnetGroup as Shown;
use serde::{Deserialize, Serialize};

use super::cloud::Cloud;
use super::database;
use super::error::{CloudError, call, existing};
use super::ids::{SubnetGroupName, SubnetId};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State, Tags};

/// The subnets in which a database may stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DbSubnetGroup {
    /// Its name, unique in the region.
    pub name: String,
    /// What it is for, in words.
    pub description: String,
    /// Its subnets, in two zones or more.
    pub subnets: BTreeSet<Reference<SubnetId>>,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

impl Describe for DbSubnetGroup {
    const FACTS: Facts = Facts {
        fields: &[("name", Effect::Replace), ("description", Effect::InPlace), ("subnets", Effect::InPlace)],
        outputs: &["name", "arn"],
        references: &[("subnets", &["subnet"])],
        ..Facts::new("db-subnet-group")
    };
}

impl Handle<DbSubnetGroup> {
    /// The name.
    pub fn name(&self) -> Reference<SubnetGroupName> {
        self.output("name")
    }
}

impl Kind for DbSubnetGroup {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let name = names::database(&reads.stack);
        let shown = shown(reads, &name).await?;
        let Some((group, tags)) = shown.as_ref() else { return Ok(Vec::new()) };
        let Some(address) = reads.address_in(tags) else { return Ok(Vec::new()) };
        let outputs = outputs(group)?;
        Ok(vec![Found { address, body: body(group), outputs, tags: tags.clone(), state: State::Ready }])
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .rds
            .create_db_subnet_group()
            .db_subnet_group_name(&self.name)
            .db_subnet_group_description(&self.description)
            .set_subnet_ids(Some(self.subnet_ids()))
            .set_tags(Some(tagging::rds(&work.tags)));
        let answer = call("rds:CreateDBSubnetGroup", sending.send()).await?;
        let group = answer.db_subnet_group();
        Ok(Made::ready(outputs(group.ok_or_else(|| CloudError::incomplete("rds:CreateDBSubnetGroup", "group"))?)?))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .rds
            .modify_db_subnet_group()
            .db_subnet_group_name(&found.outputs.name)
            .db_subnet_group_description(&self.description)
            .set_subnet_ids(Some(self.subnet_ids()));
        call("rds:ModifyDBSubnetGroup", sending.send()).await?;
        Ok(Made::ready(Outputs { name: found.outputs.name.clone(), arn: found.outputs.arn.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.rds.delete_db_subnet_group().db_subnet_group_name(&found.outputs.name);
        existing(call("rds:DeleteDBSubnetGroup", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Rds(outputs.arn.clone())
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let theirs =
            shown(reads, &self.name).await?.as_ref().as_ref().is_some_and(|(_, tags)| reads.address_in(tags).is_none());
        Ok(theirs.then(|| {
            format!(
                "a DB subnet group called `{}` exists already and does not belong to this stack: delete it, or give \
                 the stack another name",
                self.name
            )
        }))
    }
}

impl DbSubnetGroup {
    fn subnet_ids(&self) -> Vec<String> {
        self.subnets.iter().map(ToString::to_string).collect()
    }
}

/// The group called `name` with its tags, which RDS tells in a call of their own.
async fn shown(reads: &Reads, name: &str) -> Result<Arc<Option<(Shown, Tags)>>, CloudError> {
    let client = &reads.cloud.read.rds;
    reads
        .once(format!("rds:DescribeDBSubnetGroups/{name}"), || async {
            let group = match with_its_database(reads, name).await? {
                Some(group) => group,
                None => match alone(reads, name).await? {
                    Some(group) => group,
                    None => return Ok(None),
                },
            };
            let arn = group.db_subnet_group_arn().unwrap_or_default();
            let tags = call("rds:ListTagsForResource", client.list_tags_for_resource().resource_name(arn).send());
            Ok(existing(tags.await)?.map(|tags| (group, tagging::from_rds(tags.tag_list()))))
        })
        .await
}

/// The group as the stack's database shows it, where that stands in it: all but the ARN, which follows from
/// the name.
async fn with_its_database(reads: &Reads, name: &str) -> Result<Option<Shown>, CloudError> {
    let database = database::look(reads, &names::database(&reads.stack)).await?;
    let group = database.as_ref().as_ref().and_then(|database| database.db_subnet_group()).cloned();
    let group = group.filter(|group| group.db_subnet_group_name() == Some(name) && !group.subnets().is_empty());
    let Cloud { partition, region, account, .. } = &reads.cloud;
    Ok(group.map(|mut group| {
        group.db_subnet_group_arn = Some(format!("arn:{partition}:rds:{region}:{account}:subgrp:{name}"));
        group
    }))
}

async fn alone(reads: &Reads, name: &str) -> Result<Option<Shown>, CloudError> {
    let sending = reads.cloud.read.rds.describe_db_subnet_groups().db_subnet_group_name(name);
    let answer = existing(call("rds:DescribeDBSubnetGroups", sending.send()).await)?;
    Ok(answer.and_then(|answer| answer.db_subnet_groups().first().cloned()))
}

fn body(group: &Shown) -> DbSubnetGroup {
    DbSubnetGroup {
        name: group.db_subnet_group_name().unwrap_or_default().to_owned(),
        description: group.db_subnet_group_description().unwrap_or_default().to_owned(),
        subnets: group.subnets().iter().filter_map(|subnet| subnet.subnet_identifier()).map(Reference::known).collect(),
    }
}

fn outputs(group: &Shown) -> Result<Outputs, CloudError> {
    let incomplete = || CloudError::incomplete("rds:DescribeDBSubnetGroups", "name or ARN");
    Ok(Outputs {
        name: group.db_subnet_group_name().ok_or_else(incomplete)?.to_owned(),
        arn: group.db_subnet_group_arn().ok_or_else(incomplete)?.to_owned(),
    })
}
