//! Says why nodes stay: on their claims, in events, and in metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::survey::Survey;
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::disruption::{Decision, Reason, Stay};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about};
use crate::autoscaler::runtime::writes::{self, is_missing};
use crate::autoscaler::state::live::Observed;

/// Why the node of a claim stays, in one sentence.
pub const STAYS_BECAUSE: &str = "eksup.dev/stays-because";
/// A reason that only differs in its figures is not written again within this time.
const QUIET: SignedDuration = SignedDuration::from_mins(10);
/// The same about a node that nothing cheaper was found for is not said again within this time.
const UNCONSOLIDATABLE: Duration = Duration::from_secs(15 * 60);
/// No more than so many claims are told at a time.
const MOST_TOLD: usize = 50;

/// What a claim was told last.
#[derive(Clone, Debug)]
pub(super) struct Told {
    kind: std::mem::Discriminant<Stay>,
    at: Timestamp,
}

/// Tells the claims of a decision why their nodes stay.
pub(super) async fn tell_reasons(
    context: &Context,
    survey: &Survey,
    decision: &Decision,
    told: &mut BTreeMap<Arc<str>, Told>,
    now: Timestamp,
) {
    told.retain(|claim, _| survey.nodes.iter().any(|node| *node.claim == **claim));
    let mut news: Vec<(Arc<str>, String)> = Vec::new();
    let mut blocked = 0_u32;
    for (at, stay) in &decision.stays {
        let claim: Arc<str> = (&*survey.nodes[*at as usize].claim).into();
        blocked += u32::from(stay.is_blocked());
        say(context, &claim, stay);
        let kind = std::mem::discriminant(stay);
        let known = told.get(&claim).is_some_and(|last| last.kind == kind && now.duration_since(last.at) < QUIET);
        if !known && !is_passing(stay) && news.len() < MOST_TOLD {
            told.insert(Arc::clone(&claim), Told { kind, at: now });
            news.push((claim, stay.to_string()));
        }
    }
    let eligible = |reason: Reason| {
        decision.commands.iter().filter(|one| one.reason == reason).map(|one| one.remove.len()).sum::<usize>()
    };
    for reason in Reason::ALL {
        context.metrics.eligible_nodes.set([super::disrupting::metric_reason(reason)], eligible(reason) as f64);
    }
    tracing::debug!(stay = decision.stays.len(), blocked, "looked at the fleet");
    for (claim, text) in news {
        write(context, &claim, &text).await;
    }
}

/// Reasons that are gone in a moment are not worth a write.
fn is_passing(stay: &Stay) -> bool {
    matches!(stay, Stay::Starting | Stay::Leaving | Stay::Expected { .. } | Stay::Unquiet { .. } | Stay::Later)
}

async fn write(context: &Context, claim: &str, text: &str) {
    let same = context.live.lock().claim(claim).is_none_or(|claim| claim.annotation(STAYS_BECAUSE) == Some(text));
    if same {
        return;
    }
    let change = json!({ "metadata": { "annotations": { STAYS_BECAUSE: text } } });
    match writes::patch::<NodeClaim>(&context.client, claim, &change).await {
        Ok(claim) => context.live.apply(Observed::Claim(Box::new(claim))),
        Err(error) if is_missing(&error) => {}
        Err(error) => tracing::debug!(claim, %error, "a claim could not be told why its node stays"),
    }
}

fn say(context: &Context, claim: &str, stay: &Stay) {
    let live = context.live.lock();
    let Some(claim) = live.claim(claim) else { return };
    if stay.is_blocked() && !matches!(stay, Stay::Expected { .. }) {
        context.events.publish(about(&*claim.object), Tone::Normal, "DisruptionBlocked", &stay.to_string());
    } else if matches!(stay, Stay::NoGain { .. } | Stay::OutOfBalance { .. }) {
        // Its figures change a little all the time: they are for the annotation.
        let text = match stay {
            Stay::NoGain { .. } => "no cheaper way to run its pods was found".to_owned(),
            other => other.to_string(),
        };
        context.events.publish_within(about(&*claim.object), Tone::Normal, "Unconsolidatable", &text, UNCONSOLIDATABLE);
    }
}
