//! A VPC endpoint: an AWS service that can be reached without leaving the VPC.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{self, ResourceType, VpcEndpointType};
use serde::{Deserialize, Serialize};

use super::error::{CloudError, call, existing};
use super::ids::{RouteTableId, SecurityGroupId, SubnetId, VpcId};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::plan::{Describe, Effect, Facts, Loss, Reference, State};

/// An endpoint of a service in a VPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VpcEndpoint {
    /// The VPC that it is in.
    pub vpc: Reference<VpcId>,
    /// The full name of the service, such as `com.amazonaws.eu-central-1.s3`.
    pub service: String,
    /// Whether it is a gateway, which is a route, or else an interface in each subnet.
    pub gateway: bool,
    /// The tables that get a gateway's route.
    pub route_tables: BTreeSet<Reference<RouteTableId>>,
    /// The subnets that get an interface.
    pub subnets: BTreeSet<Reference<SubnetId>>,
    /// The security groups of the interfaces.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
    /// Whether the service's public name leads to the interfaces.
    pub private_dns: bool,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// `vpce-…`
    pub id: String,
}

impl Describe for VpcEndpoint {
    const FACTS: Facts = Facts {
        fields: &[
            ("vpc", Effect::Replace),
            ("service", Effect::Replace),
            ("gateway", Effect::Replace),
            ("routeTables", Effect::InPlace),
            ("subnets", Effect::InPlace),
            ("securityGroups", Effect::InPlace),
            ("privateDns", Effect::InPlace),
        ],
        outputs: &["id"],
        references: &[
            ("vpc", &["vpc"]),
            ("routeTables", &["route-table"]),
            ("subnets", &["subnet"]),
            ("securityGroups", &["security-group"]),
        ],
        // Nodes that are drained still talk to AWS through it.
        outlives: &["node-group"],
        loss: Loss::Outage("the service is reached through the internet, or not at all"),
        ..Facts::new("vpc-endpoint")
    };
}

impl Kind for VpcEndpoint {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let pages = reads.cloud.read.ec2.describe_vpc_endpoints().filters(reads.ours()).into_paginator().items();
        let endpoints = call("ec2:DescribeVpcEndpoints", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        Ok(endpoints.iter().filter_map(|endpoint| found(endpoint, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let creating = work
            .cloud
            .write
            .ec2
            .create_vpc_endpoint()
            .vpc_id(self.vpc.as_str())
            .service_name(&self.service)
            .client_token(&work.token)
            .tag_specifications(tagging::ec2_at_birth(ResourceType::VpcEndpoint, &work.tags));
        let sending = match self.gateway {
            true => creating.vpc_endpoint_type(VpcEndpointType::Gateway).set_route_table_ids(some(&self.route_tables)),
            false => creating
                .vpc_endpoint_type(VpcEndpointType::Interface)
                .set_subnet_ids(some(&self.subnets))
                .set_security_group_ids(some(&self.security_groups))
                .private_dns_enabled(self.private_dns),
        };
        let answer = call("ec2:CreateVpcEndpoint", sending.send()).await?;
        let endpoint = answer.vpc_endpoint();
        let id = endpoint
            .and_then(types::VpcEndpoint::vpc_endpoint_id)
            .ok_or_else(|| CloudError::incomplete("ec2:CreateVpcEndpoint", "id"))?;
        let outputs = Outputs { id: id.to_owned() };
        let available = endpoint.and_then(state_of) == Some(State::Ready);
        Ok(if available { Made::ready(outputs) } else { Made::settling(outputs) })
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let outputs = Outputs { id: found.outputs.id.clone() };
        let (before, after) = (&found.body, self);
        let dns = work.changes("privateDns").then_some(self.private_dns);
        let sending = work
            .cloud
            .write
            .ec2
            .modify_vpc_endpoint()
            .vpc_endpoint_id(&outputs.id)
            .set_add_route_table_ids(added(&before.route_tables, &after.route_tables))
            .set_remove_route_table_ids(added(&after.route_tables, &before.route_tables))
            .set_add_subnet_ids(added(&before.subnets, &after.subnets))
            .set_remove_subnet_ids(added(&after.subnets, &before.subnets))
            .set_add_security_group_ids(added(&before.security_groups, &after.security_groups))
            .set_remove_security_group_ids(added(&after.security_groups, &before.security_groups))
            .set_private_dns_enabled(dns);
        call("ec2:ModifyVpcEndpoint", sending.send()).await?;
        Ok(Made::settling(outputs))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_vpc_endpoints().vpc_endpoint_ids(&found.outputs.id);
        let answer = existing(call("ec2:DeleteVpcEndpoints", sending.send()).await)?;
        let refusals = answer.and_then(|answer| answer.unsuccessful).unwrap_or_default();
        match refusals.first().and_then(|refusal| refusal.error()) {
            Some(error) if !error.code().unwrap_or_default().ends_with("NotFound") => {
                Err(CloudError::refused("ec2:DeleteVpcEndpoints", error.message().unwrap_or("AWS gave no reason")))
            }
            _ => Ok(()),
        }
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Ec2(outputs.id.clone())
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let endpoint = shown(&outputs.id, work).await?;
        Ok(match endpoint.as_ref().map(state_of) {
            Some(Some(State::Ready)) => Progress::Ready(outputs),
            Some(Some(State::Failed(why))) => Progress::Failed(why),
            Some(Some(State::Changing(state))) => Progress::Waiting(format!("state is {state}")),
            Some(Some(State::Deleting) | None) => Progress::Failed("somebody deletes it".to_owned()),
            None => Progress::Waiting("not visible yet".to_owned()),
        })
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let endpoint = shown(&found.outputs.id, work).await?.filter(|endpoint| state_of(endpoint).is_some());
        Ok(endpoint.map(|endpoint| format!("state is {}", state_text(&endpoint))))
    }
}

/// The endpoint as EC2 shows it, if it does.
async fn shown(id: &str, work: &Work) -> Result<Option<types::VpcEndpoint>, CloudError> {
    let sending = work.cloud.read.ec2.describe_vpc_endpoints().vpc_endpoint_ids(id);
    let answer = existing(call("ec2:DescribeVpcEndpoints", sending.send()).await)?;
    Ok(answer.and_then(|answer| answer.vpc_endpoints?.into_iter().next()))
}

/// The state in lower case: EC2 writes it in both.
fn state_text(endpoint: &types::VpcEndpoint) -> String {
    endpoint.state().map_or("unknown", types::State::as_str).to_lowercase()
}

/// How far along an endpoint is; `None` when it is gone.
fn state_of(endpoint: &types::VpcEndpoint) -> Option<State> {
    match state_text(endpoint).as_str() {
        "available" => Some(State::Ready),
        "deleting" => Some(State::Deleting),
        "deleted" => None,
        state @ ("failed" | "rejected" | "expired") => {
            let why = endpoint.last_error().and_then(|error| error.message()).unwrap_or("AWS gave no reason");
            Some(State::Failed(format!("state is {state}: {why}")))
        }
        state => Some(State::Changing(state.to_owned())),
    }
}

fn found(endpoint: &types::VpcEndpoint, reads: &Reads) -> Option<Found<VpcEndpoint>> {
    let tags = tagging::from_ec2(endpoint.tags());
    let groups = endpoint.groups().iter().filter_map(|group| group.group_id());
    let body = VpcEndpoint {
        vpc: Reference::known(endpoint.vpc_id().unwrap_or_default()),
        service: endpoint.service_name().unwrap_or_default().to_owned(),
        gateway: endpoint.vpc_endpoint_type() == Some(&VpcEndpointType::Gateway),
        route_tables: endpoint.route_table_ids().iter().map(Reference::known).collect(),
        subnets: endpoint.subnet_ids().iter().map(Reference::known).collect(),
        security_groups: groups.map(Reference::known).collect(),
        private_dns: endpoint.private_dns_enabled().unwrap_or_default(),
    };
    let outputs = Outputs { id: endpoint.vpc_endpoint_id()?.to_owned() };
    Some(Found { address: reads.address_in(&tags)?, body, outputs, tags, state: state_of(endpoint)? })
}

fn some<T>(references: &BTreeSet<Reference<T>>) -> Option<Vec<String>> {
    Some(references.iter().map(Reference::to_string).collect())
}

/// What is in `after` and not in `before`; `None` when that is nothing.
fn added<T>(before: &BTreeSet<Reference<T>>, after: &BTreeSet<Reference<T>>) -> Option<Vec<String>> {
    let new: Vec<String> = after.difference(before).map(Reference::to_string).collect();
    (!new.is_empty()).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_however_it_is_written() {
        for text in ["available", "Available"] {
            let endpoint = types::VpcEndpoint::builder().state(types::State::from(text)).build();
            assert_eq!(state_of(&endpoint), Some(State::Ready), "{text}");
        }
        let gone = types::VpcEndpoint::builder().state(types::State::Deleted).build();
        assert_eq!(state_of(&gone), None);
    }

    #[test]
    fn only_what_differs_is_sent() {
        let set = |ids: &[&str]| ids.iter().map(|id| Reference::<SubnetId>::known(*id)).collect::<BTreeSet<_>>();
        assert_eq!(added(&set(&["a", "b"]), &set(&["b", "c"])), Some(vec!["c".to_owned()]));
        assert_eq!(added(&set(&["a"]), &set(&["a"])), None);
    }
}
