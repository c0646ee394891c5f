//! Instances that an autoscaler of the cluster has launched: Karpenter's, or eksup's own.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Instance as Shown, InstanceStateName};
use serde::{Deserialize, Serialize};

use super::territory::{AUTOSCALED_CLUSTER, NODE_POOL};
use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::ids::{ClusterName, InstanceProfileName, SecurityGroupId, SubnetId, VpcId};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::{Reads, filter};
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Loss, Reference, State, Tags};

/// A node that no node group has made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaledInstance {
    /// Its type.
    pub instance_type: String,
    /// The NodePool that it was launched for.
    pub node_pool: String,
    /// The cluster whose node it is. EKS leaves the security group behind of a cluster that ends before its nodes.
    pub cluster: Reference<ClusterName>,
    /// The VPC that it stands in.
    pub vpc: Reference<VpcId>,
    /// The subnet that it stands in.
    pub subnet: Reference<SubnetId>,
    /// Its security groups.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
    /// The profile that it runs with.
    pub profile: Option<Reference<InstanceProfileName>>,
}

impl Describe for AutoscaledInstance {
    const FACTS: Facts = Facts {
        fields: &[
            ("instanceType", Effect::Replace),
            ("nodePool", Effect::Replace),
            ("cluster", Effect::Replace),
            ("vpc", Effect::Replace),
            ("subnet", Effect::Replace),
            ("securityGroups", Effect::Replace),
            ("profile", Effect::Replace),
        ],
        outputs: &["id"],
        taggable: false,
        loss: Loss::Outage("the pods on it are ended"),
        references: &[
            ("cluster", &["cluster"]),
            ("vpc", &["vpc"]),
            ("subnet", &["subnet"]),
            ("securityGroups", &["security-group", "foreign-security-group"]),
            ("profile", &["instance-profile", "autoscaled-instance-profile"]),
        ],
        ..Facts::new("autoscaled-instance")
    };
}

impl Leftover for AutoscaledInstance {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let Some(cluster) = &territory.cluster else { return Ok(Vec::new()) };
        let pages = reads
            .cloud
            .read
            .ec2
            .describe_instances()
            .filters(filter(&format!("tag:{AUTOSCALED_CLUSTER}"), cluster))
            .filters(filter("tag-key", NODE_POOL))
            .into_paginator()
            .items()
            .send();
        let reservations = call("ec2:DescribeInstances", pages.collect::<Result<Vec<_>, _>>()).await?;
        let instances = reservations.iter().flat_map(|reservation| reservation.instances());
        Ok(instances.filter_map(|instance| ours(instance, &territory)).collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.terminate_instances().instance_ids(&found.outputs.id);
        existing(call("ec2:TerminateInstances", sending.send()).await).map(drop)
    }

    async fn still_there(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let sending = work.cloud.read.ec2.describe_instances().instance_ids(&found.outputs.id);
        let answer = existing(call("ec2:DescribeInstances", sending.send()).await)?;
        let instances = answer.iter().flat_map(|answer| answer.reservations()).flat_map(|each| each.instances());
        let states = instances.filter_map(state_name).filter(|state| *state != InstanceStateName::Terminated);
        Ok(states.map(|state| format!("state is `{}`", state.as_str())).next())
    }
}

fn state_name(instance: &Shown) -> Option<InstanceStateName> {
    instance.state().and_then(|state| state.name().cloned())
}

fn ours(instance: &Shown, territory: &Territory) -> Option<Found<AutoscaledInstance>> {
    let tags = tagging::from_ec2(instance.tags());
    let state = match state_name(instance) {
        Some(InstanceStateName::Terminated) => return None,
        Some(InstanceStateName::ShuttingDown) => State::Deleting,
        _ => State::Ready,
    };
    let id = instance.instance_id()?;
    is_ours(&tags, territory).then(|| found(id, id, body(instance, &tags), tags, state))
}

fn is_ours(tags: &Tags, territory: &Territory) -> bool {
    territory.of_autoscaler(tags) && tags.contains_key(NODE_POOL)
}

fn body(instance: &Shown, tags: &Tags) -> AutoscaledInstance {
    let groups = instance.security_groups().iter().filter_map(|group| group.group_id());
    let profile = instance.iam_instance_profile().and_then(|profile| profile.arn());
    AutoscaledInstance {
        instance_type: instance.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        node_pool: tags.get(NODE_POOL).cloned().unwrap_or_default(),
        cluster: Reference::known(tags.get(AUTOSCALED_CLUSTER).map_or("", String::as_str)),
        vpc: Reference::known(instance.vpc_id().unwrap_or_default()),
        subnet: Reference::known(instance.subnet_id().unwrap_or_default()),
        security_groups: groups.map(Reference::known).collect(),
        profile: profile.and_then(|arn| arn.rsplit('/').next()).map(Reference::known),
    }
}

#[cfg(test)]
mod tests {
    use super::super::territory::tests::{shop, tags};
    use super::*;

    #[test]
    fn an_instance_needs_both_marks_of_an_autoscaler() {
        assert!(is_ours(&tags(&[(AUTOSCALED_CLUSTER, "shop"), (NODE_POOL, "default")]), &shop()));
        assert!(!is_ours(&tags(&[(AUTOSCALED_CLUSTER, "shop")]), &shop()));
        assert!(!is_ours(&tags(&[(AUTOSCALED_CLUSTER, "other"), (NODE_POOL, "default")]), &shop()));
    }
}
