//! What a decision is made from: nodes with their age and pods, policies of pools, pod disruption budgets.

use super::budgets::Budget;
use super::moving::MovingCost;
use crate::api::node_pool::ConsolidationPolicy;
use crate::state::cluster::Cluster;
use crate::state::instance_types::Price;
use crate::state::intern::Symbol;
use jiff::{SignedDuration, Timestamp};

/// Everything that a decision is made from.
#[derive(Clone, Debug)]
pub struct Fleet<'a> {
    /// Pods, nodes, pools and prices.
    pub cluster: &'a Cluster,
    /// The nodes of pools.
    pub nodes: Vec<FleetNode>,
    /// What pools say about disruption, in the order of the pools of the cluster.
    pub pools: Vec<PoolPolicy>,
    /// Pod disruption budgets.
    pub pod_budgets: Vec<PodBudget>,
    /// How decisions are made.
    pub settings: Settings,
}

/// How decisions are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How dear moving is.
    pub moving: MovingCost,
    /// Whether spot nodes may be replaced by cheaper spot nodes.
    pub spot_to_spot: bool,
    /// Whether cheaper ways to run the same pods are looked for, or empty, drifted and expired nodes alone.
    pub searching: bool,
    /// Whether nodes that are not quiet yet are reckoned with as if they were: what is found for them is left for later,
    /// and nothing moves onto a node that is to go then.
    pub looking_ahead: bool,
    /// How long one search goes on, in steps of filling a node: some hundred million are a second.
    pub effort: u64,
    /// Where the search starts; equal seeds give equal decisions.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            moving: MovingCost::default(),
            spot_to_spot: false,
            searching: true,
            looking_ahead: true,
            effort: 200_000_000,
            seed: 42,
        }
    }
}

/// A node of a pool.
#[derive(Clone, Debug)]
pub struct FleetNode {
    /// Index of the node in the cluster.
    pub node: u32,
    /// The claim that it was made for.
    pub claim: Box<str>,
    /// Index of the pool.
    pub pool: u32,
    /// What it costs per hour.
    pub price: Price,
    /// `spot`, `on-demand` or `reserved`.
    pub capacity_type: Symbol,
    /// When its claim was made.
    pub created: Timestamp,
    /// When it had started; `None` while it starts.
    pub initialized: Option<Timestamp>,
    /// Whether it is Ready.
    pub ready: bool,
    /// When a pod last came or went.
    pub last_pod_event: Option<Timestamp>,
    /// Why it is not as its pool and class say, and since when.
    pub drifted: Option<(Box<str>, Timestamp)>,
    /// The age at which it is replaced.
    pub expire_after: Option<SignedDuration>,
    /// How long draining may take at most: then pods cannot hold it for ever.
    pub grace: Option<SignedDuration>,
    /// Whether node or claim say that it is not to be disrupted.
    pub do_not_disrupt: bool,
    /// Whether it is being deleted, or a command holds it.
    pub leaving: bool,
    /// Until when pods are expected on it.
    pub nominated_until: Option<Timestamp>,
    /// Pods that would have to go elsewhere: not those of daemons, not static ones.
    pub pods: Vec<FleetPod>,
}

/// A pod that would have to go elsewhere.
#[derive(Clone, Debug)]
pub struct FleetPod {
    /// Index in the cluster.
    pub pod: u32,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether it asks not to be disrupted.
    pub protection: Option<Protection>,
    /// The pod's deletion cost.
    pub deletion_cost: i32,
    /// The pod's priority.
    pub priority: i32,
    /// Pod disruption budgets that cover it, by index.
    pub budgets: Vec<u32>,
}

/// How a pod asks not to be disrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// As long as it runs.
    Always,
    /// For so long after its start.
    For(SignedDuration),
}

/// A pod disruption budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodBudget {
    /// `namespace/name`.
    pub name: Box<str>,
    /// How many of its pods may be evicted now.
    pub allowed: i32,
    /// Whether pods that are not ready may always be evicted.
    pub unhealthy_always: bool,
}

/// What a pool says about disruption.
#[derive(Clone, Debug)]
pub struct PoolPolicy {
    /// Its name.
    pub name: Box<str>,
    /// Which nodes are looked at.
    pub policy: ConsolidationPolicy,
    /// How long a node has to be quiet; `None` is never.
    pub consolidate_after: Option<SignedDuration>,
    /// How many nodes may go at a time.
    pub budgets: Vec<Budget>,
    /// Whether the pool keeps a fixed number of nodes.
    pub fixed: bool,
}

impl FleetNode {
    /// When the node becomes a candidate for consolidation; `None` is never.
    pub fn quiet_from(&self, after: Option<SignedDuration>) -> Option<Timestamp> {
        let since = self.last_pod_event.into_iter().chain(self.initialized).max()?;
        since.checked_add(after?).ok()
    }

    /// When it has reached its age. Nodes that were made together go one after the other: each goes up to a
    /// twentieth of its age early.
    pub fn expires(&self) -> Option<Timestamp> {
        let age = self.expire_after?;
        let early = age.as_secs() / 20;
        let share = i64::from(crate::disruption::hash::of(self.claim.as_bytes()) as u32);
        let early = i64::try_from(i128::from(early) * i128::from(share) / i128::from(u32::MAX)).unwrap_or(0);
        self.created.checked_add(age.checked_sub(SignedDuration::from_secs(early))?).ok()
    }
}
