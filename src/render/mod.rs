//! Fills in what is embedded in the binary: templates and policies.

pub mod policies;
