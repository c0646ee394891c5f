//! Everything as the scheduler reads it.

use super::{Live, LiveClaim, LiveNode, Uid, on_the_way};
use crate::state::cluster::{Cluster, DaemonEntry, NodeEntry, PodEntry, TRANSIENT_TAINTS, Unreadable};
use crate::state::instance_types::Catalogue;
use crate::state::names::Names;
use crate::state::pod_spec::{Taint, label};
use crate::state::resources::Amounts;
use jiff::Timestamp;
use std::sync::Arc;

const INITIALIZED: &str = "karpenter.sh/initialized";
const REGISTERED: &str = "karpenter.sh/registered";
const DISRUPTED: &str = "karpenter.sh/disrupted";

/// What a node of a snapshot is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The node, once there is one.
    pub node: Option<Arc<str>>,
    /// The claim, if it is one of ours.
    pub claim: Option<Arc<str>>,
    /// Whether node or claim is on its way out.
    pub leaving: bool,
}

/// Everything as the scheduler reads it, and what its numbers stand for.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Pods, nodes, pools and instance types.
    pub cluster: Cluster,
    /// The pods, in the order of the cluster's.
    pub pods: Vec<Uid>,
    /// The nodes, in the order of the cluster's.
    pub members: Vec<Member>,
}

impl Live {
    /// Everything as the scheduler reads it. The symbols of `catalogue` are this state's: see
    /// [`Live::with_names`] and [`Live::adopt`].
    pub fn cluster(&mut self, catalogue: &Catalogue, now: Timestamp) -> Cluster {
        self.snapshot(catalogue, now).cluster
    }

    /// A catalogue that was read with other names, in the words of this state.
    pub fn adopt(&mut self, catalogue: &Catalogue, names: &Names) -> Catalogue {
        self.with_names(|own| catalogue.translated(names, own))
    }

    /// The same as [`Live::cluster`], with what its numbers stand for. Claims that are no nodes yet stand as
    /// nodes; nodes and claims that leave take no pods; a node that has not started up is judged without the
    /// taints that go when it has. Pools that cannot be used now are left out.
    pub fn snapshot(&mut self, catalogue: &Catalogue, _now: Timestamp) -> Snapshot {
        self.settle();
        // What pods are read with stays here.
        let around = (std::mem::take(&mut self.base.volumes), std::mem::take(&mut self.base.namespaces));
        let mut cluster = self.base.clone();
        (self.base.volumes, self.base.namespaces) = around;
        cluster.catalogue = catalogue.clone();
        let usable = self.pools.values().filter(|pool| pool.deletion().is_none());
        let usable = usable.filter(|pool| self.class(pool.class()).is_some_and(super::LiveClass::ready));
        cluster.pools = usable.filter_map(|pool| pool.read.as_ref().ok().cloned()).collect();
        let daemons = self.daemons.iter();
        cluster.daemons = daemons
            .filter_map(|(name, daemon)| Some(DaemonEntry { name: Arc::clone(name), spec: daemon.spec? }))
            .collect();
        let mut members = Vec::with_capacity(self.nodes.len());
        for node in self.nodes.values() {
            let claim = self.claim_of_node(node);
            let leaving = leaves(node, claim);
            let entry = self.entry(&mut cluster.names, node, claim, leaving);
            cluster.push_node(entry);
            let claim = claim.map(|claim| Arc::clone(&claim.name)).or_else(|| node.owner_claim.clone());
            members.push(Member { node: Some(Arc::clone(&node.name)), claim, leaving });
        }
        for claim in self.claims.values().filter(|claim| self.node_of_claim(claim).is_none()) {
            let leaving = claim.deletion().is_some();
            let entry = self.on_the_way(&mut cluster, claim, leaving);
            cluster.push_node(entry);
            members.push(Member { node: None, claim: Some(Arc::clone(&claim.name)), leaving });
        }
        let pods = self.add_pods(&mut cluster);
        Snapshot { cluster, pods, members }
    }

    fn add_pods(&self, cluster: &mut Cluster) -> Vec<Uid> {
        let mut uids = Vec::with_capacity(self.pods.len());
        cluster.pods.reserve(self.pods.len());
        // By name, whatever the order in which they came.
        let mut all: Vec<_> = self.pods.iter().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for pod in all {
            let node = match pod.node {
                None => None,
                Some(node) => match cluster.node_id(self.text(node)) {
                    Some(id) => Some(id),
                    // It runs somewhere we do not know: nothing to place and nothing to count.
                    None => continue,
                },
            };
            let Some(spec) = pod.spec else {
                let reason = self.pods.aside(pod.uid).and_then(|aside| aside.fault.as_deref());
                let reason = reason.unwrap_or_default().to_owned();
                cluster.unreadable.push(Unreadable { pod: pod.name.to_string(), reason });
                continue;
            };
            let (name, leaving) = (Arc::clone(&pod.name), pod.leaving());
            cluster.pods.push(PodEntry { name, spec, labels: pod.labels, node, leaving });
            uids.push(pod.uid);
        }
        uids
    }

    /// What a node gives to pods. Devices are told late: until it is initialised it has what its claim says.
    pub fn promised(&self, node: &LiveNode) -> Amounts {
        let mut allocatable = node.allocatable.clone();
        let claim = self.claim_of_node(node).filter(|claim| !is_initialized(&self.base.names, node, Some(claim)));
        claim.into_iter().for_each(|claim| raise_missing(&mut allocatable, &claim.allocatable));
        allocatable
    }

    fn entry(&self, names: &mut Names, node: &LiveNode, claim: Option<&LiveClaim>, leaving: bool) -> NodeEntry {
        let pool = label(&node.labels, names.known.node_pool);
        let initialized = is_initialized(names, node, claim);
        let mut labels = node.labels.clone();
        let mut taints: Vec<Taint> = node.read_taints.to_vec();
        let (mut capacity, mut allocatable) = (node.capacity.clone(), self.promised(node));
        if let Some(claim) = claim.filter(|_| !has(names, node, REGISTERED)) {
            let mut all: Vec<_> = labels.to_vec();
            for (key, value) in on_the_way::labels_of(names, claim) {
                if !all.iter().any(|(known, _)| *known == key) {
                    all.push((key, value));
                }
            }
            all.sort_unstable();
            labels = all.into();
            taints.extend(on_the_way::taints_of(names, claim));
            taints.sort();
            taints.dedup();
        }
        if !initialized {
            taints.retain(|taint| !self.goes_at_start(names, claim, pool, taint));
            if let Some(claim) = claim {
                raise_missing(&mut capacity, &claim.capacity);
            }
        }
        if let Some((_, limits)) = self.storage.limits.get(&*node.name) {
            for (driver, count) in limits {
                let id = names.resources.id(&format!("attachable-volumes-{driver}"));
                allocatable.set(id, *count);
            }
        }
        let schedulable = !leaving && !node.unschedulable;
        let name = Arc::clone(&node.name);
        NodeEntry { name, labels, taints, allocatable, capacity, schedulable, initialized, place: None }
    }

    fn goes_at_start(
        &self,
        names: &Names,
        claim: Option<&LiveClaim>,
        pool: Option<crate::state::intern::Symbol>,
        taint: &Taint,
    ) -> bool {
        let key = names.text(taint.key);
        let of_claim = claim.is_some_and(|claim| claim.object.spec.startup_taints.iter().any(|own| own.key == key));
        let of_pool = pool
            .and_then(|pool| self.pools.get(names.text(pool)))
            .is_some_and(|pool| pool.object.spec.template.spec.startup_taints.iter().any(|own| own.key == key));
        of_claim || of_pool || TRANSIENT_TAINTS.contains(&key) || key.starts_with("readiness.k8s.io/")
    }
}

fn leaves(node: &LiveNode, claim: Option<&LiveClaim>) -> bool {
    node.deletion.is_some() || claim.is_some_and(|claim| claim.deletion().is_some()) || node.has_taint(DISRUPTED)
}

fn has(names: &Names, node: &LiveNode, key: &str) -> bool {
    names.strings.find(key).is_some_and(|key| label(&node.labels, key).is_some())
}

fn is_initialized(names: &Names, node: &LiveNode, claim: Option<&LiveClaim>) -> bool {
    match claim {
        Some(claim) => has(names, node, INITIALIZED) || claim.is("Initialized"),
        // Nobody will take the taints of a node of no pool away.
        None => label(&node.labels, names.known.node_pool).is_none() || has(names, node, INITIALIZED),
    }
}

fn raise_missing(amounts: &mut Amounts, expected: &Amounts) {
    for (id, amount) in expected.iter() {
        if amounts.get(id) == 0 {
            amounts.set(id, amount);
        }
    }
}
