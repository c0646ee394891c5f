//! What lives in a cluster, from outside: the real binary against a local cloud whose clusters are real control planes.

mod access;
mod certificates;
mod drift;
mod killed;
mod messages;
mod prune;
mod removal;
mod scaling;
mod shop;
mod stage;
#[path = "../support/mod.rs"]
mod support;
