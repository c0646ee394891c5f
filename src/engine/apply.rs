//! Carries out a plan, and decides nothing: holds the stack, runs the rounds, gives the stack back.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::events::{Ending, Event, Events};
use super::execute::{Tally, execute};
use super::failure::Failure;
use super::lock::Lock;
use super::operate::Operator;
use crate::aws::{Cloud, Kinds};
use crate::plan::{Change, Graph, Outputs, Plan, Problem, Purpose};

/// Carries out `plan`. With nothing to do, nothing is asked of the cloud.
///
/// # Errors
/// The stack is held by another run, operations failed, or the user stopped it.
pub async fn apply(plan: &Plan, cloud: &Cloud, events: &Events, stop: &CancellationToken) -> Result<(), Failure> {
    if plan.is_empty() {
        return Ok(());
    }
    let graphs = plan.rounds.iter().map(|round| graph(&round.changes)).collect::<Result<Vec<_>, _>>()?;
    let lock = take_lock(plan, cloud).await?;
    let began = Instant::now();
    let mut operator = operator(plan, cloud, events, stop);
    let mut total = Tally { ending: Ending::Done, failed: 0, total: 0 };
    for (round, graph) in plan.rounds.iter().zip(&graphs) {
        let tally = execute(round, graph, plan.purpose, &operator).await;
        total = Tally { ending: tally.ending, failed: total.failed + tally.failed, total: total.total + tally.total };
        if tally.ending != Ending::Done {
            break;
        }
        operator.look_first = true;
    }
    lock.release().await;
    events.say(Event::RunFinished { ending: total.ending, took: began.elapsed() });
    verdict(total)
}

fn verdict(total: Tally) -> Result<(), Failure> {
    match total.ending {
        Ending::Done => Ok(()),
        Ending::Failed => Err(Failure::Operations { failed: total.failed, total: total.total }),
        Ending::Stopped => Err(Failure::Stopped),
    }
}

fn graph(changes: &[Change]) -> Result<Graph, Failure> {
    Graph::of(changes, &Kinds).map_err(|cycle| {
        let problem = |address| Problem { address, message: "it waits for itself: a defect in eksup".to_owned() };
        Failure::Problems(cycle.into_iter().map(problem).collect())
    })
}

async fn take_lock(plan: &Plan, cloud: &Cloud) -> Result<Lock, Failure> {
    let command = match plan.purpose {
        Purpose::Apply => "apply",
        Purpose::Destroy => "destroy",
    };
    Ok(Lock::take(cloud, &plan.stack, &plan.id, command).await?)
}

fn operator(plan: &Plan, cloud: &Cloud, events: &Events, stop: &CancellationToken) -> Operator {
    let standing: Outputs = plan
        .rounds
        .iter()
        .take(1)
        .flat_map(|round| &round.changes)
        .filter(|change| change.action.leaves_it_standing())
        .filter_map(|change| Some((change.address.clone(), change.before.as_ref()?.outputs.clone())))
        .collect();
    Operator {
        cloud: cloud.clone(),
        stack: plan.stack.clone(),
        plan: plan.id.clone(),
        look_first: false,
        outputs: Arc::new(Mutex::new(standing)),
        events: events.clone(),
        stop: stop.clone(),
    }
}
