//! `eksup render`: policies, user data and templates as they would be used.

use clap::Args;
use serde_json::Value;

use super::arguments::StackFile;
use super::session::read_stack;
use super::{Exit, output};
use crate::phases::{self, Surroundings};
use crate::plan::Desired;

/// The arguments of `eksup render`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    stack: StackFile,
    /// Print only the resources whose address begins so: `bastion/`, `identity/role`.
    #[arg(long, value_name = "ADDRESS")]
    only: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let stack = match read_stack(&arguments.stack.path) {
        Ok(stack) => stack,
        Err(exit) => return exit,
    };
    let resources = phases::resources(&stack, &Surroundings::offline(&stack));
    let wanted = |resource: &&Desired| {
        arguments.only.as_ref().is_none_or(|prefix| resource.address.as_str().starts_with(prefix.as_str()))
    };
    for resource in resources.iter().filter(wanted) {
        for (field, document) in documents(resource) {
            output::line(format!("# {} {field}\n{document}\n", resource.address));
        }
    }
    Exit::Done
}

/// The fields of a resource that hold a document: a policy, a template, user data.
fn documents(resource: &Desired) -> Vec<(String, String)> {
    let fields = resource.body.as_object().into_iter().flatten();
    fields
        .flat_map(|(field, value)| match value {
            Value::String(text) if text.contains('\n') => vec![(field.clone(), text.clone())],
            Value::Object(entries) if is_policy(value) || entries.contains_key("Resources") => {
                vec![(field.clone(), format!("{value:#}"))]
            }
            Value::Object(entries) => entries
                .iter()
                .filter(|(_, entry)| is_policy(entry))
                .map(|(name, entry)| (format!("{field} `{name}`"), format!("{entry:#}")))
                .collect(),
            _ => Vec::new(),
        })
        .collect()
}

fn is_policy(value: &Value) -> bool {
    value.get("Statement").is_some()
}
