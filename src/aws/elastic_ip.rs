//! An elastic IP address.

use std::sync::Arc;

use aws_sdk_ec2::types::{self, DomainType, ResourceType};
use serde::{Deserialize, Serialize};

use super::error::{Class, CloudError, call, existing};
use super::ids::{AllocationId, Text};
use super::kind::{Found, Kind, Made, Work};
use super::quotas;
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Facts, Handle, Loss, Reference, State};

/// A public address that stays when what uses it is made anew. There is nothing about it to choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ElasticIp {}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `eipalloc-…`
    pub id: String,
    /// The address.
    pub address: String,
}

impl Describe for ElasticIp {
    const FACTS: Facts = Facts {
        outputs: &["id", "address"],
        loss: Loss::Outage("others may have let the public address in, and it cannot be had again"),
        ..Facts::new("elastic-ip")
    };
}

impl Handle<ElasticIp> {
    /// The id of the allocation.
    pub fn id(&self) -> Reference<AllocationId> {
        self.output("id")
    }

    /// The address.
    pub fn address_text(&self) -> Reference<Text> {
        self.output("address")
    }
}

impl Kind for ElasticIp {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let sending = reads.cloud.read.ec2.describe_addresses().filters(reads.ours());
        let answer = call("ec2:DescribeAddresses", sending.send()).await?;
        Ok(answer.addresses().iter().filter_map(|address| found(address, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let tags = tagging::ec2_at_birth(ResourceType::ElasticIp, &work.tags);
        let sending = work.cloud.write.ec2.allocate_address().domain(DomainType::Vpc).tag_specifications(tags);
        let answer = call("ec2:AllocateAddress", sending.send()).await?;
        let incomplete = |what| CloudError::incomplete("ec2:AllocateAddress", what);
        let id = answer.allocation_id().ok_or_else(|| incomplete("allocation id"))?.to_owned();
        let address = answer.public_ip().ok_or_else(|| incomplete("address"))?.to_owned();
        Ok(Made::ready(Outputs { id, address }))
    }

    async fn update(&self, found: &Found<Self>, _: &Work) -> Result<Made<Outputs>, CloudError> {
        let Outputs { id, address } = &found.outputs;
        Ok(Made::ready(Outputs { id: id.clone(), address: address.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.release_address().allocation_id(&found.outputs.id);
        existing(call("ec2:ReleaseAddress", sending.send()).await.map_err(still_detaching)).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    /// What uses the address.
    async fn blocker(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let sending = work.cloud.read.ec2.describe_addresses().allocation_ids(&found.outputs.id);
        let answer = call("ec2:DescribeAddresses", sending.send()).await?;
        let user = answer.addresses().iter().find_map(|address| address.network_interface_id());
        Ok(user.map(|interface| format!("`{interface}` uses the address `{}`", found.outputs.address)))
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let used = reads.once("addresses of all", || count(reads)).await?;
        quotas::room(quotas::ELASTIC_IPS, Arc::unwrap_or_clone(used), reads).await
    }
}

async fn count(reads: &Reads) -> Result<usize, CloudError> {
    let answer = call("ec2:DescribeAddresses", reads.cloud.read.ec2.describe_addresses().send()).await?;
    Ok(answer.addresses().len())
}

/// EC2 says that the caller may not release an address while a NAT gateway that is going still holds it.
fn still_detaching(error: CloudError) -> CloudError {
    let misleading = error.code.as_deref() == Some("AuthFailure") && error.message.contains("permission");
    if misleading { CloudError { class: Class::Busy, ..error } } else { error }
}

fn found(address: &types::Address, reads: &Reads) -> Option<Found<ElasticIp>> {
    let tags = tagging::from_ec2(address.tags());
    let outputs = Outputs {
        id: address.allocation_id()?.to_owned(),
        address: address.public_ip().unwrap_or_default().to_owned(),
    };
    Some(Found { address: reads.address_in(&tags)?, body: ElasticIp {}, outputs, tags, state: State::Ready })
}
