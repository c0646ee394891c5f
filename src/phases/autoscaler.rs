//! What the autoscaler needs in AWS: its role, the roles that its nodes may have, and the tag by
//! which it finds the nodes' security group.
//!
//! Its nodes have the stack's own node role; `nodes` lets that role into the cluster. A node class
//! can name a role of the user's instead, which is let in here.

use std::collections::{BTreeMap, BTreeSet};

use super::pod_role::{self, Purpose};
use super::trust::Account;
use super::{Cluster, Draft, NodeRole, nodes};
use crate::aws::access_entry::AccessEntry;
use crate::aws::borrowed_tags::BorrowedTags;
use crate::aws::ids::QueueArn;
use crate::plan::{Reference, Tags};
use crate::render::policies::{self, Values};
use crate::spec::AutoscalerEngine;

/// The tag by which node classes find subnets and security groups.
pub const DISCOVERY: &str = "karpenter.sh/discovery";

/// The service account of the autoscaler.
pub fn service_account(engine: AutoscalerEngine) -> Account<'static> {
    match engine {
        AutoscalerEngine::Karpenter => Account { namespace: "kube-system", name: "karpenter" },
        _ => Account { namespace: "kube-system", name: "eksup-autoscaler" },
    }
}

/// Declares what the stack's autoscaler needs, if it has one. `queue` is what it hears of
/// interruptions from.
pub fn declare(draft: &mut Draft<'_>, cluster: &Cluster, nodes: &NodeRole, queue: Option<&Reference<QueueArn>>) {
    let Some(autoscaler) = draft.stack.autoscaler.as_ref().filter(|_| nodes::has_autoscaler(draft.stack)) else {
        return;
    };
    let own_roles = roles_of_node_classes(draft);
    let purpose = Purpose {
        phase: "autoscaler",
        name: "autoscaler".to_owned(),
        description: format!("Autoscaler of {}", draft.name()),
        inline_policies: inline_policies(draft, nodes, &own_roles, queue),
        ..Purpose::default()
    };
    pod_role::declare(draft, cluster, service_account(autoscaler.engine), purpose);
    for role in &own_roles {
        declare_entry(draft, cluster, role);
    }
    declare_discovery(draft, cluster);
}

fn inline_policies(
    draft: &Draft<'_>,
    nodes: &NodeRole,
    own_roles: &BTreeSet<String>,
    queue: Option<&Reference<QueueArn>>,
) -> BTreeMap<String, serde_json::Value> {
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

fn declare_entry(draft: &mut Draft<'_>, cluster: &Cluster, role: &str) {
    let body = AccessEntry {
        cluster: cluster.name.clone(),
        principal: Reference::known(role_arn(draft, role)),
        principal_id: None,
        entry_type: "EC2_LINUX".to_owned(),
        policies: BTreeMap::new(),
    };
    draft.resources.add(format!("autoscaler/access-entry/{role}"), body);
}

fn declare_discovery(draft: &mut Draft<'_>, cluster: &Cluster) {
    let tags = Tags::from([(DISCOVERY.to_owned(), draft.name().to_owned())]);
    let target = Reference::known(cluster.security_group.as_str());
    draft.resources.add("autoscaler/discovery/security-group", BorrowedTags { target, tags });
}
