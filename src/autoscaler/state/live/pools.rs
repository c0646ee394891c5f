//! Pools and classes: the objects, and pools as the scheduler sees them.

use crate::api::{EC2NodeClass, Fault, NodePool};
use crate::state::pools::Pool;
use jiff::Timestamp;
use std::sync::Arc;

/// A pool.
#[derive(Clone, Debug)]
pub struct LivePool {
    /// Its name.
    pub name: Arc<str>,
    /// The object, without what the API server keeps about its fields.
    pub object: Arc<NodePool>,
    /// As the scheduler sees it, or what is wrong with it.
    pub read: Result<Pool, Vec<Fault>>,
    pub(super) round: u32,
}

impl LivePool {
    /// The class of its nodes.
    pub fn class(&self) -> &str {
        &self.object.spec.template.spec.node_class_ref.name
    }

    /// Since when it is being deleted.
    pub fn deletion(&self) -> Option<Timestamp> {
        self.object.metadata.deletion_timestamp.as_ref().map(|time| time.0)
    }
}

/// A class.
#[derive(Clone, Debug)]
pub struct LiveClass {
    /// Its name.
    pub name: Arc<str>,
    /// The object, without what the API server keeps about its fields.
    pub object: Arc<EC2NodeClass>,
    pub(super) round: u32,
}

impl LiveClass {
    /// Whether nodes of it can be launched.
    pub fn ready(&self) -> bool {
        let conditions = self.object.status.iter().flat_map(|status| &status.conditions);
        self.deletion().is_none()
            && conditions.clone().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// Since when it is being deleted.
    pub fn deletion(&self) -> Option<Timestamp> {
        self.object.metadata.deletion_timestamp.as_ref().map(|time| time.0)
    }
}
