//! Claims become instances.
//!
//! Claims of one decision are launched together, so that those that are planned alike share a call. What cannot be
//! had is asked for in other types and zones at once, with the same claim; a claim is given up when nothing is left,
//! and its pods are planned anew. A claim whose launch another process may have begun takes over what that process
//! bought before it buys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::market::Stock;
use super::offers::{choose, options_of};
use super::plan_claims::{NODE_CLASS, PlannedClaim};
use super::status::{self, give_up};
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::api::labels::NODE_POOL;
use crate::autoscaler::cloud::{LaunchError, LaunchOption, LaunchRequest, Launched, instance_id};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about};
use crate::autoscaler::state::live::Kind;

/// Pauses between attempts that failed, until the claim is too old.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The resource of elastic fabric adapters.
const FABRIC: &str = "vpc.amazonaws.com/efa";
/// After so long claims without an instance are looked for again.
const AGAIN: Duration = Duration::from_secs(5);

/// A claim that is to become an instance.
#[derive(Clone, Debug)]
pub struct Order {
    claim: Arc<NodeClaim>,
    /// What would do and has not been asked for, cheapest first.
    options: Arc<[LaunchOption]>,
    /// What has been asked for last.
    asked: Vec<LaunchOption>,
    /// Whether the zone of the first option is the one to begin with.
    one_zone: bool,
    /// The fewest types that its pool wants to leave to choose from.
    least: usize,
    /// Whether another process may have launched for it.
    unsure: bool,
    attempt: u32,
    pause: Duration,
}

impl Order {
    /// For a claim that this process has just made.
    pub fn new(claim: Arc<NodeClaim>, planned: &PlannedClaim) -> Self {
        let (options, one_zone) = (Arc::clone(&planned.options), planned.prefers_zone);
        Self {
            least: least(&claim),
            claim,
            options,
            asked: Vec::new(),
            one_zone,
            unsure: false,
            attempt: 0,
            pause: FIRST_PAUSE,
        }
    }

    /// For a claim that somebody else has made.
    fn found(claim: Arc<NodeClaim>, options: Arc<[LaunchOption]>) -> Self {
        Self {
            least: least(&claim),
            claim,
            options,
            asked: Vec::new(),
            one_zone: false,
            unsure: true,
            attempt: 0,
            pause: FIRST_PAUSE,
        }
    }

    fn name(&self) -> String {
        self.claim.metadata.name.clone().unwrap_or_default()
    }
}

/// The largest minimum of values that a claim asks for.
fn least(claim: &NodeClaim) -> usize {
    let asked = claim.spec.requirements.iter().filter_map(|requirement| requirement.min_values).max();
    asked.and_then(|least| usize::try_from(least).ok()).unwrap_or(0)
}

/// The claims that are being made or launched by this process, while it leads. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Launches(Arc<Mutex<Work>>);

#[derive(Debug, Default)]
struct Work {
    held: BTreeSet<String>,
    stop: CancellationToken,
}

impl Launches {
    /// Begins anew: whatever an earlier lead has left behind ends with its own `stop`.
    pub fn begin(&self, stop: CancellationToken) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Work { held: BTreeSet::new(), stop };
    }

    /// Ends when this process leads no more.
    fn stop(&self) -> CancellationToken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stop.clone()
    }

    /// Takes a claim up; `false` when it is in work already.
    pub fn hold(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held.insert(name.to_owned())
    }

    /// Lets a claim go.
    pub fn release(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held.remove(name);
    }

    /// Whether a claim is in work.
    pub fn holds(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held.contains(name)
    }
}

/// Launches claims that are held; they are let go when they have an instance or are given up.
pub fn start(context: &Context, orders: Vec<Order>) {
    if !orders.is_empty() {
        let (context, stop) = (context.clone(), context.launches.stop());
        tokio::spawn(async move { carry_out(&context, orders, &stop).await });
    }
}

/// Launches claims that were found without an instance: those of a process before this one.
pub async fn run(context: Context, stop: CancellationToken) -> anyhow::Result<()> {
    let mut changes = context.live.changes(&[Kind::Claim, Kind::Class]);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = changes.next() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
        let found = forgotten(&context);
        if found.is_empty() {
            continue;
        }
        let stock = context.market.stock(&context).await;
        let orders: Vec<Order> = found
            .into_iter()
            .filter(|claim| stock.classes.contains_key(&claim.spec.node_class_ref.name))
            .filter(|claim| context.launches.hold(claim.metadata.name.as_deref().unwrap_or_default()))
            .map(|claim| {
                let options = context.live.lock().with_names(|names| options_of(&claim, &stock.catalogue, names));
                Order::found(claim, options)
            })
            .collect();
        start(&context, orders);
    }
}

/// Claims without an instance that nobody launches.
fn forgotten(context: &Context) -> Vec<Arc<NodeClaim>> {
    let live = context.live.lock();
    let open = live.claims().filter(|claim| {
        claim.provider_id().is_none() && claim.deletion().is_none() && !context.launches.holds(&claim.name)
    });
    open.map(|claim| Arc::clone(&claim.object)).collect()
}

async fn carry_out(context: &Context, mut orders: Vec<Order>, stop: &CancellationToken) {
    loop {
        let stock = context.market.stock(context).await;
        orders.retain(|order| still_wanted(context, order));
        if orders.is_empty() || stop.is_cancelled() {
            return;
        }
        let requests: Vec<LaunchRequest> =
            orders.iter_mut().filter_map(|order| request(context, order, &stock)).collect();
        context.metrics.batch_size.took(["create_fleet"], requests.len() as f64);
        let mut answers: BTreeMap<String, Result<Launched, LaunchError>> =
            context.cloud.launch(requests, &claimed(context)).await.into_iter().collect();
        let mut again = Vec::new();
        let mut recorded = Vec::new();
        for order in orders {
            match answers.remove(&order.name()) {
                Some(Ok(launched)) => recorded.push(record(context, &stock, order, launched)),
                Some(Err(error)) => again.extend(after_failure(context, order, error).await),
                None => later(context, order, "NodeClassNotReady", "its EC2NodeClass is not ready").await,
            }
        }
        futures::future::join_all(recorded).await;
        orders = again;
    }
}

/// Whether a claim is there and has no instance yet; one that is not is let go.
fn still_wanted(context: &Context, order: &Order) -> bool {
    let live = context.live.lock();
    let wanted =
        live.claim(&order.name()).is_some_and(|claim| claim.deletion().is_none() && claim.provider_id().is_none());
    drop(live);
    if !wanted {
        context.launches.release(&order.name());
    }
    wanted
}

/// The ids of instances that a claim names.
fn claimed(context: &Context) -> BTreeSet<String> {
    let live = context.live.lock();
    live.claims().filter_map(|claim| instance_id(claim.provider_id()?)).map(str::to_owned).collect()
}

fn pool_of(claim: &NodeClaim) -> Option<&str> {
    claim.metadata.labels.as_ref()?.get(NODE_POOL).map(String::as_str)
}

/// What is asked for now; it is off the list then. `None` when the class cannot be launched from.
fn request(context: &Context, order: &mut Order, stock: &Stock) -> Option<LaunchRequest> {
    let class = Arc::clone(stock.classes.get(&order.claim.spec.node_class_ref.name)?);
    let first = order.attempt == 0;
    // What another process has bought may be anything that would have done.
    let options = if order.unsure && first {
        order.options.to_vec()
    } else {
        let open = order.options.iter().filter(|option| is_open(context, option));
        choose(&open.cloned().collect::<Vec<_>>(), order.one_zone && first, order.least)
    };
    order.asked = options.clone();
    let claim = &order.claim;
    Some(LaunchRequest {
        claim: order.name(),
        uid: claim.metadata.uid.clone().unwrap_or_default(),
        attempt: order.attempt,
        unsure: order.unsure,
        pool: pool_of(claim).unwrap_or_default().to_owned(),
        class,
        options: options.into(),
        fabric: claim.spec.resources.requests.contains_key(FABRIC),
        labels: own_labels(claim),
        taints: claim.spec.taints.clone(),
        startup_taints: claim.spec.startup_taints.clone(),
    })
}

fn is_open(context: &Context, option: &LaunchOption) -> bool {
    context.cloud.unavailable().until_for(option, context.now()).is_none()
}

/// The labels of a claim beyond its pool and class.
fn own_labels(claim: &NodeClaim) -> BTreeMap<String, String> {
    let mut labels = claim.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, _| key != NODE_POOL && key != NODE_CLASS);
    labels
}

async fn record(context: &Context, stock: &Stock, order: Order, launched: Launched) {
    let name = order.name();
    tracing::info!(
        claim = name,
        instance = launched.instance_id,
        instance_type = launched.instance_type,
        zone = launched.zone,
        capacity_type = launched.capacity_type.text(),
        reservation = launched.reservation,
        adopted = launched.adopted,
        "launched"
    );
    if let Err(error) = status::launched(context, stock, &order.claim, &launched).await {
        // The claim is found without an instance, and takes this one over.
        tracing::warn!(claim = name, %error, "an instance could not be written to its claim yet");
    }
    context.launches.release(&name);
}

/// The order for another attempt at once, if there is something else to try.
async fn after_failure(context: &Context, mut order: Order, error: LaunchError) -> Option<Order> {
    let name = order.name();
    order.attempt += 1;
    match error {
        LaunchError::InsufficientCapacity { message } => {
            context.events.publish(about(&*order.claim), Tone::Warning, "InsufficientCapacityError", &message);
            order.options = order.options.iter().filter(|option| !order.asked.contains(option)).cloned().collect();
            if order.options.iter().any(|option| is_open(context, option)) {
                tracing::info!(claim = name, message, "not to be had: something else is tried");
                return Some(order);
            }
            tracing::warn!(claim = name, message, "nothing that would do can be had: the claim is given up");
            give_up(context, &order.claim, "insufficient_capacity").await;
            None
        }
        LaunchError::ClassNotReady { message } => {
            context.events.publish(about(&*order.claim), Tone::Warning, "NodeClassNotReady", &message);
            give_up(context, &order.claim, "nodeclass_not_ready").await;
            None
        }
        LaunchError::Cloud(error) => {
            order.unsure = true;
            later(context, order, "LaunchFailed", &error.to_string()).await;
            None
        }
    }
}

/// Says on the claim why it waits, and tries again after a pause.
async fn later(context: &Context, mut order: Order, reason: &'static str, message: &str) {
    tracing::warn!(claim = order.name(), reason, message, "a launch failed: it is tried again");
    status::unlaunched(context, &order.claim, reason, message).await;
    let pause = order.pause;
    order.pause = (pause * 2).min(LONGEST_PAUSE);
    let context = context.clone();
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        start(&context, vec![order]);
    });
}

/// What a launch settles of the labels of a claim.
pub(super) fn labels(stock: &Stock, context: &Context, claim: &NodeClaim, launched: &Launched) -> serde_json::Value {
    let live = context.live.lock();
    let names = live.names();
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    if let Some((instance_type, offering)) = status::bought(stock, names, claim, launched) {
        for (key, value) in
            instance_type.labels.iter().chain(offering.iter().flat_map(|offering| offering.labels.iter()))
        {
            labels.insert(names.text(*key).to_owned(), names.text(*value).to_owned());
        }
    }
    labels.retain(|_, value| !value.is_empty());
    labels.insert("node.kubernetes.io/instance-type".to_owned(), launched.instance_type.clone());
    labels.insert("topology.kubernetes.io/zone".to_owned(), launched.zone.clone());
    labels.insert("topology.k8s.aws/zone-id".to_owned(), launched.zone_id.clone());
    labels.insert("karpenter.sh/capacity-type".to_owned(), launched.capacity_type.text().to_owned());
    json!(labels)
}
