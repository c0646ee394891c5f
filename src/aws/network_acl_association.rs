//! Which network ACL a subnet uses.
//!
//! Every subnet has exactly one association, with its VPC's default ACL if with no other; so one is never
//! made or deleted, only led to another ACL. It belongs to the stack when its subnet and its ACL do; its
//! address follows from the subnet's.

use std::collections::BTreeMap;

use aws_sdk_ec2::types;
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{NetworkAclId, SubnetId};
use super::kind::{Found, Kind, Made, Work};
use super::reads::{Reads, filter};
use super::tagging::Tagged;
use super::{network_acl, subnet};
use crate::plan::{Address, Describe, Effect, Facts, Reference, ReplaceOrder, State, Tags};

/// A subnet and the network ACL that it uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAclAssociation {
    /// The subnet.
    pub subnet: Reference<SubnetId>,
    /// The ACL.
    pub network_acl: Reference<NetworkAclId>,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `aclassoc-…`; another one after every change.
    pub id: String,
}

impl Describe for NetworkAclAssociation {
    const FACTS: Facts = Facts {
        fields: &[("subnet", Effect::Replace), ("networkAcl", Effect::InPlace)],
        outputs: &["id"],
        volatile: &[("id", &[])],
        taggable: false,
        references: &[("subnet", &["subnet"]), ("networkAcl", &["network-acl"])],
        dies_with: Some("subnet"),
        // As its subnet.
        replace: ReplaceOrder::CreateFirst,
        ..Facts::new("network-acl-association")
    };
}

/// The address of the association of the subnet at `subnet`.
pub fn address_of(subnet: &Address) -> Address {
    let name = subnet.as_str().strip_prefix("network/subnet/").unwrap_or(subnet.as_str());
    Address::new(format!("network/network-acl-association/{name}"))
}

impl Kind for NetworkAclAssociation {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let (acls, subnets) = tokio::try_join!(network_acl::ours(reads), subnet::addresses(reads))?;
        let associations = acls.iter().flat_map(types::NetworkAcl::associations);
        Ok(associations.filter_map(|association| found(association, &subnets)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let acls = acls_where("association.subnet-id", self.subnet.as_str(), work).await?;
        let mut associations = acls.iter().flat_map(types::NetworkAcl::associations);
        let current = associations
            .find(|each| each.subnet_id() == Some(self.subnet.as_str()))
            .and_then(|each| each.network_acl_association_id())
            .ok_or_else(|| CloudError::incomplete("ec2:DescribeNetworkAcls", "association of the subnet"))?;
        lead(current, self.network_acl.as_str(), work).await
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        lead(&found.outputs.id, self.network_acl.as_str(), work).await
    }

    /// Leads it back to the VPC's default ACL.
    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let ours = acls_where("association.association-id", &found.outputs.id, work).await?;
        let Some(vpc) = ours.first().and_then(types::NetworkAcl::vpc_id) else { return Ok(()) };
        let acls = acls_where("vpc-id", vpc, work).await?;
        let default = acls.iter().find(|acl| acl.is_default().unwrap_or_default());
        let default = default
            .and_then(types::NetworkAcl::network_acl_id)
            .ok_or_else(|| CloudError::incomplete("ec2:DescribeNetworkAcls", "default ACL of the VPC"))?;
        existing(lead(&found.outputs.id, default, work).await).map(drop)
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::Nothing
    }
}

async fn acls_where(name: &str, value: &str, work: &Work) -> Result<Vec<types::NetworkAcl>, CloudError> {
    let sending = work.cloud.read.ec2.describe_network_acls().filters(filter(name, value));
    let pages = sending.into_paginator().items();
    call("ec2:DescribeNetworkAcls", pages.send().collect::<Result<Vec<_>, _>>()).await
}

/// Leads an association to the ACL `acl`.
async fn lead(association: &str, acl: &str, work: &Work) -> Result<Made<Outputs>, CloudError> {
    let client = &work.cloud.write.ec2;
    let sending = client.replace_network_acl_association().association_id(association).network_acl_id(acl);
    let answer = call("ec2:ReplaceNetworkAclAssociation", sending.send()).await?;
    let id = answer
        .new_association_id()
        .ok_or_else(|| CloudError::incomplete("ec2:ReplaceNetworkAclAssociation", "association id"))?;
    Ok(Made::ready(Outputs { id: id.to_owned() }))
}

fn found(
    association: &types::NetworkAclAssociation,
    subnets: &BTreeMap<String, Address>,
) -> Option<Found<NetworkAclAssociation>> {
    let subnet = association.subnet_id()?;
    Some(Found {
        address: address_of(subnets.get(subnet)?),
        body: NetworkAclAssociation {
            subnet: Reference::known(subnet),
            network_acl: Reference::known(association.network_acl_id()?),
        },
        outputs: Outputs { id: association.network_acl_association_id()?.to_owned() },
        tags: Tags::new(),
        state: State::Ready,
    })
}
