//! When pods last came to or went from a node, and whether it has been quiet for long enough, on its claim.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::conditions::INITIALIZED;
use super::status;
use crate::autoscaler::api::duration::{Lifetime, lifetime};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::writes::{Truth, clear_condition, is_missing, set_condition};
use crate::autoscaler::state::live::{Kind, Live, LiveClaim};

/// The node may be looked at for consolidation.
pub const CONSOLIDATABLE: &str = "Consolidatable";
/// The time of a pod event is not written again within this time.
const COARSE: SignedDuration = SignedDuration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(10);
const TOGETHER: Duration = Duration::from_secs(1);

/// Keeps both on claims.
pub async fn run(context: Context, stop: CancellationToken) {
    let mut changes = context.live.changes(&[Kind::Pod, Kind::Claim, Kind::Pool, Kind::Node]);
    let mut wake = AGAIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = changes.next() => {}
            () = tokio::time::sleep(wake) => {}
        }
        tokio::time::sleep(TOGETHER).await;
        let (news, next) = {
            let live = context.live.lock();
            due(&live, context.now())
        };
        wake = next;
        for change in news {
            write(&context, change).await;
        }
    }
}

/// What a claim is to say.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    claim: Arc<str>,
    event: Option<Timestamp>,
    consolidatable: bool,
}

/// Claims that say something else than is so, and when the next one will.
fn due(live: &Live, now: Timestamp) -> (Vec<Change>, Duration) {
    let mut changes = Vec::new();
    let mut next = AGAIN;
    for claim in live.claims().filter(|claim| claim.deletion().is_none() && claim.is(INITIALIZED)) {
        let told = claim.object.status.as_ref().and_then(|s| s.last_pod_event_time.as_ref()).map(|time| time.0);
        let node = live.node_of_claim(claim);
        let seen = node.and_then(|node| live.last_pod_event(&node.name)).into_iter().chain(told).max();
        let event = seen.filter(|seen| told.is_none_or(|told| seen.duration_since(told) >= COARSE));
        let from = quiet_from(live, claim, seen);
        let consolidatable = from.is_some_and(|from| from <= now);
        if let Some(from) = from.filter(|from| now < *from) {
            next = next.min(from.duration_since(now).unsigned_abs() + Duration::from_millis(20));
        }
        if event.is_some() || consolidatable != claim.is(CONSOLIDATABLE) {
            changes.push(Change { claim: Arc::clone(&claim.name), event, consolidatable });
        }
    }
    (changes, next)
}

fn quiet_from(live: &Live, claim: &LiveClaim, event: Option<Timestamp>) -> Option<Timestamp> {
    let pool = live.pool(claim.pool()?)?;
    let Ok(Lifetime::After(seconds)) = lifetime(&pool.object.spec.disruption.consolidate_after) else { return None };
    let started = claim.condition(INITIALIZED).map(|condition| condition.last_transition_time.0);
    let since = event.into_iter().chain(started).max()?;
    since.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()
}

async fn write(context: &Context, change: Change) {
    let beside = change.event.map_or(Value::Null, |event| json!({ "lastPodEventTime": Time(event) }));
    let now = context.now();
    let written = status::write(context, &change.claim, beside, |list| {
        if change.consolidatable {
            set_condition(list, CONSOLIDATABLE, Truth::True, CONSOLIDATABLE, "", Some(1), now)
        } else {
            clear_condition(list, CONSOLIDATABLE)
        }
    });
    if let Err(error) = written.await
        && !is_missing(&error)
    {
        tracing::debug!(claim = &*change.claim, %error, "a claim could not be told of its pods");
    }
}
