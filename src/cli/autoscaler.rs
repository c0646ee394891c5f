//! `eksup autoscaler`: which nodes workloads would get, and what they would cost.

use std::io::Read;
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};

use super::session::{Ended, block_on, complain, connect};
use super::{Exit, output};
use crate::autoscaler::cloud;
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
    /// Show which nodes NodePools and workloads from files would get, and what they would cost.
    Simulate(Simulate),
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

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let Command::Simulate(simulate) = &arguments.command;
    match read_all(simulate) {
        Ok(inputs) => block_on(answer(simulate, inputs)),
        Err(message) => {
            complain(&message, None);
            Exit::BadInput
        }
    }
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
