//! Claims: the object, and its amounts read.

use super::pods::Uid;
use crate::api::{NodeClaim, labels};
use crate::state::names::Names;
use crate::state::pod_reading::read_amounts;
use crate::state::resources::Amounts;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use std::sync::Arc;

/// A claim.
#[derive(Clone, Debug)]
pub struct LiveClaim {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub uid: Uid,
    /// The object, without what the API server keeps about its fields.
    pub object: Arc<NodeClaim>,
    /// What it has.
    pub capacity: Amounts,
    /// What it has for pods.
    pub allocatable: Amounts,
    /// What it was asked for.
    pub requests: Amounts,
    pub(super) round: u32,
}

impl LiveClaim {
    /// `aws:///<zone>/<instance>`, once it is launched.
    pub fn provider_id(&self) -> Option<&str> {
        self.object.status.as_ref()?.provider_id.as_deref().filter(|id| !id.is_empty())
    }

    /// Its pool.
    pub fn pool(&self) -> Option<&str> {
        self.object.metadata.labels.as_ref()?.get(labels::NODE_POOL).map(String::as_str)
    }

    /// Its class.
    pub fn class(&self) -> &str {
        &self.object.spec.node_class_ref.name
    }

    /// A condition.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Whether a condition is `True`.
    pub fn is(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == "True")
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.object.metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default()
    }

    /// Since when it is being deleted.
    pub fn deletion(&self) -> Option<Timestamp> {
        self.object.metadata.deletion_timestamp.as_ref().map(|time| time.0)
    }
}

/// Reads a claim.
///
/// # Errors
/// When one of its quantities cannot be read.
pub(super) fn read(names: &mut Names, mut claim: NodeClaim, round: u32) -> Result<LiveClaim, String> {
    claim.metadata.managed_fields = None;
    let status = claim.status.as_ref();
    Ok(LiveClaim {
        name: claim.metadata.name.as_deref().unwrap_or_default().into(),
        uid: Uid::of(&claim.metadata),
        capacity: read_amounts(names, status.map(|s| &s.capacity))?,
        allocatable: read_amounts(names, status.map(|s| &s.allocatable))?,
        requests: read_amounts(names, Some(&claim.spec.resources.requests))?,
        object: Arc::new(claim),
        round,
    })
}
