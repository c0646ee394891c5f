//! What is said of single events: the same words in a log and above the live display.

use std::time::Duration;

use jiff::Timestamp;

use super::run::{Operation, Run};
use super::wording::{between, count, elapsed, harmless, listed, one_line};
use crate::engine::{Event, Verb};
use crate::plan::{Address, Purpose};

/// At most this many are named of what waits behind one failure.
const NAMED: usize = 12;

/// `creating`, for what is under way.
pub fn doing(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "creating",
        Verb::Update => "changing",
        Verb::Await => "waiting",
        Verb::Delete => "deleting",
    }
}

/// `created`, for what is done.
pub fn done(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "created",
        Verb::Update => "changed",
        Verb::Await => "ready",
        Verb::Delete => "deleted",
    }
}

/// `could not be created`, for what failed.
fn failed(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "could not be created",
        Verb::Update => "could not be changed",
        Verb::Await => "did not become ready",
        Verb::Delete => "could not be deleted",
    }
}

/// `not created`, for what was not tried.
fn not_done(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "not created",
        Verb::Update => "not changed",
        Verb::Await => "not waited for",
        Verb::Delete => "not deleted",
    }
}

/// What is said of `event`, which `run` has taken in; several lines where there is help. Nothing where
/// only an overview is of interest: starts, waits, tries.
pub fn sentence(run: &Run, event: &Event, time: Timestamp) -> Option<String> {
    let about = |number: &usize| run.operation(*number);
    match event {
        Event::Observing { stack, region } => Some(format!("reading what there is of `{stack}` in {region}")),
        Event::Observed { resources } => {
            let took = run.since.map(|since| between(since, time)).unwrap_or_default();
            Some(format!("found {} ({})", count(*resources, "resource"), elapsed(took)))
        }
        Event::RunStarted { purpose, stack, round, operations } => {
            Some(beginning(*purpose, stack, round.as_deref(), operations.len()))
        }
        Event::Finished { number, identity } => {
            about(number).map(|operation| finished(operation, identity.as_deref(), time))
        }
        Event::Failed { number, why, help } => {
            about(number).map(|operation| failure(operation, why, help.as_deref(), time))
        }
        Event::Noted { text } => Some(format!("note: {text}")),
        Event::Stopping => Some(stopping(run)),
        Event::Sweeping => Some("searching the account for anything that is left".to_owned()),
        Event::Skipped { .. }
        | Event::Started { .. }
        | Event::Waiting { .. }
        | Event::Retrying { .. }
        | Event::Swept { .. }
        | Event::RunFinished { .. } => None,
    }
}

/// What is said of an operation that takes its time.
pub fn still(operation: &Operation, now: Timestamp) -> String {
    let why = match (&operation.why, operation.retries) {
        (Some(why), 0) => format!(": {}", one_line(why)),
        (Some(why), retries) => format!(", tried {}: {}", count(retries, "time"), one_line(why)),
        (None, _) => String::new(),
    };
    let lasted = elapsed(operation.lasted(now));
    match operation.info.verb {
        Verb::Await => format!("{} is not ready yet ({lasted}){why}", operation.info.address),
        verb => format!("{} still {} ({lasted}){why}", operation.info.address, doing(verb)),
    }
}

/// What was not done, grouped by the failure that it waits behind, and what was left midway.
pub fn not_done_lines(run: &Run) -> Vec<String> {
    let account = &run.account;
    let mut causes: Vec<&Address> = account.skipped.iter().map(|(_, _, cause)| cause).collect();
    causes.sort();
    causes.dedup();
    let mut lines: Vec<String> = Vec::new();
    for cause in causes {
        for verb in [Verb::Delete, Verb::Create, Verb::Update, Verb::Await] {
            let behind: Vec<&Address> = account
                .skipped
                .iter()
                .filter(|(_, skipped, because)| because == cause && *skipped == verb)
                .map(|(address, _, _)| address)
                .collect();
            if !behind.is_empty() {
                lines.push(format!("{} because of {cause}: {}", not_done(verb), listed(&behind, NAMED)));
            }
        }
    }
    if !account.left_midway.is_empty() {
        lines.push(format!("left on its way: {}", listed(&account.left_midway, NAMED)));
    }
    lines
}

fn beginning(purpose: Purpose, stack: &str, round: Option<&str>, operations: usize) -> String {
    let what = match purpose {
        Purpose::Apply => "applying",
        Purpose::Destroy => "taking down",
    };
    let round = round.map(|round| format!(", {}", one_line(round))).unwrap_or_default();
    format!("{what} `{stack}`{round}: {}", count(operations, "operation"))
}

fn finished(operation: &Operation, identity: Option<&str>, time: Timestamp) -> String {
    let info = &operation.info;
    let identity = identity.filter(|identity| *identity != info.address.as_str());
    let identity = identity.map(|identity| format!(" {}", one_line(identity))).unwrap_or_default();
    let lasted = operation.lasted(time);
    // What goes along with another resource, or was ready at the first look, took no time of its own.
    let lasted = if lasted < Duration::from_millis(100) { String::new() } else { format!(" ({})", elapsed(lasted)) };
    format!("{} {}{identity}{lasted}", info.address, done(info.verb))
}

fn failure(operation: &Operation, why: &str, help: Option<&str>, time: Timestamp) -> String {
    let info = &operation.info;
    let lasted = elapsed(operation.lasted(time));
    let mut text = format!("{} {} ({lasted}): {}", info.address, failed(info.verb), harmless(why));
    if let Some(help) = help {
        text.push_str("\nhelp: ");
        text.push_str(&harmless(help));
    }
    text
}

fn stopping(run: &Run) -> String {
    let running = run.under_way().count();
    let what_runs = match running {
        0 => String::new(),
        _ => format!(", {} brought to a safe point", count_running(running)),
    };
    format!("stopping: nothing new starts{what_runs}; Ctrl-C again ends at once")
}

fn count_running(running: usize) -> String {
    if running == 1 { "what runs is".to_owned() } else { format!("the {running} that run are") }
}
