//! Which route table a subnet uses.
//!
//! An association has no tags. It belongs to the stack when its subnet and its table do; its address
//! follows from the subnet's.

use std::collections::BTreeMap;

use aws_sdk_ec2::types;
use serde::{Deserialize, Serialize};

use super::error::{Class, CloudError, call, existing};
use super::ids::{RouteTableId, SubnetId};
use super::kind::{Found, Kind, Made, Work};
use super::reads::{Reads, filter};
use super::tagging::Tagged;
use super::{route_table, subnet};
use crate::plan::{Address, Describe, Effect, Facts, Reference, ReplaceOrder, State, Tags};

/// A subnet and the route table that it uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTableAssociation {
    /// The subnet.
    pub subnet: Reference<SubnetId>,
    /// The table.
    pub route_table: Reference<RouteTableId>,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `rtbassoc-…`; another one after every change.
    pub id: String,
}

impl Describe for RouteTableAssociation {
    const FACTS: Facts = Facts {
        fields: &[("subnet", Effect::Replace), ("routeTable", Effect::InPlace)],
        outputs: &["id"],
        volatile: &[("id", &[])],
        taggable: false,
        references: &[("subnet", &["subnet"]), ("routeTable", &["route-table"])],
        dies_with: Some("subnet"),
        // As its subnet.
        replace: ReplaceOrder::CreateFirst,
        ..Facts::new("route-table-association")
    };
}

/// The address of the association of the subnet at `subnet`.
pub fn address_of(subnet: &Address) -> Address {
    let name = subnet.as_str().strip_prefix("network/subnet/").unwrap_or(subnet.as_str());
    Address::new(format!("network/route-table-association/{name}"))
}

impl Kind for RouteTableAssociation {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let (tables, subnets) = tokio::try_join!(route_table::ours(reads), subnet::addresses(reads))?;
        let associations = tables.iter().flat_map(types::RouteTable::associations);
        Ok(associations.filter_map(|association| found(association, &subnets)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .associate_route_table()
            .subnet_id(self.subnet.as_str())
            .route_table_id(self.route_table.as_str());
        match call("ec2:AssociateRouteTable", sending.send()).await {
            Ok(answer) => made("ec2:AssociateRouteTable", answer.association_id()),
            // Somebody has given our subnet another table.
            Err(error) if error.class == Class::Exists => {
                let current = self.current(work).await?.ok_or(error)?;
                self.replace(&current, work).await
            }
            Err(error) => Err(error),
        }
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        self.replace(&found.outputs.id, work).await
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.disassociate_route_table().association_id(&found.outputs.id);
        existing(call("ec2:DisassociateRouteTable", sending.send()).await).map(drop)
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::Nothing
    }
}

impl RouteTableAssociation {
    async fn replace(&self, association: &str, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .replace_route_table_association()
            .association_id(association)
            .route_table_id(self.route_table.as_str());
        let answer = call("ec2:ReplaceRouteTableAssociation", sending.send()).await?;
        made("ec2:ReplaceRouteTableAssociation", answer.new_association_id())
    }

    /// The association that the subnet has now, whosever table it leads to.
    async fn current(&self, work: &Work) -> Result<Option<String>, CloudError> {
        let by_subnet = filter("association.subnet-id", self.subnet.as_str());
        let sending = work.cloud.read.ec2.describe_route_tables().filters(by_subnet);
        let answer = call("ec2:DescribeRouteTables", sending.send()).await?;
        let mut associations = answer.route_tables().iter().flat_map(types::RouteTable::associations);
        let current = associations.find(|each| each.subnet_id() == Some(self.subnet.as_str()));
        Ok(current.and_then(|each| each.route_table_association_id()).map(str::to_owned))
    }
}

fn made(action: &'static str, id: Option<&str>) -> Result<Made<Outputs>, CloudError> {
    let id = id.ok_or_else(|| CloudError::incomplete(action, "association id"))?;
    Ok(Made::ready(Outputs { id: id.to_owned() }))
}

fn found(
    association: &types::RouteTableAssociation,
    subnets: &BTreeMap<String, Address>,
) -> Option<Found<RouteTableAssociation>> {
    let subnet = association.subnet_id()?;
    Some(Found {
        address: address_of(subnets.get(subnet)?),
        body: RouteTableAssociation {
            subnet: Reference::known(subnet),
            route_table: Reference::known(association.route_table_id()?),
        },
        outputs: Outputs { id: association.route_table_association_id()?.to_owned() },
        tags: Tags::new(),
        state: State::Ready,
    })
}
