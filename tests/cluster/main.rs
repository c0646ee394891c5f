//! What lives in a cluster, from outside: the real binary against a local cloud whose clusters are real control planes.

mod access;
mod drift;
mod messages;
mod prune;
mod stage;
#[path = "../support/mod.rs"]
mod support;
