//! Nodes that have come for claims: registered, then initialised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::conditions::{INITIALIZED, LAUNCHED, REGISTERED};
use super::initialization::Waiting;
use super::launch::Launches;
use super::liveness::{Verdict, verdict};
use super::{initialization, registration, status};
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about};
use crate::autoscaler::runtime::writes::{self, Truth, is_conflict, is_missing};
use crate::autoscaler::state::live::{Kind, Live, LiveClaim, LiveNode, Observed};
use crate::autoscaler::steering::{self, Plan};

/// Changes that come within this time are looked at together.
const TOGETHER: Duration = Duration::from_millis(10);
/// After so long everything is looked at again.
const AGAIN: Duration = Duration::from_secs(10);
/// After so long it is looked again at nodes that wait for others, or for their pods to be made.
const SOON: Duration = Duration::from_millis(50);
/// For how long a node waits for others that were launched with it, so that they take pods at the same moment.
const GATHER: Duration = Duration::from_millis(1200);
/// For how long nodes wait for each other at most, when others keep coming.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Claims that were launched within this time were launched together.
const TOGETHER_LAUNCHED: SignedDuration = SignedDuration::from_secs(2);
/// For how long a node waits for pods that have yet to be made.
const HELD: SignedDuration = SignedDuration::from_secs(6);
/// Nodes that are opened together are given up for the moment after this: others wait behind them.
const OPENED_WITHIN: Duration = Duration::from_secs(15);
/// How often a node is written against changes of others.
const ATTEMPTS: u32 = 4;

/// Registers and initialises nodes, and gives up claims that wait for too long.
pub async fn run(context: Context, stop: CancellationToken) -> anyhow::Result<()> {
    let mut changes = context.live.changes(&[Kind::Claim, Kind::Node]);
    let mut planned = context.plan.changes();
    let busy = Launches::default();
    let mut opening: Option<JoinHandle<()>> = None;
    let mut seen: BTreeMap<Arc<str>, Instant> = BTreeMap::new();
    let mut wake = AGAIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = changes.next() => {}
            _ = planned.changed() => {}
            () = tokio::time::sleep(wake) => {}
        }
        tokio::time::sleep(TOGETHER).await;
        let at_the_door = opening.as_ref().is_some_and(|opening| !opening.is_finished());
        let Found { come, ready, overdue, held } = look(&context, &busy, &mut seen, at_the_door);
        wake = if held { SOON } else { AGAIN };
        if !come.is_empty() {
            opening = Some(tokio::spawn(open(context.clone(), busy.clone(), come)));
        }
        for (claim, node, waiting) in ready {
            let (context, busy) = (context.clone(), busy.clone());
            tokio::spawn(async move {
                advance(&context, &claim, &node, waiting.as_ref()).await;
                busy.release(claim.metadata.name.as_deref().unwrap_or_default());
                context.live.notify(Kind::Claim);
            });
        }
        for (claim, reason, message) in overdue {
            tracing::warn!(claim = claim.metadata.name, reason, message, "a claim is given up");
            context.events.publish(about(&*claim), Tone::Warning, "FailedConsistencyCheck", &message);
            status::remove(&context, &claim, reason).await;
        }
    }
}

/// A claim, its node, and what that waits for.
type Step = (Arc<NodeClaim>, Arc<str>, Option<Waiting>);

/// Claims with something to do.
#[derive(Default)]
struct Found {
    /// Those whose node has come and takes no pods yet; they are kept from others.
    come: Vec<Step>,
    /// Those whose node can be taken a step further; they are kept from others.
    ready: Vec<Step>,
    /// Those that are given up.
    overdue: Vec<(Arc<NodeClaim>, &'static str, String)>,
    /// Whether some node waits for others, or for its pods to be made.
    held: bool,
}

/// What can be done. While nodes are being opened, those that come meanwhile wait for the next turn.
fn look(context: &Context, busy: &Launches, seen: &mut BTreeMap<Arc<str>, Instant>, opening: bool) -> Found {
    let now = context.now();
    let live = context.live.lock();
    let awaited: Vec<Timestamp> = live.claims().filter_map(|claim| awaited(&live, claim)).collect();
    seen.retain(|node, _| live.node(node).is_some());
    let plan = context.plan.lock();
    let steers = context.version.steers();
    let mut found = Found::default();
    let mut come = Vec::new();
    let mut gathering = Gathering::default();
    for claim in live.claims().filter(|claim| claim.deletion().is_none()) {
        let Some((node, waiting)) = next_step(&live, claim) else {
            if let Verdict::Overdue { reason, message } = verdict(&claim.object, now) {
                found.overdue.push((Arc::clone(&claim.object), reason, message));
            }
            continue;
        };
        if busy.holds(&claim.name) {
            continue;
        }
        if claim.is(REGISTERED) {
            found.ready.push((Arc::clone(&claim.object), node, waiting));
            continue;
        }
        let since = seen.entry(Arc::clone(&node)).or_insert_with(Instant::now).elapsed();
        if steers && is_early(&live, &plan, claim, &node, now) {
            found.held = true;
        } else {
            gathering.add(since, is_first(claim, &awaited));
            come.push((Arc::clone(&claim.object), node, waiting));
        }
    }
    if steers && gathering.goes_on() {
        found.held = true;
    } else if !opening {
        found.come = come;
    }
    for (claim, ..) in found.come.iter().chain(&found.ready) {
        busy.hold(claim.metadata.name.as_deref().unwrap_or_default());
    }
    found
}

/// Nodes that have come and do not take pods yet.
#[derive(Clone, Copy, Debug, Default)]
struct Gathering {
    /// For how long the one that came first has been there.
    first: Duration,
    /// Whether others are awaited that were launched with one of them.
    awaits: bool,
}

impl Gathering {
    fn add(&mut self, since: Duration, is_first: bool) {
        self.first = self.first.max(since);
        self.awaits |= is_first && since < GATHER;
    }

    /// Whether all of them wait for others, so that they take pods at the same moment.
    fn goes_on(&self) -> bool {
        self.awaits && self.first < PATIENCE
    }
}

/// When a claim was launched whose node has not come yet.
fn awaited(live: &Live, claim: &LiveClaim) -> Option<Timestamp> {
    if claim.deletion().is_some() || live.node_of_claim(claim).is_some() {
        return None;
    }
    launched(claim)
}

fn launched(claim: &LiveClaim) -> Option<Timestamp> {
    let condition = claim.condition(LAUNCHED).filter(|condition| condition.status == "True")?;
    Some(condition.last_transition_time.0)
}

/// Whether a node has come before others that were launched with it.
fn is_first(claim: &LiveClaim, awaited: &[Timestamp]) -> bool {
    launched(claim).is_some_and(|own| awaited.iter().any(|other| own.duration_since(*other).abs() <= TOGETHER_LAUNCHED))
}

/// Whether a node has come before its pods have been made: it takes none before they can be told where to go, since
/// those that come too late for that find their room taken by others.
fn is_early(live: &Live, plan: &Plan, claim: &LiveClaim, node: &str, now: Timestamp) -> bool {
    let young = |node: &LiveNode| now.duration_since(node.created) < HELD;
    plan.foresees(&claim.name) && live.node(node).is_some_and(young)
}

/// The node of a claim and what it still waits for, if something has to be written.
fn next_step(live: &Live, claim: &LiveClaim) -> Option<(Arc<str>, Option<Waiting>)> {
    if !claim.is(LAUNCHED) || (claim.is(REGISTERED) && claim.is(INITIALIZED)) {
        return None;
    }
    let node = live.node_of_claim(claim).filter(|node| node.deletion.is_none())?;
    let waiting = initialization::waiting(live, claim, node);
    let told = waiting.as_ref().is_some_and(|waiting| {
        claim.condition(INITIALIZED).is_some_and(|condition| condition.reason == waiting.reason)
    });
    (!claim.is(REGISTERED) || !told).then(|| (Arc::clone(&node.name), waiting))
}

/// Lets nodes take pods that have come: all of them are told to their pods first, and then opened together. Whenever a
/// node begins to take pods, kube-scheduler tries all that wait, and takes back what those were told whose node does
/// not take any yet.
async fn open(context: Context, busy: Launches, come: Vec<Step>) {
    if tokio::time::timeout(OPENED_WITHIN, open_together(&context, &come)).await.is_err() {
        tracing::warn!(nodes = come.len(), "nodes could not be opened in time: it is tried again");
    }
    for (claim, ..) in &come {
        busy.release(claim.metadata.name.as_deref().unwrap_or_default());
    }
    context.live.notify(Kind::Claim);
}

async fn open_together(context: &Context, come: &[Step]) {
    let nodes: Vec<&str> = come.iter().map(|(_, node, _)| &**node).collect();
    // They are read before, so that nothing but the openings themselves lies between the first and the last.
    let api: Api<Node> = Api::all(context.client.clone());
    let read = join_all(nodes.iter().map(|node| api.get_opt(node))).await;
    let began = Instant::now();
    steering::prepare(context, &nodes).await;
    tracing::debug!(
        nodes = nodes.len(),
        milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "told their pods"
    );
    let each = come
        .iter()
        .zip(read)
        .map(|((claim, node, waiting), read)| write_node(context, claim, node, waiting.is_none(), read.ok().flatten()));
    let written = join_all(each).await;
    let each = come
        .iter()
        .zip(written)
        .map(|((claim, node, waiting), written)| conclude(context, claim, node, waiting.as_ref(), written));
    join_all(each).await;
}

/// Takes a node a step further: it is registered, and if nothing is left to wait for initialised.
async fn advance(context: &Context, claim: &NodeClaim, node: &str, waiting: Option<&Waiting>) {
    let written = write_node(context, claim, node, waiting.is_none(), None).await;
    conclude(context, claim, node, waiting, written).await;
}

/// Tells the claim of a node what has become of it, once that is `written` on the node.
async fn conclude(
    context: &Context,
    claim: &NodeClaim,
    node: &str,
    waiting: Option<&Waiting>,
    written: kube::Result<bool>,
) {
    let name = claim.metadata.name.clone().unwrap_or_default();
    let fresh = !super::conditions::holds(claim, REGISTERED);
    match written {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            tracing::warn!(claim = name, node, %error, "a node could not be registered yet");
            tokio::time::sleep(Duration::from_millis(500)).await;
            return;
        }
    }
    let now = context.now();
    let initialized = match waiting {
        None => (INITIALIZED, Truth::True, INITIALIZED, ""),
        Some(waiting) => (INITIALIZED, Truth::Unknown, waiting.reason, waiting.message.as_str()),
    };
    let wanted = [(REGISTERED, Truth::True, REGISTERED, ""), initialized];
    let beside = if fresh { json!({ "nodeName": node }) } else { Value::Null };
    if let Err(error) = status::write(context, &name, beside, |list| status::set(list, &wanted, now)).await {
        tracing::warn!(claim = name, node, %error, "a claim could not be told of its node yet");
    }
    if fresh {
        let labels = claim.metadata.labels.as_ref();
        let pool = labels.and_then(|labels| labels.get(crate::autoscaler::api::labels::NODE_POOL));
        context.metrics.nodes_created.count([pool.map_or("", String::as_str)]);
        tracing::info!(claim = name, node, initialized = waiting.is_none(), "registered");
    }
}

/// Writes what a node is to have; whether it is there.
async fn write_node(
    context: &Context,
    claim: &NodeClaim,
    name: &str,
    initialized: bool,
    mut read: Option<Node>,
) -> kube::Result<bool> {
    let api: Api<Node> = Api::all(context.client.clone());
    for attempt in 1.. {
        let node = match read.take() {
            Some(node) => node,
            None => match api.get_opt(name).await? {
                Some(node) => node,
                None => return Ok(false),
            },
        };
        if registration::came_open(&node) {
            let message = format!(
                "the node `{name}` came without the taint `{}`: pods may have been put onto it before it was registered; have its kubelet register with that taint",
                registration::UNREGISTERED
            );
            context.events.publish(about(claim), Tone::Warning, "UnregisteredTaintMissing", &message);
        }
        let Some(change) = registration::change(claim, &node, initialized) else {
            context.live.apply(Observed::Node(Box::new(node)));
            return Ok(true);
        };
        match writes::patch::<Node>(&context.client, name, &change).await {
            Ok(written) => {
                context.live.apply(Observed::Node(Box::new(written)));
                return Ok(true);
            }
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) if is_conflict(&error) && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn gathering(nodes: &[(u64, bool)]) -> bool {
        let mut gathering = Gathering::default();
        nodes.iter().for_each(|(since, is_first)| gathering.add(ms(*since), *is_first));
        gathering.goes_on()
    }

    #[test]
    fn nodes_that_were_launched_together_wait_for_each_other_but_not_for_long() {
        assert!(!gathering(&[]));
        assert!(gathering(&[(500, true), (400, true)]));
        assert!(!gathering(&[(500, false), (400, false)]), "all have come");
        assert!(!gathering(&[(1300, true)]));
        assert!(!gathering(&[(2600, false), (50, true)]));
    }
}
