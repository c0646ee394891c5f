//! `eksup apply`: makes the cloud as the stack file says, or carries out a saved plan.

use std::path::PathBuf;

use clap::Args;

use super::arguments::{ClusterAccess, Format, ProgressFormat};
use super::run::carry_out;
use super::session::{Ended, complain, connect, explain, read_stack};
use super::{Exit, plan};
use crate::engine::{self, Events};
use crate::plan::{FORMAT, Plan};
use crate::views::closing::Commands;

/// The arguments of `eksup apply`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The stack file, or a plan that `eksup plan --out FILE` has saved.
    #[arg(value_name = "STACK|PLAN", default_value = "stack.yaml")]
    path: PathBuf,
    /// Go ahead without a question.
    #[arg(short, long)]
    yes: bool,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressFormat,
    #[command(flatten)]
    cluster: ClusterAccess,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Ended {
    let (plan, cloud, is_saved) = match saved_plan(&arguments.path)? {
        Some(plan) => {
            let cloud = arguments.cluster.lead(connect(&plan.region).await?);
            engine::still_holds(&plan, &cloud, &Events::silent()).await.map_err(|failure| explain(&failure))?;
            (plan, cloud, true)
        }
        None => {
            let stack = read_stack(&arguments.path)?;
            let cloud = arguments.cluster.lead(connect(&stack.metadata.region).await?);
            let plan = engine::plan(&stack, &cloud, &Events::silent()).await.map_err(|failure| explain(&failure))?;
            (plan, cloud, false)
        }
    };
    if arguments.progress != ProgressFormat::Json {
        plan::print(&plan, Format::Text);
    }
    if plan.is_empty() {
        return Ok(Exit::Done);
    }
    let again = format!("eksup apply {}", arguments.path.display());
    let outputs = (!is_saved).then(|| format!("eksup outputs {}", arguments.path.display()));
    carry_out(&plan, &cloud, arguments.yes, arguments.progress, Commands { again, outputs }).await?;
    Ok(Exit::Done)
}

/// The plan in the file at `path`, if that is what it holds.
fn saved_plan(path: &std::path::Path) -> Ended<Option<Plan>> {
    if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
        return Ok(None);
    }
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    if !text.trim_start().starts_with('{') {
        return Ok(None);
    }
    match serde_json::from_str::<Plan>(&text) {
        Ok(plan) if plan.format == FORMAT => Ok(Some(plan)),
        Ok(plan) => refuse(path, &format!("it has the form `{}`, and this eksup reads `{FORMAT}`", plan.format)),
        Err(error) => refuse(path, &error.to_string()),
    }
}

fn refuse(path: &std::path::Path, why: &str) -> Ended<Option<Plan>> {
    let message = format!("`{}` is not a plan that can be used: {why}", path.display());
    complain(&message, Some("make a new one with `eksup plan --out FILE`"));
    Err(Exit::BadInput)
}
