//! Writes how a claim stands: labels that its launch has settled, amounts, conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, DeleteParams, Preconditions};
use serde_json::{Value, json};

use super::conditions::{INITIALIZED, LAUNCHED, READY, REGISTERED};
use super::market::Stock;
use super::plan_claims::{NODE_CLASS, quantity};
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::cloud::Launched;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::writes::{self, Truth, is_conflict, is_missing, may_pass, set_condition};
use crate::autoscaler::state::instance_types::{InstanceType, Offering};
use crate::autoscaler::state::live::Observed;
use crate::autoscaler::state::names::{Names, keys};
use crate::autoscaler::state::resources::Amounts;
use crate::autoscaler::steering::Target;

/// How often a change is tried against changes of others.
const ATTEMPTS: u32 = 5;

/// Changes the conditions of a claim, with other fields of the status beside them. `conditions` changes a list as it
/// is read; when it changes nothing and there is nothing beside, nothing is written.
///
/// # Errors
/// The API server's, after some attempts.
pub async fn write(
    context: &Context,
    name: &str,
    beside: Value,
    conditions: impl Fn(&mut Vec<Condition>) -> bool,
) -> kube::Result<()> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let known = context.live.lock().claim(name).map(|claim| (*claim.object).clone());
        let claim = match known {
            Some(claim) if attempt == 1 => claim,
            _ => Api::<NodeClaim>::all(context.client.clone()).get(name).await?,
        };
        let mut list = claim.status.clone().unwrap_or_default().conditions;
        let changed = conditions(&mut list);
        if !changed && beside.as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(());
        }
        let mut status = beside.clone();
        if !status.is_object() {
            status = json!({});
        }
        status["conditions"] = json!(list);
        match writes::patch_status_of(&context.client, &claim, status).await {
            Ok(written) => {
                context.live.apply(Observed::Claim(Box::new(written)));
                return Ok(());
            }
            Err(error) if attempt < ATTEMPTS && is_conflict(&error) => {}
            Err(error) if attempt < ATTEMPTS && may_pass(&error) => {
                tokio::time::sleep(std::time::Duration::from_millis(200 * u64::from(attempt))).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Sets conditions, and `Ready` with them.
pub fn set(list: &mut Vec<Condition>, wanted: &[(&str, Truth, &str, &str)], now: jiff::Timestamp) -> bool {
    let mut changed = false;
    for (kind, status, reason, message) in wanted {
        changed |= set_condition(list, kind, *status, reason, message, Some(1), now);
    }
    let open =
        [LAUNCHED, REGISTERED, INITIALIZED].into_iter().find(|kind| writes::truth_of(list, kind) != Some(Truth::True));
    changed
        | match open {
            None => set_condition(list, READY, Truth::True, READY, "", Some(1), now),
            Some(kind) => {
                let truth = writes::truth_of(list, kind).unwrap_or(Truth::Unknown);
                set_condition(
                    list,
                    READY,
                    truth,
                    "UnhealthyDependents",
                    &format!("{kind} is not true yet"),
                    Some(1),
                    now,
                )
            }
        }
}

/// The type and offering of an instance.
pub fn bought<'a>(
    stock: &'a Stock,
    names: &Names,
    claim: &NodeClaim,
    launched: &Launched,
) -> Option<(&'a InstanceType, Option<&'a Offering>)> {
    let own = names.strings.find(&launched.instance_type)?;
    let class_key = names.strings.find(NODE_CLASS);
    let class = names.strings.find(&claim.spec.node_class_ref.name);
    let of_class = |each: &&InstanceType| {
        let label = class_key.and_then(|key| crate::autoscaler::state::pod_spec::label(&each.labels, key));
        label.is_none() || label == class
    };
    let instance_type = stock.catalogue.types.iter().filter(|each| each.name == own).find(of_class)?;
    let text = |offering: &&Offering| {
        names.text(offering.zone) == launched.zone
            && names.text(offering.capacity_type) == launched.capacity_type.text()
            && offering.reservation(names) == launched.reservation.as_deref()
    };
    Some((instance_type, instance_type.offerings.iter().find(text)))
}

fn amounts(names: &Names, amounts: &Amounts) -> Value {
    let all = amounts.iter().filter(|(_, amount)| *amount > 0);
    json!(
        all.map(|(id, amount)| (names.resources.name(id).to_owned(), quantity(id, amount)))
            .collect::<std::collections::BTreeMap<_, _>>()
    )
}

/// Writes an instance to its claim: the status first, since it is what must not be lost.
///
/// # Errors
/// The API server's.
pub async fn launched(context: &Context, stock: &Stock, claim: &NodeClaim, launched: &Launched) -> kube::Result<()> {
    let name = claim.metadata.name.clone().unwrap_or_default();
    let mut status = json!({ "providerID": launched.provider_id, "imageID": launched.image_id });
    {
        let live = context.live.lock();
        let names = live.names();
        if let Some((instance_type, _)) = bought(stock, names, claim, launched) {
            status["capacity"] = amounts(names, &instance_type.capacity);
            status["allocatable"] = amounts(names, &instance_type.allocatable);
        }
    }
    let now = context.now();
    let wanted = [
        (LAUNCHED, Truth::True, LAUNCHED, ""),
        (REGISTERED, Truth::Unknown, "NodeNotFound", "the node has not registered yet"),
        (INITIALIZED, Truth::Unknown, "NodeNotFound", "the node has not registered yet"),
    ];
    write(context, &name, status, |list| set(list, &wanted, now)).await?;
    let labels = super::launch::labels(stock, context, claim, launched);
    let written: NodeClaim =
        writes::patch(&context.client, &name, &json!({ "metadata": { "labels": labels } })).await?;
    context.live.apply(Observed::Claim(Box::new(written)));
    Ok(())
}

/// Says on a claim why it has no instance yet.
pub async fn unlaunched(context: &Context, claim: &NodeClaim, reason: &str, message: &str) {
    let name = claim.metadata.name.clone().unwrap_or_default();
    let now = context.now();
    let message: String = message.chars().take(1024).collect();
    let wanted = [(LAUNCHED, Truth::Unknown, reason, message.as_str())];
    if let Err(error) = write(context, &name, Value::Null, |list| set(list, &wanted, now)).await {
        tracing::warn!(claim = name, %error, "the claim could not be told why it waits");
    }
}

/// Gives up a claim that has no instance. Its pods have no place then and are planned anew.
pub async fn give_up(context: &Context, claim: &NodeClaim, reason: &'static str) {
    let name = claim.metadata.name.clone().unwrap_or_default();
    if !remove(context, claim, reason).await {
        context.launches.release(&name);
        return;
    }
    // Nothing was bought for it: there is nothing to end, so the finalizer need not be waited for.
    match Api::<NodeClaim>::all(context.client.clone()).get_opt(&name).await {
        Ok(Some(gone)) if gone.metadata.uid == claim.metadata.uid => {
            let done = writes::remove_finalizer(&context.client, &gone, super::registration::FINALIZER).await;
            if let Err(error) = done {
                tracing::debug!(claim = name, %error, "a claim that is given up is finalised by whoever comes next");
            }
        }
        Ok(_) => {}
        Err(error) => {
            tracing::debug!(claim = name, %error, "a claim that is given up is finalised by whoever comes next")
        }
    }
    context.launches.release(&name);
}

/// Deletes a claim, and takes its pods' places away; whether it is about to go.
pub async fn remove(context: &Context, claim: &NodeClaim, reason: &'static str) -> bool {
    let name = claim.metadata.name.clone().unwrap_or_default();
    let uid = Preconditions { uid: claim.metadata.uid.clone(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(uid), ..DeleteParams::default() };
    let deleted = Api::<NodeClaim>::all(context.client.clone()).delete(&name, &parameters).await;
    match deleted {
        Ok(answer) => {
            if let Some(leaving) = answer.left() {
                context.live.apply(Observed::Claim(Box::new(leaving)));
            }
            let labels = claim.metadata.labels.as_ref();
            let label = |key: &str| labels.and_then(|labels| labels.get(key)).map_or("", String::as_str);
            context.metrics.nodeclaims_disrupted.count([reason, label(keys::NODE_POOL), label(keys::CAPACITY_TYPE)]);
        }
        Err(error) if is_missing(&error) || is_conflict(&error) => {}
        Err(error) => {
            tracing::warn!(claim = name, %error, "a claim that is given up could not be deleted yet");
            return false;
        }
    }
    context.plan.lock().release(&Target::Claim(name.as_str().into()));
    context.plan.notify();
    true
}
