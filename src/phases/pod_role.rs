//! A role for the pods of one service account, by whichever mechanism the stack has chosen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::trust::{self, Account};
use super::{Cluster, Draft, names};
use crate::aws::ids::RoleArn;
use crate::aws::pod_identity_association::PodIdentityAssociation;
use crate::aws::role::Role;
use crate::plan::{Address, Reference};
use crate::spec::{IdentityMode, Stack};

/// What a role is for and what it may do.
#[derive(Debug, Default)]
pub struct Purpose<'a> {
    /// The phase that wants it.
    pub phase: &'a str,
    /// Its name among the stack's roles; may hold slashes in addresses.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// ARNs of policies to attach.
    pub managed_policies: BTreeSet<String>,
    /// Policies of its own, by name.
    pub inline_policies: BTreeMap<String, Value>,
}

/// A role that pods take.
#[derive(Debug, Clone)]
pub struct PodRole {
    /// Its ARN.
    pub arn: Reference<RoleArn>,
    /// What gives it to the pods where that is a resource of its own: it has to stand before they start.
    pub association: Option<Address>,
}

/// How the stack's pods get permissions.
pub fn mode(stack: &Stack) -> IdentityMode {
    stack.identity.as_ref().map(|identity| identity.mode).unwrap_or_default()
}

/// Declares the role, and with pod identity its association.
pub fn declare(draft: &mut Draft<'_>, cluster: &Cluster, account: Account<'_>, purpose: Purpose<'_>) -> PodRole {
    let mode = mode(draft.stack);
    let Purpose { phase, name, description, managed_policies, inline_policies } = purpose;
    let role = draft.resources.add(
        format!("{phase}/role/{name}"),
        Role {
            name: draft.iam_name(&name.replace('/', ".")),
            path: names::iam_path(draft.name(), draft.region()),
            description,
            trust: trust::pods(account, mode, cluster),
            managed_policies,
            inline_policies,
        },
    );
    let association = (mode == IdentityMode::PodIdentity).then(|| {
        let body = PodIdentityAssociation {
            cluster: cluster.name.clone(),
            namespace: account.namespace.to_owned(),
            service_account: account.name.to_owned(),
            role: role.arn(),
        };
        draft.resources.add(format!("{phase}/pod-identity/{name}"), body).address().clone()
    });
    PodRole { arn: role.arn(), association }
}
