//! Carries out one round: every operation the moment that what it needs is done.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;

use super::events::{Ending, Event, OperationInfo, Verb};
use super::operate::{Broken, Operator};
use crate::plan::{Change, Graph, Operation, OperationKind, Purpose, Round};

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How it ended.
    pub ending: Ending,
    /// How many operations failed.
    pub failed: usize,
    /// Of how many.
    pub total: usize,
}

/// Carries out `round` in the order of `graph`.
pub async fn execute(round: &Round, graph: &Graph, purpose: Purpose, operator: &Operator) -> Tally {
    operator.events.say(Event::RunStarted {
        purpose,
        stack: operator.stack.clone(),
        round: round.title.clone(),
        operations: infos(round, graph),
    });
    let mut run = Run::new(round, graph, operator);
    loop {
        run.start_what_is_ready();
        let Some(joined) = run.running.join_next().await else { break };
        match joined {
            Ok((number, result)) => run.end(number, result),
            // A task that panicked is a bug; its operation stays undone and what needs it is skipped.
            Err(error) => run.lost(&error),
        }
    }
    run.skip_what_is_left();
    run.tally()
}

fn infos(round: &Round, graph: &Graph) -> Vec<OperationInfo> {
    let info = |(number, operation): (usize, &Operation)| {
        let change = &round.changes[operation.change];
        OperationInfo {
            number,
            address: change.address.clone(),
            kind: change.kind.clone(),
            verb: verb(change, operation.kind),
            needs: operation.needs.iter().copied().collect(),
        }
    };
    graph.operations.iter().enumerate().map(info).collect()
}

fn verb(change: &Change, half: OperationKind) -> Verb {
    match half {
        OperationKind::Make => Verb::making(change.action),
        OperationKind::Remove | OperationKind::GoesAlong => Verb::Delete,
    }
}

struct Run<'a> {
    round: &'a Round,
    graph: &'a Graph,
    operator: &'a Operator,
    waiting: BTreeSet<usize>,
    done: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    stopped: bool,
    tasks: BTreeMap<tokio::task::Id, usize>,
    running: JoinSet<(usize, Result<Option<String>, Broken>)>,
}

impl<'a> Run<'a> {
    fn new(round: &'a Round, graph: &'a Graph, operator: &'a Operator) -> Self {
        Self {
            round,
            graph,
            operator,
            waiting: (0..graph.operations.len()).collect(),
            done: BTreeSet::new(),
            failed: BTreeSet::new(),
            stopped: false,
            tasks: BTreeMap::new(),
            running: JoinSet::new(),
        }
    }

    fn start_what_is_ready(&mut self) {
        if self.operator.stop.is_cancelled() {
            return;
        }
        let ready: Vec<usize> = self
            .waiting
            .iter()
            .copied()
            .filter(|number| self.graph.operations[*number].needs.is_subset(&self.done))
            .collect();
        for number in ready {
            self.waiting.remove(&number);
            self.start(number);
        }
    }

    fn start(&mut self, number: usize) {
        let operation = &self.graph.operations[number];
        let change = self.round.changes[operation.change].clone();
        let (operator, half) = (self.operator.clone(), operation.kind);
        self.operator.events.say(Event::Started { number });
        let handle = self.running.spawn(async move { (number, operator.run(number, &change, half).await) });
        self.tasks.insert(handle.id(), number);
    }

    fn end(&mut self, number: usize, result: Result<Option<String>, Broken>) {
        match result {
            Ok(identity) => {
                self.done.insert(number);
                self.operator.events.say(Event::Finished { number, identity });
            }
            Err(Broken::Stopped) => {
                self.stopped = true;
                self.operator.events.say(Event::Skipped { number, because: None });
            }
            Err(Broken::Failed { message, help }) => {
                self.failed.insert(number);
                self.operator.events.say(Event::Failed { number, why: message, help });
            }
        }
    }

    fn lost(&mut self, error: &tokio::task::JoinError) {
        if let Some(number) = self.tasks.get(&error.id()).copied() {
            self.end(number, Err(Broken::Failed { message: format!("a defect in eksup: {error}"), help: None }));
        }
    }

    /// Says of everything that was not started which failure it waits behind.
    fn skip_what_is_left(&mut self) {
        let mut behind: BTreeMap<usize, usize> = self.failed.iter().map(|number| (*number, *number)).collect();
        let mut left: Vec<usize> = self.waiting.iter().copied().collect();
        self.stopped |= !left.is_empty() && self.failed.is_empty();
        loop {
            let before = left.len();
            left.retain(|number| {
                let cause = self.graph.operations[*number].needs.iter().find_map(|need| behind.get(need).copied());
                if let Some(cause) = cause {
                    behind.insert(*number, cause);
                    self.say_skipped(*number, Some(cause));
                }
                cause.is_none()
            });
            if left.len() == before {
                break;
            }
        }
        left.into_iter().for_each(|number| self.say_skipped(number, None));
    }

    fn say_skipped(&self, number: usize, cause: Option<usize>) {
        let because = cause.map(|cause| self.round.changes[self.graph.operations[cause].change].address.clone());
        self.operator.events.say(Event::Skipped { number, because });
    }

    fn tally(&self) -> Tally {
        let ending = match (self.failed.is_empty(), self.stopped) {
            (false, _) => Ending::Failed,
            (true, true) => Ending::Stopped,
            (true, false) => Ending::Done,
        };
        Tally { ending, failed: self.failed.len(), total: self.graph.operations.len() }
    }
}
