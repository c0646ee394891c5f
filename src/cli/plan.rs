//! `eksup plan`: shows what would change.

use std::path::{Path, PathBuf};

use clap::Args;

use super::arguments::{ClusterAccess, Format, StackFile};
use super::session::{Ended, complain, connect, explain, read_stack};
use super::{Exit, output};
use crate::engine::{self, Events};
use crate::plan::Plan;
use crate::views::{self, closing};

/// The arguments of `eksup plan`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    stack: StackFile,
    /// In which form the plan is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Also save the plan, so that `eksup apply FILE` carries out exactly this one.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 2 when there is something to change.
    #[arg(long)]
    detailed_exitcode: bool,
    /// Print only these phases.
    #[arg(long, value_name = "PHASE", num_args = 1..)]
    only: Vec<String>,
    #[command(flatten)]
    cluster: ClusterAccess,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Ended {
    let stack = read_stack(&arguments.stack.path)?;
    refuse_unknown_phases(&arguments.only)?;
    let cloud = arguments.cluster.lead(connect(&stack.metadata.region).await?);
    let mut plan = engine::plan(&stack, &cloud, &Events::silent()).await.map_err(|failure| explain(&failure))?;
    if let Some(path) = &arguments.out {
        save(&plan, path)?;
    }
    let pending = !plan.is_empty();
    if !arguments.only.is_empty() {
        for round in &mut plan.rounds {
            round.changes.retain(|change| arguments.only.iter().any(|phase| phase == change.address.phase()));
        }
    }
    print(&plan, arguments.output);
    if arguments.output == Format::Text {
        let file = arguments.out.as_ref().unwrap_or(&arguments.stack.path);
        closing::planned(&plan, &format!("eksup apply {}", file.display())).iter().for_each(output::line);
    }
    Ok(if arguments.detailed_exitcode && pending { Exit::Pending } else { Exit::Done })
}

/// Prints `plan` in the form that was asked for.
pub fn print(plan: &Plan, format: Format) {
    match format {
        Format::Text => output::text(views::plan_text(plan, views::Style::of_stdout())),
        Format::Json => output::line(views::plan_json(plan)),
        Format::Markdown => output::text(views::plan_markdown(plan)),
    }
}

fn save(plan: &Plan, path: &Path) -> Ended<()> {
    let text = serde_json::to_string_pretty(plan).unwrap_or_default();
    std::fs::write(path, text + "\n").map_err(|error| {
        complain(&format!("the plan cannot be saved as `{}`: {error}", path.display()), None);
        Exit::Failed
    })
}

fn refuse_unknown_phases(only: &[String]) -> Ended<()> {
    let known = crate::phases::PHASES;
    match only.iter().find(|phase| !known.contains(&phase.as_str())) {
        Some(unknown) => {
            complain(&format!("there is no phase `{unknown}`"), Some(&format!("the phases are {}", known.join(", "))));
            Err(Exit::BadInput)
        }
        None => Ok(()),
    }
}
