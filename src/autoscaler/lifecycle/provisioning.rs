//! Pods without a place become a plan, and the plan becomes claims.
//!
//! Changes are looked at as they come; [`window`](super::window) says when to decide. A decision is made on a thread
//! of its own from a snapshot, with a search that may take longer the more there is to decide. Pods that have a
//! place from an earlier decision are no part of it, and claims that are no nodes yet are: nothing is bought twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio_util::sync::CancellationToken;

use super::claims::{NotMade, create_claims};
use super::demand::{Demand, Hopeless, Question, demand};
use super::making_room::{self, Guest, Instead, guests, instead};
use super::market::Stock;
use super::plan_claims::{Lookup, PlannedClaim, Refused, plan_claims};
use super::reserved::LeftOver;
use super::window::{Patience, Step, Window};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about_pod};
use crate::autoscaler::scheduling::{Budget, Settings, Solution, solve};
use crate::autoscaler::state::live::{Kind, Live, Uid};
use crate::autoscaler::steering::{self, Plan, Target};
use crate::autoscaler::termination::writes::{Asked, evict};

/// Changes that come within this time are looked at together.
const TOGETHER: Duration = Duration::from_millis(8);
/// After so long pods that nothing could be done for are looked at again, and what can be bought is refreshed.
const AGAIN: Duration = Duration::from_secs(10);
/// What the API server does not take now is tried again after this.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// The same about a pod is not said again within this time.
const QUIET: Duration = Duration::from_secs(300);
/// More than so many pods of one decision are not told one by one why they wait.
const MOST_TOLD: usize = 200;
/// As the metrics name this controller.
const CONTROLLER: &str = "provisioner";
/// What a new node is planned to be left free of where pods cannot be told where to go.
const ROOM_TO_SPARE: f64 = 0.06;

/// Buys nodes for pods.
pub async fn run(context: Context, stop: CancellationToken) -> anyhow::Result<()> {
    const LOOKED_AT: &[Kind] = &[
        Kind::Pod,
        Kind::Node,
        Kind::Claim,
        Kind::Pool,
        Kind::Class,
        Kind::Daemon,
        Kind::Budget,
        Kind::VolumeClaim,
        Kind::Replicas,
    ];
    let mut changes = context.live.changes(LOOKED_AT);
    let mut offers = context.live.changes(&[Kind::Pool, Kind::Class, Kind::Daemon, Kind::Volume, Kind::VolumeClaim]);
    let mut planned = context.plan.changes();
    let span = |setting: Option<Duration>| setting.and_then(|time| SignedDuration::try_from(time).ok());
    let patience = Patience::within(span(context.settings.batch_idle), span(context.settings.batch_max));
    let mut window = Window::default();
    let mut hopeless = Hopeless::default();
    let mut made_room = making_room::Memory::default();
    let mut recalled = false;
    let mut wake = AGAIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = changes.next() => {}
            () = offers.next() => hopeless = Hopeless::default(),
            _ = planned.changed() => {}
            () = tokio::time::sleep(wake) => {
                if wake == AGAIN {
                    hopeless = Hopeless::default();
                    context.market.stock(&context).await;
                }
            }
        }
        tokio::time::sleep(TOGETHER).await;
        if !context.live.lock().all_synced() {
            continue;
        }
        if !recalled {
            recall(&context);
            context.market.stock(&context).await;
            recalled = true;
        }
        let demand = look(&context, &mut hopeless);
        context.metrics.queue_depth.set([CONTROLLER], demand.waiting as f64);
        wake = match window.look(context.now(), demand, patience) {
            Step::Rest => AGAIN,
            Step::Wait(until) => until.duration_since(context.now()).try_into().unwrap_or(Duration::ZERO).min(AGAIN),
            Step::Act => {
                provision(&context, &mut hopeless, &mut made_room).await;
                window.close();
                AGAIN
            }
        };
        let now = context.now();
        if let Some(settles) = context.plan.lock().settles_at(now) {
            wake = wake.min(settles.duration_since(now).unsigned_abs() + TOGETHER);
        }
    }
}

/// Begins with no plan, but for the places that a process before this one has given.
fn recall(context: &Context) {
    let now = context.now();
    let live = context.live.lock();
    let mut plan = context.plan.lock();
    *plan = Plan::default();
    let pods: BTreeMap<String, Uid> = live
        .pods()
        .filter(|pod| pod.node.is_none() && !pod.leaving())
        .map(|pod| (super::claims::short(pod.uid), pod.uid))
        .collect();
    for claim in live.claims().filter(|claim| claim.deletion().is_none()) {
        let planned = claim.annotation(super::claims::PLANNED_FOR).unwrap_or_default().split(',');
        for pod in planned.filter_map(|short| pods.get(short)) {
            plan.place(&live, *pod, Target::Claim(Arc::clone(&claim.name)), now);
        }
    }
}

fn look(context: &Context, hopeless: &mut Hopeless) -> Demand {
    let now = context.now();
    let live = context.live.lock();
    hopeless.pods.retain(|uid| live.pod(*uid).is_some());
    let mut plan = context.plan.lock();
    plan.inherit(&live, now);
    demand(&live, &plan, hopeless, now)
}

/// What a decision is made of.
struct Decision {
    solution: Solution,
    claims: Vec<PlannedClaim>,
    refused: Vec<Refused>,
    question: Question,
    took: Duration,
    /// Pods that have to leave where they are, for others to get their room.
    moving: Vec<u32>,
}

/// One decision, and what comes of it.
async fn provision(context: &Context, hopeless: &mut Hopeless, made_room: &mut making_room::Memory) {
    let stock = context.market.stock(context).await;
    let (question, left) = {
        let now = context.now();
        let mut live = context.live.lock();
        let plan = context.plan.lock();
        made_room.keep(&live, now);
        let left = LeftOver::new(&live, &context.reserved, &context.cloud, &stock);
        (Question::new(&mut live, &plan, &stock, now), left)
    };
    tell_unreadable(context, &question, hopeless);
    context.metrics.ignored_pods.set([], question.snapshot.cluster.unreadable.len() as f64);
    if question.pending.is_empty() {
        return;
    }
    let settings = settings(context);
    let (own, memory) = (context.clone(), made_room.clone());
    let work = tokio::task::spawn_blocking(move || decide(&own, question, &left, &stock, &memory, settings));
    let Ok(decision) = attended(context, work).await else {
        tracing::error!("a decision was broken off: it is made again");
        return;
    };
    let Decision { solution, claims, refused, question, took, moving } = decision;
    context.metrics.scheduling.took([CONTROLLER], took.as_secs_f64());
    count_decided(context, &question);
    tracing::info!(
        pods = question.pending.len(),
        to_come = question.coming.len(),
        nodes = solution.nodes.len(),
        on_existing = solution.existing.iter().map(|(_, pods)| pods.len()).sum::<usize>(),
        unplaced = solution.unplaced.iter().map(|group| group.pods.len()).sum::<usize>(),
        moving = moving.len(),
        dollars_per_hour = solution.cost.dollars(),
        over_bound = solution.over_bound(),
        milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "decided"
    );
    seat_on_existing(context, &question, &solution);
    let stay = make_room(context, &question, &solution, &moving, made_room).await;
    for group in &solution.unplaced {
        let reason = std::iter::once(&group.reason).chain(&question.left_out).map(String::as_str);
        tell(context, &question, &group.pods, &reason.collect::<Vec<_>>().join("; "), hopeless);
    }
    for Refused { node, reason } in refused {
        tell(context, &question, &solution.nodes[node].pods, &reason, hopeless);
    }
    let claims = still_wanted(context, &question, claims, &stay);
    let pods: Vec<(Vec<Uid>, Vec<Arc<str>>)> =
        claims.iter().map(|claim| (claim.pods.clone(), claim.coming.clone())).collect();
    let mut refused = false;
    for (made, (pods, coming)) in create_claims(context, claims).await.into_iter().zip(pods) {
        if let Err(error) = made {
            tracing::warn!(error = &error as &dyn std::error::Error, "a claim was not made");
            if matches!(error, NotMade::Refused(_) | NotMade::Reservation(_)) {
                refused = true;
            } else {
                tell_pods(context, &pods, &error.to_string());
                hopeless.pods.extend(pods);
                hopeless.workloads.extend(coming);
            }
        }
    }
    if refused {
        tokio::time::sleep(AFTER_REFUSAL).await;
    }
    context.metrics.unschedulable_pods.set([CONTROLLER], hopeless.pods.len() as f64);
}

/// Whether a pod that had no node when the question was put has been bound, or has gone, since then.
fn is_settled(live: &Live, question: &Question, pod: u32) -> bool {
    let waited = question.snapshot.cluster.pods[pod as usize].node.is_none();
    let waits = |uid| live.pod(uid).is_some_and(|pod| pod.node.is_none() && !pod.leaving());
    waited && !question.uid(pod).is_some_and(waits)
}

/// Claims without the pods that have found a node while it was decided about them, and without those that `stay` where
/// they are; one without any is not made.
fn still_wanted(
    context: &Context,
    question: &Question,
    mut claims: Vec<PlannedClaim>,
    stay: &BTreeSet<Uid>,
) -> Vec<PlannedClaim> {
    let live = context.live.lock();
    let settled: BTreeSet<Uid> = question
        .pending
        .iter()
        .filter(|pod| is_settled(&live, question, **pod))
        .filter_map(|pod| question.uid(*pod))
        .filter(|uid| !question.coming.contains_key(uid))
        .chain(stay.iter().copied())
        .collect();
    drop(live);
    for claim in &mut claims {
        claim.coming = claim.pods.iter().filter_map(|pod| question.coming.get(pod).cloned()).collect();
        claim.pods.retain(|pod| !settled.contains(pod) && !question.coming.contains_key(pod));
    }
    claims.retain(|claim| !claim.pods.is_empty() || !claim.coming.is_empty());
    claims
}

/// How solutions are chosen.
fn settings(context: &Context) -> Settings {
    let headroom = if context.version.steers() { 0.0 } else { ROOM_TO_SPARE };
    let fewer_values = context.settings.min_values_best_effort;
    Settings { preferences: context.settings.preferences, headroom, fewer_values, ..Settings::default() }
}

/// Counts how long pods have waited for the decision about them, and how many cannot be read.
fn count_decided(context: &Context, question: &Question) {
    let now = context.now();
    let live = context.live.lock();
    for pod in question.pending.iter().filter_map(|pod| live.pod(question.uid(*pod)?)) {
        context.metrics.pods_scheduling_decision.took([], now.duration_since(pod.created).as_secs_f64());
    }
    context.metrics.ignored_pods.set([], question.snapshot.cluster.unreadable.len() as f64);
}

/// Waits for a decision, and lets it be seen for how long.
async fn attended<T>(context: &Context, mut work: tokio::task::JoinHandle<T>) -> Result<T, tokio::task::JoinError> {
    let began = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_millis(250), &mut work).await {
            Ok(done) => {
                context.metrics.unfinished_work.set([CONTROLLER], 0.0);
                return done;
            }
            Err(_) => context.metrics.unfinished_work.set([CONTROLLER], began.elapsed().as_secs_f64()),
        }
    }
}

fn decide(
    context: &Context,
    mut question: Question,
    left: &LeftOver,
    stock: &Stock,
    memory: &making_room::Memory,
    settings: Settings,
) -> Decision {
    let started = Instant::now();
    left.furnish(&mut question, settings);
    let problem = question.problem(settings);
    let limit = time_for(question.pending.len());
    let mut stop = || started.elapsed() >= limit;
    let solution = solve(&problem, Budget { iterations: u64::MAX, stop: Some(&mut stop) });
    let guests = who_may_move(context, &question, stock, memory, &solution);
    let better = instead(&question, &guests, settings, &solution);
    let Instead { solution, moving } = better.unwrap_or(Instead { solution, moving: Vec::new() });
    let (claims, refused) = plan_claims(&problem, &solution.nodes, &question, "provisioned");
    Decision { solution, claims, refused, took: started.elapsed(), question, moving }
}

/// The pods that may be asked to move, where nodes would be bought or pods get none. Only where kube-scheduler can be
/// told who a room is kept for.
fn who_may_move(
    context: &Context,
    question: &Question,
    stock: &Stock,
    memory: &making_room::Memory,
    solution: &Solution,
) -> Vec<Guest> {
    if !context.version.steers() || (solution.nodes.is_empty() && solution.unplaced.is_empty()) {
        return Vec::new();
    }
    let mut live = context.live.lock();
    let plan = context.plan.lock();
    guests(&mut live, &plan, stock, question, memory, context.now())
}

/// How long a search may take: a few pods are not worth waiting for, many are.
fn time_for(pods: usize) -> Duration {
    let milliseconds = 40 + u64::try_from(pods).unwrap_or(u64::MAX) / 3;
    Duration::from_millis(milliseconds.min(900))
}

/// Pods that go onto nodes that are there, or on their way, have their place there.
fn seat_on_existing(context: &Context, question: &Question, solution: &Solution) {
    if solution.existing.is_empty() {
        return;
    }
    let now = context.now();
    let live = context.live.lock();
    let mut plan = context.plan.lock();
    for (node, pods) in &solution.existing {
        let member = &question.snapshot.members[*node as usize];
        let target = match (&member.claim, &member.node) {
            (Some(claim), _) if live.claim(claim).is_some() => Target::Claim(Arc::clone(claim)),
            (_, Some(node)) => Target::Node(Arc::clone(node)),
            _ => continue,
        };
        for pod in pods {
            let uid = question.snapshot.pods[*pod as usize];
            match question.coming.get(&uid) {
                Some(workload) => plan.expect(&live, workload, target.clone(), now),
                None if is_settled(&live, question, *pod) => {}
                None => plan.place(&live, uid, target.clone(), now),
            }
        }
    }
    drop(plan);
    drop(live);
    context.plan.notify();
}

/// Asks pods to go that have their place elsewhere now; those that do not. Who waits for the room of one of these is
/// planned anew.
async fn make_room(
    context: &Context,
    question: &Question,
    solution: &Solution,
    moving: &[u32],
    memory: &mut making_room::Memory,
) -> BTreeSet<Uid> {
    let mut stay = BTreeSet::new();
    if moving.is_empty() {
        return stay;
    }
    let helped = question.pending.iter().filter_map(|pod| question.uid(*pod));
    memory.asked(moving.len(), helped, context.now());
    // The room is kept for the others from before it is there.
    let cluster = &question.snapshot.cluster;
    let nodes = moving.iter().filter_map(|pod| cluster.nodes.get(cluster.pods[*pod as usize].node? as usize));
    let nodes: BTreeSet<&str> = nodes.map(|node| &*node.name).collect();
    steering::prepare(context, &nodes.into_iter().collect::<Vec<_>>()).await;
    // All at once: kube-scheduler tries the pods that wait whenever one has gone, and takes back what they were told when
    // the room is not enough yet.
    let asked = join_all(moving.iter().map(|pod| ask_to_go(context, question, *pod))).await;
    for (pod, asked) in moving.iter().zip(asked) {
        let Some((uid, name, about, asked)) = asked else { continue };
        context.metrics.evictions.count([asked.code()]);
        match asked {
            Asked::Going => {
                let note = "the pod was evicted to make room for one that would need a node of its own";
                context.events.publish(about, Tone::Normal, "Evicted", note);
                tracing::info!(pod = &*name, "a pod that had hardly begun makes room for another one");
            }
            Asked::Absent => {}
            Asked::Refused(why) => {
                tracing::info!(pod = &*name, why, "a pod does not make room for another one");
                memory.refused(uid);
                stay.insert(uid);
                let node = question.snapshot.cluster.pods[*pod as usize].node;
                let heirs = solution.existing.iter().filter(|(at, _)| Some(*at) == node).flat_map(|(_, pods)| pods);
                let mut plan = context.plan.lock();
                heirs.chain([pod]).filter_map(|pod| question.uid(*pod)).for_each(|uid| plan.forget(uid));
            }
        }
    }
    stay
}

/// Asks a pod to go: who that is, and what became of it; nothing if it is gone.
async fn ask_to_go(
    context: &Context,
    question: &Question,
    pod: u32,
) -> Option<(Uid, Arc<str>, ObjectReference, Asked)> {
    let (uid, name, about) = {
        let live = context.live.lock();
        let pod = live.pod(question.uid(pod)?)?;
        (pod.uid, Arc::clone(&pod.name), about_pod(pod))
    };
    let (namespace, own_name) = name.split_once('/').unwrap_or_default();
    let asked = evict(&context.client, namespace, own_name, &uid.to_string()).await;
    Some((uid, name, about, asked.unwrap_or_else(|error| Asked::Refused(error.to_string()))))
}

fn tell(context: &Context, question: &Question, pods: &[u32], reason: &str, hopeless: &mut Hopeless) {
    let uids: Vec<Uid> = pods.iter().filter_map(|pod| question.uid(*pod)).collect();
    tell_pods(context, &uids, reason);
    hopeless.workloads.extend(uids.iter().filter_map(|uid| question.coming.get(uid).cloned()));
    hopeless.pods.extend(uids.into_iter().filter(|uid| !question.coming.contains_key(uid)));
}

/// Says on pods why there is no node for them.
fn tell_pods(context: &Context, pods: &[Uid], reason: &str) {
    let live = context.live.lock();
    for pod in pods.iter().take(MOST_TOLD).filter_map(|pod| live.pod(*pod)) {
        context.events.publish_within(about_pod(pod), Tone::Warning, "FailedScheduling", reason, QUIET);
    }
}

/// Says on pods that cannot be read why; nothing can be done for them.
fn tell_unreadable(context: &Context, question: &Question, hopeless: &mut Hopeless) {
    let live = context.live.lock();
    for unreadable in &question.snapshot.cluster.unreadable {
        let Some(pod) = live.pod_named(&unreadable.pod).filter(|pod| pod.unschedulable) else { continue };
        if hopeless.pods.insert(pod.uid) && hopeless.pods.len() <= MOST_TOLD {
            let reason = &unreadable.reason;
            context.events.publish_within(about_pod(pod), Tone::Warning, "FailedScheduling", reason, QUIET);
        }
    }
}
