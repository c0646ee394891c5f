//! Claims whose instances go in two minutes: nothing new comes onto their nodes, a replacement is ordered at once, and
//! they are deleted when it is ready, or when their pods need the time that is left to end in peace.
//!
//! All that is needed stands on the claim, so that a restart forgets nothing. The order itself is provisioning's: pods
//! of warned nodes count as pods that need a place.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::INTERRUPTED;
use super::controller::take_away;
use super::decide::{Replacement, drains_at};
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::writes::{self, is_missing};
use crate::autoscaler::state::live::{Kind, Live, LiveClaim, LivePod, Observed, Owner};
use crate::autoscaler::steering::Target;
use crate::autoscaler::termination::view::{DISRUPTED, END, node_of};
use crate::autoscaler::termination::writes::set_end;

/// What wakes the controller.
const KINDS: &[Kind] = &[Kind::Claim, Kind::Node, Kind::Pod];
/// Many changes at once are looked at together.
const GATHER: Duration = Duration::from_millis(50);
/// After a failed write.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Before the instance is taken away, its pods have to be gone.
const SPARE: SignedDuration = SignedDuration::from_secs(3);

/// A claim that was warned.
struct Warned {
    claim: Arc<NodeClaim>,
    /// The node, if it has to be tainted still.
    untainted: Option<String>,
    gone: Timestamp,
    drains_at: Timestamp,
}

/// Runs until `stop`.
pub async fn run(context: &Context, stop: &CancellationToken) {
    let mut changes = context.live.changes(KINDS);
    let mut planned = context.plan.changes();
    let mut wake: Option<Duration> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = changes.next() => sleep(GATHER).await,
            Ok(()) = planned.changed() => sleep(GATHER).await,
            () = sleep(wake.unwrap_or(Duration::MAX)), if wake.is_some() => {}
        }
        let now = context.now();
        let warned = warned(context, now);
        wake = None;
        let done = futures::future::join_all(warned.iter().map(|one| advance(context, one, now))).await;
        for (one, done) in warned.iter().zip(done) {
            let next = match done {
                Ok(()) if one.drains_at <= now => continue,
                Ok(()) => one.drains_at.duration_since(now).unsigned_abs(),
                Err(error) => {
                    tracing::warn!(
                        claim = one.claim.name_any(),
                        "a warned claim could not be written, it is tried again: {error}"
                    );
                    AFTER_FAILURE
                }
            };
            wake = Some(wake.map_or(next, |wake| wake.min(next)));
        }
    }
}

fn warned(context: &Context, now: Timestamp) -> Vec<Warned> {
    let live = context.live.lock();
    let claims = live.claims().filter(|claim| claim.deletion().is_none());
    claims.filter_map(|claim| read(context, &live, claim, now)).collect()
}

fn read(context: &Context, live: &Live, claim: &LiveClaim, now: Timestamp) -> Option<Warned> {
    let gone: Timestamp = claim.annotation(INTERRUPTED)?.parse().unwrap_or(now);
    let node = node_of(live, claim);
    let pods: Vec<&LivePod> =
        node.into_iter().flat_map(|node| live.pods_on(&node.name)).filter(|pod| moves(pod)).collect();
    let grace = pods.iter().map(|pod| i64::from(pod.grace_seconds)).max().unwrap_or_default();
    let replacement = replacement(context, live, &pods);
    Some(Warned {
        claim: Arc::clone(&claim.object),
        untainted: node.filter(|node| !node.has_taint(DISRUPTED)).map(|node| node.name.to_string()),
        gone,
        drains_at: drains_at(gone, grace, replacement, now),
    })
}

/// Whether a pod of a warned node will be made again elsewhere. Its protections do not matter: its machine goes.
pub fn moves(pod: &LivePod) -> bool {
    pod.owner == Owner::Workload && !pod.leaving()
}

/// How the replacement stands: every pod has to have a place on a node that has started.
fn replacement(context: &Context, live: &Live, pods: &[&LivePod]) -> Replacement {
    if pods.is_empty() {
        return Replacement::Needless;
    }
    let plan = context.plan.lock();
    let ready = |target: &Target| match target {
        Target::Node(name) => live.node(name).is_some_and(|node| node.ready()),
        Target::Claim(name) => live.claim(name).is_some_and(|claim| claim.is("Initialized")),
    };
    match pods.iter().all(|pod| plan.place_of(pod.uid).is_some_and(|place| ready(&place.target))) {
        true => Replacement::Ready,
        false => Replacement::Awaited,
    }
}

async fn advance(context: &Context, warned: &Warned, now: Timestamp) -> kube::Result<()> {
    if let Some(node) = &warned.untainted {
        taint(context, node).await?;
    }
    if now < warned.drains_at {
        return Ok(());
    }
    // Whoever is not gone by then dies with the machine: pods are told in time to use their grace period.
    let end = warned.gone.checked_sub(SPARE).unwrap_or(warned.gone);
    let known: Option<Timestamp> = warned.claim.annotations().get(END).and_then(|text| text.parse().ok());
    if known.is_none_or(|known| end < known) {
        set_end(context, &warned.claim, end).await?;
    }
    take_away(context, &warned.claim, "spot_interrupted").await
}

/// Keeps new pods off a node. It stays in load balancers: its pods still serve.
async fn taint(context: &Context, name: &str) -> kube::Result<()> {
    let Some(node) = Api::<Node>::all(context.client.clone()).get_opt(name).await? else { return Ok(()) };
    let mut taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    if taints.iter().any(|taint| taint.key == DISRUPTED) {
        return Ok(());
    }
    taints.push(Taint { key: DISRUPTED.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() });
    let change = json!({ "metadata": { "resourceVersion": node.resource_version() }, "spec": { "taints": taints } });
    match writes::patch::<Node>(&context.client, name, &change).await {
        Ok(node) => context.live.apply(Observed::Node(Box::new(node))),
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
