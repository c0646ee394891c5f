//! Makes claims of a plan: for new pods, and for nodes that are to be replaced.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::launch::{self, Order};
use super::plan_claims::PlannedClaim;
use super::registration::FINALIZER;
use super::reserved::open_claims;
use crate::autoscaler::api::node_claim::ClaimResources;
use crate::autoscaler::api::{NodeClaim, NodeClaimSpec, NodePool};
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::events::{Tone, about_pod};
use crate::autoscaler::runtime::writes::{is_conflict, may_pass};
use crate::autoscaler::state::live::{Live, Observed, Uid};
use crate::autoscaler::state::resources::Amounts;
use crate::autoscaler::steering::Target;

/// The pods that a claim was made for, by the first eight digits of their ids: a process that comes after this one
/// buys nothing for them again.
pub const PLANNED_FOR: &str = "eksup.dev/planned-for";
/// Says that a claim has fewer values to choose from than its pool asks for.
const RELAXED: &str = "karpenter.sh/nodeclaim-min-values-relaxed";
/// How many pods of a claim are told of it by an event.
const MOST_TOLD: usize = 20;
/// Annotations of a pool and of a class that their claims carry on.
const HASHES: [&str; 4] = [
    "karpenter.sh/nodepool-hash",
    "karpenter.sh/nodepool-hash-version",
    "karpenter.k8s.aws/ec2nodeclass-hash",
    "karpenter.k8s.aws/ec2nodeclass-hash-version",
];
/// How many claims are made at a time.
const AT_A_TIME: usize = 32;
/// Pauses before a claim that could not be made is tried again.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

/// Why a claim was not made.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// The pool is gone, or about to go.
    #[error("the NodePool `{0}` is gone")]
    NoPool(String),
    /// The limits of the pool are used up.
    #[error("the NodePool `{pool}` has reached its limit: {limit}")]
    Limit {
        /// The pool.
        pool: String,
        /// Which limit, and by how much.
        limit: String,
    },
    /// Somebody else has what was left of the reservation.
    #[error("nothing is left of the capacity reservation `{0}`")]
    Reservation(String),
    /// The API server refused it.
    #[error("the NodeClaim could not be written")]
    Refused(#[source] kube::Error),
}

/// What claims will take from the limits of their pools, until the state knows: those that are being made, and
/// those that have no instance yet. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Reserved(Arc<Mutex<BTreeMap<String, Reservation>>>);

#[derive(Clone, Debug)]
struct Reservation {
    pool: String,
    amounts: Amounts,
    /// The capacity reservation that it is pinned to.
    pinned: Option<Arc<str>>,
    /// Whether the state knows the claim.
    made: bool,
}

/// Makes the claims of a plan and has them launched. One answer for each, in the order of the plan: its name.
pub async fn create_claims(context: &Context, plan: Vec<PlannedClaim>) -> Vec<Result<String, NotMade>> {
    let prepared: Vec<Result<(PlannedClaim, NodeClaim), NotMade>> =
        plan.into_iter().map(|planned| prepare(context, planned)).collect();
    let made = prepared.into_iter().map(|each| async {
        let (planned, claim) = each?;
        let name = claim.metadata.name.clone().unwrap_or_default();
        // Held before anybody can see it: nobody else is to launch it.
        context.launches.hold(&name);
        let made = write(context, claim).await;
        match &made {
            Ok(claim) => context.live.apply(Observed::Claim(Box::new(claim.clone()))),
            Err(_) => context.launches.release(&name),
        }
        context.reserved.settle(&name, made.is_ok());
        Ok((planned, made.map_err(NotMade::Refused)?))
    });
    let made: Vec<Result<(PlannedClaim, NodeClaim), NotMade>> =
        futures::stream::iter(made).buffered(AT_A_TIME).collect().await;
    let mut orders = Vec::new();
    let mut names = Vec::with_capacity(made.len());
    for each in made {
        names.push(each.map(|(planned, claim)| {
            let name = claim.metadata.name.clone().unwrap_or_default();
            remember(context, &planned, &name);
            let relaxed = if planned.relaxed { "true" } else { "false" };
            context.metrics.nodeclaims_created.count([planned.reason, &planned.pool, relaxed]);
            orders.push(Order::new(Arc::new(claim), &planned));
            name
        }));
    }
    context.plan.notify();
    launch::start(context, orders);
    names
}

/// Gives the pods of a claim their place on it.
fn remember(context: &Context, planned: &PlannedClaim, name: &str) {
    let now = context.now();
    let live = context.live.lock();
    let mut plan = context.plan.lock();
    for pod in &planned.pods {
        plan.place(&live, *pod, Target::Claim(name.into()), now);
    }
    for workload in &planned.coming {
        plan.expect(&live, workload, Target::Claim(name.into()), now);
    }
    drop(plan);
    for pod in planned.pods.iter().take(MOST_TOLD).filter_map(|pod| live.pod(*pod)) {
        let message = format!("Pod should schedule on: nodeclaim/{name}");
        context.events.publish(about_pod(pod), Tone::Normal, "Nominated", &message);
    }
}

/// The claim, once its pool has room for it.
fn prepare(context: &Context, planned: PlannedClaim) -> Result<(PlannedClaim, NodeClaim), NotMade> {
    let live = context.live.lock();
    let pool = live.pool(&planned.pool).filter(|pool| pool.deletion().is_none());
    let pool = pool.ok_or_else(|| NotMade::NoPool(planned.pool.clone()))?;
    let name = format!("{}-{}", planned.pool, suffix());
    if let Some(id) = planned.reservation() {
        let open = open_claims(&live, &context.reserved).remove(&**id).unwrap_or_default();
        if context.cloud.left(id, &open) < 1 {
            return Err(NotMade::Reservation(id.to_string()));
        }
    }
    context.reserved.take(&live, &planned, &name)?;
    let class = live.class(&planned.class);
    let mut hashes: BTreeMap<String, String> = BTreeMap::new();
    for metadata in [Some(&pool.object.metadata), class.map(|class| &class.object.metadata)].into_iter().flatten() {
        let own = metadata.annotations.iter().flatten().filter(|(key, _)| HASHES.contains(&key.as_str()));
        hashes.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    }
    let claim = object(&planned, &pool.object, &name, hashes);
    drop(live);
    Ok((planned, claim))
}

/// The claim as it is written.
fn object(planned: &PlannedClaim, pool: &NodePool, name: &str, hashes: BTreeMap<String, String>) -> NodeClaim {
    let template = &pool.spec.template;
    let mut annotations = template.metadata.annotations.clone();
    annotations.extend(hashes);
    if !planned.pods.is_empty() {
        let pods: Vec<String> = planned.pods.iter().map(|pod| short(*pod)).collect();
        annotations.insert(PLANNED_FOR.to_owned(), pods.join(","));
    }
    if planned.relaxed {
        annotations.insert(RELAXED.to_owned(), "true".to_owned());
    }
    let spec = NodeClaimSpec {
        taints: template.spec.taints.clone(),
        startup_taints: template.spec.startup_taints.clone(),
        requirements: planned.requirements.clone(),
        resources: ClaimResources { requests: planned.requests.clone() },
        node_class_ref: template.spec.node_class_ref.clone(),
        termination_grace_period: template.spec.termination_grace_period.clone(),
        expire_after: template.spec.expire_after.clone(),
    };
    let mut claim = NodeClaim::new(name, spec);
    let owner = crate::autoscaler::runtime::writes::owner_reference::<NodePool>(&pool.metadata);
    claim.metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(planned.labels.clone()),
        annotations: Some(annotations),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        owner_references: serde_json::from_value(json!([owner])).ok(),
        ..ObjectMeta::default()
    };
    claim
}

/// The first eight digits of a pod's id.
pub fn short(pod: Uid) -> String {
    pod.to_string().chars().take(8).collect()
}

/// Writes a claim. What may pass is tried again; a claim of the name that is there by then is ours, since an answer
/// was lost.
async fn write(context: &Context, claim: NodeClaim) -> kube::Result<NodeClaim> {
    let api: Api<NodeClaim> = Api::all(context.client.clone());
    let name = claim.metadata.name.clone().unwrap_or_default();
    let mut pauses = PAUSES.into_iter();
    let mut again = false;
    loop {
        match api.create(&PostParams::default(), &claim).await {
            Err(error) if again && is_conflict(&error) => return api.get(&name).await,
            Err(error) if may_pass(&error) && !is_conflict(&error) => {
                let Some(pause) = pauses.next() else { return Err(error) };
                tokio::time::sleep(pause).await;
                again = true;
            }
            answer => return answer,
        }
    }
}

/// Five letters and digits that nobody has used yet, most likely, and that spell nothing.
fn suffix() -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut number = RandomState::new().build_hasher().finish();
    let mut text = String::new();
    for _ in 0..5 {
        text.push(char::from(LETTERS[usize::try_from(number % 27).unwrap_or(0)]));
        number /= 27;
    }
    text
}

impl Reserved {
    /// Sets aside what a claim takes from the limits of its pool.
    fn take(&self, live: &Live, planned: &PlannedClaim, name: &str) -> Result<(), NotMade> {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Ok(pool)) = live.pool(&planned.pool).map(|pool| pool.read.as_ref()) else {
            return Err(NotMade::NoPool(planned.pool.clone()));
        };
        let has = |amounts: &Amounts| amounts.iter().any(|(_, amount)| amount > 0);
        reserved.retain(|name, own| !own.made || live.claim(name).is_some_and(|claim| !has(&claim.capacity)));
        let mut used = Amounts::default();
        let mut nodes = 0_i64;
        for claim in
            live.claims().filter(|claim| claim.pool() == Some(&planned.pool) && !reserved.contains_key(&*claim.name))
        {
            let node = live.node_of_claim(claim).map(|node| &node.capacity);
            let launched = Some(&claim.capacity).filter(|capacity| has(capacity));
            used.add_all(node.or(launched).unwrap_or(&claim.requests));
            nodes += 1;
        }
        for own in reserved.values().filter(|own| own.pool == planned.pool) {
            used.add_all(&own.amounts);
            nodes += 1;
        }
        let wanted = &planned.expected.capacity;
        let mut limits = pool.limits.iter();
        if let Some((id, limit)) = limits.find(|(id, limit)| used.get(*id) + wanted.get(*id) > *limit) {
            let show = |amount| crate::autoscaler::state::resources::show_amount(id, amount);
            let name = live.names().resources.name(id);
            let limit = format!("{} of {name}, of which {} is in use", show(limit), show(used.get(id)));
            return Err(NotMade::Limit { pool: planned.pool.clone(), limit });
        }
        if pool.node_limit.is_some_and(|limit| nodes >= limit) {
            return Err(NotMade::Limit { pool: planned.pool.clone(), limit: format!("{nodes} nodes") });
        }
        let pinned = planned.reservation().cloned();
        let reservation = Reservation { pool: planned.pool.clone(), amounts: wanted.clone(), pinned, made: false };
        reserved.insert(name.to_owned(), reservation);
        Ok(())
    }

    /// Claims that the state does not know yet and that are pinned to a capacity reservation: (claim, reservation).
    pub fn pinned(&self) -> Vec<(String, Arc<str>)> {
        let reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unmade = reserved.iter().filter(|(_, own)| !own.made);
        unmade.filter_map(|(name, own)| Some((name.clone(), own.pinned.clone()?))).collect()
    }

    /// A claim is in the state now, or was not made.
    fn settle(&self, name: &str, made: bool) {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !made {
            reserved.remove(name);
        } else if let Some(own) = reserved.get_mut(name) {
            own.made = true;
        }
    }
}
