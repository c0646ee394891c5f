//! `eksup destroy`: takes everything of a stack away, and proves it.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::arguments::{ClusterAccess, Format, ProgressFormat};
use super::run::carry_out;
use super::session::{Ended, Watch, complain, connect, explain, read_stack};
use super::{Exit, output, plan};
use crate::engine::{self, Event, Events, Timed};
use crate::plan::Disposal;
use crate::spec;
use crate::views::closing::{self, Commands};

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
    /// Also delete what holds data and is kept otherwise: volumes that the cluster made, and their snapshots.
    #[arg(long)]
    delete_volumes: bool,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressFormat,
    #[command(flatten)]
    cluster: ClusterAccess,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Ended {
    let (name, region) = match (arguments.name, arguments.region) {
        (Some(name), Some(region)) => {
            refuse(spec::check_stack_name(&name))?;
            refuse(spec::check_region(&region))?;
            (name, region)
        }
        _ => {
            let stack = read_stack(&arguments.path)?;
            (stack.metadata.name, stack.metadata.region)
        }
    };
    let flag = if arguments.delete_volumes { " --delete-volumes" } else { "" };
    let again = format!("eksup destroy --name {name} --region {region}{flag}");
    let began = Instant::now();
    let cloud = arguments.cluster.lead(connect(&region).await?);
    let disposal = if arguments.delete_volumes { Disposal::DeleteData } else { Disposal::KeepData };
    let (sender, said) = mpsc::unbounded_channel();
    let (plan, kept) = engine::plan_destroy(&name, &cloud, disposal, &Events::to(sender))
        .await
        .map_err(|failure| explain(&failure))?;
    print_notes(said);
    let for_programs = arguments.progress == ProgressFormat::Json;
    if !plan.is_empty() {
        if !for_programs {
            plan::print(&plan, Format::Text);
        }
        let commands = Commands::again(&again);
        carry_out(&plan, &cloud, arguments.yes, arguments.progress, commands).await?;
    }
    let watch = for_programs.then(|| Watch::start(arguments.progress, Commands::again(&again)));
    let events = watch.as_ref().map_or_else(Events::silent, |watch| watch.events.clone());
    let swept = engine::sweep(&name, &cloud, disposal, &kept, &events, &CancellationToken::new())
        .await
        .map_err(|failure| explain(&failure))?;
    drop(events);
    match watch {
        Some(watch) => watch.finish().await,
        None => output::line(closing::destroyed(&name, began.elapsed(), &swept.left, &swept.kept, &again)),
    }
    Ok(if swept.left.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Prints what a look at the cloud had to say beside what it found.
fn print_notes(mut said: mpsc::UnboundedReceiver<Timed>) {
    while let Ok(timed) = said.try_recv() {
        if let Event::Noted { text } = timed.event {
            eprintln!("note: {text}");
        }
    }
}

fn refuse(checked: Result<(), String>) -> Ended<()> {
    checked.map_err(|why| {
        complain(&why, None);
        Exit::BadInput
    })
}
