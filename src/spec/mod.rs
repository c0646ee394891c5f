//! The stack file: its types, their defaults, what is checked, and the messages that a mistake gets.
//!
//! [`read`] goes from a file to a [`Loaded`] stack in six steps, each in a part of its own:
//!
//! 1. `document`: YAML becomes a tree in which every value knows where it stands.
//! 2. `document`: `${env:NAME}` is replaced in values; never where secrets are.
//! 3. `structure`: the tree is compared with the JSON Schema that the types of [`model`] publish. What is wrong is
//!    reported and mended, so that the next steps still see the rest.
//! 4. The tree is decoded into [`Stack`].
//! 5. `rules`: whether the values fit one another, and AWS.
//! 6. `problem`: everything that was found, file by file, each with its line.
//!
//! The manifests that a stack names are read by [`objects`] on the way: into trees by the same parser, and then into
//! Kubernetes objects.
//!
//! No step calls anything outside the file, but for the policies and manifests that it names.

pub(crate) mod document;
mod load;
pub mod model;
pub mod objects;
pub(crate) mod problem;
mod rules;
mod structure;

pub use load::{Loaded, parse, parse_bytes, read};
pub use model::*;
pub use problem::{FileProblems, Problem, ProblemRecord, Problems, RelatedRecord, Severity, Style};

/// The JSON Schema (draft 2020-12) of the stack file, made from its types. Strings carry a `format` where eksup
/// checks more than their kind.
pub fn schema() -> serde_json::Value {
    structure::published().clone()
}

/// Whether a text can be the name of a stack, for those who name one without a file.
///
/// # Errors
/// What is wrong with it and what to write instead, as one sentence.
pub fn check_stack_name(name: &str) -> Result<(), String> {
    structure::check_format("stack-name", name)
}

/// Whether a text can be the name of a region, for those who name one without a file.
///
/// # Errors
/// What is wrong with it and what to write instead, as one sentence.
pub fn check_region(name: &str) -> Result<(), String> {
    structure::check_format("region", name)
}
