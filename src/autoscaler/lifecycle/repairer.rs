//! Has nodes replaced that have been unhealthy for long, where the gate `NodeRepair` is open.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kube::ResourceExt;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::repair::{Health, Patient, Repairs, judge};
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::interruption::poller::by_force;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about};
use crate::autoscaler::state::live::{Kind, Live};
use crate::autoscaler::termination::view::node_of;

/// Many changes at once are looked at together.
const GATHER: Duration = Duration::from_secs(1);
/// What failed, or was blocked, is looked at again.
const AGAIN: Duration = Duration::from_secs(60);

/// Runs until `stop`.
///
/// # Errors
/// None: what fails is tried again.
pub async fn run(context: Context, stop: CancellationToken) -> Result<()> {
    if !context.settings.gates.node_repair {
        stop.cancelled().await;
        return Ok(());
    }
    let mut changes = context.live.changes(&[Kind::Node, Kind::Claim]);
    let mut wake = AGAIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = changes.next() => sleep(GATHER).await,
            () = sleep(wake) => {}
        }
        let now = context.now();
        let repairs = judge(&patients(&context.live.lock()), now);
        wake = repairs.again.map_or(AGAIN, |again| again.duration_since(now).unsigned_abs().min(AGAIN));
        act(&context, &repairs).await;
    }
}

fn patients(live: &Live) -> Vec<Patient> {
    let registered = live.claims().filter(|claim| claim.is("Registered"));
    registered
        .filter_map(|claim| {
            let node = node_of(live, claim)?;
            let conditions = node.conditions.iter().filter_map(|condition| {
                let (kind, status) = (condition.kind.to_string(), condition.status.to_string());
                Some(Health { kind, status, since: condition.since? })
            });
            Some(Patient {
                claim: claim.name.to_string(),
                pool: claim.pool().unwrap_or_default().to_owned(),
                conditions: conditions.collect(),
                leaving: claim.deletion().is_some() || node.deletion.is_some(),
            })
        })
        .collect()
}

async fn act(context: &Context, repairs: &Repairs) {
    for (name, why) in &repairs.blocked {
        if let Some(claim) = claim(context, name) {
            context.events.publish(
                about(claim.as_ref()),
                Tone::Warning,
                "NodeRepairBlocked",
                &format!("the node is not replaced: {why}"),
            );
        }
    }
    for (name, why) in &repairs.replace {
        let Some(claim) = claim(context, name) else { continue };
        tracing::warn!(claim = claim.name_any(), "an unhealthy node is replaced: {why}");
        if let Err(error) = by_force(context, &claim, "unhealthy").await {
            tracing::warn!(claim = name, "an unhealthy node could not be replaced, it is tried again: {error}");
        }
    }
}

fn claim(context: &Context, name: &str) -> Option<Arc<NodeClaim>> {
    context.live.lock().claim(name).map(|claim| Arc::clone(&claim.object))
}
