//! The fleet as a decision reads it, taken from the live state under one short lock. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::demand::seat;
use super::market::Stock;
use super::plan_claims::Lookup;
use crate::autoscaler::api::NodePool;
use crate::autoscaler::api::duration::{Lifetime, lifetime, seconds};
use crate::autoscaler::disruption::{Budget, Fleet, FleetNode, FleetPod, PodBudget, PoolPolicy, Protection, Settings};
use crate::autoscaler::state::cluster::Cluster;
use crate::autoscaler::state::instance_types::Price;
use crate::autoscaler::state::intern::FastMap;
use crate::autoscaler::state::live::{self, Live, LiveClaim, LiveNode, LivePod, LivePool, Owner, Snapshot, Uid};
use crate::autoscaler::state::pod_spec::label;
use crate::autoscaler::steering::{Plan, Target};

/// A command holds the claim.
pub const DISRUPTION_REASON: &str = "DisruptionReason";
/// The node is not as its pool and class say.
pub const DRIFTED: &str = "Drifted";
const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// How long a node is kept for pods that are expected on it, beyond the moment.
const EXPECTED_FOR: SignedDuration = SignedDuration::from_secs(10);

/// The fleet with everything that a decision refers to.
#[derive(Debug, Default)]
pub struct Survey {
    /// Everything as the scheduler reads it.
    pub snapshot: Snapshot,
    /// The nodes of pools.
    pub nodes: Vec<FleetNode>,
    policies: Vec<PoolPolicy>,
    pod_budgets: Vec<PodBudget>,
    pools: BTreeMap<String, Arc<NodePool>>,
}

impl Survey {
    /// Looks at everything. Nodes that `held` names belong to commands that are being carried out.
    pub fn new(live: &mut Live, plan: &Plan, stock: &Stock, held: &BTreeSet<Arc<str>>, now: Timestamp) -> Self {
        let mut snapshot = live.snapshot(&stock.catalogue, now);
        let class_of = |pool: &str| live.pool(pool).map(|pool| pool.class().to_owned());
        stock.restrict(&mut snapshot.cluster, class_of);
        seat(plan, &mut snapshot);
        let mut survey = Self { snapshot, ..Self::default() };
        let mut pool_ids: BTreeMap<String, u32> = BTreeMap::new();
        for (at, pool) in (0_u32..).zip(&survey.snapshot.cluster.pools) {
            let name = survey.snapshot.cluster.names.text(pool.name).to_owned();
            if let Some(pool) = live.pool(&name) {
                survey.policies.push(policy(pool));
                survey.pools.insert(name.clone(), Arc::clone(&pool.object));
            }
            pool_ids.insert(name, at);
        }
        survey.read_budgets(live);
        survey.read_nodes(live, plan, &pool_ids, held, now);
        survey
    }

    /// As a decision reads it.
    pub fn fleet(&self, settings: Settings) -> Fleet<'_> {
        Fleet {
            cluster: &self.snapshot.cluster,
            nodes: self.nodes.clone(),
            pools: self.policies.clone(),
            pod_budgets: self.pod_budgets.clone(),
            settings,
        }
    }

    /// The pools' objects.
    pub fn pools(&self) -> &BTreeMap<String, Arc<NodePool>> {
        &self.pools
    }

    /// How long nodes of a pool have to be quiet.
    pub fn consolidate_after(&self, pool: u32) -> Option<SignedDuration> {
        self.policies.get(pool as usize)?.consolidate_after
    }

    /// The name of a node of the fleet.
    pub fn node_name(&self, at: u32) -> Arc<str> {
        Arc::clone(&self.snapshot.cluster.nodes[self.nodes[at as usize].node as usize].name)
    }

    fn read_budgets(&mut self, live: &Live) {
        self.pod_budgets = live
            .budgets()
            .map(|budget| PodBudget {
                name: (&*budget.name).into(),
                allowed: budget.allowed,
                unhealthy_always: budget.always_allows_unhealthy,
            })
            .collect();
    }

    fn read_nodes(
        &mut self,
        live: &Live,
        plan: &Plan,
        pool_ids: &BTreeMap<String, u32>,
        held: &BTreeSet<Arc<str>>,
        now: Timestamp,
    ) {
        let expecting = plan.expecting();
        let budget_ids: BTreeMap<&str, u32> =
            self.pod_budgets.iter().map(|budget| &*budget.name).zip(0_u32..).collect();
        let cluster = &self.snapshot.cluster;
        let mut pods: FastMap<u32, Vec<FleetPod>> = FastMap::default();
        for (at, (uid, entry)) in (0_u32..).zip(self.snapshot.pods.iter().zip(&cluster.pods)) {
            let (Some(node), Some(pod)) = (entry.node, live.pod(*uid)) else { continue };
            // A pod that has its place elsewhere already is on its way there.
            let bound = pod.node.is_some_and(|own| live.text(own) == &*cluster.nodes[node as usize].name);
            if bound && moves(pod) {
                pods.entry(node).or_default().push(fleet_pod(live, &budget_ids, at, pod));
            }
        }
        for (at, member) in (0_u32..).zip(&self.snapshot.members) {
            let (Some(name), Some(claim)) = (&member.node, &member.claim) else { continue };
            let (Some(node), Some(claim)) = (live.node(name), live.claim(claim)) else { continue };
            let Some(pool) = claim.pool().and_then(|pool| pool_ids.get(pool)) else { continue };
            let expected = expecting.contains(&Target::Node(Arc::clone(name)))
                || expecting.contains(&Target::Claim(Arc::clone(&claim.name)));
            let mut entry = fleet_node(cluster, at, *pool, node, claim, live.last_pod_event(name));
            entry.leaving = member.leaving || held.contains(name) || claim.is(DISRUPTION_REASON);
            entry.nominated_until = expected.then(|| now.saturating_add(EXPECTED_FOR).unwrap_or(now));
            entry.pods = pods.remove(&at).unwrap_or_default();
            self.nodes.push(entry);
        }
    }
}

impl Lookup for Survey {
    fn pool(&self, name: &str) -> Option<&NodePool> {
        self.pools.get(name).map(|pool| &**pool)
    }

    fn uid(&self, pod: u32) -> Option<Uid> {
        self.snapshot.pods.get(pod as usize).copied()
    }
}

/// Whether a pod has to go elsewhere when its node goes.
pub fn moves(pod: &LivePod) -> bool {
    !pod.leaving() && !matches!(pod.owner, Owner::Daemon | Owner::Mirror)
}

fn fleet_pod(live: &Live, budget_ids: &BTreeMap<&str, u32>, at: u32, pod: &LivePod) -> FleetPod {
    FleetPod {
        pod: at,
        started: pod.started,
        ready: pod.ready,
        protection: pod.do_not_disrupt.map(|protection| match protection {
            live::Protection::Always => Protection::Always,
            live::Protection::For(time) => Protection::For(time),
        }),
        deletion_cost: pod.deletion_cost,
        priority: pod.priority,
        budgets: live.budgets_of(pod).filter_map(|budget| budget_ids.get(&*budget.name).copied()).collect(),
    }
}

fn fleet_node(
    cluster: &Cluster,
    at: u32,
    pool: u32,
    node: &LiveNode,
    claim: &LiveClaim,
    last_pod_event: Option<Timestamp>,
) -> FleetNode {
    let names = &cluster.names;
    let labels = &cluster.nodes[at as usize].labels;
    let since = |kind: &str| -> Option<(Box<str>, Timestamp)> {
        let condition = claim.condition(kind).filter(|condition| condition.status == "True")?;
        Some((condition.reason.as_str().into(), condition.last_transition_time.0))
    };
    let spec = &claim.object.spec;
    let told = claim.object.status.as_ref().and_then(|status| status.last_pod_event_time.as_ref()).map(|time| time.0);
    let protected = |value: Option<&str>| value == Some("true");
    FleetNode {
        node: at,
        claim: (&*claim.name).into(),
        pool,
        price: price_of(cluster, at).unwrap_or_default(),
        capacity_type: label(labels, names.known.capacity_type).unwrap_or(names.known.on_demand),
        created: claim.created(),
        initialized: since(super::conditions::INITIALIZED).map(|(_, at)| at),
        ready: node.ready(),
        last_pod_event: last_pod_event.into_iter().chain(told).max(),
        drifted: since(DRIFTED),
        expire_after: span(lifetime(&spec.expire_after).ok()),
        grace: spec.termination_grace_period.as_deref().and_then(|text| seconds(text).ok()).and_then(as_span),
        do_not_disrupt: protected(node.annotation(DO_NOT_DISRUPT)) || protected(claim.annotation(DO_NOT_DISRUPT)),
        leaving: false,
        nominated_until: None,
        pods: Vec::new(),
    }
}

/// What a node costs per hour, by its type, zone and capacity type; `None` when that is not sold any more.
fn price_of(cluster: &Cluster, node: u32) -> Option<Price> {
    let known = cluster.names.known;
    let labels = &cluster.nodes[node as usize].labels;
    let of = |key| label(labels, key);
    let (name, zone, capacity_type) = (of(known.instance_type)?, of(known.zone)?, of(known.capacity_type)?);
    let types = cluster.catalogue.types.iter().filter(|one| one.name == name);
    let mut offerings = types.flat_map(|one| &one.offerings);
    offerings.find(|one| one.zone == zone && one.capacity_type == capacity_type).map(|one| one.price)
}

fn as_span(seconds: u64) -> Option<SignedDuration> {
    i64::try_from(seconds).ok().map(SignedDuration::from_secs)
}

fn span(lifetime: Option<Lifetime>) -> Option<SignedDuration> {
    match lifetime? {
        Lifetime::After(seconds) => as_span(seconds),
        Lifetime::Never => None,
    }
}

fn policy(pool: &LivePool) -> PoolPolicy {
    let spec = &pool.object.spec;
    PoolPolicy {
        name: (&*pool.name).into(),
        policy: spec.disruption.consolidation_policy,
        consolidate_after: span(lifetime(&spec.disruption.consolidate_after).ok()),
        budgets: spec.disruption.budgets.iter().map(Budget::read).collect(),
        fixed: spec.replicas.is_some(),
    }
}
