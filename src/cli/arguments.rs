//! Arguments that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The stack file.
#[derive(Debug, Args)]
pub struct StackFile {
    /// The stack file.
    #[arg(value_name = "STACK", default_value = "stack.yaml")]
    pub path: PathBuf,
}

/// In which form something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For pull requests.
    Markdown,
}

/// How the progress of a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProgressFormat {
    /// A live display on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// One line for each thing that happens.
    Lines,
    /// One JSON object for each thing that happens.
    Json,
}
