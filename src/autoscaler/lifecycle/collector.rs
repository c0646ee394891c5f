//! Collects what is left over: looks when a node stops reporting, and every now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::garbage::{ClaimFacts, Garbage, InstanceFacts, NodeFacts, find};
use crate::autoscaler::api::{EC2NodeClass, NodeClaim, labels};
use crate::autoscaler::cloud::{Instance, instance_id};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about};
use crate::autoscaler::runtime::writes;
use crate::autoscaler::state::live::{Kind, Live, LiveClaim};
use crate::autoscaler::termination::view::{claim_of, node_of};
use crate::autoscaler::termination::writes::delete_claim;

/// Looks are closer together after the start, when another process may have left something.
const FIRST: (u32, Duration) = (20, Duration::from_secs(10));
/// And then.
const LATER: Duration = Duration::from_secs(120);
/// A node that stops reporting is looked at after so long, together with others.
const GATHER: Duration = Duration::from_secs(1);
/// The least time between two looks.
const APART: Duration = Duration::from_secs(5);
/// Launch templates and instance profiles that nobody uses.
const UNUSED: Duration = Duration::from_secs(60);
/// Profiles are looked for every so many looks for templates.
const PROFILES_EVERY: u32 = 30;

/// Runs until `stop`.
///
/// # Errors
/// None: what fails is tried again.
pub async fn run(context: Context, stop: CancellationToken) -> Result<()> {
    tokio::join!(instances(&context, &stop), unused(&context, &stop));
    Ok(())
}

async fn instances(context: &Context, stop: &CancellationToken) {
    let mut changes = context.live.changes(&[Kind::Node]);
    let mut silent = 0;
    let mut looks = 0;
    let mut last = Instant::now();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(next) => {}
            () = changes.next() => {
                // Only a node more that does not report is a reason to look.
                let before = std::mem::replace(&mut silent, silent_nodes(&context.live.lock()));
                if silent > before {
                    next = next.min((Instant::now() + GATHER).max(last + APART));
                }
                continue;
            }
        }
        if !context.live.lock().all_synced() {
            next = Instant::now() + GATHER;
            continue;
        }
        last = Instant::now();
        looks += 1;
        let pause = if looks <= FIRST.0 { FIRST.1 } else { LATER };
        next = Instant::now() + look(context).await.map_or(pause, |sooner| sooner.clamp(APART, pause));
    }
}

/// How many nodes of pools do not report and are not going.
fn silent_nodes(live: &Live) -> usize {
    live.nodes().filter(|node| !node.ready() && node.deletion.is_none() && claim_of(live, node).is_some()).count()
}

/// Looks once; when to look again at the latest, if something was spared for a while.
async fn look(context: &Context) -> Option<Duration> {
    let asked = context.now();
    let found = match context.cloud.instances().await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!("what is left over is not known, it is looked for again: {error}");
            return None;
        }
    };
    let garbage = compare(context, &found, asked);
    for (claim, instance) in &garbage.claims {
        lose_claim(context, claim, instance).await;
    }
    for id in &garbage.instances {
        tracing::warn!(instance = id, "an instance belongs to no claim: it is ended");
        context.instances.end(id);
    }
    for node in &garbage.nodes {
        tracing::warn!(node, "a node belongs to no claim: it is deleted");
        if let Err(error) = writes::delete::<Node>(&context.client, node, None).await {
            tracing::warn!(node, "a node was not deleted, it is deleted later: {error}");
        }
    }
    garbage.again.map(|again| again.duration_since(context.now()).unsigned_abs())
}

fn compare(context: &Context, found: &[Instance], asked: Timestamp) -> Garbage {
    let live = context.live.lock();
    let claims: Vec<ClaimFacts> = live.claims().map(|claim| claim_facts(&live, claim)).collect();
    let instances: Vec<InstanceFacts> = found.iter().map(instance_facts).collect();
    let nodes: Vec<NodeFacts> = live
        .nodes()
        .filter(|node| live.node_label(node, labels::NODE_POOL).is_some())
        .filter_map(|node| {
            let instance = node.provider_id.as_deref().and_then(instance_id)?.to_owned();
            Some(NodeFacts {
                name: node.name.to_string(),
                instance,
                ready: node.ready(),
                deleted: node.deletion.is_some(),
            })
        })
        .collect();
    find(&claims, &instances, &nodes, asked)
}

fn claim_facts(live: &Live, claim: &LiveClaim) -> ClaimFacts {
    ClaimFacts {
        name: claim.name.to_string(),
        pool: claim.pool().unwrap_or_default().to_owned(),
        class: claim.class().to_owned(),
        created: claim.created(),
        instance: claim.provider_id().and_then(instance_id).map(str::to_owned),
        launched: claim.condition("Launched").filter(|one| one.status == "True").map(|one| one.last_transition_time.0),
        deleted: claim.deletion().is_some(),
        ready: node_of(live, claim).is_some_and(|node| node.ready()),
    }
}

fn instance_facts(instance: &Instance) -> InstanceFacts {
    InstanceFacts {
        id: instance.id.clone(),
        pool: instance.pool().unwrap_or_default().to_owned(),
        class: instance.class().unwrap_or_default().to_owned(),
        launched: instance.launched,
        alive: instance.lives(),
    }
}

/// Deletes a claim whose instance is gone.
async fn lose_claim(context: &Context, name: &str, instance: &str) {
    let claim: Option<Arc<NodeClaim>> = context.live.lock().claim(name).map(|claim| Arc::clone(&claim.object));
    let Some(claim) = claim else { return };
    let message = format!("the instance `{instance}` is gone: the claim is deleted, and its pods get another node");
    context.events.publish(about(claim.as_ref()), Tone::Warning, "InstanceTerminating", &message);
    context.instances.gone(instance);
    match delete_claim(&context.client, &claim).await {
        Ok(()) => tracing::warn!(claim = name, instance, "a claim has lost its instance"),
        Err(error) => tracing::warn!(
            claim = name,
            "a claim that has lost its instance was not deleted, it is deleted later: {error}"
        ),
    }
}

async fn unused(context: &Context, stop: &CancellationToken) {
    for round in 0_u32.. {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(UNUSED) => {}
        }
        if let Err(error) = context.cloud.collect_launch_templates().await {
            tracing::warn!("launch templates that nobody uses were not removed, they are removed later: {error}");
        }
        if round % PROFILES_EVERY != 0 || !context.live.lock().synced(Kind::Class) {
            continue;
        }
        let classes: BTreeMap<String, EC2NodeClass> = {
            let live = context.live.lock();
            live.classes().map(|class| (class.name.to_string(), EC2NodeClass::clone(&class.object))).collect()
        };
        let classes: Vec<EC2NodeClass> = classes.into_values().collect();
        if let Err(error) = context.cloud.collect_profiles(&classes).await {
            tracing::warn!("instance profiles that nobody uses were not removed, they are removed later: {error}");
        }
    }
}
