//! A NAT gateway.

use aws_sdk_ec2::types::{self, NatGatewayState, ResourceType};
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{AllocationId, GatewayId, SubnetId};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Handle, Loss, Reference, State};

/// The way out for private subnets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatGateway {
    /// The public subnet that it stands in.
    pub subnet: Reference<SubnetId>,
    /// The elastic IP that it goes out with.
    pub allocation: Reference<AllocationId>,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `nat-…`
    pub id: String,
}

impl Describe for NatGateway {
    const FACTS: Facts = Facts {
        fields: &[("subnet", Effect::Replace), ("allocation", Effect::Replace)],
        outputs: &["id"],
        references: &[("subnet", &["subnet"]), ("allocation", &["elastic-ip"])],
        // Nodes that are drained still talk to AWS through it.
        outlives: &["node-group"],
        loss: Loss::Outage("private subnets reach the internet only when another way out stands"),
        ..Facts::new("nat-gateway")
    };
}

impl Handle<NatGateway> {
    /// The id, as something that a route can lead to.
    pub fn id(&self) -> Reference<GatewayId> {
        self.output("id")
    }
}

impl Kind for NatGateway {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let pages = reads.cloud.read.ec2.describe_nat_gateways().filter(reads.ours()).into_paginator().items();
        let gateways = call("ec2:DescribeNatGateways", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        Ok(gateways.iter().filter_map(|gateway| found(gateway, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .ec2
            .create_nat_gateway()
            .subnet_id(self.subnet.as_str())
            .allocation_id(self.allocation.as_str())
            .client_token(&work.token)
            .tag_specifications(tagging::ec2_at_birth(ResourceType::Natgateway, &work.tags));
        let answer = call("ec2:CreateNatGateway", sending.send()).await?;
        let gateway = answer.nat_gateway();
        let id = gateway
            .and_then(types::NatGateway::nat_gateway_id)
            .ok_or_else(|| CloudError::incomplete("ec2:CreateNatGateway", "id"))?;
        let outputs = Outputs { id: id.to_owned() };
        let available = gateway.and_then(types::NatGateway::state) == Some(&NatGatewayState::Available);
        Ok(if available { Made::ready(outputs) } else { Made::settling(outputs) })
    }

    async fn update(&self, found: &Found<Self>, _: &Work) -> Result<Made<Outputs>, CloudError> {
        Ok(Made::settling(Outputs { id: found.outputs.id.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_nat_gateway().nat_gateway_id(&found.outputs.id);
        existing(call("ec2:DeleteNatGateway", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let state = shown(&outputs.id, work).await?.map(|gateway| state_of(&gateway));
        Ok(match state {
            Some(Some(State::Ready)) => Progress::Ready(outputs),
            Some(Some(State::Failed(why))) => Progress::Failed(why),
            Some(Some(State::Changing(state))) => Progress::Waiting(format!("state is {state}")),
            Some(Some(State::Deleting) | None) => Progress::Failed("somebody deletes it".to_owned()),
            None => Progress::Waiting("not visible yet".to_owned()),
        })
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let gateway = shown(&found.outputs.id, work).await?.filter(|gateway| state_of(gateway).is_some());
        Ok(gateway.map(|gateway| format!("state is {}", state_text(&gateway))))
    }
}

/// The gateway as EC2 shows it, if it does.
async fn shown(id: &str, work: &Work) -> Result<Option<types::NatGateway>, CloudError> {
    let sending = work.cloud.read.ec2.describe_nat_gateways().nat_gateway_ids(id);
    let answer = existing(call("ec2:DescribeNatGateways", sending.send()).await)?;
    Ok(answer.and_then(|answer| answer.nat_gateways?.into_iter().next()))
}

fn state_text(gateway: &types::NatGateway) -> &str {
    gateway.state().map_or("unknown", NatGatewayState::as_str)
}

/// How far along a gateway is; `None` when it is gone. EC2 shows one for an hour after that.
fn state_of(gateway: &types::NatGateway) -> Option<State> {
    match gateway.state() {
        Some(NatGatewayState::Available) => Some(State::Ready),
        Some(NatGatewayState::Deleting) => Some(State::Deleting),
        Some(NatGatewayState::Deleted) => None,
        Some(NatGatewayState::Failed) => {
            let parts = [gateway.failure_code(), gateway.failure_message()];
            Some(State::Failed(parts.into_iter().flatten().collect::<Vec<_>>().join(": ")))
        }
        _ => Some(State::Changing(state_text(gateway).to_owned())),
    }
}

fn found(gateway: &types::NatGateway, reads: &Reads) -> Option<Found<NatGateway>> {
    let tags = tagging::from_ec2(gateway.tags());
    let allocation = gateway.nat_gateway_addresses().iter().find_map(|address| address.allocation_id());
    let body = NatGateway {
        subnet: Reference::known(gateway.subnet_id().unwrap_or_default()),
        allocation: Reference::known(allocation.unwrap_or_default()),
    };
    let outputs = Outputs { id: gateway.nat_gateway_id()?.to_owned() };
    Some(Found { address: reads.address_in(&tags)?, body, outputs, tags, state: state_of(gateway)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_gateway_says_why_and_a_deleted_one_is_gone() {
        let gateway = |state| types::NatGateway::builder().state(state);
        let failed = gateway(NatGatewayState::Failed).failure_code("Gateway.NotAttached").failure_message("no gateway");
        assert_eq!(state_of(&failed.build()), Some(State::Failed("Gateway.NotAttached: no gateway".into())));
        assert_eq!(state_of(&gateway(NatGatewayState::Deleted).build()), None);
        assert_eq!(state_of(&gateway(NatGatewayState::Pending).build()), Some(State::Changing("pending".into())));
    }
}
