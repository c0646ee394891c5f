//! Classes: what their selectors mean, how they stand, their hash, and their end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hashes;
use super::stamping::Stamp;
use crate::autoscaler::api::EC2NodeClass;
use crate::autoscaler::api::ec2_node_class::EC2NodeClassStatus;
use crate::autoscaler::cloud::{ClassCondition, ClassFault};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about};
use crate::autoscaler::runtime::writes::{self, CLASS_FINALIZER, Truth, set_condition};
use crate::autoscaler::state::live::{Kind, LiveClaim, LiveClass, Observed};

/// What selectors mean is looked up again after so long.
const AGAIN: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// What lasts is said again this often.
const REMINDER: Duration = Duration::from_secs(600);
/// What a class is told that selects capacity reservations where these are switched off.
const NO_RESERVATIONS: &str = "`spec.capacityReservationSelectorTerms` has no effect: `FEATURE_GATES` says \
     `ReservedCapacity=false`";
/// What a class is told that selects capacity reservations that EC2 may take back.
const INTERRUPTIBLE: &str = "`spec.capacityReservationSelectorTerms` selects interruptible capacity reservations, and \
     nodes are not launched into these";

const STAMP: Stamp = Stamp { hash: hashes::CLASS_HASH, version: hashes::CLASS_HASH_VERSION };

/// When a class is looked at next.
struct Turn {
    /// What it was like when it was looked at: id, generation, whether it is being deleted, whether claims use it.
    seen: (String, Option<i64>, bool, bool),
    next: Instant,
    pause: Duration,
}

/// Keeps classes as they are.
///
/// # Errors
/// None: what fails is tried again.
pub async fn run(context: Context, stop: CancellationToken) -> Result<()> {
    let mut changes = context.live.changes(&[Kind::Class, Kind::Claim]);
    let mut turns = BTreeMap::<String, Turn>::new();
    loop {
        let next = turns.values().map(|turn| turn.next).min().unwrap_or_else(|| Instant::now() + AGAIN);
        tokio::select! {
            () = changes.next() => {}
            () = tokio::time::sleep_until(next) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let due = due(&context, &mut turns);
        // Side by side: a class whose calls hang keeps no other one waiting for longer than its calls take.
        let outcomes = join_all(due.into_iter().map(|(class, claims)| look_at(&context, class, claims))).await;
        for (name, settled) in outcomes {
            if let Some(turn) = turns.get_mut(&name) {
                turn.pause = if settled { AGAIN } else { (turn.pause * 2).clamp(FIRST_RETRY, AGAIN) };
                turn.next = Instant::now() + turn.pause;
            }
        }
    }
}

/// The classes whose turn it is, with the claims that use them.
fn due(context: &Context, turns: &mut BTreeMap<String, Turn>) -> Vec<(LiveClass, Vec<LiveClaim>)> {
    let live = context.live.lock();
    turns.retain(|name, _| live.class(name).is_some());
    let now = Instant::now();
    let mut due = Vec::new();
    for class in live.classes() {
        let claims: Vec<LiveClaim> = live.claims().filter(|claim| claim.class() == &*class.name).cloned().collect();
        let metadata = &class.object.metadata;
        let leaving = class.deletion().is_some();
        // Claims count for a class that waits for their end, and for one that has to stamp them.
        let used =
            if leaving { !claims.is_empty() } else { claims.iter().any(|claim| STAMP.missing_on(claim, "").is_some()) };
        let seen = (metadata.uid.clone().unwrap_or_default(), metadata.generation, leaving, used);
        let turn = turns.entry(class.name.to_string()).or_insert_with(|| Turn {
            seen: (String::new(), None, false, false),
            next: now,
            pause: Duration::ZERO,
        });
        if turn.seen != seen || turn.next <= now {
            if turn.seen != seen {
                turn.pause = Duration::ZERO;
            }
            turn.seen = seen;
            due.push((class.clone(), claims));
        }
    }
    due
}

/// Whether there is nothing more to do before long.
async fn look_at(context: &Context, class: LiveClass, claims: Vec<LiveClaim>) -> (String, bool) {
    let name = class.name.to_string();
    let outcome = if class.deletion().is_some() {
        end(context, &class.object, &claims).await
    } else {
        keep(context, &class.object, &claims).await
    };
    match outcome {
        Ok(settled) => (name, settled),
        Err(error) => {
            tracing::warn!(
                nodeclass = name,
                error = format!("{error:#}"),
                "an EC2NodeClass cannot be kept up, and is tried again"
            );
            (name, false)
        }
    }
}

async fn keep(context: &Context, class: &EC2NodeClass, claims: &[LiveClaim]) -> Result<bool> {
    let name = class.metadata.name.as_deref().unwrap_or_default();
    // Nothing is made for a class in the cloud before its end is waited for.
    let with_finalizer = writes::add_finalizer(&context.client, class, CLASS_FINALIZER).await;
    let class = match with_finalizer {
        Ok(changed) => changed.unwrap_or_else(|| class.clone()),
        Err(error) if writes::is_conflict(&error) || writes::is_missing(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let resolved = context.cloud.resolve(&class).await;
    let reserved = context.settings.gates.reserved_capacity;
    let status = match &resolved {
        Ok(resolved) => desired(&class, resolved.status(), None, reserved, context.now()),
        Err(fault) => desired(&class, fault.found.clone(), Some(fault), reserved, context.now()),
    };
    if class.status.as_ref() != Some(&status) {
        let class = writes::patch_status::<EC2NodeClass>(&context.client, name, change(&status)).await?;
        context.live.apply(Observed::Class(Box::new(class)));
    }
    if let Err(fault) = &resolved {
        context.events.publish(about(&class), Tone::Warning, "NodeClassNotReady", &fault.to_string());
        tracing::warn!(nodeclass = name, why = fault.to_string(), "an EC2NodeClass is not ready");
    }
    let unused = match reserved {
        false => (!class.spec.capacity_reservation_selector_terms.is_empty()).then_some(NO_RESERVATIONS),
        true => status.capacity_reservations.iter().any(|found| found.interruptible).then_some(INTERRUPTIBLE),
    };
    if let Some(why) = unused {
        let reason = "CapacityReservationsNotUsed";
        context.events.publish_within(about(&class), Tone::Warning, reason, why, REMINDER);
    }
    let hash = hashes::class(&class.spec);
    STAMP.renew(context, claims, &hash).await?;
    if !STAMP.is_on(&class.metadata, &hash) {
        let change = json!({ "metadata": { "annotations": STAMP.of(&hash) } });
        let class = writes::patch::<EC2NodeClass>(&context.client, name, &change).await?;
        context.live.apply(Observed::Class(Box::new(class)));
    }
    Ok(resolved.is_ok())
}

/// A class ends when no claim uses it any more.
async fn end(context: &Context, class: &EC2NodeClass, claims: &[LiveClaim]) -> Result<bool> {
    let name = class.metadata.name.as_deref().unwrap_or_default();
    if !claims.is_empty() {
        let names: Vec<&str> = claims.iter().take(5).map(|claim| &*claim.name).collect();
        let more = if claims.len() > names.len() { ", …" } else { "" };
        let message =
            format!("waits for the end of {} NodeClaims that use it: {}{more}", claims.len(), names.join(", "));
        context.events.publish_within(about(class), Tone::Normal, "WaitingOnNodeClaimTermination", &message, REMINDER);
        return Ok(true);
    }
    if writes::has_finalizer(class, CLASS_FINALIZER) {
        context.cloud.delete_class(class).await?;
        writes::remove_finalizer(&context.client, class, CLASS_FINALIZER).await?;
        tracing::info!(nodeclass = name, "what was made for an EC2NodeClass is removed");
    }
    Ok(true)
}

/// How a class stands.
fn desired(
    class: &EC2NodeClass,
    found: EC2NodeClassStatus,
    fault: Option<&ClassFault>,
    reserved: bool,
    now: Timestamp,
) -> EC2NodeClassStatus {
    let before = class.status.clone().unwrap_or_default();
    let generation = class.metadata.generation;
    let mut conditions: Vec<Condition> = before.conditions.clone();
    let mut whole = Truth::True;
    let mut reasons = Vec::new();
    for condition in ClassCondition::ALL {
        if condition == ClassCondition::CapacityReservationsReady && !reserved {
            conditions.retain(|known| known.type_ != condition.text());
            continue;
        }
        let unmet = fault.and_then(|fault| fault.unmet.iter().find(|unmet| unmet.condition == condition));
        let (truth, reason, message) = match unmet {
            None => (Truth::True, "", ""),
            Some(unmet) => {
                let truth = if unmet.may_pass { Truth::Unknown } else { Truth::False };
                (truth, unmet.reason.as_str(), unmet.message.as_str())
            }
        };
        if truth != Truth::True {
            whole = if whole == Truth::False { whole } else { truth };
            reasons.push((condition.text(), message));
        }
        set_condition(&mut conditions, condition.text(), truth, reason, message, generation, now);
    }
    let message: Vec<String> = reasons.iter().map(|(kind, why)| format!("{kind}: {why}")).collect();
    let reason = if reasons.is_empty() { "" } else { "UnhealthyDependents" };
    set_condition(&mut conditions, "Ready", whole, reason, &message.join("; "), generation, now);
    // A call that failed says nothing about what was found before.
    let unknown = fault.is_some_and(|fault| fault.unmet.iter().any(|unmet| unmet.may_pass));
    let or_before = |new: Option<String>| if unknown { new.or(before.instance_profile.clone()) } else { new };
    EC2NodeClassStatus {
        subnets: kept(found.subnets, &before.subnets, unknown),
        security_groups: kept(found.security_groups, &before.security_groups, unknown),
        amis: kept(found.amis, &before.amis, unknown),
        capacity_reservations: kept(found.capacity_reservations, &before.capacity_reservations, unknown),
        instance_profile: or_before(found.instance_profile),
        conditions,
    }
}

fn kept<T: Clone>(found: Vec<T>, before: &[T], unknown: bool) -> Vec<T> {
    if unknown && found.is_empty() { before.to_vec() } else { found }
}

/// The new status as a merge: what is there no more has to be said.
fn change(status: &EC2NodeClassStatus) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    value["instanceProfile"] = json!(status.instance_profile);
    value["capacityReservations"] = json!(status.capacity_reservations);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::api::ec2_node_class::FoundSubnet;
    use crate::autoscaler::cloud::Unmet;

    fn class() -> EC2NodeClass {
        serde_json::from_value(json!({
            "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": { "name": "default", "generation": 2 },
            "spec": { "subnetSelectorTerms": [], "securityGroupSelectorTerms": [], "amiSelectorTerms": [], "role": "nodes" },
        }))
        .expect("a class")
    }

    fn found() -> EC2NodeClassStatus {
        let subnets = vec![FoundSubnet { id: "subnet-1".into(), ..FoundSubnet::default() }];
        EC2NodeClassStatus { subnets, instance_profile: Some("profile".into()), ..EC2NodeClassStatus::default() }
    }

    fn fault(may_pass: bool) -> ClassFault {
        let unmet = Unmet {
            condition: ClassCondition::AmisReady,
            reason: "AMINotFound".into(),
            message: "`spec.amiSelectorTerms` finds no image".into(),
            may_pass,
        };
        ClassFault { found: EC2NodeClassStatus::default(), unmet: vec![unmet] }
    }

    fn told(status: &EC2NodeClassStatus, kind: &str) -> String {
        status.conditions.iter().find(|c| c.type_ == kind).map(|c| c.status.clone()).expect("the condition")
    }

    #[test]
    fn a_class_is_ready_when_everything_was_found() {
        let status = desired(&class(), found(), None, true, Timestamp::UNIX_EPOCH);
        assert!(status.conditions.iter().all(|condition| condition.status == "True"));
        assert_eq!(status.conditions.len(), ClassCondition::ALL.len() + 1);
        let without =
            desired(&class(), EC2NodeClassStatus::default(), Some(&fault(false)), true, Timestamp::UNIX_EPOCH);
        assert_eq!((told(&without, "AMIsReady"), told(&without, "Ready")), ("False".into(), "False".into()));
        assert_eq!(told(&without, "SubnetsReady"), "True");
    }

    #[test]
    fn where_reservations_are_switched_off_a_class_says_nothing_of_them() {
        let on = desired(&class(), found(), None, true, Timestamp::UNIX_EPOCH);
        assert_eq!(told(&on, "CapacityReservationsReady"), "True");
        let known = EC2NodeClass { status: Some(on), ..class() };
        let off = desired(&known, found(), None, false, Timestamp::UNIX_EPOCH);
        assert!(off.conditions.iter().all(|condition| condition.type_ != "CapacityReservationsReady"));
        assert_eq!(told(&off, "Ready"), "True");
    }

    #[test]
    fn a_call_that_failed_takes_nothing_back() {
        let before = desired(&class(), found(), None, true, Timestamp::UNIX_EPOCH);
        let known = EC2NodeClass { status: Some(before.clone()), ..class() };
        let after = desired(&known, EC2NodeClassStatus::default(), Some(&fault(true)), true, Timestamp::UNIX_EPOCH);
        assert_eq!((&after.subnets, &after.instance_profile), (&before.subnets, &before.instance_profile));
        assert_eq!(told(&after, "Ready"), "Unknown");
        let gone = desired(&known, EC2NodeClassStatus::default(), Some(&fault(false)), true, Timestamp::UNIX_EPOCH);
        assert!(gone.subnets.is_empty(), "what is no more is taken back");
        assert_eq!(change(&gone)["instanceProfile"], Value::Null);
    }
}
