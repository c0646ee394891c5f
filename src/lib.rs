//! eksup builds a whole autoscaling EKS platform from one file, shows what it will change before it
//! does, and takes it all down again.
//!
//! # The map of the house
//!
//! A run goes through the rooms in this order:
//!
//! - [`cli`] parses the command line; one file per command.
//! - [`spec`] reads the stack file: types, defaults, validation, positions of every mistake.
//! - [`phases`] turn the spec into one list of typed resources, one file per phase.
//! - [`engine`] observes the cloud, asks [`plan`] for the difference, carries a plan out, tears a
//!   stack down, sweeps, and holds the lock. It says what happens as events and prints nothing.
//! - [`plan`] is pure: what differs, what that means, in which order it is done.
//! - [`aws`] has one file per kind of resource, with read, create, update and delete side by side.
//! - [`cluster`] is the Kubernetes side: the connection, and objects as resources like any other.
//! - [`autoscaler`] decides which nodes pods get: what decides is a crate of its own there, compiled
//!   for speed; the rest watches, launches, drains and ends.
//! - [`render`] fills in templates and policies that are embedded in the binary, and makes certificates.
//! - [`views`] turn events and plans into a live terminal, plain lines, or JSON.
//!
//! Dependencies point downward: `cli → engine → {phases, plan, aws, cluster} → spec`.

#![recursion_limit = "256"]

pub mod autoscaler;
pub mod aws;
pub mod cli;
pub mod cluster;
pub mod engine;
pub mod phases;
pub mod plan;
pub mod render;
pub mod spec;
pub mod views;
