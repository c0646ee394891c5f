//! What every command that asks the cloud needs: a runtime, the stack, a connection, a view.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::path::Path;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Exit;
use super::arguments::ProgressFormat;
use crate::aws::{Class, Cloud, CloudError, looks_like_a_wrong_region};
use crate::engine::{Events, Failure};
use crate::spec::{self, Stack};
use crate::views::{self, closing::Commands};

/// How a command ends, early or late.
pub type Ended<T = Exit> = Result<T, Exit>;

/// Runs a command to its end.
pub fn block_on(command: impl Future<Output = Ended>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the process cannot start its threads: {error}"), None);
            return Exit::Failed;
        }
    };
    let exit = runtime.block_on(command).unwrap_or_else(|exit| exit);
    // A name that is being looked up, or a connection that is being made, is not waited for.
    runtime.shutdown_background();
    exit
}

/// Reads the stack file, or says everything that is wrong with it.
pub fn read_stack(path: &Path) -> Ended<Stack> {
    match spec::read(path) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() {
                eprintln!("{}", loaded.warnings.render(problem_style()));
            }
            Ok(loaded.stack)
        }
        Err(problems) => {
            eprint!("{}", problems.render(problem_style()));
            Err(Exit::BadInput)
        }
    }
}

/// How mistakes in a stack file are drawn on this terminal.
pub fn problem_style() -> spec::Style {
    let style = views::Style::of_stderr();
    spec::Style { colour: style.colour, unicode: stderr().is_terminal(), width: style.width }
}

/// Finds credentials for `region`, or says what is wrong with them.
pub async fn connect(region: &str) -> Ended<Cloud> {
    match Cloud::connect(region).await {
        Ok(cloud) => Ok(cloud),
        Err(error) => {
            let exit = if error.class == Class::Credentials { Exit::BadInput } else { Exit::Failed };
            complain(&not_connected(&error, region), error.help().as_deref());
            Err(exit)
        }
    }
}

fn not_connected(error: &CloudError, region: &str) -> String {
    match error.class {
        Class::Credentials => format!("no usable AWS credentials: {}", error.message),
        _ if looks_like_a_wrong_region(error) => {
            format!("AWS cannot be reached in `{region}`; is that the region's name? {}", error.message)
        }
        Class::Unreachable => format!("AWS cannot be reached in `{region}`: {}", error.message),
        _ => error.to_string(),
    }
}

/// Says why the engine did not do what it was asked to, and gives the exit code for it. Each failed
/// operation has been said when it happened.
pub fn explain(failure: &Failure) -> Exit {
    if let Some(text) = views::report(failure, views::Style::of_stderr()) {
        eprint!("{text}");
    }
    match failure {
        Failure::Stopped => Exit::Interrupted,
        Failure::Cloud(error) if error.class == Class::Credentials => Exit::BadInput,
        _ => Exit::Failed,
    }
}

/// Says what went wrong and what to do about it.
pub fn complain(message: &str, help: Option<&str>) {
    eprintln!("error: {message}");
    if let Some(help) = help {
        eprintln!("  help: {}", help.replace('\n', "\n        "));
    }
}

/// A view of what happens, and the task that feeds it.
pub struct Watch {
    /// Where the engine says what happens.
    pub events: Events,
    view: JoinHandle<()>,
}

impl Watch {
    /// Shows what happens in `format`; the last line names one of `commands`.
    pub fn start(format: ProgressFormat, commands: Commands) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let view: Box<dyn views::View + Send> = match format {
            ProgressFormat::Json => Box::new(views::Json::new(Box::new(stdout()))),
            ProgressFormat::Auto => views::live_or_lines(commands),
            ProgressFormat::Lines => Box::new(views::Lines::new(Box::new(stderr()), commands)),
        };
        Self { events: Events::to(sender), view: tokio::spawn(views::drive(receiver, view)) }
    }

    /// Waits until everything that was said has been shown.
    pub async fn finish(self) {
        drop(self.events);
        let _ = self.view.await;
    }
}

/// Asks the user, who has to type `yes`. Without a terminal nobody can answer.
///
/// # Errors
/// No terminal, or another answer: nothing is done.
pub fn confirm(question: &str, yes: bool) -> Ended<()> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        complain(
            "there is no terminal to ask on, so nothing was changed",
            Some("add `--yes` to go ahead without a question"),
        );
        return Err(Exit::BadInput);
    }
    eprint!("{question} Type `yes` to go ahead: ");
    let mut answer = String::new();
    match stdin().read_line(&mut answer) {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => {
            eprintln!("Nothing was changed.");
            Err(Exit::Failed)
        }
    }
}
