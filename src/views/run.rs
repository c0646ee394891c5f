//! What is known of a run, folded from its events: what every view draws from.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::wording::between;
use crate::engine::{Ending, Event, OperationInfo, Progress, Stage, Timed, Verb};
use crate::plan::{Address, Purpose};

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activity {
    /// Nothing, or nothing any more.
    #[default]
    Idle,
    /// The cloud is being read.
    Reading,
    /// Operations run.
    Working,
    /// The account is searched for what may be left.
    Sweeping,
}

/// One operation and what has become of it so far.
#[derive(Debug, Clone)]
pub struct Operation {
    /// What it is.
    pub info: OperationInfo,
    /// When it started.
    pub started: Option<Timestamp>,
    /// What it waits for, or why it tries again.
    pub why: Option<String>,
    /// Calls that came back with something that passes, since the last success.
    pub retries: usize,
    /// The first of them.
    pub retrying_since: Option<Timestamp>,
}

impl Operation {
    /// How long it has run at `now`.
    pub fn lasted(&self, now: Timestamp) -> Duration {
        self.started.map(|started| between(started, now)).unwrap_or_default()
    }
}

/// How far several rounds together have come.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Operations of all rounds that have begun.
    pub total: usize,
    /// What is done, in order.
    pub done: Vec<(Address, Verb)>,
    /// What has failed.
    pub failed: Vec<Address>,
    /// What waits behind a failure.
    pub skipped: Vec<(Address, Verb, Address)>,
    /// What the user stopped on its way.
    pub left_midway: Vec<Address>,
    /// How many the user stopped before they began.
    pub not_begun: usize,
}

impl Account {
    /// Addresses that were deleted and made again.
    pub fn replaced(&self) -> BTreeSet<&Address> {
        let with = |wanted: Verb| -> BTreeSet<&Address> {
            self.done.iter().filter(|(_, verb)| *verb == wanted).map(|(address, _)| address).collect()
        };
        with(Verb::Create).intersection(&with(Verb::Delete)).copied().collect()
    }

    /// How many operations of `verb` are done, without the halves of replacements.
    pub fn count(&self, verb: Verb) -> usize {
        let replaced = self.replaced();
        let halves = matches!(verb, Verb::Create | Verb::Delete);
        self.done.iter().filter(|(address, done)| *done == verb && !(halves && replaced.contains(address))).count()
    }
}

/// A run, as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// What is going on.
    pub activity: Activity,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When the first operation could start.
    pub began: Option<Timestamp>,
    /// The stack's name.
    pub stack: String,
    /// Its region.
    pub region: String,
    /// Whether the stack is made or taken away.
    pub purpose: Option<Purpose>,
    /// What the round brings.
    pub round: Option<String>,
    /// The operations of the round.
    pub operations: Vec<Operation>,
    /// Where they stand.
    pub progress: Progress,
    /// What all rounds together have come to.
    pub account: Account,
    /// Whether the user has asked to stop.
    pub stopping: bool,
    /// How operations ended, and how long they took.
    pub ended: Option<(Ending, Duration)>,
}

impl Run {
    /// Takes in what happened.
    pub fn take(&mut self, timed: &Timed) {
        let Timed { time, event } = timed;
        let before = number_of(event).map(|number| self.progress.stage(number));
        if let Err(error) = self.progress.take(event) {
            // The event is shown all the same: what is said must not get lost over how it is counted.
            tracing::debug!(%error, "an event out of order");
        }
        match event {
            Event::Observing { stack, region } => {
                (self.stack, self.region) = (stack.clone(), region.clone());
                self.enter(Activity::Reading, *time);
            }
            Event::Observed { .. } => self.activity = Activity::Idle,
            Event::RunStarted { purpose, stack, round, operations } => {
                self.stack.clone_from(stack);
                self.round.clone_from(round);
                self.purpose = Some(*purpose);
                self.begin_round(operations, *time);
            }
            Event::Started { number } => self.change(*number, |operation| operation.started = Some(*time)),
            Event::Waiting { number, why } => self.change(*number, |operation| {
                operation.why = Some(why.clone());
                (operation.retries, operation.retrying_since) = (0, None);
            }),
            Event::Retrying { number, why, .. } => self.change(*number, |operation| {
                operation.why = Some(why.clone());
                operation.retries += 1;
                operation.retrying_since.get_or_insert(*time);
            }),
            Event::Finished { number, .. } => self.account_for(*number, |account, info| {
                account.done.push((info.address.clone(), info.verb));
            }),
            Event::Failed { number, .. } => self.account_for(*number, |account, info| {
                account.failed.push(info.address.clone());
            }),
            Event::Skipped { number, because } => self.account_for(*number, |account, info| match because {
                Some(because) => account.skipped.push((info.address.clone(), info.verb, because.clone())),
                None if before == Some(Stage::Pending) => account.not_begun += 1,
                None => account.left_midway.push(info.address.clone()),
            }),
            Event::Noted { .. } => {}
            Event::Stopping => self.stopping = true,
            Event::Sweeping => self.enter(Activity::Sweeping, *time),
            Event::Swept { .. } => self.activity = Activity::Idle,
            Event::RunFinished { ending, took } => {
                self.ended = Some((*ending, *took));
                self.activity = Activity::Idle;
            }
        }
    }

    /// The operation called `number`.
    pub fn operation(&self, number: usize) -> Option<&Operation> {
        self.operations.get(number)
    }

    /// The operations that stand at one of `stages`.
    pub fn at(&self, stages: &[Stage]) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| stages.contains(&self.progress.stage(operation.info.number)))
    }

    /// The operations that run or wait.
    pub fn under_way(&self) -> impl Iterator<Item = &Operation> {
        self.at(&[Stage::Running, Stage::Waiting])
    }

    fn enter(&mut self, activity: Activity, time: Timestamp) {
        self.activity = activity;
        self.since = Some(time);
    }

    fn begin_round(&mut self, operations: &[OperationInfo], time: Timestamp) {
        if self.ended.take().is_some() {
            (self.account, self.began) = (Account::default(), None);
        }
        self.enter(Activity::Working, time);
        self.began.get_or_insert(time);
        self.account.total += operations.len();
        let fresh = |info: &OperationInfo| Operation {
            info: info.clone(),
            started: None,
            why: None,
            retries: 0,
            retrying_since: None,
        };
        self.operations = operations.iter().map(fresh).collect();
    }

    fn change(&mut self, number: usize, with: impl FnOnce(&mut Operation)) {
        if let Some(operation) = self.operations.get_mut(number) {
            with(operation);
        }
    }

    fn account_for(&mut self, number: usize, with: impl FnOnce(&mut Account, &OperationInfo)) {
        if let Some(operation) = self.operations.get(number) {
            with(&mut self.account, &operation.info);
        }
    }
}

/// The operation that `event` is about, if it is about one.
fn number_of(event: &Event) -> Option<usize> {
    match event {
        Event::Started { number }
        | Event::Waiting { number, .. }
        | Event::Retrying { number, .. }
        | Event::Finished { number, .. }
        | Event::Failed { number, .. }
        | Event::Skipped { number, .. } => Some(*number),
        _ => None,
    }
}
