//! `eksup init`: a stack file to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::session::complain;
use super::{Exit, output};

const MINIMAL: &str = include_str!("../../stacks/minimal.yaml");

/// The arguments of `eksup init`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file to write. One that exists is left as it is.
    #[arg(value_name = "STACK", default_value = "stack.yaml")]
    path: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let path = &arguments.path;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(MINIMAL.as_bytes()));
    match written {
        Ok(()) => {
            output::line(format!("Wrote `{0}`. Set its name and region, then run `eksup plan {0}`.", path.display()));
            Exit::Done
        }
        Err(error) => {
            complain(&format!("`{}` cannot be written: {error}", path.display()), Some("name another file"));
            Exit::Failed
        }
    }
}
