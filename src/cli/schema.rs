//! `eksup schema`: the JSON Schema of the stack file.

use super::{Exit, output};
use crate::spec;

/// Runs the command.
pub fn run() -> Exit {
    output::line(spec::schema());
    Exit::Done
}
