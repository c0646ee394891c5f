//! The types of the stack file, one file per section. A value of these types is what a valid file means,
//! with every default filled in.

mod addons;
mod autoscaler;
mod bastion;
mod cluster;
mod database;
mod identity;
mod layout;
mod network;
mod node_group;
mod scalars;
mod stack;
mod workloads;

pub use addons::*;
pub use autoscaler::*;
pub use bastion::*;
pub use cluster::*;
pub use database::*;
pub use identity::*;
pub use layout::*;
pub use network::*;
pub use node_group::*;
pub use scalars::*;
pub use stack::*;
pub use workloads::*;

/// Serde's `default = …` wants a function: this one says `true`.
pub(crate) fn yes() -> bool {
    true
}
