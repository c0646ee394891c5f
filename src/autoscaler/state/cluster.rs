//! Pods, nodes, pools and instance types together, as the scheduler reads them.
//!
//! Pods are held as two small numbers: what they ask for ([`PodSpec`]) and which labels they have,
//! each kept once however many pods share it.

use super::alike::Alike;
use super::instance_types::{Catalogue, Price};
use super::intern::{FastMap, Symbol};
use super::names::Names;
use super::pod_reading::{
    NamespaceLabels, Surroundings, as_bound, read_amounts, read_daemon, read_labels, read_pod, read_taints,
};
use super::pod_spec::{Labels, PodSpec, Taint, label};
use super::pools::Pool;
use super::resources::Amounts;
use super::volumes::Volumes;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use std::borrow::Cow;
use std::sync::Arc;

/// Taints that a starting node carries for a while; nodes that are not initialised are judged without them.
pub const TRANSIENT_TAINTS: [&str; 4] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "karpenter.sh/unregistered",
];

/// One pod.
#[derive(Clone, Debug)]
pub struct PodEntry {
    /// `namespace/name`.
    pub name: Arc<str>,
    /// Index into the specs.
    pub spec: u32,
    /// Index into the label sets.
    pub labels: u32,
    /// Index of the node that it runs on.
    pub node: Option<u32>,
    /// Whether it is being deleted; topology spreads do not count it then.
    pub leaving: bool,
}

/// A node that exists or is on its way.
#[derive(Clone, Debug)]
pub struct NodeEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its taints, without those that go when it has started.
    pub taints: Vec<Taint>,
    /// What pods may ask for in total.
    pub allocatable: Amounts,
    /// What it has in total; pool limits count this.
    pub capacity: Amounts,
    /// Whether it takes new pods.
    pub schedulable: bool,
    /// Whether it has started up. Nodes that have are filled first.
    pub initialized: bool,
    /// What it would be, where it is not there but is to be had for pods that are put onto it.
    pub place: Option<Box<Place>>,
}

/// An instance that is left of a capacity reservation, as a node that would come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the pool.
    pub pool: u32,
    /// The weight of the pool: pods that a pool of more weight takes have no business here.
    pub weight: i32,
    /// Index of the instance type in the catalogue.
    pub instance_type: u32,
    /// Index of the offering of the type.
    pub offering: u32,
    /// Price per hour.
    pub price: Price,
    /// Labels that the pool gives it, open ones chosen, and those of the reservation.
    pub labels: Labels,
}

/// A daemon that runs on every node it is allowed on.
#[derive(Clone, Debug)]
pub struct DaemonEntry {
    /// `namespace/name`.
    pub name: Arc<str>,
    /// Index into the specs.
    pub spec: u32,
}

/// A pod that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// `namespace/name`.
    pub pod: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Everything the scheduler decides from.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Strings and resource names.
    pub names: Names,
    /// Instance types and offerings.
    pub catalogue: Catalogue,
    /// NodePools.
    pub pools: Vec<Pool>,
    /// Nodes that exist or are on their way.
    pub nodes: Vec<NodeEntry>,
    /// Daemons.
    pub daemons: Vec<DaemonEntry>,
    /// Pods, bound and pending.
    pub pods: Vec<PodEntry>,
    /// Pods that cannot be placed because they cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Namespaces with their labels, for namespace selectors; set before pods are added.
    pub namespaces: NamespaceLabels,
    /// Volumes by claim; set before pods are added.
    pub volumes: Volumes,
    /// What pods ask for.
    pub(super) specs: Alike<PodSpec>,
    /// The labels of pods.
    pub(super) label_sets: Alike<Labels>,
    node_ids: FastMap<Arc<str>, u32>,
}

impl Cluster {
    /// The spec of a number.
    pub fn spec(&self, id: u32) -> &PodSpec {
        self.specs.get(id)
    }

    /// How many different specs there are.
    pub fn spec_count(&self) -> usize {
        self.specs.len()
    }

    /// The label set of a number.
    pub fn label_set(&self, id: u32) -> &Labels {
        self.label_sets.get(id)
    }

    /// How many different label sets there are.
    pub fn label_set_count(&self) -> usize {
        self.label_sets.len()
    }

    /// The number of a node.
    pub fn node_id(&self, name: &str) -> Option<u32> {
        self.node_ids.get(name).copied()
    }

    /// The number of a spec, made when it is new.
    pub fn intern_spec(&mut self, spec: PodSpec) -> u32 {
        self.specs.take(spec)
    }

    /// Adds a pod. Finished pods are left out; a pod that cannot be read is kept with its reason.
    /// Nodes have to be added before the pods that run on them.
    pub fn add_pod(&mut self, pod: &Pod) {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return;
        }
        let Some(spec) = &pod.spec else { return };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let name = format!("{namespace}/{}", pod.metadata.name.as_deref().unwrap_or_default());
        let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let workload =
            owner.map(|owner| self.names.strings.intern(&format!("{namespace}/{}/{}", owner.kind, owner.name)));
        let node = spec.node_name.as_deref().filter(|node| !node.is_empty());
        let around = Surroundings { namespaces: &self.namespaces, volumes: &self.volumes };
        let spec = if node.is_some() { as_bound(spec) } else { Cow::Borrowed(spec) };
        match read_pod(&mut self.names, &around, &pod.metadata, &spec, workload) {
            Ok(read) => {
                let node = match node.map(|node| self.node_id(node)) {
                    None => None,
                    Some(Some(id)) => Some(id),
                    // It runs somewhere we do not know: nothing to place and nothing to count.
                    Some(None) => return,
                };
                let spec = self.intern_spec(read);
                let labels = read_labels(&mut self.names, pod.metadata.labels.as_ref());
                let labels = self.label_sets.take(labels);
                let leaving = pod.metadata.deletion_timestamp.is_some();
                self.pods.push(PodEntry { name: name.into(), spec, labels, node, leaving });
            }
            Err(reason) => self.unreadable.push(Unreadable { pod: name, reason }),
        }
    }

    /// Adds a node that is planned, and daemons (by spec) on it, as if it ran already.
    pub fn add_planned_node(&mut self, node: NodeEntry, daemons: &[u32]) -> u32 {
        let labels = self.label_sets.take(Labels::default());
        let id = self.push_node(node);
        let daemon = |spec: &u32| PodEntry { name: "".into(), spec: *spec, labels, node: Some(id), leaving: false };
        self.pods.extend(daemons.iter().map(daemon));
        id
    }

    /// Adds a node that has been read.
    pub fn push_node(&mut self, node: NodeEntry) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.node_ids.insert(Arc::clone(&node.name), id);
        self.nodes.push(node);
        id
    }

    /// Takes out all nodes but the first `count`. No pod may run on them.
    pub fn truncate_nodes(&mut self, count: usize) {
        for node in self.nodes.drain(count.min(self.nodes.len())..) {
            self.node_ids.remove(&node.name);
        }
    }

    /// Adds a daemon; one that cannot be read is left out with its reason.
    pub fn add_daemon(&mut self, daemon: &DaemonSet) {
        let name = format!(
            "{}/{}",
            daemon.metadata.namespace.as_deref().unwrap_or("default"),
            daemon.metadata.name.as_deref().unwrap_or_default()
        );
        let around = Surroundings { namespaces: &self.namespaces, volumes: &self.volumes };
        match read_daemon(&mut self.names, &around, daemon) {
            Some(Ok(read)) => {
                let spec = self.intern_spec(read);
                self.daemons.push(DaemonEntry { name: name.into(), spec });
            }
            Some(Err(reason)) => self.unreadable.push(Unreadable { pod: name, reason }),
            None => {}
        }
    }

    /// Adds a node.
    ///
    /// # Errors
    /// When one of its quantities or taints cannot be read.
    pub fn add_node(&mut self, node: &Node) -> Result<(), String> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let labels = node_labels(&mut self.names, node);
        let status = node.status.as_ref();
        let fault = |reason: String| format!("node `{name}`: {reason}");
        let capacity = read_amounts(&mut self.names, status.and_then(|s| s.capacity.as_ref())).map_err(fault)?;
        let allocatable = match status.and_then(|s| s.allocatable.as_ref()) {
            Some(list) => read_amounts(&mut self.names, Some(list)).map_err(fault)?,
            None => capacity.clone(),
        };
        let spec = node.spec.as_ref();
        let taints = spec.and_then(|s| s.taints.as_deref()).unwrap_or_default();
        let initialized = self.is_initialized(&labels);
        let kept: Vec<_> =
            taints.iter().filter(|taint| initialized || !self.is_transient(&labels, taint)).cloned().collect();
        let taints = read_taints(&mut self.names, &kept).map_err(fault)?;
        self.push_node(NodeEntry {
            name: name.into(),
            labels,
            taints,
            allocatable,
            capacity,
            schedulable: spec.and_then(|s| s.unschedulable) != Some(true) && node.metadata.deletion_timestamp.is_none(),
            initialized,
            place: None,
        });
        Ok(())
    }

    /// Nodes of no pool count as initialised: nobody will take their taints away.
    fn is_initialized(&self, labels: &[(Symbol, Symbol)]) -> bool {
        label(labels, self.names.known.node_pool).is_none()
            || self.names.strings.find("karpenter.sh/initialized").is_some_and(|key| label(labels, key).is_some())
    }

    fn is_transient(&self, labels: &[(Symbol, Symbol)], taint: &k8s_openapi::api::core::v1::Taint) -> bool {
        let of_pool = label(labels, self.names.known.node_pool)
            .and_then(|name| self.pools.iter().find(|pool| pool.name == name))
            .is_some_and(|pool| pool.startup_taints.iter().any(|startup| self.names.text(startup.key) == taint.key));
        of_pool || TRANSIENT_TAINTS.contains(&taint.key.as_str()) || taint.key.starts_with("readiness.k8s.io/")
    }
}

/// The labels of a node; its name stands as host name and as `metadata.name` among them.
pub fn node_labels(names: &mut Names, node: &Node) -> Labels {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let mut labels = node.metadata.labels.clone().unwrap_or_default();
    labels.entry(super::names::keys::HOSTNAME.to_owned()).or_insert_with(|| name.to_owned());
    labels.insert(super::names::keys::NODE_NAME_FIELD.to_owned(), name.to_owned());
    read_labels(names, Some(&labels))
}
