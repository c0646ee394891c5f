//! `eksup outputs`: what the stack's resources are called.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value};

use super::arguments::{Format, StackFile};
use super::session::{Ended, connect, explain, read_stack};
use super::{Exit, output};
use crate::aws::{KINDS, Reads};
use crate::engine::{self, Events, Failure};

/// The arguments of `eksup outputs`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    stack: StackFile,
    /// Print only this one, such as `cluster/cluster#endpoint`.
    #[arg(long, value_name = "ADDRESS#NAME")]
    get: Option<String>,
    /// In which form they are printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Ended {
    let stack = read_stack(&arguments.stack.path)?;
    let cloud = connect(&stack.metadata.region).await?;
    let reads = Arc::new(Reads::new(cloud, &stack.metadata.name));
    let observed =
        engine::observe(&reads, KINDS, &Events::silent()).await.map_err(|error| explain(&Failure::Cloud(error)))?;
    let outputs: BTreeMap<String, Map<String, Value>> =
        observed.into_iter().map(|resource| (resource.address.to_string(), resource.outputs)).collect();
    match (&arguments.get, arguments.output) {
        (Some(name), _) => print_one(&outputs, name),
        (None, Format::Json) => {
            output::line(serde_json::json!(outputs));
            Ok(Exit::Done)
        }
        (None, _) => {
            for (address, fields) in &outputs {
                for (name, value) in fields {
                    output::line(format!("{address}#{name} = {}", plain(value)));
                }
            }
            Ok(Exit::Done)
        }
    }
}

fn print_one(outputs: &BTreeMap<String, Map<String, Value>>, name: &str) -> Ended {
    let value = name.split_once('#').and_then(|(address, output)| outputs.get(address)?.get(output));
    match value {
        Some(value) => {
            output::line(plain(value));
            Ok(Exit::Done)
        }
        None => {
            super::session::complain(
                &format!("the stack has no output `{name}`"),
                Some("`eksup outputs` without `--get` lists them all"),
            );
            Ok(Exit::Failed)
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
