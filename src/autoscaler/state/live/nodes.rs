//! Nodes: what is kept of each.

use super::pods::Uid;
use crate::state::cluster::node_labels;
use crate::state::names::Names;
use crate::state::pod_reading::{read_amounts, read_taints};
use crate::state::pod_spec::{Labels, Taint};
use crate::state::resources::Amounts;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCondition {
    /// `Ready`, `MemoryPressure` and so on.
    pub kind: Box<str>,
    /// `True`, `False` or `Unknown`.
    pub status: Box<str>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveNode {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub uid: Uid,
    /// `aws:///<zone>/<instance>`.
    pub provider_id: Option<Arc<str>>,
    /// Its labels; its name stands as host name and as `metadata.name` among them.
    pub labels: Labels,
    /// Those of its annotations that are Karpenter's.
    pub annotations: BTreeMap<Box<str>, Box<str>>,
    /// Its finalizers.
    pub finalizers: Box<[Box<str>]>,
    /// Its taints, as Kubernetes has them.
    pub taints: Box<[core::Taint]>,
    pub(super) read_taints: Box<[Taint]>,
    /// What it has.
    pub capacity: Amounts,
    /// What it has for pods.
    pub allocatable: Amounts,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its conditions.
    pub conditions: Box<[NodeCondition]>,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it is being deleted.
    pub deletion: Option<Timestamp>,
    /// The claim that owns it, by name.
    pub owner_claim: Option<Arc<str>>,
    pub(super) round: u32,
    pub(super) version: u64,
}

impl LiveNode {
    /// A condition.
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.conditions.iter().find(|condition| &*condition.kind == kind)
    }

    /// Whether it is ready.
    pub fn ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| &*condition.status == "True")
    }

    /// Whether it has a taint.
    pub fn has_taint(&self, key: &str) -> bool {
        self.taints.iter().any(|taint| taint.key == key)
    }

    /// An annotation of Karpenter's.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(|value| &**value)
    }
}

/// Reads a node.
///
/// # Errors
/// When one of its quantities or taints cannot be read.
pub(super) fn read(names: &mut Names, node: &core::Node, round: u32) -> Result<LiveNode, String> {
    let metadata = &node.metadata;
    let (spec, status) = (node.spec.as_ref(), node.status.as_ref());
    let capacity = read_amounts(names, status.and_then(|s| s.capacity.as_ref()))?;
    let allocatable = match status.and_then(|s| s.allocatable.as_ref()) {
        Some(list) => read_amounts(names, Some(list))?,
        None => capacity.clone(),
    };
    let taints: Box<[core::Taint]> = spec.and_then(|s| s.taints.clone()).unwrap_or_default().into();
    let read_taints = read_taints(names, &taints)?.into();
    let annotations = metadata.annotations.iter().flatten();
    let conditions = status.and_then(|s| s.conditions.as_ref()).into_iter().flatten();
    let owners = metadata.owner_references.iter().flatten();
    Ok(LiveNode {
        name: metadata.name.as_deref().unwrap_or_default().into(),
        uid: Uid::of(metadata),
        provider_id: spec.and_then(|s| s.provider_id.as_deref()).filter(|id| !id.is_empty()).map(Into::into),
        labels: node_labels(names, node),
        annotations: annotations
            .filter(|(key, _)| key.starts_with("karpenter."))
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect(),
        finalizers: metadata.finalizers.iter().flatten().map(|text| text.as_str().into()).collect(),
        taints,
        read_taints,
        capacity,
        allocatable,
        unschedulable: spec.and_then(|s| s.unschedulable) == Some(true),
        conditions: conditions
            .map(|condition| NodeCondition {
                kind: condition.type_.as_str().into(),
                status: condition.status.as_str().into(),
                since: condition.last_transition_time.as_ref().map(|time| time.0),
            })
            .collect(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
        deletion: metadata.deletion_timestamp.as_ref().map(|time| time.0),
        owner_claim: owners.clone().find(|owner| owner.kind == "NodeClaim").map(|owner| owner.name.as_str().into()),
        round,
        version: super::intake::version_of(metadata),
    })
}
