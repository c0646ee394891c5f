//! `eksup autoscaler`: scales the nodes of a cluster, says why a node is there, and which nodes workloads would get.

use std::io::Read;
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::session::{Ended, block_on, complain, connect};
use super::{Exit, output};
use crate::autoscaler::cloud;
use crate::autoscaler::runtime::settings::SettingsError;
use crate::autoscaler::runtime::{self, Flags, Settings};
use crate::autoscaler::simulate::{self, SimulateError};
use crate::autoscaler::state::cluster::Cluster;
use crate::autoscaler::state::overhead::KubeletReservation;

/// The arguments of `eksup autoscaler`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Scale the nodes of a cluster, for as long as this runs. Every flag is an environment variable too.
    Run(Box<Flags>),
    /// Say why a node is still there, and how it stands.
    Explain(Explain),
    /// Show which nodes NodePools and workloads from files would get, and what they would cost.
    Simulate(Simulate),
}

#[derive(Debug, Args)]
struct Explain {
    /// The node, or the NodeClaim.
    node: String,
    /// In which form the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Args)]
struct Simulate {
    #[command(flatten)]
    simulation: simulate::Arguments,
    /// In which form the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Arguments {
    /// Whether the command sets up logging by itself.
    pub fn logs_itself(&self) -> bool {
        matches!(self.command, Command::Run(_))
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Run(flags) => scale(flags),
        Command::Explain(explain) => block_on(say_why(explain)),
        Command::Simulate(simulate) => match read_all(simulate) {
            Ok(inputs) => block_on(answer(simulate, inputs)),
            Err(message) => {
                complain(&message, None);
                Exit::BadInput
            }
        },
    }
}

/// Scales nodes until it is asked to stop.
fn scale(flags: &Flags) -> Exit {
    let settings = match Settings::read(flags) {
        Ok(settings) => settings,
        Err(SettingsError(faults)) => {
            faults.iter().for_each(|fault| complain(fault, None));
            return Exit::BadInput;
        }
    };
    runtime::logging::start(settings.log_level);
    // Watches and calls wait more than they work; decisions have threads of their own.
    let threads = usize::try_from(settings.cpu_milli.div_ceil(1000)).unwrap_or(1).clamp(2, 4);
    let started = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match started {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the process cannot start its threads: {error}"), None);
            return Exit::Failed;
        }
    };
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let asked = stop.clone();
        tokio::spawn(async move {
            super::signals::asked_to_stop().await;
            asked.cancel();
        });
        runtime::run(settings, stop).await
    });
    runtime.shutdown_background();
    match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&format!("{error:#}"), None);
            Exit::Failed
        }
    }
}

async fn say_why(arguments: &Explain) -> Ended {
    let failed = |error: anyhow::Error| {
        complain(&format!("{error:#}"), Some("the cluster is reached as `KUBECONFIG` or `~/.kube/config` says"));
        Exit::Failed
    };
    let client = kube::Client::try_default().await.map_err(|error| failed(error.into()))?;
    let explanation = runtime::explain::look_up(&client, &arguments.node).await.map_err(failed)?;
    match arguments.output {
        Form::Text => output::line(explanation.to_string().trim_end()),
        Form::Json => output::line(format!("{:#}", serde_json::to_value(&explanation).unwrap_or_default())),
    }
    Ok(Exit::Done)
}

/// The files that were named.
struct Inputs {
    documents: Vec<String>,
    catalogue: Option<String>,
}

fn read_all(arguments: &Simulate) -> Result<Inputs, String> {
    let catalogue = arguments.simulation.catalogue.as_deref().map(read).transpose()?;
    let documents = arguments.simulation.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(Inputs { documents, catalogue })
}

async fn answer(arguments: &Simulate, inputs: Inputs) -> Ended {
    let simulation = &arguments.simulation;
    let bad_input = |error: SimulateError| {
        complain(&error.to_string(), None);
        Exit::BadInput
    };
    let report = match inputs.catalogue {
        Some(catalogue) => simulate::simulate(&inputs.documents, &catalogue, simulation),
        None => simulate::simulate_on(of_the_cloud(simulation).await?, &inputs.documents, simulation),
    };
    let report = report.map_err(bad_input)?;
    match arguments.output {
        Form::Text => output::line(report.to_string().trim_end()),
        Form::Json => output::line(format!("{:#}", serde_json::to_value(&report).unwrap_or_default())),
    }
    Ok(Exit::Done)
}

/// A cluster with nothing in it but what the cloud sells.
async fn of_the_cloud(simulation: &simulate::Arguments) -> Ended<Cluster> {
    let cloud = connect(&simulation.region).await?;
    let mut cluster = Cluster::default();
    let catalogue = cloud::catalogue(&mut cluster.names, &cloud, &KubeletReservation::default()).await;
    cluster.catalogue = catalogue.map_err(|error| {
        let help = error.help();
        complain(
            &format!("the instance types of `{}` cannot be had: {error}", simulation.region),
            help.as_deref().or(Some("name a file of instance types with `--catalogue FILE` to do without")),
        );
        Exit::Failed
    })?;
    Ok(cluster)
}

fn read(path: &Path) -> Result<String, String> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}
