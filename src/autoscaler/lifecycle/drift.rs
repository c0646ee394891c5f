//! Compares nodes with what their pools and classes say, and keeps the condition `Drifted` on their claims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::conditions::LAUNCHED;
use super::lapsed::{self, reservation_of};
use super::market::Stock;
use super::status;
use super::survey::DRIFTED;
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::cloud::{Image, Instance, ResolvedClass, instance_id};
use crate::autoscaler::disruption::drift::{Drift, Have, Stamp, Want, find, meets};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::writes::{Truth, clear_condition, is_missing, set_condition};
use crate::autoscaler::state::live::{Kind, Live, LiveClaim};
use crate::autoscaler::state::names::keys;

/// After so long everything is compared again.
const AGAIN: Duration = Duration::from_secs(5 * 60);
const TOGETHER: Duration = Duration::from_millis(500);
/// A type that is missing from the catalogue is only believed to be gone after this time.
const GONE_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Keeps the condition.
pub async fn run(context: Context, stop: CancellationToken) {
    let mut changes = context.live.changes(&[Kind::Pool, Kind::Class]);
    let mut missing: BTreeMap<String, Timestamp> = BTreeMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = changes.next() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
        tokio::time::sleep(TOGETHER).await;
        if !context.live.lock().all_synced() {
            continue;
        }
        look(&context, &mut missing).await;
    }
}

async fn look(context: &Context, missing: &mut BTreeMap<String, Timestamp>) {
    let stock = context.market.stock(context).await;
    let instances: BTreeMap<String, Instance> = match context.cloud.instances().await {
        Ok(instances) => instances.into_iter().map(|one| (one.id.clone(), one)).collect(),
        Err(error) => {
            tracing::debug!(%error, "drift is judged without what the cloud says of instances");
            BTreeMap::new()
        }
    };
    lapsed::look(context, &stock, &instances).await;
    let news: Vec<(Arc<str>, Option<Drift>)> = {
        let live = context.live.lock();
        let reserved = context.settings.gates.reserved_capacity;
        note_missing(&live, &stock, missing, context.now());
        let launched = live.claims().filter(|claim| claim.deletion().is_none() && claim.is(LAUNCHED));
        launched
            .map(|claim| {
                (Arc::clone(&claim.name), judge(&live, &stock, &instances, missing, claim, reserved, context.now()))
            })
            .filter(|(name, drift)| {
                let told = live.claim(name).and_then(|claim| claim.condition(DRIFTED));
                told.filter(|told| told.status == "True").map(|told| told.reason.as_str()) != drift.map(Drift::text)
            })
            .collect()
    };
    for (claim, drift) in news {
        write(context, &claim, drift).await;
    }
}

/// Since when types of nodes are missing from the catalogue.
fn note_missing(live: &Live, stock: &Stock, missing: &mut BTreeMap<String, Timestamp>, now: Timestamp) {
    let sold: BTreeSet<&str> = stock.catalogue.types.iter().map(|one| live.text(one.name)).collect();
    if sold.is_empty() {
        return;
    }
    let own = live.claims().filter_map(|claim| claim_label(&claim.object, keys::INSTANCE_TYPE));
    let gone: BTreeSet<&str> = own.filter(|name| !sold.contains(name)).collect();
    missing.retain(|name, _| gone.contains(name.as_str()));
    for name in gone {
        missing.entry(name.to_owned()).or_insert(now);
    }
}

fn claim_label<'a>(claim: &'a NodeClaim, key: &str) -> Option<&'a str> {
    claim.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn judge(
    live: &Live,
    stock: &Stock,
    instances: &BTreeMap<String, Instance>,
    missing: &BTreeMap<String, Timestamp>,
    claim: &LiveClaim,
    reserved: bool,
    now: Timestamp,
) -> Option<Drift> {
    let pool = live.pool(claim.pool()?)?;
    let class = live.class(claim.class());
    let instance = claim.provider_id().and_then(instance_id).and_then(|id| instances.get(id));
    let gone_since = claim_label(&claim.object, keys::INSTANCE_TYPE).and_then(|name| missing.get(name));
    let mut want = Want {
        pool: stamp(&pool.object.metadata, "karpenter.sh/nodepool-hash"),
        class: class
            .map(|class| stamp(&class.object.metadata, "karpenter.k8s.aws/ec2nodeclass-hash"))
            .unwrap_or_default(),
        requirements: pool.object.spec.template.spec.requirements.clone(),
        type_gone: gone_since.is_some_and(|since| now.duration_since(*since) >= GONE_AFTER),
        ..Want::default()
    };
    let labels = claim.object.metadata.labels.clone().unwrap_or_default();
    if let Some(resolved) = stock.classes.get(claim.class()) {
        resolve(&mut want, resolved, &labels);
    }
    if !reserved {
        want.reservations = None;
    }
    if instance.is_none() {
        want.placement_group = None;
    }
    // What has left its reservation is no part of it, whatever its labels still say.
    let left = instance.is_some_and(|one| one.reservation.is_none());
    let reservation = reservation_of(&claim.object).filter(|_| !left).map(str::to_owned);
    let status = claim.object.status.as_ref();
    let have = Have {
        pool: stamp(&claim.object.metadata, "karpenter.sh/nodepool-hash"),
        class: stamp(&claim.object.metadata, "karpenter.k8s.aws/ec2nodeclass-hash"),
        labels,
        image: status.and_then(|status| status.image_id.clone()),
        security_groups: instance.map(|one| one.security_groups.iter().cloned().collect()),
        subnet: instance.map(|one| one.subnet_id.clone()).filter(|id| !id.is_empty()),
        reservation,
        placement_group: instance.and_then(|one| one.placement_group.clone()),
    };
    find(&have, &want)
}

/// What a class asks for, for nodes with these labels.
fn resolve(want: &mut Want, class: &ResolvedClass, labels: &BTreeMap<String, String>) {
    let suits = |image: &&Image| meets(labels, &image.requirements);
    want.images = class.images.iter().filter(suits).map(|image| image.id.clone()).collect();
    want.security_groups = class.security_groups.iter().map(|group| group.id.clone()).collect();
    want.reservations = Some(class.reservations.iter().map(|reservation| reservation.id.clone()).collect());
    want.placement_group = Some(class.placement_group.clone());
    want.subnets = class.subnets.iter().map(|subnet| subnet.id.clone()).collect();
}

fn stamp(metadata: &ObjectMeta, key: &str) -> Stamp {
    let annotation = |key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
    Stamp { hash: annotation(key), version: annotation(&format!("{key}-version")) }
}

async fn write(context: &Context, claim: &str, drift: Option<Drift>) {
    let now = context.now();
    if let Some(drift) = drift {
        tracing::info!(claim, reason = drift.text(), "a node is not as its pool and class say");
    }
    let written = status::write(context, claim, Value::Null, |list| match drift {
        Some(drift) => set_condition(list, DRIFTED, Truth::True, drift.text(), "", Some(1), now),
        None => clear_condition(list, DRIFTED),
    });
    if let Err(error) = written.await
        && !is_missing(&error)
    {
        tracing::warn!(claim, %error, "a claim could not be told that it has drifted");
    }
}
