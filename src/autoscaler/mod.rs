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

pub mod api;
pub mod checker;
pub mod cloud;
pub mod scheduling;
pub mod simulate;
pub mod state;
