//! The endpoint that GuardDuty puts into a VPC that it watches.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{State as EndpointState, VpcEndpoint as Shown};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::ids::{SecurityGroupId, SubnetId, VpcId};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::{Reads, filter};
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Reference, STACK, State};

/// An endpoint of GuardDuty in the stack's own VPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardDutyEndpoint {
    /// The VPC that it is in.
    pub vpc: Reference<VpcId>,
    /// The subnets that it is in.
    pub subnets: BTreeSet<Reference<SubnetId>>,
    /// Its security groups.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
}

impl Describe for GuardDutyEndpoint {
    const FACTS: Facts = Facts {
        fields: &[("vpc", Effect::Replace), ("subnets", Effect::Replace), ("securityGroups", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        references: &[
            ("vpc", &["vpc"]),
            ("subnets", &["subnet"]),
            ("securityGroups", &["security-group", "foreign-security-group"]),
        ],
        ..Facts::new("guard-duty-endpoint")
    };
}

/// What the name of the service ends in, in every region.
const SERVICE: &str = ".guardduty-data";

impl Leftover for GuardDutyEndpoint {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let answers = try_join_all(territory.vpcs.iter().map(|vpc| in_vpc(vpc, reads))).await?;
        Ok(answers.iter().flatten().filter_map(|endpoint| ours(endpoint, &territory)).collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_vpc_endpoints().vpc_endpoint_ids(&found.outputs.id);
        let answer = existing(call("ec2:DeleteVpcEndpoints", sending.send()).await)?;
        let refusals = answer.iter().flat_map(|answer| answer.unsuccessful()).filter_map(|item| item.error());
        let mut refusals = refusals.filter(|error| !error.code().is_some_and(|code| code.ends_with("NotFound")));
        match refusals.next() {
            None => Ok(()),
            Some(error) => {
                Err(CloudError::refused("ec2:DeleteVpcEndpoints", error.message().unwrap_or("AWS gave no reason")))
            }
        }
    }

    async fn still_there(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let sending = work.cloud.read.ec2.describe_vpc_endpoints().vpc_endpoint_ids(&found.outputs.id);
        let answer = existing(call("ec2:DescribeVpcEndpoints", sending.send()).await)?;
        let endpoint = answer.as_ref().and_then(|answer| answer.vpc_endpoints().first());
        let state = endpoint.and_then(|endpoint| endpoint.state()).filter(|state| **state != EndpointState::Deleted);
        Ok(state.map(|state| format!("state is `{}`", state.as_str())))
    }
}

async fn in_vpc(vpc: &str, reads: &Reads) -> Result<Vec<Shown>, CloudError> {
    let client = &reads.cloud.read.ec2;
    let pages = client.describe_vpc_endpoints().filters(filter("vpc-id", vpc)).into_paginator().items().send();
    call("ec2:DescribeVpcEndpoints", pages.collect::<Result<Vec<_>, _>>()).await
}

fn ours(endpoint: &Shown, territory: &Territory) -> Option<Found<GuardDutyEndpoint>> {
    let id = endpoint.vpc_endpoint_id()?;
    let state = match endpoint.state() {
        Some(EndpointState::Deleted) => return None,
        Some(EndpointState::Deleting) => State::Deleting,
        _ => State::Ready,
    };
    let groups = endpoint.groups().iter().filter_map(|group| group.group_id());
    let body = GuardDutyEndpoint {
        vpc: Reference::known(endpoint.vpc_id().unwrap_or_default()),
        subnets: endpoint.subnet_ids().iter().map(Reference::known).collect(),
        security_groups: groups.map(Reference::known).collect(),
    };
    is_ours(endpoint, territory).then(|| found(id, id, body, tagging::from_ec2(endpoint.tags()), state))
}

fn is_ours(endpoint: &Shown, territory: &Territory) -> bool {
    let of_guard_duty = endpoint.service_name().is_some_and(|service| service.ends_with(SERVICE));
    let of_the_stack = tagging::from_ec2(endpoint.tags()).contains_key(STACK);
    of_guard_duty && !of_the_stack && territory.holds(endpoint.vpc_id())
}

#[cfg(test)]
mod tests {
    use super::super::territory::tests::shop;
    use super::*;

    #[test]
    fn only_guard_dutys_endpoint_in_our_own_vpc_is_taken_away() {
        let is_ours =
            |service: &str, vpc: &str| is_ours(&Shown::builder().service_name(service).vpc_id(vpc).build(), &shop());
        assert!(is_ours("com.amazonaws.eu-central-1.guardduty-data", "vpc-shop"));
        assert!(!is_ours("com.amazonaws.eu-central-1.guardduty-data", "vpc-other"));
        assert!(!is_ours("com.amazonaws.eu-central-1.s3", "vpc-shop"));
    }
}
