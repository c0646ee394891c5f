//! The live autoscaler against a local cloud whose clusters are real control planes.

mod arrivals;
mod demos;
mod departures;
mod disruption;
mod install;
mod operation;
mod process;
#[allow(dead_code, reason = "each test file uses its own part of this")]
#[path = "../cluster/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
