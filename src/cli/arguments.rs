//! Arguments that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::aws::Cloud;
use crate::cluster::connection::Detour;

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

/// Another way into the cluster than the one that EKS tells.
#[derive(Debug, Args)]
pub struct ClusterAccess {
    /// Reach the cluster as this kubeconfig says, and not with a token made from AWS credentials: through a tunnel, or
    /// with rights that the credentials do not have.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context in it; the current one without this.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    context: Option<String>,
}

impl ClusterAccess {
    /// `cloud`, with its clusters reached as asked for.
    pub fn lead(self, mut cloud: Cloud) -> Cloud {
        if self.kubeconfig.is_some() {
            cloud.clusters = cloud.clusters.through(Detour { file: self.kubeconfig, context: self.context });
        }
        cloud
    }
}
