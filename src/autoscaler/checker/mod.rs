//! The independent placement checker: does a placement of pods on nodes keep every rule of Kubernetes?
//!
//! It is written from the Kubernetes documentation (scheduling, topology spread constraints, affinity,
//! taints, volumes, effective pod requests) and shares no code with the solver in `scheduling`: not the
//! quantity parser, not the selectors, not the arithmetic. What both get wrong in the same way, they got
//! wrong twice.
//!
//! # What is asserted
//!
//! Pods with `spec.nodeName` *run*: they are facts, they count, and they are not judged themselves (labels
//! and taints may have changed since they were placed). Pods named in [`Input::placement`] are *new*: they
//! are judged. Anything else is unplaced and counts for nothing. To judge a running pod, clear its
//! `nodeName` and put it into the placement.
//!
//! kube-scheduler places pods one after another and looks at each rule once, at that moment. A placement
//! is right when an **order exists** in which kube-scheduler could have placed the new pods, every filter
//! passing at its moment, all nodes existing from the start. Rules fall into two kinds:
//!
//! * *Order-free* rules read the same at the end as at any moment before it: resources, node selection,
//!   taints, host ports, volumes, required anti-affinity in both directions. [`check`] decides them exactly.
//! * *Order-bound* rules depend on who came first. Required topology spread compares the target domain with
//!   the least filled eligible one *then*; required affinity needs a matching pod *already there*, except
//!   for the first pod of a group that selects itself, which may go to any node with the topology keys.
//!
//! For the order-bound rules [`check`] asserts what every order implies, so it never reports a placement
//! that some order allows:
//!
//! * spread: in each domain that received new pods of one constraint, running matches plus those new pods
//!   may exceed the final global minimum by `maxSkew` at most (the minimum only grows while pods arrive);
//! * affinity: each new pod shares its domains with another placed pod that matches all its terms, or is
//!   the only such pod of its constraint, selects itself, and no running pod matches.
//!
//! [`find_order`] then looks for the order itself and names the pods that get stuck; [`verify`] is both.
//!
//! # What is not looked at
//!
//! Scores (but [`preferences`] counts preferred terms kept), preemption and priorities, storage capacity
//! tracking, dynamic resource allocation beyond refusing it, spread defaults of the scheduler's profile
//! (they are soft), and what only the kubelet refuses at admission.

mod cluster;
mod facts;
mod filters;
mod final_state;
mod node_affinity;
mod order;
mod pod_affinity;
mod ports;
mod preferences;
mod quantity;
mod resources;
mod selector;
mod spread;
mod taints;
#[cfg(test)]
mod tests;
mod unplaced;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};

use cluster::Cluster;

/// A cluster and what is to be placed in it.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Every node, existing or planned. `status.allocatable` defaults to `status.capacity`.
    pub nodes: Vec<Node>,
    /// Every pod: running (`spec.nodeName` set), placed by `placement`, or unplaced. DaemonSet pods are
    /// given like any other. Finished pods (phase `Succeeded` or `Failed`) are ignored, and so are pods that
    /// run on a node that is not given.
    pub pods: Vec<Pod>,
    /// New pods: `namespace/name` of the pod → name of its node.
    pub placement: BTreeMap<String, String>,
    /// Namespaces with their labels, for `namespaceSelector`. One that is missing is taken to have only
    /// `kubernetes.io/metadata.name`.
    pub namespaces: Vec<Namespace>,
    /// Persistent volumes.
    pub persistent_volumes: Vec<PersistentVolume>,
    /// Persistent volume claims. A claim that a pod names and that is not here keeps the pod from being
    /// placed, except that of a generic ephemeral volume, which is taken from its template.
    pub persistent_volume_claims: Vec<PersistentVolumeClaim>,
    /// Storage classes.
    pub storage_classes: Vec<StorageClass>,
    /// What CSI drivers say of the nodes: attach limits.
    pub csi_nodes: Vec<CSINode>,
}

/// The rule that a placement breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The placement names a pod or a node that does not exist, or a pod that already runs; or a name is
    /// given to several objects.
    Reference,
    /// The pod cannot be read: an unparsable quantity, an unknown operator.
    Malformed,
    /// The pod has scheduling gates or resource claims, which no placement can satisfy.
    Gated,
    /// The node is cordoned.
    Unschedulable,
    /// Requests exceed what the node can allocate, pod slots included.
    Resources,
    /// `nodeSelector` or required node affinity.
    NodeAffinity,
    /// An untolerated `NoSchedule` or `NoExecute` taint.
    Taints,
    /// Two pods want one host port.
    HostPorts,
    /// A claim that cannot be bound, or a volume that is not reachable from the node.
    Volumes,
    /// More volumes of a CSI driver than the node can attach.
    VolumeLimits,
    /// A `ReadWriteOncePod` claim that two pods use.
    VolumeAccess,
    /// A `DoNotSchedule` topology spread constraint.
    TopologySpread,
    /// Required pod affinity.
    PodAffinity,
    /// Required pod anti-affinity, the pod's own or that of another.
    PodAntiAffinity,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Reference => "reference",
            Self::Malformed => "malformed",
            Self::Gated => "gated",
            Self::Unschedulable => "unschedulable",
            Self::Resources => "resources",
            Self::NodeAffinity => "node affinity",
            Self::Taints => "taints",
            Self::HostPorts => "host ports",
            Self::Volumes => "volumes",
            Self::VolumeLimits => "volume limits",
            Self::VolumeAccess => "volume access",
            Self::TopologySpread => "topology spread",
            Self::PodAffinity => "pod affinity",
            Self::PodAntiAffinity => "pod anti-affinity",
        })
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// `namespace/name` of the pod.
    pub pod: String,
    /// Name of the node.
    pub node: String,
    /// Which rule.
    pub rule: Rule,
    /// What is wrong, in words, with the figures.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pod `{}` on node `{}`: {}: {}", self.pod, self.node, self.rule, self.detail)
    }
}

/// What [`find_order`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// An order in which every filter passes at its moment: `namespace/name` of the new pods.
    Found(Vec<String>),
    /// No order was found.
    Stuck {
        /// The longest sequence that was found.
        placed: Vec<String>,
        /// Why each remaining pod cannot follow it.
        stuck: Vec<Violation>,
        /// Whether it is certain that no order exists; otherwise the search ended at its bound.
        proved: bool,
    },
}

/// A node that does not exist and could be added, with the DaemonSet pods that would run on it.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// The node as it would register.
    pub node: Node,
    /// Pods that the node would carry before any other; their `nodeName` is not looked at.
    pub daemons: Vec<Pod>,
}

/// Where an unplaced pod would fit, and why not elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fit {
    /// Names of the nodes and candidates that would take the pod now.
    pub fits: Vec<String>,
    /// The first broken rule on every other one.
    pub refused: Vec<Violation>,
}

/// How many preferred terms are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Terms that hold.
    pub kept: u64,
    /// All terms.
    pub total: u64,
    /// Sum of the weights of the terms that hold; 1 where a term has no weight.
    pub weight_kept: u64,
    /// Sum of all weights.
    pub weight_total: u64,
}

/// Preferences of the new pods in the final state, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Preferred node affinity terms.
    pub node_affinity: Kept,
    /// Preferred pod affinity terms.
    pub pod_affinity: Kept,
    /// Preferred pod anti-affinity terms.
    pub pod_anti_affinity: Kept,
    /// `ScheduleAnyway` spread constraints whose `maxSkew` holds.
    pub spread: Kept,
    /// Pods that have no untolerated `PreferNoSchedule` taint under them, of those that some node's taint
    /// concerns.
    pub taints: Kept,
}

/// Judges the final state: every order-free rule, and what every order implies for the others. See the module
/// documentation. The result is sorted; an empty one does not yet say that an order exists.
pub fn check(input: &Input) -> Vec<Violation> {
    let mut cluster = Cluster::new(input, &[]);
    let (new, mut found) = cluster.resolve(&input.placement);
    place_all(&mut cluster, &new);
    found.extend(order_free(&mut cluster, &new));
    found.extend(order_implied(&mut cluster, &new));
    found.sort();
    found
}

/// Looks for an order in which kube-scheduler could have placed the new pods one after another. Entries of the
/// placement that name nothing that exists are left out; [`check`] reports them.
pub fn find_order(input: &Input) -> Order {
    search(input, order::find)
}

/// [`find_order`] with a search of choice.
fn search(input: &Input, find: impl Fn(&mut Cluster, &[(usize, usize)], bool) -> Order) -> Order {
    let mut cluster = Cluster::new(input, &[]);
    let (new, _) = cluster.resolve(&input.placement);
    place_all(&mut cluster, &new);
    let order_free_rules_hold = order_free(&mut cluster, &new).is_empty();
    let implied_rules_hold = order_implied(&mut cluster, &new).is_empty();
    for (pod, _) in &new {
        cluster.remove(*pod);
    }
    match find(&mut cluster, &new, order_free_rules_hold) {
        Order::Stuck { placed, stuck, proved } => Order::Stuck { placed, stuck, proved: proved || !implied_rules_hold },
        found @ Order::Found(_) => found,
    }
}

/// Everything: [`check`], and where that finds nothing, the pods for which [`find_order`] finds no turn.
pub fn verify(input: &Input) -> Vec<Violation> {
    let found = check(input);
    if !found.is_empty() {
        return found;
    }
    match find_order(input) {
        Order::Found(_) => Vec::new(),
        Order::Stuck { stuck, .. } => stuck,
    }
}

/// Tries a pod, `namespace/name`, on every node of the input and on each candidate joining alone, after all
/// running and new pods. A pod that is placed already is looked at as if it were not.
pub fn fits(input: &Input, pod: &str, candidates: &[Candidate]) -> Fit {
    let mut cluster = final_cluster(input, candidates);
    unplaced::fit(&mut cluster, pod, candidates)
}

/// Whether a pod fits on no node of the input and on none of the candidates.
pub fn fits_nowhere(input: &Input, pod: &str, candidates: &[Candidate]) -> bool {
    fits(input, pod, candidates).fits.is_empty()
}

/// [`fits`] for every pod that neither runs nor is placed, by `namespace/name`.
pub fn fits_of_unplaced(input: &Input, candidates: &[Candidate]) -> BTreeMap<String, Fit> {
    let mut cluster = final_cluster(input, candidates);
    let unplaced: BTreeSet<String> = input
        .pods
        .iter()
        .filter(|pod| facts::running_on(pod).is_none() && !facts::finished(pod))
        .map(|pod| facts::pod_key(pod).0)
        .filter(|key| !input.placement.contains_key(key))
        .collect();
    unplaced
        .into_iter()
        .map(|key| {
            let fit = unplaced::fit(&mut cluster, &key, candidates);
            (key, fit)
        })
        .collect()
}

/// Counts the preferences of the new pods that the final state keeps.
pub fn preferences(input: &Input) -> Preferences {
    let cluster = final_cluster(input, &[]);
    let (new, _) = cluster.resolve(&input.placement);
    preferences::count(&cluster, &new, &cluster::known_namespaces(input, &[]))
}

/// The cluster with the running and the new pods.
fn final_cluster<'a>(input: &'a Input, candidates: &'a [Candidate]) -> Cluster<'a> {
    let mut cluster = Cluster::new(input, candidates);
    let (new, _) = cluster.resolve(&input.placement);
    place_all(&mut cluster, &new);
    cluster
}

fn place_all(cluster: &mut Cluster, new: &[(usize, usize)]) {
    for (pod, node) in new {
        cluster.place(*pod, *node);
    }
}

/// Breaches of order-free rules by the new pods, all of which are placed. A sentence about a node that holds
/// for several of its pods is said once.
fn order_free(cluster: &mut Cluster, new: &[(usize, usize)]) -> Vec<Violation> {
    let mut said: BTreeSet<(usize, Rule, String)> = BTreeSet::new();
    let mut found = Vec::new();
    for (pod, node) in new {
        cluster.remove(*pod);
        let refusals = cluster.order_free_refusals(*pod, *node);
        cluster.place(*pod, *node);
        for (rule, detail) in refusals {
            let about_node = rule == Rule::Resources || rule == Rule::VolumeLimits;
            if !about_node || said.insert((*node, rule, detail.clone())) {
                let (pod, node) = (cluster.pods[*pod].key.clone(), cluster.nodes[*node].name.to_owned());
                found.push(Violation { pod, node, rule, detail });
            }
        }
    }
    found
}

fn order_implied(cluster: &mut Cluster, new: &[(usize, usize)]) -> Vec<Violation> {
    let mut found = final_state::spread(cluster, new);
    found.extend(final_state::affinity(cluster, new));
    found
}
