//! Asks EC2 every minute how its instances are, whether there is a queue or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::controller::{say, take_away};
use super::status::{Finding, Seen, Status};
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::cloud::{InstanceHealth, instance_id};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::termination::writes::set_end;

const EVERY: Duration = Duration::from_secs(60);

/// Runs until `stop`.
pub async fn run(context: &Context, stop: &CancellationToken) {
    let mut seen = Seen::default();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // Where there is nothing, nothing is asked.
        if context.live.lock().claims().next().is_none() {
            continue;
        }
        match context.cloud.statuses().await {
            Ok(found) => {
                let statuses: Vec<Status> = found.into_iter().map(status).collect();
                for finding in seen.judge(&statuses, context.now()) {
                    act(context, &finding).await;
                }
            }
            Err(error) => tracing::warn!("the statuses of instances are not known, they are asked for again: {error}"),
        }
    }
}

fn status(health: InstanceHealth) -> Status {
    Status {
        instance: health.id,
        impaired: health.impaired_since.is_some(),
        impaired_since: health.impaired_since,
        events: health.events.into_iter().map(|event| event.code).collect(),
    }
}

async fn act(context: &Context, finding: &Finding) {
    let (Finding::Impaired(id) | Finding::Scheduled(id, _)) = finding;
    let Some(claim) = claim_of(context, id) else { return };
    let done = match finding {
        Finding::Impaired(_) => {
            say(
                context,
                &claim,
                "InstanceUnhealthy",
                "the instance fails its status checks for two minutes: it goes by force",
            );
            by_force(context, &claim, "instance_unhealthy").await
        }
        Finding::Scheduled(_, code) => {
            say(context, &claim, "InstanceUnhealthy", &format!("EC2 has scheduled `{code}` for the instance"));
            take_away(context, &claim, "scheduled_change").await
        }
    };
    if let Err(error) = done {
        tracing::warn!(instance = id, "an unhealthy instance could not be taken away, it is tried again: {error}");
    }
}

/// Takes a claim away without waiting for its pods.
///
/// # Errors
/// The call's.
pub async fn by_force(context: &Context, claim: &NodeClaim, reason: &str) -> kube::Result<()> {
    set_end(context, claim, context.now()).await?;
    take_away(context, claim, reason).await
}

/// The claim of an instance, unless it goes already.
fn claim_of(context: &Context, id: &str) -> Option<Arc<NodeClaim>> {
    let live = context.live.lock();
    let found = live.claims().find(|claim| claim.provider_id().and_then(instance_id) == Some(id))?;
    found.deletion().is_none().then(|| Arc::clone(&found.object))
}
