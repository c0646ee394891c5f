//! A route table. Its routes and associations are resources of their own.

use std::sync::Arc;

use aws_sdk_ec2::types::{self, ResourceType};
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{RouteTableId, VpcId};
use super::kind::{Found, Kind, Made, Work};
use super::reads::{Reads, filter};
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State};

/// A route table of a VPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTable {
    /// The VPC that it is a part of.
    pub vpc: Reference<VpcId>,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `rtb-…`
    pub id: String,
}

impl Describe for RouteTable {
    const FACTS: Facts = Facts {
        fields: &[("vpc", Effect::Replace)],
        outputs: &["id"],
        references: &[("vpc", &["vpc"])],
        ..Facts::new("route-table")
    };
}

impl Handle<RouteTable> {
    /// The id.
    pub fn id(&self) -> Reference<RouteTableId> {
        self.output("id")
    }
}

impl Kind for RouteTable {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        Ok(ours(reads).await?.iter().filter_map(|table| found(table, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .create_route_table()
            .vpc_id(self.vpc.as_str())
            .client_token(&work.token)
            .tag_specifications(tagging::ec2_at_birth(ResourceType::RouteTable, &work.tags));
        let answer = call("ec2:CreateRouteTable", sending.send()).await?;
        let id = answer
            .route_table()
            .and_then(types::RouteTable::route_table_id)
            .ok_or_else(|| CloudError::incomplete("ec2:CreateRouteTable", "id"))?;
        Ok(Made::ready(Outputs { id: id.to_owned() }))
    }

    async fn update(&self, found: &Found<Self>, _: &Work) -> Result<Made<Outputs>, CloudError> {
        Ok(Made::ready(Outputs { id: found.outputs.id.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_route_table().route_table_id(&found.outputs.id);
        existing(call("ec2:DeleteRouteTable", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    /// The subnets that are associated with it.
    async fn blocker(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let by_id = filter("route-table-id", &found.outputs.id);
        let sending = work.cloud.read.ec2.describe_route_tables().filters(by_id);
        let answer = call("ec2:DescribeRouteTables", sending.send()).await?;
        let associations = answer.route_tables().iter().flat_map(types::RouteTable::associations);
        let subnets: Vec<String> = associations.filter_map(|each| Some(format!("`{}`", each.subnet_id()?))).collect();
        Ok((!subnets.is_empty()).then(|| format!("subnets are associated with it: {}", subnets.join(", "))))
    }
}

fn found(table: &types::RouteTable, reads: &Reads) -> Option<Found<RouteTable>> {
    let tags = tagging::from_ec2(table.tags());
    let body = RouteTable { vpc: Reference::known(table.vpc_id().unwrap_or_default()) };
    let outputs = Outputs { id: table.route_table_id()?.to_owned() };
    Some(Found { address: reads.address_in(&tags)?, body, outputs, tags, state: State::Ready })
}

/// The stack's route tables with their routes and associations, as EC2 shows them.
///
/// # Errors
/// The failure of the call.
pub async fn ours(reads: &Reads) -> Result<Arc<Vec<types::RouteTable>>, CloudError> {
    reads
        .once("ec2:DescribeRouteTables", || async {
            let pages = reads.cloud.read.ec2.describe_route_tables().filters(reads.ours()).into_paginator().items();
            call("ec2:DescribeRouteTables", pages.send().collect::<Result<Vec<_>, _>>()).await
        })
        .await
}
