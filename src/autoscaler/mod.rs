//! The node autoscaler.
//!
//! | module | what it does |
//! |---|---|
//! | [`state`] | what the cluster looks like now |
//! | [`scheduling`] | pods to nodes, at the least cost |
//! | [`simulate`] | the same, offline, from files |

pub mod api;
pub mod scheduling;
pub mod simulate;
pub mod state;
