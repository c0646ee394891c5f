//! The live autoscaler against a local cloud whose clusters are real control planes.

mod departures;
#[path = "../cluster/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
