//! A VPC.

use std::sync::Arc;

use aws_sdk_ec2::types::{self, AttributeBooleanValue, ResourceType, VpcAttributeName};
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::VpcId;
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use super::{network_interface, quotas, vpc_contents};
use crate::plan::{Describe, Effect, Facts, Handle, Reference, State};

/// The network that everything else stands in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
    /// Its addresses, as in `10.0.0.0/16`.
    pub cidr: String,
    /// Whether names are resolved inside it.
    pub dns_support: bool,
    /// Whether its instances have names; private endpoints and EKS need it.
    pub dns_hostnames: bool,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `vpc-…`
    pub id: String,
}

impl Describe for Vpc {
    const FACTS: Facts = Facts {
        fields: &[("cidr", Effect::Replace), ("dnsSupport", Effect::InPlace), ("dnsHostnames", Effect::InPlace)],
        outputs: &["id"],
        ..Facts::new("vpc")
    };
}

impl Handle<Vpc> {
    /// The id.
    pub fn id(&self) -> Reference<VpcId> {
        self.output("id")
    }
}

impl Kind for Vpc {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let mut found = Vec::new();
        for vpc in ours(reads).await?.iter() {
            let tags = tagging::from_ec2(vpc.tags());
            let (Some(id), Some(address)) = (vpc.vpc_id(), reads.address_in(&tags)) else { continue };
            let (dns_support, dns_hostnames) = tokio::try_join!(
                attribute(reads, id, VpcAttributeName::EnableDnsSupport),
                attribute(reads, id, VpcAttributeName::EnableDnsHostnames),
            )?;
            let body = Self { cidr: vpc.cidr_block().unwrap_or_default().to_owned(), dns_support, dns_hostnames };
            found.push(Found { address, body, outputs: Outputs { id: id.to_owned() }, tags, state: State::Ready });
        }
        Ok(found)
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .create_vpc()
            .cidr_block(&self.cidr)
            .tag_specifications(tagging::ec2_at_birth(ResourceType::Vpc, &work.tags));
        let answer = call("ec2:CreateVpc", sending.send()).await?;
        let id =
            answer.vpc().and_then(|vpc| vpc.vpc_id()).ok_or_else(|| CloudError::incomplete("ec2:CreateVpc", "id"))?;
        self.write_attributes(id, !self.dns_support, self.dns_hostnames, work).await?;
        Ok(Made::ready(Outputs { id: id.to_owned() }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let id = &found.outputs.id;
        self.write_attributes(id, work.changes("dnsSupport"), work.changes("dnsHostnames"), work).await?;
        Ok(Made::ready(Outputs { id: id.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_vpc().vpc_id(&found.outputs.id);
        existing(call("ec2:DeleteVpc", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    /// The interfaces in it, or else whatever others have put into it.
    async fn blocker(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        match network_interface::blocker("vpc-id", &found.outputs.id, work).await? {
            Some(interfaces) => Ok(Some(interfaces)),
            None => vpc_contents::named(&found.outputs.id, work).await,
        }
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let used = reads.once("VPCs of all", || count(reads)).await?;
        quotas::room(quotas::VPCS, Arc::unwrap_or_clone(used), reads).await
    }
}

impl Vpc {
    /// Writes the attributes that a call each is needed for. Hostnames need support to be on.
    async fn write_attributes(&self, id: &str, support: bool, hostnames: bool, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.ec2;
        let flag = |value| AttributeBooleanValue::builder().value(value).build();
        if support {
            let sending = client.modify_vpc_attribute().vpc_id(id).enable_dns_support(flag(self.dns_support));
            call("ec2:ModifyVpcAttribute", sending.send()).await?;
        }
        if hostnames {
            let sending = client.modify_vpc_attribute().vpc_id(id).enable_dns_hostnames(flag(self.dns_hostnames));
            call("ec2:ModifyVpcAttribute", sending.send()).await?;
        }
        Ok(())
    }
}

/// The stack's VPCs, as EC2 shows them.
async fn ours(reads: &Reads) -> Result<Arc<Vec<types::Vpc>>, CloudError> {
    reads
        .once("ec2:DescribeVpcs", || async {
            let pages = reads.cloud.read.ec2.describe_vpcs().filters(reads.ours()).into_paginator().items();
            call("ec2:DescribeVpcs", pages.send().collect::<Result<Vec<_>, _>>()).await
        })
        .await
}

/// The ids of the stack's VPCs: none before it stands.
///
/// # Errors
/// The failure of the call.
pub async fn ids(reads: &Reads) -> Result<Vec<String>, CloudError> {
    Ok(ours(reads).await?.iter().filter_map(|vpc| vpc.vpc_id.clone()).collect())
}

async fn count(reads: &Reads) -> Result<usize, CloudError> {
    let pages = reads.cloud.read.ec2.describe_vpcs().into_paginator().items();
    Ok(call("ec2:DescribeVpcs", pages.send().collect::<Result<Vec<_>, _>>()).await?.len())
}

async fn attribute(reads: &Reads, id: &str, name: VpcAttributeName) -> Result<bool, CloudError> {
    let sending = reads.cloud.read.ec2.describe_vpc_attribute().vpc_id(id).attribute(name.clone());
    let answer = call("ec2:DescribeVpcAttribute", sending.send()).await?;
    let flag = match name {
        VpcAttributeName::EnableDnsSupport => answer.enable_dns_support(),
        _ => answer.enable_dns_hostnames(),
    };
    Ok(flag.and_then(AttributeBooleanValue::value).unwrap_or_default())
}
