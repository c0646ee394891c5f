//! `eksup completions`: completions for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Eksup, Exit};

/// The arguments of `eksup completions`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    clap_complete::generate(arguments.shell, &mut Eksup::command(), "eksup", &mut std::io::stdout());
    Exit::Done
}
