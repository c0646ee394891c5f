//! `eksup schema`: the JSON Schema of the stack file.

use super::Exit;
use crate::spec;

/// Runs the command.
pub fn run() -> Exit {
    println!("{:#}", spec::schema());
    Exit::Done
}
