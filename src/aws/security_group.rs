//! A security group. Its rules are resources of their own.

use std::sync::Arc;

use aws_sdk_ec2::types::{self, IpPermission, IpRange, ResourceType};
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{SecurityGroupId, VpcId};
use super::kind::{Found, Kind, Made, Work};
use super::network_interface;
use super::reads::{Reads, filter};
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State};

/// A stateful filter at network interfaces. It lets nothing in by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    /// Its name, unique in the VPC.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The VPC that it is a part of.
    pub vpc: Reference<VpcId>,
    /// Whether it lets everything out: the rule that EC2 gives a new group. Without it, only rules of
    /// their own let something out.
    pub open_egress: bool,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `sg-…`
    pub id: String,
}

impl Describe for SecurityGroup {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("description", Effect::Replace),
            ("vpc", Effect::Replace),
            ("openEgress", Effect::InPlace),
        ],
        outputs: &["id"],
        references: &[("vpc", &["vpc"])],
        ..Facts::new("security-group")
    };
}

impl Handle<SecurityGroup> {
    /// The id.
    pub fn id(&self) -> Reference<SecurityGroupId> {
        self.output("id")
    }
}

const EVERYTHING: &str = "-1";
const EVERYWHERE: &str = "0.0.0.0/0";

impl Kind for SecurityGroup {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        Ok(tagged(reads).await?.iter().filter_map(|group| found(group, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .create_security_group()
            .group_name(&self.name)
            .description(&self.description)
            .vpc_id(self.vpc.as_str())
            .tag_specifications(tagging::ec2_at_birth(ResourceType::SecurityGroup, &work.tags));
        let answer = call("ec2:CreateSecurityGroup", sending.send()).await?;
        let id = answer.group_id().ok_or_else(|| CloudError::incomplete("ec2:CreateSecurityGroup", "id"))?;
        if !self.open_egress {
            close_egress(id, work).await?;
        }
        Ok(Made::ready(Outputs { id: id.to_owned() }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let id = &found.outputs.id;
        match work.changes("openEgress") {
            true if self.open_egress => open_egress(id, work).await?,
            true => close_egress(id, work).await?,
            false => {}
        }
        Ok(Made::ready(Outputs { id: id.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_security_group().group_id(&found.outputs.id);
        existing(call("ec2:DeleteSecurityGroup", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    /// The interfaces that it is on, or else the groups whose rules name it.
    async fn blocker(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let id = &found.outputs.id;
        if let Some(interfaces) = network_interface::blocker("group-id", id, work).await? {
            return Ok(Some(interfaces));
        }
        let (one, other) = tokio::try_join!(
            groups_where("ip-permission.group-id", id, work),
            groups_where("egress.ip-permission.group-id", id, work)
        )?;
        let mut naming: Vec<String> = one.into_iter().chain(other).filter(|group| group != id).collect();
        naming.sort();
        naming.dedup();
        Ok((!naming.is_empty()).then(|| format!("rules of other security groups name it: `{}`", naming.join("`, `"))))
    }

    /// A group of others with the same name in the same VPC.
    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        if !self.vpc.as_str().starts_with("vpc-") {
            return Ok(None);
        }
        let client = &reads.cloud.read.ec2;
        let by_name = filter("group-name", &self.name);
        let sending = client.describe_security_groups().filters(by_name).filters(filter("vpc-id", self.vpc.as_str()));
        let answer = call("ec2:DescribeSecurityGroups", sending.send()).await?;
        let stranger = answer.security_groups().iter().find(|group| found(group, reads).is_none());
        Ok(stranger.map(|group| {
            format!(
                "the security group `{}` is called `{}` too and is not this stack's: delete it, or give the stack \
                 another name",
                group.group_id().unwrap_or_default(),
                self.name
            )
        }))
    }
}

/// The stack's security groups and those that it borrows, among others, as EC2 shows them.
///
/// # Errors
/// The failure of the call.
pub async fn tagged(reads: &Reads) -> Result<Arc<Vec<types::SecurityGroup>>, CloudError> {
    reads
        .once("ec2:DescribeSecurityGroups", || async {
            let sending = reads.cloud.read.ec2.describe_security_groups().filters(reads.ours_or_borrowed());
            let pages = sending.into_paginator().items();
            call("ec2:DescribeSecurityGroups", pages.send().collect::<Result<Vec<_>, _>>()).await
        })
        .await
}

async fn groups_where(name: &str, value: &str, work: &Work) -> Result<Vec<String>, CloudError> {
    let pages = work.cloud.read.ec2.describe_security_groups().filters(filter(name, value)).into_paginator().items();
    let groups = call("ec2:DescribeSecurityGroups", pages.send().collect::<Result<Vec<_>, _>>()).await?;
    Ok(groups.into_iter().filter_map(|group| group.group_id).collect())
}

/// The rule that EC2 gives a new group.
fn everything_out() -> IpPermission {
    IpPermission::builder().ip_protocol(EVERYTHING).ip_ranges(IpRange::builder().cidr_ip(EVERYWHERE).build()).build()
}

async fn open_egress(id: &str, work: &Work) -> Result<(), CloudError> {
    let client = &work.cloud.write.ec2;
    let sending = client.authorize_security_group_egress().group_id(id).ip_permissions(everything_out());
    call("ec2:AuthorizeSecurityGroupEgress", sending.send()).await.map(drop)
}

async fn close_egress(id: &str, work: &Work) -> Result<(), CloudError> {
    let client = &work.cloud.write.ec2;
    let sending = client.revoke_security_group_egress().group_id(id).ip_permissions(everything_out());
    existing(call("ec2:RevokeSecurityGroupEgress", sending.send()).await).map(drop)
}

fn lets_everything_out(group: &types::SecurityGroup) -> bool {
    group.ip_permissions_egress().iter().any(|permission| {
        permission.ip_protocol() == Some(EVERYTHING)
            && permission.ip_ranges().iter().any(|range| range.cidr_ip() == Some(EVERYWHERE))
    })
}

fn found(group: &types::SecurityGroup, reads: &Reads) -> Option<Found<SecurityGroup>> {
    let tags = tagging::from_ec2(group.tags());
    let body = SecurityGroup {
        name: group.group_name().unwrap_or_default().to_owned(),
        description: group.description().unwrap_or_default().to_owned(),
        vpc: Reference::known(group.vpc_id().unwrap_or_default()),
        open_egress: lets_everything_out(group),
    };
    let outputs = Outputs { id: group.group_id()?.to_owned() };
    Some(Found { address: reads.address_in(&tags)?, body, outputs, tags, state: State::Ready })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rule_for_everything_to_everywhere_counts_as_open() {
        let group =
            |permission: IpPermission| types::SecurityGroup::builder().ip_permissions_egress(permission).build();
        assert!(lets_everything_out(&group(everything_out())));
        let https = IpPermission::builder().ip_protocol("tcp").from_port(443).to_port(443);
        let https = https.ip_ranges(IpRange::builder().cidr_ip(EVERYWHERE).build()).build();
        assert!(!lets_everything_out(&group(https)));
    }
}
