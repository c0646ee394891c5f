//! The nodes that are there before any autoscaler runs, their role, and the cluster's add-ons in the
//! order in which nodes need them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cluster, Draft, Network, NodeRole, cluster_addons, names, trust};
use crate::aws::access_entry::AccessEntry;
use crate::aws::launch_template::LaunchTemplate;
use crate::aws::node_group::{self, Taint};
use crate::aws::role::Role;
use crate::aws::service_linked_role::{SPOT_ADDRESS, SPOT_SERVICE, ServiceLinkedRole};
use crate::plan::{Address, Handle, STACK, Tags};
use crate::spec::{AmiType, AutoscalerEngine, Capacity, NodeGroup, NodePool, Stack, SubnetRole};

/// What a node does: join the cluster, pull images, give pods addresses, take sessions.
const NODE_POLICIES: &[&str] = &[
    "AmazonEKSWorkerNodePolicy",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonEKS_CNI_Policy",
    "AmazonSSMManagedInstanceCore",
];

/// What the role of nodes is for, in its name.
pub const ROLE_PURPOSE: &str = "nodes";

/// Metadata can be reached from the node itself and not from its pods, which have roles of their own.
const HOP_LIMIT: i32 = 1;

/// The longest name of a node group is 63 characters; EKS gets a fingerprint behind it.
const GROUP_NAME_LIMIT: usize = 54;
const LAUNCH_TEMPLATE_NAME_LIMIT: usize = 128;

/// Declares the nodes of the stack and the add-ons of its cluster, and gives the role of nodes.
pub fn declare(draft: &mut Draft<'_>, network: &Network, cluster: &Cluster) -> Option<NodeRole> {
    let wanted = draft.stack.cluster.as_ref()?;
    let early = cluster_addons::declare_before_nodes(draft, cluster);
    let role = (!wanted.node_groups.is_empty() || has_autoscaler(draft.stack)).then(|| declare_role(draft));
    let mut first = early;
    if may_use_spot(draft.stack) {
        let body = ServiceLinkedRole { service: SPOT_SERVICE.to_owned() };
        first.push(draft.resources.add(SPOT_ADDRESS, body).address().clone());
    }
    if let (Some(role), true) = (&role, has_autoscaler(draft.stack)) {
        first.push(declare_entry(draft, cluster, role));
    }
    let mut groups = Vec::new();
    for group in &wanted.node_groups {
        if let Some(role) = &role {
            groups.push(declare_group(draft, network, cluster, role, group, &first));
        }
    }
    cluster_addons::declare_after_nodes(draft, cluster, &groups);
    role.map(|role| NodeRole { name: role.name(), arn: role.arn() })
}

/// Whether something adds nodes to the cluster.
pub fn has_autoscaler(stack: &Stack) -> bool {
    stack.autoscaler.as_ref().is_some_and(|autoscaler| autoscaler.engine != AutoscalerEngine::None)
}

fn declare_role(draft: &mut Draft<'_>) -> Handle<Role> {
    let body = Role {
        name: draft.iam_name(ROLE_PURPOSE),
        path: names::iam_path(draft.name(), draft.region()),
        description: format!("Nodes of {}", draft.name()),
        trust: trust::ec2(&draft.surroundings.partition),
        managed_policies: NODE_POLICIES.iter().map(|name| draft.managed_policy(name)).collect(),
        inline_policies: BTreeMap::new(),
    };
    draft.resources.add("nodes/role/nodes", body)
}

/// Lets nodes with the stack's role into the cluster.
///
/// EKS does that by itself for a managed node group, and takes it back with the last one; nodes of an
/// autoscaler have to be let in all the same, so with one the stack owns the entry.
fn declare_entry(draft: &mut Draft<'_>, cluster: &Cluster, role: &Handle<Role>) -> Address {
    let body = AccessEntry {
        cluster: cluster.name.clone(),
        principal: role.arn(),
        principal_id: Some(role.unique_id()),
        entry_type: "EC2_LINUX".to_owned(),
        policies: BTreeMap::new(),
    };
    draft.resources.add("nodes/access-entry/nodes", body).address().clone()
}

fn declare_group(
    draft: &mut Draft<'_>,
    network: &Network,
    cluster: &Cluster,
    role: &Handle<Role>,
    group: &NodeGroup,
    first: &[Address],
) -> Address {
    let template = declare_template(draft, group);
    let (subnets, ways_out) = match group.subnets {
        SubnetRole::Private if !network.private.is_empty() => (&network.private, &network.ways_out),
        _ => (&network.public, &network.public_ways_out),
    };
    let version = draft.stack.cluster.as_ref().map(|cluster| cluster.version.to_string()).unwrap_or_default();
    let updates = &group.update_config;
    let body = node_group::NodeGroup {
        cluster: cluster.name.clone(),
        name: names::shortened(group.name.clone(), GROUP_NAME_LIMIT),
        role: role.arn(),
        role_id: role.unique_id(),
        subnets: subnets.iter().map(|subnet| subnet.id.clone()).collect(),
        instance_types: group.instance_types.clone(),
        ami_type: group.ami_type().as_str().to_owned(),
        capacity_type: group.capacity.as_eks_str().to_owned(),
        launch_template: template.id(),
        launch_template_version: template.version(),
        version,
        min: number(group.min),
        max: number(group.max),
        desired: number(group.initial()),
        labels: group.labels.clone(),
        taints: taints(group),
        max_unavailable: match updates.max_unavailable_percentage {
            None => Some(number(updates.max_unavailable.unwrap_or(1))),
            Some(_) => None,
        },
        max_unavailable_percentage: updates.max_unavailable_percentage.map(number),
    };
    let handle = draft.resources.add(format!("nodes/group/{}", group.name), body);
    for earlier in first.iter().chain(ways_out) {
        draft.resources.order(&handle, earlier);
    }
    handle.address().clone()
}

fn declare_template(draft: &mut Draft<'_>, group: &NodeGroup) -> Handle<LaunchTemplate> {
    let name = format!("{}-{}", draft.name(), group.name);
    let mut instance_tags: Tags = draft.resources.stack_tags().clone();
    instance_tags.insert("Name".to_owned(), name.clone());
    // Whose they are, but no address: instances of a node group are EKS's to take away.
    instance_tags.insert(STACK.to_owned(), draft.name().to_owned());
    let body = LaunchTemplate {
        name: names::shortened(name, LAUNCH_TEMPLATE_NAME_LIMIT),
        device: data_device(group.ami_type()).to_owned(),
        disk_size: number(group.disk_size.0),
        hop_limit: HOP_LIMIT,
        instance_tags,
    };
    draft.resources.add(format!("nodes/launch-template/{}", group.name), body)
}

/// Where images and pods keep their data: Bottlerocket has a volume of its own for that.
fn data_device(image: AmiType) -> &'static str {
    if image.as_str().starts_with("BOTTLEROCKET") { "/dev/xvdb" } else { "/dev/xvda" }
}

fn taints(group: &NodeGroup) -> BTreeSet<Taint> {
    let taint = |taint: &crate::spec::Taint| Taint {
        key: taint.key.clone(),
        value: taint.value.clone().unwrap_or_default(),
        effect: taint.effect.as_eks_str().to_owned(),
    };
    group.taints.iter().map(taint).collect()
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Whether any node may be a spot instance: a group that asks for it, or a pool that does not rule
/// it out. Pools that the user applies without the file count as such.
fn may_use_spot(stack: &Stack) -> bool {
    let mut groups = stack.cluster.iter().flat_map(|cluster| &cluster.node_groups);
    let pools = stack.autoscaler.iter().flat_map(|autoscaler| &autoscaler.node_pools);
    let pools: Vec<&NodePool> = pools.collect();
    let by_autoscaler = has_autoscaler(stack) && (pools.is_empty() || pools.into_iter().any(pool_may_use_spot));
    by_autoscaler || groups.any(|group| group.capacity == Capacity::Spot)
}

fn pool_may_use_spot(pool: &NodePool) -> bool {
    let requirements = pool.spec.get("template").and_then(|template| template.pointer("/spec/requirements"));
    let mut of_capacity = requirements
        .and_then(|requirements| requirements.as_array())
        .into_iter()
        .flatten()
        .filter(|requirement| requirement["key"] == "karpenter.sh/capacity-type");
    of_capacity.all(|requirement| {
        let named = requirement["values"].as_array().is_some_and(|values| values.iter().any(|value| value == "spot"));
        match requirement["operator"].as_str() {
            Some("In") => named,
            Some("NotIn") => !named,
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool(requirements: serde_json::Value) -> NodePool {
        let spec = json!({ "template": { "spec": { "requirements": requirements } } });
        NodePool { name: "default".into(), spec: spec.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn a_pool_may_use_spot_unless_it_rules_it_out() {
        let capacity = |operator: &str, values: &[&str]| {
            pool(json!([{ "key": "karpenter.sh/capacity-type", "operator": operator, "values": values }]))
        };
        assert!(pool_may_use_spot(&capacity("In", &["spot", "on-demand"])));
        assert!(!pool_may_use_spot(&capacity("In", &["on-demand"])));
        assert!(!pool_may_use_spot(&capacity("NotIn", &["spot"])));
        assert!(pool_may_use_spot(&pool(json!([]))));
        assert!(pool_may_use_spot(&pool(json!("nonsense"))));
    }
}
