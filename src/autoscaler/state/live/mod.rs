//! What the watches of a running cluster have told, in compact form, indexed. Pure.
//!
//! Objects come in by [`Live::apply`] and go by [`Live::remove`]; what cannot be used is quarantined by name and
//! never stops the rest. [`Live::snapshot`] gives everything as the scheduler reads it.
//!
//! | file | holds |
//! |---|---|
//! | `observed` | what a watch can tell |
//! | `pods`, `nodes`, `claims`, `pools`, `replicas`, `budgets`, `storage` | one kind each: what is kept, and how it is read |
//! | `intake`, `pod_intake` | applies and removes |
//! | `snapshot`, `on_the_way` | the scheduler's view; claims that are no nodes yet |
//! | `garbage` | strings that nothing uses any more |

mod budgets;
mod claims;
mod garbage;
mod intake;
mod nodes;
mod observed;
mod on_the_way;
mod pod_intake;
mod pods;
mod pools;
mod replicas;
mod snapshot;
mod storage;
#[cfg(test)]
mod tests;

pub use budgets::LiveBudget;
pub use claims::LiveClaim;
pub use nodes::{LiveNode, NodeCondition};
pub use observed::{Kind, Observed};
pub use pods::{DELETION_COST, LivePod, OWN_DELETION_COST, Owner, Phase, Protection, Uid};
pub use pools::{LiveClass, LivePool};
pub use replicas::Coming;
pub use snapshot::{Member, Snapshot};
pub use storage::Attachment;

use super::alike::Alike;
use super::cluster::Cluster;
use super::intern::{FastMap, Symbol};
use super::names::Names;
use super::pod_spec::{Labels, PodSpec, label};
use super::resources::Amounts;
use jiff::Timestamp;
use pods::Pods;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::Storage;

/// A daemon set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LiveDaemon {
    /// Index into the specs; `None` when its template cannot be read.
    spec: Option<u32>,
    /// Why not.
    fault: Option<Box<str>>,
    round: u32,
}

/// Everything that the watches have told.
#[derive(Debug, Default)]
pub struct Live {
    /// Strings, specs and label sets; without pods, nodes, pools and instance types.
    base: Cluster,
    pods: Pods,
    /// The most that pods may use.
    limits: Alike<Amounts>,
    nodes: BTreeMap<Arc<str>, LiveNode>,
    claims: BTreeMap<Arc<str>, LiveClaim>,
    pools: BTreeMap<Arc<str>, LivePool>,
    classes: BTreeMap<Arc<str>, LiveClass>,
    daemons: BTreeMap<Arc<str>, LiveDaemon>,
    /// By the name that pods know them by.
    replicas: BTreeMap<Arc<str>, replicas::LiveReplicas>,
    budgets: BTreeMap<Arc<str>, LiveBudget>,
    namespace_rounds: BTreeMap<String, u32>,
    storage: Storage,
    nodes_by_provider: FastMap<Arc<str>, Arc<str>>,
    claims_by_provider: FastMap<Arc<str>, Arc<str>>,
    /// When a pod last came to or went from a node.
    pod_events: FastMap<Arc<str>, Timestamp>,
    /// When kube-scheduler last found no node for a pod.
    refused: Option<Timestamp>,
    quarantine: BTreeMap<(Kind, String), String>,
    /// How often something was quarantined, or for another reason.
    quarantines: u64,
    rounds: [u32; Kind::COUNT],
    synced: [bool; Kind::COUNT],
    /// Pods that depend on volumes or namespaces have been read with those of now.
    settled: bool,
    /// How many strings there were after the last sweep.
    swept: usize,
}

impl Live {
    /// Strings and resource names.
    pub fn names(&self) -> &Names {
        &self.base.names
    }

    /// Lets `read` intern strings that stay for good: those of instance types. Their symbols are good in every
    /// later snapshot.
    pub fn with_names<R>(&mut self, read: impl FnOnce(&mut Names) -> R) -> R {
        self.base.names.strings.pin(true);
        let result = read(&mut self.base.names);
        self.base.names.strings.pin(false);
        result
    }

    /// The text of a symbol.
    pub fn text(&self, symbol: Symbol) -> &str {
        self.base.names.text(symbol)
    }

    /// All pods that have not finished.
    pub fn pods(&self) -> impl Iterator<Item = &LivePod> {
        self.pods.iter()
    }

    /// A pod.
    pub fn pod(&self, uid: Uid) -> Option<&LivePod> {
        self.pods.get(uid)
    }

    /// A pod by `namespace/name`.
    pub fn pod_named(&self, name: &str) -> Option<&LivePod> {
        self.pods.named(name)
    }

    /// The pods on a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &LivePod> {
        self.base.names.strings.find(node).into_iter().flat_map(|node| self.pods.on(node))
    }

    /// The pods of a workload, as [`LivePod::workload`] names it.
    pub fn pods_of(&self, workload: Symbol) -> impl Iterator<Item = &LivePod> {
        self.pods.of(workload)
    }

    /// What a pod asks for; `None` when it cannot be read.
    pub fn spec(&self, pod: &LivePod) -> Option<&PodSpec> {
        pod.spec.map(|spec| self.base.spec(spec))
    }

    /// The most that a pod may use; what has no limit is left out.
    pub fn limits(&self, pod: &LivePod) -> &Amounts {
        self.limits.get(pod.limits)
    }

    /// How large a pod is, as [`Amounts::size`] has it; nothing when it cannot be read.
    pub fn size_of(&self, pod: &LivePod) -> u64 {
        self.spec(pod).map_or(0, |spec| spec.requests.size())
    }

    /// The labels of a pod.
    pub fn labels(&self, pod: &LivePod) -> &Labels {
        self.base.label_set(pod.labels)
    }

    /// The names of the volumes that a pod uses, where its claims are bound.
    pub fn volumes_of(&self, pod: &LivePod) -> Vec<&str> {
        let claims = self.pods.volume_claims(pod);
        claims.iter().filter_map(|claim| self.storage.volume_of(pod.namespace(), claim)).collect()
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &LiveNode> {
        self.nodes.values()
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&LiveNode> {
        self.nodes.get(name)
    }

    /// The node with a provider id.
    pub fn node_of_provider(&self, id: &str) -> Option<&LiveNode> {
        self.nodes_by_provider.get(id).and_then(|name| self.nodes.get(name))
    }

    /// The node of a claim.
    pub fn node_of_claim(&self, claim: &LiveClaim) -> Option<&LiveNode> {
        self.node_of_provider(claim.provider_id()?)
    }

    /// A label of a node.
    pub fn node_label(&self, node: &LiveNode, key: &str) -> Option<&str> {
        let key = self.base.names.strings.find(key)?;
        label(&node.labels, key).map(|value| self.text(value))
    }

    /// When a pod last came to or went from a node, daemons apart.
    pub fn last_pod_event(&self, node: &str) -> Option<Timestamp> {
        self.pod_events.get(node).copied()
    }

    /// When kube-scheduler last found no node for a pod, or took back what the pod had been told.
    pub fn last_refusal(&self) -> Option<Timestamp> {
        self.refused
    }

    /// All claims, by name.
    pub fn claims(&self) -> impl Iterator<Item = &LiveClaim> {
        self.claims.values()
    }

    /// A claim.
    pub fn claim(&self, name: &str) -> Option<&LiveClaim> {
        self.claims.get(name)
    }

    /// The claim with a provider id.
    pub fn claim_of_provider(&self, id: &str) -> Option<&LiveClaim> {
        self.claims_by_provider.get(id).and_then(|name| self.claims.get(name))
    }

    /// The claim of a node.
    pub fn claim_of_node(&self, node: &LiveNode) -> Option<&LiveClaim> {
        self.claim_of_provider(node.provider_id.as_deref()?)
    }

    /// All pools, by name.
    pub fn pools(&self) -> impl Iterator<Item = &LivePool> {
        self.pools.values()
    }

    /// A pool.
    pub fn pool(&self, name: &str) -> Option<&LivePool> {
        self.pools.get(name)
    }

    /// What the nodes of a pool have together, and how many there are; those on their way count.
    pub fn usage(&self, pool: &str) -> (Amounts, i64) {
        let (mut used, mut count) = (Amounts::default(), 0);
        let mut add = |capacity: &Amounts| {
            used.add_all(capacity);
            count += 1;
        };
        let known = self.base.names.known.node_pool;
        let name = self.base.names.strings.find(pool);
        for node in self.nodes.values() {
            match self.claim_of_node(node) {
                Some(claim) if claim.pool() == Some(pool) && node.capacity.iter().next().is_none() => {
                    add(&claim.capacity)
                }
                Some(claim) if claim.pool() == Some(pool) => add(&node.capacity),
                None if name.is_some() && label(&node.labels, known) == name => add(&node.capacity),
                _ => {}
            }
        }
        for claim in self.claims.values() {
            if claim.pool() == Some(pool) && self.node_of_claim(claim).is_none() {
                add(if claim.capacity.iter().next().is_some() { &claim.capacity } else { &claim.requests });
            }
        }
        (used, count)
    }

    /// All classes, by name.
    pub fn classes(&self) -> impl Iterator<Item = &LiveClass> {
        self.classes.values()
    }

    /// A class.
    pub fn class(&self, name: &str) -> Option<&LiveClass> {
        self.classes.get(name)
    }

    /// All disruption budgets of pods.
    pub fn budgets(&self) -> impl Iterator<Item = &LiveBudget> {
        self.budgets.values()
    }

    /// The disruption budgets that a pod is under.
    pub fn budgets_of(&self, pod: &LivePod) -> impl Iterator<Item = &LiveBudget> {
        let (namespace, labels) = (pod.namespace(), self.labels(pod));
        let first = format!("{namespace}/");
        let within =
            self.budgets.range::<str, _>((std::ops::Bound::Included(first.as_str()), std::ops::Bound::Unbounded));
        let within: Vec<&LiveBudget> =
            within.map(|(_, budget)| budget).take_while(|budget| budget.namespace() == namespace).collect();
        within.into_iter().filter(move |budget| budget.covers(&self.base.names, labels))
    }

    /// The attachments of volumes to a node.
    pub fn attachments(&self, node: &str) -> impl Iterator<Item = &Attachment> {
        self.storage.attachments(node)
    }

    /// The requests of the daemons that exist, as numbers of specs.
    pub fn daemons(&self) -> impl Iterator<Item = (&str, &PodSpec)> {
        self.daemons.iter().filter_map(|(name, daemon)| Some((&**name, self.base.spec(daemon.spec?))))
    }

    /// What is left out because it cannot be used, and why.
    pub fn quarantined(&self) -> impl Iterator<Item = (Kind, &str, &str)> {
        self.quarantine.iter().map(|((kind, name), reason)| (*kind, name.as_str(), reason.as_str()))
    }

    /// Whether everything of a kind that existed at the start has been told.
    pub fn synced(&self, kind: Kind) -> bool {
        self.synced[kind as usize]
    }

    /// Whether that is so for every kind that decisions need. Replica sets only tell earlier what pods will come.
    pub fn all_synced(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| kind == Kind::Replicas || self.synced(kind))
    }
}
