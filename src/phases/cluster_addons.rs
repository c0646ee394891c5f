//! The add-ons that EKS installs: some before the first node, which is not ready without them, the
//! others after it, as they need somewhere to run.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pod_role::{self, PodRole, Purpose};
use super::trust::Account;
use super::{Cluster, Draft};
use crate::aws::addon::Addon;
use crate::plan::{Address, Handle, Reference};
use crate::spec::{ClusterAddon, IdentityMode};

/// What a node needs to become ready, and its pods to get permissions.
const BEFORE_NODES: &[&str] = &["vpc-cni", "kube-proxy", "eks-pod-identity-agent"];

/// An add-on whose pods call AWS.
struct Caller {
    addon: &'static str,
    account: Account<'static>,
    policy: &'static str,
}

/// The add-ons whose pods call AWS, with the policies that AWS manages for them. The VPC CNI is not
/// among them: it runs before pods can have roles, with the node's.
const CALLERS: &[Caller] = &[
    Caller {
        addon: "aws-ebs-csi-driver",
        account: Account { namespace: "kube-system", name: "ebs-csi-controller-sa" },
        policy: "service-role/AmazonEBSCSIDriverPolicy",
    },
    Caller {
        addon: "aws-efs-csi-driver",
        account: Account { namespace: "kube-system", name: "efs-csi-controller-sa" },
        policy: "service-role/AmazonEFSCSIDriverPolicy",
    },
    Caller {
        addon: "amazon-cloudwatch-observability",
        account: Account { namespace: "amazon-cloudwatch", name: "cloudwatch-agent" },
        policy: "CloudWatchAgentServerPolicy",
    },
];

/// Declares what nodes need to become ready, and gives the addresses to wait for.
pub fn declare_before_nodes(draft: &mut Draft<'_>, cluster: &Cluster) -> Vec<Address> {
    let wanted = of_stack(draft, true);
    wanted.iter().map(|addon| declare(draft, cluster, addon).address().clone()).collect()
}

/// Declares what needs nodes to run on.
pub fn declare_after_nodes(draft: &mut Draft<'_>, cluster: &Cluster, groups: &[Address]) {
    for addon in of_stack(draft, false) {
        let handle = declare(draft, cluster, &addon);
        for group in groups {
            draft.resources.order(&handle, group);
        }
    }
}

fn of_stack(draft: &Draft<'_>, early: bool) -> Vec<ClusterAddon> {
    let addons = draft.stack.cluster.iter().flat_map(|cluster| &cluster.addons);
    addons.filter(|addon| BEFORE_NODES.contains(&addon.name.as_str()) == early).cloned().collect()
}

fn declare(draft: &mut Draft<'_>, cluster: &Cluster, wanted: &ClusterAddon) -> Handle<Addon> {
    let role = declare_role(draft, cluster, &wanted.name);
    let by_annotation = role.as_ref().filter(|_| pod_role::mode(draft.stack) == IdentityMode::Irsa);
    let kubernetes = draft.stack.cluster.as_ref().map(|cluster| cluster.version.to_string());
    let body = Addon {
        cluster: cluster.name.clone(),
        name: wanted.name.clone(),
        version: wanted.version.clone(),
        kubernetes: kubernetes.filter(|_| wanted.version.is_none()),
        configuration: Value::Object(wanted.configuration.clone().unwrap_or_default()),
        service_account_role: by_annotation.map_or_else(|| Reference::known(""), |role| role.arn.clone()),
    };
    let handle = draft.resources.add(format!("nodes/addon/{}", wanted.name), body);
    if let Some(association) = role.and_then(|role| role.association) {
        draft.resources.order(&handle, &association);
    }
    handle
}

fn declare_role(draft: &mut Draft<'_>, cluster: &Cluster, addon: &str) -> Option<PodRole> {
    let caller = CALLERS.iter().find(|caller| caller.addon == addon)?;
    let purpose = Purpose {
        phase: "nodes",
        name: addon.to_owned(),
        description: format!("Add-on {addon} of {}", draft.name()),
        managed_policies: BTreeSet::from([draft.managed_policy(caller.policy)]),
        ..Purpose::default()
    };
    Some(pod_role::declare(draft, cluster, caller.account, purpose))
}
