//! The deciding part of the node autoscaler: pure, without a cloud, a Kubernetes client, a clock or a task.
//!
//! | module | what it does |
//! |---|---|
//! | [`api`] | NodePool, NodeClaim and EC2NodeClass: types, validation, definitions |
//! | [`state`] | what the cluster looks like now |
//! | [`scheduling`] | pods to nodes, at the least cost |
//! | [`disruption`] | which nodes may go, and what replaces them |
//! | [`checker`] | whether a placement keeps every rule, written apart from the scheduler |
//!
//! What acts on these decisions lives in the same folder (`mod.rs`) and belongs to eksup itself.

#![recursion_limit = "256"]

pub mod api;
pub mod checker;
pub mod disruption;
pub mod scheduling;
pub mod state;
