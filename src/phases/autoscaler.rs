//! What the autoscaler needs in AWS: its role, the roles that its nodes may have, and the tag by
//! which it finds the nodes' security group. And eksup's own in the cluster: its kinds, itself, and
//! the stack's NodePools and EC2NodeClasses.
//!
//! Its nodes have the stack's own node role; `nodes` lets that role into the cluster. A node class
//! can name a role of the user's instead, which is let in here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::interruption::Interruption;
use super::pod_role::{self, PodRole, Purpose};
use super::trust::Account;
use super::{Cluster, Draft, NodeRole, nodes, objects};
use crate::aws::access_entry::AccessEntry;
use crate::aws::borrowed_tags::BorrowedTags;
use crate::aws::ids::{QueueArn, Text};
use crate::plan::{Address, Reference, Tags};
use crate::render::autoscaler::{self as render, Surroundings};
use crate::render::policies::{self, Values};
use crate::spec::{Autoscaler, AutoscalerEngine, IdentityMode};

/// Where the objects of the autoscaler stand in the stack.
const PREFIX: &str = "autoscaler";

/// The tag by which node classes find subnets and security groups.
pub const DISCOVERY: &str = "karpenter.sh/discovery";

/// The service account of the autoscaler.
pub fn service_account(engine: AutoscalerEngine) -> Account<'static> {
    match engine {
        AutoscalerEngine::Karpenter => Account { namespace: "kube-system", name: "karpenter" },
        _ => Account { namespace: "kube-system", name: "eksup-autoscaler" },
    }
}

/// Declares what the stack's autoscaler needs, if it has one, and eksup's own with it. `interruption` is what it hears
/// of interruptions from.
pub fn declare(draft: &mut Draft<'_>, cluster: &Cluster, nodes: &NodeRole, interruption: Option<&Interruption>) {
    let Some(autoscaler) = draft.stack.autoscaler.as_ref().filter(|_| nodes::has_autoscaler(draft.stack)) else {
        return;
    };
    let own_roles = roles_of_node_classes(draft);
    let queue = interruption.map(|interruption| &interruption.queue_arn);
    let purpose = Purpose {
        phase: PREFIX,
        name: "autoscaler".to_owned(),
        description: format!("Autoscaler of {}", draft.name()),
        inline_policies: inline_policies(draft, nodes, &own_roles, queue),
        ..Purpose::default()
    };
    let role = pod_role::declare(draft, cluster, service_account(autoscaler.engine), purpose);
    let entries: Vec<Address> = own_roles.iter().map(|role| declare_entry(draft, cluster, role)).collect();
    let discovery = declare_discovery(draft, cluster);
    if autoscaler.engine == AutoscalerEngine::Eksup {
        let controller = declare_controller(draft, autoscaler, cluster, &role, interruption);
        let first: Vec<Address> = entries.into_iter().chain([discovery, controller]).collect();
        declare_pools(draft, autoscaler, nodes, &first);
    }
}

/// The kinds, then the autoscaler; gives the place of its Deployment.
fn declare_controller(
    draft: &mut Draft<'_>,
    wanted: &Autoscaler,
    cluster: &Cluster,
    role: &PodRole,
    interruption: Option<&Interruption>,
) -> Address {
    let Account { namespace, name } = service_account(wanted.engine);
    let kinds: Vec<Address> =
        render::kinds(wanted, name).into_iter().map(|kind| objects::add(draft, PREFIX, kind, None)).collect();
    let endpoint = Reference::<Text>::output(&cluster.address, "endpoint");
    let by_annotation = pod_role::mode(draft.stack) == IdentityMode::Irsa;
    let around = Surroundings {
        name,
        namespace,
        cluster: draft.name(),
        endpoint: endpoint.as_str(),
        region: draft.region(),
        queue: interruption.map(|interruption| interruption.queue_name.as_str()),
        role: by_annotation.then(|| role.arn.as_str()),
        monitored: draft.surroundings.monitors || defines_monitors(draft),
    };
    let mut deployment = None;
    for manifest in render::controller(wanted, &around) {
        // It watches its kinds and gets its role when it starts.
        let pods = manifest["kind"] == "Deployment";
        let first = kinds.iter().cloned().chain(role.association.clone()).filter(|_| pods);
        let address = objects::add(draft, PREFIX, manifest, first.collect::<Vec<_>>());
        if pods {
            deployment = Some(address);
        }
    }
    deployment.unwrap_or_else(|| Address::new(PREFIX))
}

/// Whether the stack's own manifests define ServiceMonitors.
fn defines_monitors(draft: &Draft<'_>) -> bool {
    let manifests = draft.stack.workloads.iter().flat_map(|workloads| workloads.objects());
    let name = |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str) == Some(MONITORS);
    manifests
        .into_iter()
        .any(|manifest| manifest.object["kind"] == "CustomResourceDefinition" && name(&manifest.object))
}

/// The definition of ServiceMonitors.
const MONITORS: &str = "servicemonitors.monitoring.coreos.com";

/// The NodePools and their classes, each after `first`: the autoscaler says how they stand, and they go before it.
fn declare_pools(draft: &mut Draft<'_>, wanted: &Autoscaler, nodes: &NodeRole, first: &[Address]) {
    let tags = draft.resources.stack_tags().clone();
    let classes = wanted.node_classes.iter().map(|class| render::node_class(class, nodes.name.as_str(), &tags));
    let pools = wanted.node_pools.iter().map(render::node_pool);
    for manifest in classes.chain(pools) {
        objects::add(draft, PREFIX, manifest, first.iter().cloned());
    }
}

fn inline_policies(
    draft: &Draft<'_>,
    nodes: &NodeRole,
    own_roles: &BTreeSet<String>,
    queue: Option<&Reference<QueueArn>>,
) -> BTreeMap<String, Value> {
    let own_roles = own_roles.iter().map(|role| role_arn(draft, role));
    let values = Values::new()
        .with("partition", &draft.surroundings.partition)
        .with("region", draft.region())
        .with("account", &draft.surroundings.account)
        .with("cluster", draft.name())
        .with_list("node_roles", std::iter::once(nodes.arn.to_string()).chain(own_roles).collect());
    let mut templates = vec![
        ("nodes", policies::AUTOSCALER_NODES),
        ("node-roles", policies::AUTOSCALER_NODE_ROLES),
        ("discovery", policies::AUTOSCALER_DISCOVERY),
    ];
    let values = match queue {
        Some(queue) => {
            templates.push(("interruption", policies::AUTOSCALER_INTERRUPTION));
            values.with("queue", queue.as_str())
        }
        None => values,
    };
    templates.into_iter().map(|(name, template)| (name.to_owned(), policies::policy(template, &values))).collect()
}

/// The roles that node classes name and that are not the stack's.
fn roles_of_node_classes(draft: &Draft<'_>) -> BTreeSet<String> {
    let own = draft.iam_name(nodes::ROLE_PURPOSE);
    let classes = draft.stack.autoscaler.iter().flat_map(|autoscaler| &autoscaler.node_classes);
    let named = classes.filter_map(|class| class.spec.get("role")?.as_str());
    named.filter(|role| !role.is_empty() && *role != own).map(str::to_owned).collect()
}

fn role_arn(draft: &Draft<'_>, name: &str) -> String {
    format!("arn:{}:iam::{}:role/{name}", draft.surroundings.partition, draft.surroundings.account)
}

fn declare_entry(draft: &mut Draft<'_>, cluster: &Cluster, role: &str) -> Address {
    let body = AccessEntry {
        cluster: cluster.name.clone(),
        principal: Reference::known(role_arn(draft, role)),
        principal_id: None,
        entry_type: "EC2_LINUX".to_owned(),
        policies: BTreeMap::new(),
    };
    draft.resources.add(format!("autoscaler/access-entry/{role}"), body).address().clone()
}

fn declare_discovery(draft: &mut Draft<'_>, cluster: &Cluster) -> Address {
    let tags = Tags::from([(DISCOVERY.to_owned(), draft.name().to_owned())]);
    let target = Reference::known(cluster.security_group.as_str());
    draft.resources.add("autoscaler/discovery/security-group", BorrowedTags { target, tags }).address().clone()
}
