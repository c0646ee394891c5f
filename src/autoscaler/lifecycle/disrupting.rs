//! Takes nodes away: decides, and carries commands out side by side.
//!
//! A command marks its nodes, has their replacements made, waits until these have started, tells pods where
//! to go, and deletes the old claims; the termination of claims does the rest. When a replacement fails or the
//! world has changed meanwhile, the marks are taken back and the nodes serve on. What is under way is written on
//! the objects: a process that starts takes back whatever marks it finds, and decides anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::carrying_out::{Order, Together, carry_out, seat, take_back};
use super::plan_claims::plan_claims;
use super::reasons::tell_reasons;
use super::reserved::LeftOver;
use super::survey::{DISRUPTION_REASON, Survey};
use crate::autoscaler::disruption::{Allowed, Decision, FleetNode, Memory, Reason, Settings, Stay, decide, is_empty};
use crate::autoscaler::interruption::INTERRUPTED;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::scheduling::{Budget, Problem, Settings as Solving};
use crate::autoscaler::state::live::{Kind, LiveClaim};
use crate::autoscaler::termination::view::DISRUPTED;

/// Changes that come within this time are looked at together.
const TOGETHER: Duration = Duration::from_millis(300);
/// After so long the fleet is looked at again: schedules of budgets, ages of nodes.
const AGAIN: Duration = Duration::from_secs(10);
/// A search that takes longer than this is ended with the best so far.
const MOST_TIME: Duration = Duration::from_millis(900);
/// Nodes that become quiet within this time are waited for, so that the whole fleet is looked at together.
const SOON: SignedDuration = SignedDuration::from_secs(12);
/// So long after the last pod came or went: a scale-in has come to its end then.
const CALM: SignedDuration = SignedDuration::from_secs(4);
/// But no longer than this.
const MOST_PATIENCE: SignedDuration = SignedDuration::from_secs(25);

/// Nodes that are not quiet are reckoned with as if they were, but no longer than twice the time that they have to be and
/// this: where something always comes and goes, what may be done is done.
const LOOKING_AHEAD: SignedDuration = SignedDuration::from_secs(30);
/// While the claims of a command are being made, the fleet is looked at again after so long.
const SETTLED: Duration = Duration::from_millis(500);

/// Nodes that commands are about.
pub(super) type Held = Arc<Mutex<BTreeSet<Arc<str>>>>;

/// Decides and carries out.
pub async fn run(context: Context, stop: CancellationToken) {
    const LOOKED_AT: &[Kind] = &[Kind::Pod, Kind::Node, Kind::Claim, Kind::Pool, Kind::Class, Kind::Budget];
    let mut changes = context.live.changes(LOOKED_AT);
    let mut controller = Controller::default();
    let mut wake = AGAIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = changes.next() => {}
            () = tokio::time::sleep(wake) => {}
            Some(_) = controller.commands.join_next() => {}
        }
        tokio::time::sleep(TOGETHER).await;
        if !context.live.lock().all_synced() {
            continue;
        }
        if !controller.recovered {
            controller.recovered = controller.recover(&context).await;
        }
        wake = controller.step(&context, &stop).await;
    }
    // Commands end by themselves: their marks are found by whoever comes next.
    controller.commands.shutdown().await;
}

#[derive(Default)]
struct Controller {
    memory: Memory,
    commands: JoinSet<()>,
    held: Held,
    /// Shared with the commands that are not in the plan yet as a whole.
    unsettled: Arc<()>,
    recovered: bool,
    /// Since when nodes are waited for that are about to become quiet.
    patient_since: Option<Timestamp>,
    /// Since when there have been nodes that are not quiet.
    unquiet_since: Option<Timestamp>,
    reasons: BTreeMap<Arc<str>, super::reasons::Told>,
}

/// What came of one look.
struct Looked {
    survey: Survey,
    decision: Decision,
    /// What budgets allowed before the decision.
    allowed: Allowed,
    orders: Vec<Result<Order, String>>,
    memory: Memory,
    took: Duration,
}

impl Controller {
    /// Takes back marks that a process before this one has left: the node is marked before its claim is, so either may
    /// stand alone. The mark of a node whose instance EC2 takes back stays. Whether all that went well.
    async fn recover(&self, context: &Context) -> bool {
        let marked: Vec<Arc<str>> = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let live = context.live.lock();
            let is_marked = |claim: &LiveClaim| {
                let node = live.node_of_claim(claim);
                let tainted = node.is_some_and(|node| node.has_taint(DISRUPTED));
                let marked = claim.is(DISRUPTION_REASON) || (tainted && claim.annotation(INTERRUPTED).is_none());
                marked && node.is_none_or(|node| !held.contains(&node.name))
            };
            let marked = live.claims().filter(|claim| claim.deletion().is_none() && is_marked(claim));
            marked.map(|claim| Arc::clone(&claim.name)).collect()
        };
        let mut well = true;
        for claim in marked {
            tracing::info!(claim = &*claim, "a disruption that was under way is taken back");
            well &= take_back(context, &claim).await;
        }
        well
    }

    /// One look at the fleet; after how long to look again.
    async fn step(&mut self, context: &Context, stop: &CancellationToken) -> Duration {
        let stock = context.market.stock(context).await;
        let now = context.now();
        let (survey, left) = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut live = context.live.lock();
            let plan = context.plan.lock();
            let left = LeftOver::new(&live, &context.reserved, &context.cloud, &stock);
            (Survey::new(&mut live, &plan, &stock, &held, now), left)
        };
        count_pools(context, &survey);
        if survey.nodes.is_empty() {
            return AGAIN;
        }
        // What is empty goes meanwhile. Nothing cheaper is looked for while the plan does not hold what was decided last.
        let wait = self.worth_waiting(&survey, now).or_else(|| (!self.is_settled()).then_some(SETTLED));
        if let Some(wait) = wait
            && !survey.nodes.iter().any(|node| is_empty(node) && !node.leaving)
        {
            return wait;
        }
        let settings = Settings {
            spot_to_spot: context.settings.gates.spot_to_spot_consolidation,
            searching: wait.is_none(),
            looking_ahead: self.looks_ahead(&survey, now),
            ..Settings::default()
        };
        let memory = std::mem::take(&mut self.memory);
        let looked = tokio::task::spawn_blocking(move || look(survey, &left, settings, memory, now)).await;
        let Ok(Looked { survey, decision, allowed, orders, memory, took }) = looked else {
            tracing::error!("a decision about disruption was broken off: it is made again");
            return AGAIN;
        };
        self.memory = memory;
        count(context, &decision, took);
        count_allowed(context, &survey, &allowed);
        let together = Together::new();
        for order in orders {
            match order {
                Ok(order) => self.start(context, order, together.clone(), stop),
                Err(reason) => {
                    tracing::warn!(reason, "a disruption is not carried out: its replacements cannot be bought")
                }
            }
        }
        drop(together);
        if let Some(wait) = wait {
            return wait;
        }
        tell_reasons(context, &survey, &decision, &mut self.reasons, now).await;
        next_look(&decision, now)
    }

    /// How long to wait for nodes that become quiet in a moment, or for pods to have come and gone, if that is worth it.
    fn worth_waiting(&mut self, survey: &Survey, now: Timestamp) -> Option<Duration> {
        let staying = || survey.nodes.iter().filter(|node| !node.leaving);
        let quiet_from = |node: &FleetNode| node.quiet_from(survey.consolidate_after(node.pool));
        let quiet: Vec<Timestamp> = staying().filter_map(quiet_from).collect();
        let soon = quiet.iter().copied().filter(|from| from.duration_since(now) <= SOON);
        let calm = staying().filter_map(|node| node.last_pod_event?.checked_add(CALM).ok());
        let until = soon.chain(calm).filter(|time| now < *time).max();
        let (Some(until), true) = (until, quiet.iter().any(|from| *from <= now)) else {
            self.patient_since = None;
            return None;
        };
        let since = *self.patient_since.get_or_insert(now);
        if now.duration_since(since) > MOST_PATIENCE {
            return None;
        }
        Some(until.duration_since(now).unsigned_abs().max(Duration::from_millis(50)))
    }

    /// Whether nodes that are not quiet are reckoned with as if they were.
    fn looks_ahead(&mut self, survey: &Survey, now: Timestamp) -> bool {
        let after = |node: &FleetNode| survey.consolidate_after(node.pool);
        let unquiet = |node: &&FleetNode| node.quiet_from(after(node)).is_some_and(|from| now < from);
        let longest = survey.nodes.iter().filter(unquiet).filter_map(after).max();
        let Some(longest) = longest else {
            self.unquiet_since = None;
            return true;
        };
        let since = *self.unquiet_since.get_or_insert(now);
        let in_time = now.duration_since(since) <= longest.saturating_mul(2).saturating_add(LOOKING_AHEAD);
        if !in_time {
            self.unquiet_since = None;
        }
        in_time
    }

    /// Whether the plan holds all that commands will bring.
    fn is_settled(&self) -> bool {
        Arc::strong_count(&self.unsettled) == 1
    }

    fn start(&mut self, context: &Context, order: Order, together: Together, stop: &CancellationToken) {
        let nodes: Vec<Arc<str>> = order.nodes.iter().map(|node| Arc::clone(&node.name)).collect();
        self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(nodes.iter().cloned());
        let (context, held, stop) = (context.clone(), Arc::clone(&self.held), stop.clone());
        let unsettled = Arc::clone(&self.unsettled);
        seat(&context, &order);
        self.commands.spawn(async move {
            carry_out(&context, order, together, unsettled, &stop).await;
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.iter().for_each(|node| {
                held.remove(node);
            });
        });
    }
}

/// One decision, with what its commands ask for.
fn look(mut survey: Survey, left: &LeftOver, settings: Settings, mut memory: Memory, now: Timestamp) -> Looked {
    let started = Instant::now();
    left.lay_out(&mut survey);
    let fleet = survey.fleet(settings);
    let allowed = Allowed::new(&fleet, now);
    let mut stop = || started.elapsed() > MOST_TIME;
    let decision = decide(&fleet, now, &mut memory, &mut Budget { iterations: u64::MAX, stop: Some(&mut stop) });
    let problem = Problem {
        cluster: &survey.snapshot.cluster,
        pending: fleet.nodes.iter().flat_map(|node| node.pods.iter().map(|pod| pod.pod)).collect(),
        without: vec![false; survey.snapshot.cluster.nodes.len()],
        settings: Solving::default(),
    };
    let orders = decision
        .commands
        .iter()
        .map(|command| {
            let reason = metric_reason(command.reason);
            let (claims, refused) = plan_claims(&problem, &command.replacements, &survey, reason);
            match refused.first() {
                Some(refused) => Err(refused.reason.clone()),
                None => Ok(Order::new(&survey, command, claims)),
            }
        })
        .collect();
    let took = started.elapsed();
    drop(fleet);
    Looked { survey, decision, allowed, orders, memory, took }
}

/// The reason as metrics name it.
pub(super) fn metric_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Empty => "empty",
        Reason::Drifted => "drifted",
        Reason::Expired => "expired",
        Reason::Underutilized => "underutilized",
    }
}

/// What the nodes of pools cost, and how many of them are going or not well.
fn count_pools(context: &Context, survey: &Survey) {
    let names = &survey.snapshot.cluster.names;
    for (at, pool) in (0_u32..).zip(&survey.snapshot.cluster.pools) {
        let nodes = || survey.nodes.iter().filter(|node| node.pool == at);
        let dollars: f64 = nodes().map(|node| node.price.dollars()).sum();
        let gone = nodes().filter(|node| node.initialized.is_some() && (node.leaving || !node.ready)).count();
        context.metrics.pool_cost.set([names.text(pool.name)], dollars);
        context.metrics.consuming_budgets.set([names.text(pool.name)], gone as f64);
    }
}

fn count_allowed(context: &Context, survey: &Survey, allowed: &Allowed) {
    let names = &survey.snapshot.cluster.names;
    for (at, pool) in (0_u32..).zip(&survey.snapshot.cluster.pools) {
        for reason in Reason::ALL {
            let left = f64::from(allowed.left(at, reason));
            context.metrics.allowed_disruptions.set([names.text(pool.name), metric_reason(reason)], left);
        }
    }
}

fn count(context: &Context, decision: &Decision, took: Duration) {
    for command in &decision.commands {
        let kind = if command.replacements.is_empty() { "delete" } else { "replace" };
        context.metrics.decisions.count([kind, metric_reason(command.reason), ""]);
        tracing::info!(
            reason = command.reason.text(),
            nodes = command.remove.len(),
            replacements = command.replacements.len(),
            pods = command.moves.len(),
            dollars_per_hour = command.saving.dollars(),
            "{}",
            command.explanation
        );
    }
    if decision.searched {
        context.metrics.decision_evaluation.took(["underutilized", ""], took.as_secs_f64());
        context.metrics.consolidation_timeouts.add([""], u64::from(took >= MOST_TIME));
    }
}

/// When something becomes due by itself.
fn next_look(decision: &Decision, now: Timestamp) -> Duration {
    let times = decision.stays.iter().filter_map(|(_, stay)| match stay {
        Stay::Unquiet { until } | Stay::Expected { until } | Stay::PodProtected { until: Some(until), .. } => {
            Some(*until)
        }
        _ => None,
    });
    let next = times.min().map(|until| until.duration_since(now).unsigned_abs() + Duration::from_millis(20));
    next.map_or(AGAIN, |next| next.clamp(Duration::from_millis(50), AGAIN))
}
