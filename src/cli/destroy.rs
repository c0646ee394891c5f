//! `eksup destroy`: takes everything of a stack away, and proves it.

use std::path::PathBuf;

use clap::Args;

use super::arguments::{Format, ProgressFormat};
use super::run::{Question, carry_out};
use super::session::{Ended, connect, explain, read_stack};
use super::{Exit, plan};
use crate::engine::{self, Events};
use crate::views;
use tokio_util::sync::CancellationToken;

/// The arguments of `eksup destroy`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The stack file. Not needed with `--name` and `--region`.
    #[arg(value_name = "STACK", default_value = "stack.yaml", conflicts_with = "name")]
    path: PathBuf,
    /// The stack's name, to destroy it without its file.
    #[arg(long, requires = "region")]
    name: Option<String>,
    /// The stack's region.
    #[arg(long, requires = "name")]
    region: Option<String>,
    /// Go ahead without a question.
    #[arg(short, long)]
    yes: bool,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressFormat,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Ended {
    let (name, region) = match (arguments.name, arguments.region) {
        (Some(name), Some(region)) => (name, region),
        _ => {
            let stack = read_stack(&arguments.path)?;
            (stack.metadata.name, stack.metadata.region)
        }
    };
    let cloud = connect(&region).await?;
    let plan = engine::plan_destroy(&name, &cloud, &Events::silent()).await.map_err(|failure| explain(&failure))?;
    if !plan.is_empty() {
        if arguments.progress != ProgressFormat::Json {
            plan::print(&plan, Format::Text);
        }
        let question = Question { text: views::question(&plan), answered: arguments.yes };
        carry_out(&plan, &cloud, question, arguments.progress).await?;
    }
    let left = engine::sweep(&name, &cloud, &Events::silent(), &CancellationToken::new())
        .await
        .map_err(|failure| explain(&failure))?;
    println!("{}", views::swept(&name, &left));
    Ok(if left.is_empty() { Exit::Done } else { Exit::Failed })
}
