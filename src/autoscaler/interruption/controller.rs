//! Listens to the queue, and does what notices ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::INTERRUPTED;
use super::decide::{Reaction, WARNING, react};
use super::health;
use super::message::{Kind, Message, Notice, read};
use super::queue::{Queue, Taken};
use crate::autoscaler::api::{NodeClaim, labels};
use crate::autoscaler::cloud::{CapacityType, Scope, instance_id};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about, about_node};
use crate::autoscaler::runtime::writes::{self, is_missing};
use crate::autoscaler::state::live::{LiveClaim, Observed};
use crate::autoscaler::state::names::keys;
use crate::autoscaler::termination::instances::Instances;
use crate::autoscaler::termination::view::node_of;
use crate::autoscaler::termination::writes::delete_claim;

/// After a failed call to the queue.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Listens until `stop`; not at all where no queue is named.
pub async fn listen(context: &Context, instances: &Instances, stop: &CancellationToken) {
    let Some(name) = context.settings.interruption_queue.as_deref() else {
        tracing::info!("no interruption queue is named: spot instances go without notice");
        return;
    };
    let queue = Queue::new(context.cloud.account().clone(), name);
    let mut pause = PAUSES.0;
    let mut health = health::Health::default();
    loop {
        let taken = tokio::select! {
            () = stop.cancelled() => return,
            taken = queue.take() => taken,
        };
        match taken {
            Ok(taken) => {
                pause = PAUSES.0;
                health.well(context, name).await;
                handle(context, instances, &queue, taken).await;
            }
            Err(error) => {
                health.ill(context, name, &error).await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Handles what was taken, and deletes what was handled. What could not be handled comes again.
async fn handle(context: &Context, instances: &Instances, queue: &Queue, taken: Vec<Taken>) {
    if taken.is_empty() {
        return;
    }
    let notices: Vec<Option<Notice>> = taken.iter().map(|taken| notice(context, taken)).collect();
    let affected = affected(context, notices.iter().flatten());
    let mut work: FuturesUnordered<_> = affected
        .into_iter()
        .map(|(instance, told)| async move {
            let done = match told.claim {
                Some(claim) => do_all(context, instances, &claim, &told.notices).await,
                None => Ok(()),
            };
            if let Err(error) = &done {
                tracing::warn!(instance, "a notice could not be acted on, it comes again: {error}");
            }
            (instance, done.is_ok())
        })
        .collect();
    let mut failed = BTreeSet::new();
    while let Some((instance, done)) = work.next().await {
        if !done {
            failed.insert(instance);
        }
    }
    let handled = |notice: &Option<Notice>| {
        notice.as_ref().is_none_or(|notice| !notice.instances.iter().any(|instance| failed.contains(instance)))
    };
    let handles: Vec<String> =
        taken.into_iter().zip(&notices).filter(|(_, notice)| handled(notice)).map(|(taken, _)| taken.handle).collect();
    match queue.delete(&handles).await {
        Ok(deleted) => context.metrics.messages_deleted.add([], deleted as u64),
        Err(error) => tracing::warn!("messages were not deleted, they come again: {error}"),
    }
}

fn notice(context: &Context, taken: &Taken) -> Option<Notice> {
    let message = read(&taken.body);
    context.metrics.messages_received.count([message.label()]);
    match message {
        Message::Notice(notice) => {
            if let Some(sent) = taken.sent {
                context.metrics.message_queue.took([], context.now().duration_since(sent).as_secs_f64().max(0.0));
            }
            Some(notice)
        }
        Message::Ignored => None,
        Message::Broken(reason) => {
            tracing::warn!("a message of the interruption queue is dropped: {reason}");
            None
        }
    }
}

/// What one batch says of one instance.
#[derive(Default)]
struct Affected {
    claim: Option<Arc<NodeClaim>>,
    notices: Vec<(Kind, Option<Timestamp>)>,
}

/// The instances of notices with their claims, each kind of notice once.
fn affected<'a>(context: &Context, notices: impl Iterator<Item = &'a Notice>) -> BTreeMap<String, Affected> {
    let mut all: BTreeMap<String, Affected> = BTreeMap::new();
    for notice in notices {
        for instance in &notice.instances {
            let told = &mut all.entry(instance.clone()).or_default().notices;
            if !told.iter().any(|(kind, _)| *kind == notice.kind) {
                told.push((notice.kind.clone(), notice.time));
            }
        }
    }
    let live = context.live.lock();
    for claim in live.claims() {
        let affected = claim.provider_id().and_then(instance_id).and_then(|id| all.get_mut(id));
        if let Some(affected) = affected {
            affected.claim = Some(Arc::clone(&claim.object));
        }
    }
    all
}

async fn do_all(
    context: &Context,
    instances: &Instances,
    claim: &NodeClaim,
    notices: &[(Kind, Option<Timestamp>)],
) -> kube::Result<()> {
    let id = claim.status.as_ref().and_then(|status| status.provider_id.as_deref()).and_then(instance_id);
    for (kind, time) in notices {
        let (reaction, reason, message) = react(kind);
        if let (Reaction::Bury, Some(id)) = (reaction, id) {
            instances.gone(id);
        }
        // A claim that goes already needs no further word.
        if claim.metadata.deletion_timestamp.is_some() {
            continue;
        }
        say(context, claim, reason, &message);
        match reaction {
            Reaction::Tell => {}
            Reaction::Replace => warn(context, claim, kind, *time).await?,
            Reaction::Delete | Reaction::Bury => take_away(context, claim, kind.label()).await?,
        }
    }
    Ok(())
}

/// Says something about a claim and its node.
pub fn say(context: &Context, claim: &NodeClaim, reason: &'static str, message: &str) {
    context.events.publish(about(claim), Tone::Warning, reason, message);
    let node = claim.status.as_ref().and_then(|status| status.node_name.as_deref());
    if let Some(node) = node {
        context.events.publish(about_node(node), Tone::Warning, reason, message);
    }
}

/// Deletes a claim because of what the cloud has announced, and counts it.
///
/// # Errors
/// The call's.
pub async fn take_away(context: &Context, claim: &NodeClaim, reason: &str) -> kube::Result<()> {
    delete_claim(&context.client, claim).await?;
    let label = |key: &str| claim.labels().get(key).map(String::as_str).unwrap_or_default();
    context.metrics.nodeclaims_disrupted.count([reason, label(labels::NODE_POOL), label(keys::CAPACITY_TYPE)]);
    say(
        context,
        claim,
        "TerminatingOnInterruption",
        "the claim is deleted because of what was announced for its instance",
    );
    Ok(())
}

/// Remembers on the claim when its instance goes. The rest follows from that, also after a restart.
async fn warn(context: &Context, claim: &NodeClaim, kind: &Kind, time: Option<Timestamp>) -> kube::Result<()> {
    let now = context.now();
    match kind {
        Kind::SpotInterruption => mark_offering(context, claim, now),
        Kind::ReservationInterruption => mark_reservation(context, claim, now),
        _ => {}
    }
    if claim.annotations().contains_key(INTERRUPTED) {
        return Ok(());
    }
    // A clock that goes wrong, here or there, gives no more than two minutes.
    let gone = time.unwrap_or(now).min(now).checked_add(WARNING).unwrap_or(now);
    let change = json!({ "metadata": { "uid": claim.uid(), "annotations": { INTERRUPTED: gone.to_string() } } });
    match writes::patch::<NodeClaim>(&context.client, &claim.name_any(), &change).await {
        Ok(claim) => context.live.apply(Observed::Claim(Box::new(claim))),
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What EC2 takes back it does not sell for a while.
fn mark_offering(context: &Context, claim: &NodeClaim, now: Timestamp) {
    let label = |key: &str| claim.labels().get(key).map(String::as_str);
    let (Some(instance_type), Some(zone)) = (label(keys::INSTANCE_TYPE), label(keys::ZONE)) else { return };
    let scope = Scope::offering(CapacityType::Spot, instance_type, zone);
    context.cloud.unavailable().mark(scope, "SpotInterruption", now);
}

/// A reservation that EC2 takes an instance back from is left alone for a while.
fn mark_reservation(context: &Context, claim: &NodeClaim, now: Timestamp) {
    let Some(id) = claim.labels().get(labels::RESERVATION_ID) else { return };
    let scope = Scope::Reservation(id.clone());
    context.cloud.unavailable().mark(scope, "CapacityReservationInstanceInterruption", now);
}

/// The node of a claim, by name.
pub fn node_name(context: &Context, claim: &LiveClaim) -> Option<String> {
    node_of(&context.live.lock(), claim).map(|node| node.name.to_string())
}
