//! `eksup graph`: what waits for what when the stack is built from nothing.

use clap::Args;
use serde_json::json;

use super::Exit;
use super::arguments::{Format, StackFile};
use super::session::read_stack;
use crate::phases::{self, Surroundings};

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
        println!("{:#}", json!(list));
        return Exit::Done;
    }
    println!("digraph {:?} {{\n  rankdir = LR\n  node [shape = box]", stack.metadata.name);
    for resource in &resources {
        println!(
            "  {:?} [label = {:?}]",
            resource.address.as_str(),
            format!("{}\n{}", resource.address, resource.kind)
        );
        for need in resource.needs() {
            println!("  {:?} -> {:?}", resource.address.as_str(), need.as_str());
        }
    }
    println!("}}");
    Exit::Done
}
