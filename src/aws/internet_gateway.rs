//! An internet gateway and its attachment to a VPC.

use aws_sdk_ec2::types::{self, ResourceType};
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{GatewayId, VpcId};
use super::kind::{Found, Kind, Made, Work};
use super::reads::{Reads, filter};
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Handle, Loss, Reference, State};

/// The door between a VPC and the internet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternetGateway {
    /// The VPC that it is attached to; empty where the cloud shows it attached to none.
    pub vpc: Reference<VpcId>,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `igw-…`
    pub id: String,
}

impl Describe for InternetGateway {
    const FACTS: Facts = Facts {
        fields: &[("vpc", Effect::InPlace)],
        outputs: &["id"],
        references: &[("vpc", &["vpc"])],
        // It cannot be detached while anything in the VPC has a public address.
        outlives: &["elastic-ip", "nat-gateway", "instance", "node-group"],
        loss: Loss::Outage("the VPC is cut off from the internet"),
        ..Facts::new("internet-gateway")
    };
}

impl Handle<InternetGateway> {
    /// The id, as something that a route can lead to.
    pub fn id(&self) -> Reference<GatewayId> {
        self.output("id")
    }
}

impl Kind for InternetGateway {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let pages = reads.cloud.read.ec2.describe_internet_gateways().filters(reads.ours()).into_paginator().items();
        let gateways = call("ec2:DescribeInternetGateways", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        Ok(gateways.iter().filter_map(|gateway| found(gateway, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let tags = tagging::ec2_at_birth(ResourceType::InternetGateway, &work.tags);
        let sending = work.cloud.write.ec2.create_internet_gateway().tag_specifications(tags);
        let answer = call("ec2:CreateInternetGateway", sending.send()).await?;
        let id = answer
            .internet_gateway()
            .and_then(types::InternetGateway::internet_gateway_id)
            .ok_or_else(|| CloudError::incomplete("ec2:CreateInternetGateway", "id"))?;
        self.attach(id, work).await?;
        Ok(Made::ready(Outputs { id: id.to_owned() }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let id = &found.outputs.id;
        if work.changes("vpc") {
            detach(found, work).await?;
            self.attach(id, work).await?;
        }
        Ok(Made::ready(Outputs { id: id.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        detach(found, work).await?;
        let sending = work.cloud.write.ec2.delete_internet_gateway().internet_gateway_id(&found.outputs.id);
        existing(call("ec2:DeleteInternetGateway", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    /// The public addresses that keep it attached.
    async fn blocker(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let client = &work.cloud.read.ec2;
        let in_vpc = filter("vpc-id", found.body.vpc.as_str());
        let pages = client.describe_network_interfaces().filters(in_vpc).into_paginator().items();
        let interfaces = call("ec2:DescribeNetworkInterfaces", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        let mapped: Vec<String> = interfaces.iter().filter_map(public_address).collect();
        Ok((!mapped.is_empty()).then(|| format!("public addresses are in use: {}", mapped.join(", "))))
    }
}

impl InternetGateway {
    async fn attach(&self, id: &str, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.ec2;
        let sending = client.attach_internet_gateway().internet_gateway_id(id).vpc_id(self.vpc.as_str());
        call("ec2:AttachInternetGateway", sending.send()).await.map(drop)
    }
}

/// Detaches it from where it is attached, if it is.
async fn detach(found: &Found<InternetGateway>, work: &Work) -> Result<(), CloudError> {
    let vpc = found.body.vpc.as_str();
    if vpc.is_empty() {
        return Ok(());
    }
    let client = &work.cloud.write.ec2;
    let sending = client.detach_internet_gateway().internet_gateway_id(&found.outputs.id).vpc_id(vpc);
    existing(call("ec2:DetachInternetGateway", sending.send()).await).map(drop)
}

fn found(gateway: &types::InternetGateway, reads: &Reads) -> Option<Found<InternetGateway>> {
    let tags = tagging::from_ec2(gateway.tags());
    let vpc = gateway.attachments().first().and_then(|attachment| attachment.vpc_id()).unwrap_or_default();
    let outputs = Outputs { id: gateway.internet_gateway_id()?.to_owned() };
    let body = InternetGateway { vpc: Reference::known(vpc) };
    Some(Found { address: reads.address_in(&tags)?, body, outputs, tags, state: State::Ready })
}

fn public_address(interface: &types::NetworkInterface) -> Option<String> {
    let address = interface.association()?.public_ip()?;
    Some(format!("{address} on `{}`", interface.network_interface_id()?))
}
