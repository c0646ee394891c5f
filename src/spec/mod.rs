//! The stack file: its types, their defaults, what is checked, and the messages that a mistake gets.

pub mod model;

pub use model::*;
