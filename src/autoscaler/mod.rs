//! The node autoscaler.
//!
//! | module | what it does |
//! |---|---|
//! | [`api`] | NodePool, NodeClaim and EC2NodeClass: types, validation, definitions |
//! | [`cloud`] | instance types and prices, asked of the cloud |
//! | [`state`] | what the cluster looks like now |
//! | [`scheduling`] | pods to nodes, at the least cost |
//! | [`checker`] | whether a placement keeps every rule, written apart from the scheduler |
//! | [`simulate`] | the same, offline, from files |
//! | [`disruption`] | which nodes may go, and what replaces them |
//! | [`lifecycle`] | a node from plan to initialised, and what is left over |
//! | [`steering`] | tells kube-scheduler the plan |
//! | [`termination`] | drain, detach, end |
//! | [`interruption`] | what the cloud announces about instances |
//! | [`runtime`] | `eksup autoscaler run` |
//!
//! What decides (`api`, `state`, `scheduling`, `checker`, `disruption`) is a crate of its own in this folder, `lib.rs`.

pub mod cloud;
pub mod interruption;
pub mod lifecycle;
pub mod runtime;
pub mod simulate;
pub mod steering;
pub mod termination;

pub use autoscaler_core::{api, checker, disruption, scheduling, state};
