//! A subnet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ec2::types::{self, AttributeBooleanValue, ResourceType};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{SubnetId, VpcId};
use super::kind::{Found, Kind, Made, Work};
use super::reads::{Reads, filter};
use super::tagging::{self, Tagged};
use super::{network_interface, vpc};
use crate::plan::{Address, Describe, Effect, Facts, Handle, Reference, ReplaceOrder, State};

/// A range of a VPC's addresses in one zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// The VPC that it is a part of.
    pub vpc: Reference<VpcId>,
    /// Its addresses, as in `10.0.1.0/24`.
    pub cidr: String,
    /// The availability zone.
    pub zone: String,
    /// Whether what starts in it gets a public address without asking.
    pub public_addresses: bool,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `subnet-…`
    pub id: String,
}

impl Describe for Subnet {
    const FACTS: Facts = Facts {
        fields: &[
            ("vpc", Effect::Replace),
            ("cidr", Effect::Replace),
            ("zone", Effect::Replace),
            ("publicAddresses", Effect::InPlace),
        ],
        outputs: &["id"],
        references: &[("vpc", &["vpc"])],
        // What stands in it moves to the new one before the old one goes.
        replace: ReplaceOrder::CreateFirst,
        ..Facts::new("subnet")
    };
}

impl Handle<Subnet> {
    /// The id.
    pub fn id(&self) -> Reference<SubnetId> {
        self.output("id")
    }
}

impl Kind for Subnet {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        Ok(tagged(reads).await?.iter().filter_map(|subnet| found(subnet, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .create_subnet()
            .vpc_id(self.vpc.as_str())
            .cidr_block(&self.cidr)
            .availability_zone(&self.zone)
            .tag_specifications(tagging::ec2_at_birth(ResourceType::Subnet, &work.tags));
        let answer = call("ec2:CreateSubnet", sending.send()).await?;
        let id = answer
            .subnet()
            .and_then(types::Subnet::subnet_id)
            .ok_or_else(|| CloudError::incomplete("ec2:CreateSubnet", "id"))?;
        if self.public_addresses {
            self.write_public_addresses(id, work).await?;
        }
        Ok(Made::ready(Outputs { id: id.to_owned() }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let id = &found.outputs.id;
        if work.changes("publicAddresses") {
            self.write_public_addresses(id, work).await?;
        }
        Ok(Made::ready(Outputs { id: id.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_subnet().subnet_id(&found.outputs.id);
        existing(call("ec2:DeleteSubnet", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    async fn blocker(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        network_interface::blocker("subnet-id", &found.outputs.id, work).await
    }

    /// Subnets that others have put where this one is to be.
    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let strangers = strangers(reads).await?;
        let overlapping = strangers.iter().find(|other| overlap(&self.cidr, other.cidr_block().unwrap_or_default()));
        Ok(overlapping.map(|other| {
            format!(
                "`{}` overlaps `{}` of the subnet `{}`, which is not this stack's: delete that subnet, or choose other \
                 addresses",
                self.cidr,
                other.cidr_block().unwrap_or_default(),
                other.subnet_id().unwrap_or_default()
            )
        }))
    }
}

impl Subnet {
    async fn write_public_addresses(&self, id: &str, work: &Work) -> Result<(), CloudError> {
        let flag = AttributeBooleanValue::builder().value(self.public_addresses).build();
        let sending = work.cloud.write.ec2.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(flag);
        call("ec2:ModifySubnetAttribute", sending.send()).await.map(drop)
    }
}

fn found(subnet: &types::Subnet, reads: &Reads) -> Option<Found<Subnet>> {
    let tags = tagging::from_ec2(subnet.tags());
    let body = Subnet {
        vpc: Reference::known(subnet.vpc_id().unwrap_or_default()),
        cidr: subnet.cidr_block().unwrap_or_default().to_owned(),
        zone: subnet.availability_zone().unwrap_or_default().to_owned(),
        public_addresses: subnet.map_public_ip_on_launch().unwrap_or_default(),
    };
    let outputs = Outputs { id: subnet.subnet_id()?.to_owned() };
    Some(Found { address: reads.address_in(&tags)?, body, outputs, tags, state: State::Ready })
}

/// The stack's subnets and those that it borrows, among others, as EC2 shows them.
///
/// # Errors
/// The failure of the call.
pub async fn tagged(reads: &Reads) -> Result<Arc<Vec<types::Subnet>>, CloudError> {
    reads
        .once("ec2:DescribeSubnets", || async {
            let pages =
                reads.cloud.read.ec2.describe_subnets().filters(reads.ours_or_borrowed()).into_paginator().items();
            call("ec2:DescribeSubnets", pages.send().collect::<Result<Vec<_>, _>>()).await
        })
        .await
}

/// The subnets of others in the stack's VPC, where it stands already.
async fn strangers(reads: &Reads) -> Result<Arc<Vec<types::Subnet>>, CloudError> {
    reads
        .once("subnets of others", || async {
            let mut found = Vec::new();
            for id in vpc::ids(reads).await?.iter() {
                let sending = reads.cloud.read.ec2.describe_subnets().filters(filter("vpc-id", id));
                let pages = sending.into_paginator().items();
                found.extend(call("ec2:DescribeSubnets", pages.send().collect::<Result<Vec<_>, _>>()).await?);
            }
            found.retain(|subnet| reads.address_in(&tagging::from_ec2(subnet.tags())).is_none());
            Ok(found)
        })
        .await
}

/// The addresses of the stack's subnets by their ids: what hangs on them and has no tags of its own is
/// found through them.
///
/// # Errors
/// The failure of the call.
pub async fn addresses(reads: &Reads) -> Result<BTreeMap<String, Address>, CloudError> {
    let subnets = tagged(reads).await?;
    let named = subnets.iter().filter_map(|subnet| {
        Some((subnet.subnet_id()?.to_owned(), reads.address_in(&tagging::from_ec2(subnet.tags()))?))
    });
    Ok(named.collect())
}

/// The zones in which the stack has subnets of its own.
///
/// # Errors
/// The failure of the call.
pub async fn zones(reads: &Reads) -> Result<BTreeSet<String>, CloudError> {
    let subnets = tagged(reads).await?;
    let ours = subnets.iter().filter(|subnet| reads.address_in(&tagging::from_ec2(subnet.tags())).is_some());
    Ok(ours.filter_map(|subnet| subnet.availability_zone().map(str::to_owned)).collect())
}

fn overlap(one: &str, other: &str) -> bool {
    match (one.parse::<Ipv4Net>(), other.parse::<Ipv4Net>()) {
        (Ok(one), Ok(other)) => one.contains(&other) || other.contains(&one),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        assert!(overlap("10.0.0.0/16", "10.0.1.0/24") && overlap("10.0.1.0/24", "10.0.0.0/16"));
        assert!(!overlap("10.0.1.0/24", "10.0.2.0/24") && !overlap("10.0.1.0/24", ""));
    }
}
