//! `eksup graph`: what waits for what when the stack is built from nothing.

use clap::Args;
use serde_json::json;

use super::arguments::{Format, StackFile};
use super::session::read_stack;
use super::{Exit, output};
use crate::phases::{self, Surroundings};
use crate::plan::Desired;

/// The arguments of `eksup graph`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    stack: StackFile,
    /// `text` is Graphviz's language, `json` a list of resources with what each needs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let stack = match read_stack(&arguments.stack.path) {
        Ok(stack) => stack,
        Err(exit) => return exit,
    };
    let resources = phases::resources(&stack, &Surroundings::offline(&stack));
    if arguments.output == Format::Json {
        let list: Vec<_> = resources
            .iter()
            .map(|resource| json!({ "address": resource.address, "kind": resource.kind, "needs": resource.needs() }))
            .collect();
        output::line(json!(list));
        return Exit::Done;
    }
    output::line(in_graphviz(&stack.metadata.name, &resources));
    Exit::Done
}

/// The graph in Graphviz's language: an arrow leads from a resource to what it needs.
fn in_graphviz(name: &str, resources: &[Desired]) -> String {
    let mut lines =
        vec![format!("digraph {name:?} {{"), "  rankdir = LR".to_owned(), "  node [shape = box]".to_owned()];
    for resource in resources {
        let (address, kind) = (resource.address.as_str(), &resource.kind);
        lines.push(format!("  {address:?} [label = {:?}]", format!("{address}\n{kind}")));
        lines.extend(resource.needs().iter().map(|need| format!("  {address:?} -> {:?}", need.as_str())));
    }
    lines.push("}".to_owned());
    lines.join("\n")
}
