//! From what the stack wants and what the cloud shows to what has to be done. Pure: no call, no
//! clock, no task in here, so that every decision can be tested as a value.

mod action;
mod address;
mod change;
mod diff;
mod fingerprint;
mod graph;
mod kept;
mod kind;
mod prediction;
mod reference;
mod resource;
mod tags;

pub use action::{Action, Mark};
pub use address::Address;
pub use change::{Change, FORMAT, FieldChange, Plan, Purpose, Round, Summary};
pub use diff::{Problem, diff, diff_foretold, differences, is_the_stacks, known_outputs, tear_down};
pub use fingerprint::Fingerprint;
pub use graph::{Graph, Operation, OperationKind};
pub use kept::{Disposal, Keeping, Kept, set_aside};
pub use kind::{Effect, Facts, Loss, ReplaceOrder};
pub use prediction::{Prediction, Predictions};
pub use reference::{Outputs, Placeholder, Reference, is_unknown, placeholders, resolve};
pub use resource::{Describe, Desired, Handle, Observed, Resources, State};
pub use tags::{RESOURCE, STACK, TagChange, Tags, change as tag_change};

/// Finds the facts of a kind by its name.
pub trait Registry {
    /// The facts of the kind called `name`, if there is one.
    fn facts(&self, name: &str) -> Option<&'static Facts>;
}
