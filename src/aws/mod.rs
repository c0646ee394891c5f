//! The kinds of AWS resources: one file each, with read, create, update and delete side by side.
//!
//! A new kind is one such file, and one row in [`KINDS`].

mod cloud;
pub mod cloudformation_stack;
pub mod database;
pub mod db_subnet_group;
mod error;
pub mod event_rule;
pub mod ids;
mod kind;
mod network_interface;
pub mod queue;
mod reads;
mod tagging;
pub mod vpc;

pub use cloud::{Clients, Cloud, looks_like_a_wrong_region};
pub use error::{Class, CloudError, call, existing};
pub use kind::{AnyKind, BELIEF, Erased, Found, Kind, Left, Made, Progress, Work};
pub use reads::{Reads, filter};
pub use tagging::Tagged;

use crate::plan::{Describe, Facts, Registry};

macro_rules! kinds {
    ($($kind:path),* $(,)?) => {
        &[$({
            static FACTS: Facts = <$kind as Describe>::FACTS;
            static KIND: Erased<$kind> = Erased::new(&FACTS);
            &KIND
        }),*]
    };
}

/// Every kind there is.
pub static KINDS: &[&dyn AnyKind] = kinds![
    cloudformation_stack::CloudformationStack,
    database::Database,
    db_subnet_group::DbSubnetGroup,
    event_rule::EventRule,
    queue::Queue,
    vpc::Vpc,
];

/// The kinds of what others hang on a stack: never wanted, looked for only when it is taken down.
pub static LEFTOVERS: &[&dyn AnyKind] = &[];

/// Finds a kind by its name.
#[derive(Debug, Clone, Copy)]
pub struct Kinds;

impl Kinds {
    /// The kind called `name`.
    pub fn get(name: &str) -> Option<&'static dyn AnyKind> {
        KINDS.iter().chain(LEFTOVERS).copied().find(|kind| kind.facts().name == name)
    }
}

impl Registry for Kinds {
    fn facts(&self, name: &str) -> Option<&'static Facts> {
        Self::get(name).map(AnyKind::facts)
    }
}
