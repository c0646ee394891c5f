//! `eksup autoscaler`: which nodes workloads would get, and what they would cost.

use std::io::Read;
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};

use super::Exit;
use super::session::complain;
use crate::autoscaler::simulate;

/// The arguments of `eksup autoscaler`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which nodes NodePools and workloads from files would get, and what they would cost; offline.
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
    match answer(simulate) {
        Ok(()) => Exit::Done,
        Err(message) => {
            complain(&message, None);
            Exit::BadInput
        }
    }
}

fn answer(arguments: &Simulate) -> Result<(), String> {
    let catalogue = arguments.simulation.catalogue.as_ref().ok_or(
        "no instance types to choose from: name a file of them with `--catalogue FILE`; the cloud's own cannot be asked \
         for yet",
    )?;
    let catalogue = read(catalogue)?;
    let documents = arguments.simulation.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let report =
        simulate::simulate(&documents, &catalogue, &arguments.simulation).map_err(|error| error.to_string())?;
    match arguments.output {
        Form::Text => print!("{report}"),
        Form::Json => println!("{:#}", serde_json::to_value(&report).unwrap_or_default()),
    }
    Ok(())
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
