//! Tells kube-scheduler the plan: which pod is meant for which node; and ReplicaSets which pods to let go first.
//!
//! kube-scheduler decides where pods go, and would spread small ones over the node that was bought for a large
//! one. From Kubernetes 1.35 on it keeps room for pods whose `status.nominatedNodeName` names a node, whoever
//! wrote it. So every pod that a plan has a place for is nominated: once its node is there, and before the taint
//! goes that keeps pods off the node until then.
//!
//! | file | holds |
//! |---|---|
//! | `plan` | which pod is meant for which claim or node |
//! | `waves` | which pods may be nominated at a time |
//! | `nominations` | which nodes pods have to be told now |
//! | `stalled` | whom kube-scheduler has to be made to look at once more |
//! | `deletion_costs` | how dear it is to let a pod go, so that a scale-in empties nodes |

pub mod deletion_costs;
pub mod nominations;
pub mod plan;
pub mod stalled;
#[cfg(test)]
pub(in crate::autoscaler) mod testing;
pub mod waves;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::writes::{is_conflict, is_missing};
use crate::autoscaler::state::live::{DELETION_COST, Kind, OWN_DELETION_COST, Observed, Uid};
use deletion_costs::{DeletionCost, DeletionCosts};
use nominations::Nomination;
pub use plan::{Place, Plan, Settled, Target};
use stalled::Stalled;

/// How many pods are told at a time.
const AT_A_TIME: usize = 48;
/// How many pods are told before it is looked again at who has to be told what: kube-scheduler looks at pods meanwhile.
const MOST_TOLD: usize = 3 * AT_A_TIME;
/// Changes that come within this time are looked at together.
const TOGETHER: Duration = Duration::from_millis(15);
/// For how long pods are told of nodes, at most, before these take pods: kube-scheduler may take it back again.
const PREPARING: Duration = Duration::from_secs(4);
/// For how long kube-scheduler has to have refused nobody before that, and for how long this is waited for at most: it tries
/// all pods when a node comes, and takes back what they were told by then.
const QUIET: Duration = Duration::from_millis(120);
const UNTIL_QUIET: Duration = Duration::from_millis(1000);
/// While pods are yet to be told something, everything is looked at again after so long.
const SOON: Duration = Duration::from_millis(500);
/// After so long everything is looked at again.
const AGAIN: Duration = Duration::from_secs(10);

/// What pods were told.
#[derive(Clone, Debug, Default)]
struct Told {
    nodes: nominations::Told,
    stalled: Stalled,
    costs: DeletionCosts,
}

/// The plan of this process, for everybody who makes or reads it. Cloning it is cheap.
///
/// Whoever holds both takes the lock of the live state first.
#[derive(Clone, Debug)]
pub struct SharedPlan {
    inner: Arc<Mutex<(Plan, Told)>>,
    changes: watch::Sender<u64>,
}

impl Default for SharedPlan {
    fn default() -> Self {
        Self { inner: Arc::default(), changes: watch::Sender::new(0) }
    }
}

/// The plan, while it is looked at.
pub struct Held<'a>(MutexGuard<'a, (Plan, Told)>);

impl std::ops::Deref for Held<'_> {
    type Target = Plan;
    fn deref(&self) -> &Plan {
        &self.0.0
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Plan {
        &mut self.0.0
    }
}

impl SharedPlan {
    /// The plan. Never hold it across an await.
    pub fn lock(&self) -> Held<'_> {
        Held(self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says that the plan has changed.
    pub fn notify(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Keeps what pods are told in step with the plan, and the plan in step with what comes about.
pub async fn run(context: Context, stop: CancellationToken) -> anyhow::Result<()> {
    if !context.version.steers() {
        tracing::info!(
            minor = context.version.minor,
            "pods are not told which node they are meant for: kube-scheduler heeds it from Kubernetes 1.35 on; new nodes are planned with some room to spare instead"
        );
    }
    let mut changes = context.live.changes(&[Kind::Pod, Kind::Node, Kind::Claim]);
    let mut planned = context.plan.changes();
    let mut wake = AGAIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = changes.next() => {}
            _ = planned.changed() => {}
            () = tokio::time::sleep(wake) => {}
        }
        tokio::time::sleep(TOGETHER).await;
        planned.borrow_and_update();
        let began = Instant::now();
        let (mut nodes, costs, again) = step(&context);
        // Each one that has been told is a change, so that the others do not wait for this.
        wake = if nodes.len() > MOST_TOLD { SOON } else { again };
        nodes.truncate(MOST_TOLD);
        // A look at a large cluster costs something: most of the time goes to others.
        let pause = began.elapsed() * 6;
        tell(&context, nodes).await;
        tell_costs(&context, costs).await;
        tokio::time::sleep(pause).await;
    }
}

/// Compares plan and state; what pods have to be told, and after how long to look again.
fn step(context: &Context) -> (Vec<Nomination>, Vec<DeletionCost>, Duration) {
    let now = context.now();
    let mut live = context.live.lock();
    let mut held = context.plan.lock();
    let (plan, told) = &mut *held.0;
    told.nodes.adopt(&live, plan, now);
    plan.inherit(&live, now);
    let settled = plan.settle(&live, now);
    let nodes = match context.version.steers() {
        true => {
            let stalled = told.stalled.due(&live, plan, now);
            stalled.into_iter().chain(nominations::due(&mut live, plan, &mut told.nodes, &[], now)).collect()
        }
        false => Vec::new(),
    };
    let costs = match context.settings.pod_deletion_cost {
        true => told.costs.due(&live, plan, now),
        false => Vec::new(),
    };
    let soon = told.stalled.waits() || told.costs.waits(now) || !costs.is_empty();
    let again = if soon { SOON } else { AGAIN };
    drop(held);
    drop(live);
    if settled.freed > 0 {
        context.plan.notify();
    }
    if settled != Settled::default() {
        let Settled { landed, strayed, freed } = &settled;
        landed.iter().for_each(|time| context.metrics.pods_provisioning_bound.took([], time.as_secs_f64()));
        tracing::debug!(landed = landed.len(), strayed, freed, "pods that had a place");
    }
    (nodes, costs, again)
}

/// Tells the pods that are meant for nodes which do not take any yet, and sees to it that they remember it.
pub async fn prepare(context: &Context, nodes: &[&str]) {
    if !context.version.steers() {
        return;
    }
    let began = Instant::now();
    while began.elapsed() < PREPARING {
        let now = context.now();
        let (mut due, refused) = {
            let mut live = context.live.lock();
            let mut held = context.plan.lock();
            let (plan, told) = &mut *held.0;
            (nominations::due(&mut live, plan, &mut told.nodes, nodes, now), live.last_refusal())
        };
        if due.is_empty() {
            let calm = refused.map_or(Duration::MAX, |at| now.duration_since(at).try_into().unwrap_or_default());
            if may_open(calm, began.elapsed()) {
                return;
            }
            tokio::time::sleep(TOGETHER).await;
            continue;
        }
        due.truncate(MOST_TOLD);
        // An API server that takes nothing is not asked again and again: what is left is told once the nodes take pods.
        if tell(context, due).await == 0 {
            return;
        }
    }
}

/// Whether nodes whose pods have been told need not wait for kube-scheduler, which has refused nobody for so long: it may just
/// have begun to try pods on the last one that came.
fn may_open(calm: Duration, waited: Duration) -> bool {
    calm.min(waited) >= QUIET || waited >= UNTIL_QUIET
}

/// How many were told.
async fn tell(context: &Context, due: Vec<Nomination>) -> usize {
    let each = due.into_iter().map(|nomination| tell_node(context, nomination));
    let told = futures::stream::iter(each).buffer_unordered(AT_A_TIME);
    told.filter(|told| std::future::ready(*told)).count().await
}

/// Whether it was told.
async fn tell_node(context: &Context, nomination: Nomination) -> bool {
    let change = json!({ "status": { "nominatedNodeName": nomination.node.as_deref() } });
    let told = tell_one(context, nomination.pod, &nomination.name, change).await;
    if told {
        context.plan.inner.lock().unwrap_or_else(PoisonError::into_inner).1.nodes.note(&nomination);
    }
    told
}

/// Tells running pods how dear it is to let them go. A status is written together with the annotations of its pod, so this
/// takes no right to change what runs in it.
async fn tell_costs(context: &Context, due: Vec<DeletionCost>) {
    let each = due.into_iter().map(async |one| {
        let cost = one.cost.to_string();
        let change = json!({ "metadata": { "annotations": { DELETION_COST: cost, OWN_DELETION_COST: cost } } });
        tell_one(context, one.pod, &one.name, change).await;
    });
    futures::stream::iter(each).buffer_unordered(AT_A_TIME).collect::<()>().await;
}

/// Whether it was told.
async fn tell_one(context: &Context, pod: Uid, full_name: &str, mut change: serde_json::Value) -> bool {
    let Some((namespace, name)) = full_name.split_once('/') else { return false };
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    // A pod of the same name that came later was told nothing.
    change["metadata"]["uid"] = json!(pod.to_string());
    // Half the work for the API server of what a JSON merge patch would be, which it can only apply to the pod's text.
    match api.patch_status(name, &PatchParams::default(), &Patch::Strategic(&change)).await {
        Ok(pod) => {
            context.live.apply(Observed::Pod(Box::new(pod)));
            true
        }
        // It is gone, another one, or bound: there is nothing to tell any more.
        Err(error) if is_missing(&error) || is_conflict(&error) || is_invalid(&error) => false,
        Err(error) => {
            tracing::warn!(pod = full_name, %error, "a pod could not be told what is planned for it");
            false
        }
    }
}

/// Whether the API server finds that the change makes no sense, as for a pod that has been bound.
fn is_invalid(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_wait_until_kube_scheduler_is_quiet_but_not_for_ever() {
        let may_open = |calm, waited| may_open(Duration::from_millis(calm), Duration::from_millis(waited));
        assert!(!may_open(9000, 50), "it may just have begun to try pods on the last one");
        assert!(!may_open(50, 900));
        assert!(may_open(200, 900));
        assert!(may_open(0, 1000));
    }
}
