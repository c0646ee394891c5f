//! The last sentence of every command: what happened, how long it took, what to do next. All of them
//! stand here, so that they are of one voice.

use std::time::Duration;

use super::plan;
use super::run::{Account, Run};
use super::wording::{count, elapsed, listed, one_line};
use crate::engine::{Ending, Verb};
use crate::plan::{Kept, Observed, Plan, Purpose, State};

/// The commands that closing sentences name, as the user would type them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// Does the same again: `eksup apply shop.yaml`.
    pub again: String,
    /// Shows what has been made, where that is of use: `eksup outputs shop.yaml`.
    pub outputs: Option<String>,
}

impl Commands {
    /// For a command line that shows nothing afterwards.
    pub fn again(again: impl Into<String>) -> Self {
        Self { again: again.into(), outputs: None }
    }
}

/// After `eksup plan`: how to go on. `carry_out` is the command that does it: `eksup apply shop.yaml`.
pub fn planned(plan: &Plan, carry_out: &str) -> Option<String> {
    (!plan.is_empty()).then(|| format!("Next: `{carry_out}` does it."))
}

/// After an apply or a destroy that had nothing to do.
pub fn nothing_to_do(plan: &Plan) -> String {
    plan::nothing_to_do(plan)
}

/// After the operations of a run have ended. What is left after a destroy is said by [`destroyed`].
pub(super) fn ended(run: &Run, ending: Ending, took: Duration, commands: &Commands) -> String {
    let account = &run.account;
    let took = elapsed(took);
    match (ending, run.purpose) {
        (Ending::Done, Some(Purpose::Destroy)) => format!("Took down `{}` in {took}: {}.", run.stack, done(account)),
        (Ending::Done, _) => {
            let next = commands.outputs.as_ref();
            let next = next.map(|command| format!(" Next: `{command}` shows what it offers.")).unwrap_or_default();
            format!("Applied `{}` in {took}: {}.{next}", run.stack, done(account))
        }
        (Ending::Failed, _) => format!(
            "Failed after {took}: {}. {} Next: put that right, then `{}` goes on from there.",
            what_failed(account),
            what_stands(account, run.purpose),
            commands.again
        ),
        (Ending::Stopped, _) => format!(
            "Stopped after {took}: {}. {} Next: `{}` goes on from there.",
            what_is_left(account),
            what_stands(account, run.purpose),
            commands.again
        ),
    }
}

/// After the sweep that ends a destroy: `nothing is left`, or what is, and what was kept on purpose.
/// Several lines where there is something to list.
pub fn destroyed(stack: &str, took: Duration, left: &[Observed], kept: &[Kept], again: &str) -> String {
    let took = elapsed(took);
    let mut text = match left.len() {
        0 => format!("Destroyed `{stack}` in {took}: nothing is left."),
        number => {
            let are = if number == 1 { "is" } else { "are" };
            let mut text = format!("{} of `{stack}` {are} left after {took}:", count(number, "resource"));
            for resource in left {
                let identity = one_line(resource.identity());
                text.push_str(&format!("\n  {} {} {identity}: {}", resource.address, resource.kind, reason(resource)));
            }
            text.push_str(&format!("\nNext: see what holds them, then `{again}` takes them away."));
            text
        }
    };
    if !kept.is_empty() {
        text.push_str("\nKept on purpose:");
        for item in kept {
            text.push_str(&format!("\n  {}", one_line(&item.to_string())));
        }
    }
    text
}

fn reason(resource: &Observed) -> String {
    match &resource.state {
        State::Ready => "it came back, or something else still uses it".to_owned(),
        State::Changing(detail) => format!("it is {}", one_line(detail)),
        State::Deleting => "it is on its way out".to_owned(),
        State::Failed(why) => one_line(why),
    }
}

/// `61 created, 2 changed`
fn done(account: &Account) -> String {
    let parts = [
        (account.count(Verb::Create), "created"),
        (account.count(Verb::Update), "changed"),
        (account.replaced().len(), "replaced"),
        (account.count(Verb::Delete), "deleted"),
        (account.count(Verb::Await), "waited for"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    if said.is_empty() { "nothing done".to_owned() } else { said.join(", ") }
}

fn what_failed(account: &Account) -> String {
    let failed = &account.failed;
    let behind = match account.skipped.len() {
        0 => String::new(),
        number => format!(", {} not tried because of {}", number, if failed.len() == 1 { "it" } else { "them" }),
    };
    let of = count(account.total, "operation");
    format!("{} of {of} failed ({}){behind}", failed.len(), listed(failed, 4))
}

fn what_is_left(account: &Account) -> String {
    let left = account.total.saturating_sub(account.done.len());
    let midway = match account.left_midway.len() {
        0 => String::new(),
        number => format!(", {number} of them on {} way", if number == 1 { "its" } else { "their" }),
    };
    format!("{left} of {} to go{midway}", count(account.total, "operation"))
}

fn what_stands(account: &Account, purpose: Option<Purpose>) -> String {
    match (account.done.len(), purpose) {
        (0, _) => "Nothing was done.".to_owned(),
        (_, Some(Purpose::Destroy)) => format!("Done so far: {}.", done(account)),
        _ => format!("What was done stands: {}.", done(account)),
    }
}
