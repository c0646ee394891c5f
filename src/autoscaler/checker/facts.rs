//! Pods and nodes, read once: what each asks for and offers, in the terms of the rules.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm, PodSpec, Toleration};

use super::node_affinity::NodeSelection;
use super::pod_affinity::{Namespaces, Term};
use super::ports::{self, HostPort};
use super::resources::{self, Amounts};
use super::selector::Labels;
use super::spread::{self, SpreadKey};
use super::volumes::{PodVolumes, Storage};

static NO_LABELS: Labels = BTreeMap::new();

/// A node and what is on it.
#[derive(Debug)]
pub struct NodeFacts<'a> {
    /// The object.
    pub node: &'a Node,
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
    /// What it can give.
    pub allocatable: Amounts,
    /// Why it cannot be read.
    pub malformed: Option<String>,
    /// Sum of the requests of the pods on it.
    pub used: Amounts,
    /// Indices of the pods on it.
    pub pods: BTreeSet<usize>,
}

impl<'a> NodeFacts<'a> {
    /// Reads a node.
    pub fn new(node: &'a Node) -> Self {
        let (allocatable, malformed) = match resources::allocatable(node) {
            Ok(allocatable) => (allocatable, None),
            Err(reason) => (Amounts::new(), Some(reason)),
        };
        Self {
            node,
            name: node.metadata.name.as_deref().unwrap_or(""),
            labels: node.metadata.labels.as_ref().unwrap_or(&NO_LABELS),
            allocatable,
            malformed,
            used: Amounts::new(),
            pods: BTreeSet::new(),
        }
    }
}

/// A pod's rules before they are grouped with those of other pods.
#[derive(Debug, Default)]
pub struct Rules {
    /// `DoNotSchedule` constraints.
    pub spread: Vec<SpreadKey>,
    /// Required affinity terms.
    pub affinity: Vec<Term>,
    /// Required anti-affinity terms.
    pub anti_affinity: Vec<Term>,
}

/// A pod.
#[derive(Debug)]
pub struct PodFacts<'a> {
    /// The object.
    pub pod: &'a Pod,
    /// `namespace/name`.
    pub key: String,
    /// Its namespace; `default` where it names none.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
    /// Effective request.
    pub requests: Amounts,
    /// Which nodes it selects.
    pub selection: NodeSelection,
    /// What it tolerates.
    pub tolerations: &'a [Toleration],
    /// Host ports.
    pub ports: Vec<HostPort>,
    /// Volumes.
    pub volumes: PodVolumes<'a>,
    /// Whether it is being deleted: spread constraints do not count it then.
    pub leaving: bool,
    /// Why it cannot be scheduled at all.
    pub gated: Option<String>,
    /// What in it cannot be read.
    pub malformed: Vec<String>,
}

/// `namespace/name` of a pod, its namespace.
pub fn pod_key(pod: &Pod) -> (String, &str) {
    let namespace = pod.metadata.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
    (format!("{namespace}/{}", pod.metadata.name.as_deref().unwrap_or("")), namespace)
}

/// Reads a pod.
pub fn read_pod<'a>(pod: &'a Pod, storage: &Storage<'a>, namespaces: &Namespaces) -> (PodFacts<'a>, Rules) {
    let (key, namespace) = pod_key(pod);
    let labels = pod.metadata.labels.as_ref().unwrap_or(&NO_LABELS);
    let mut malformed = Vec::new();
    let requests = kept(resources::requested(pod), &mut malformed);
    let mut facts = PodFacts {
        pod,
        key,
        namespace,
        labels,
        requests,
        selection: NodeSelection::default(),
        tolerations: &[],
        ports: Vec::new(),
        volumes: PodVolumes::default(),
        leaving: pod.metadata.deletion_timestamp.is_some(),
        gated: None,
        malformed: Vec::new(),
    };
    let mut rules = Rules::default();
    if let Some(spec) = &pod.spec {
        facts.selection = kept(NodeSelection::compile(spec), &mut malformed);
        facts.tolerations = spec.tolerations.as_deref().unwrap_or(&[]);
        facts.ports = ports::of(spec);
        facts.volumes = storage.of_pod(pod, spec, namespace);
        facts.gated = gate(spec);
        let (required, excluded) = required_terms(spec);
        rules.spread = kept(spread::compile(spec, namespace, labels, &facts.selection, true), &mut malformed);
        rules.affinity = kept(compile_terms(required, namespace, labels, namespaces), &mut malformed);
        rules.anti_affinity = kept(compile_terms(excluded, namespace, labels, namespaces), &mut malformed);
    } else {
        malformed.push("the pod has no spec".to_owned());
    }
    facts.malformed = malformed;
    (facts, rules)
}

/// Whether a pod has ended, so that it takes nothing any more.
pub fn finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The node that a pod runs on.
pub fn running_on(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty())
}

fn kept<T: Default>(result: Result<T, String>, malformed: &mut Vec<String>) -> T {
    result.unwrap_or_else(|reason| {
        malformed.push(reason);
        T::default()
    })
}

fn compile_terms(
    terms: &[PodAffinityTerm],
    namespace: &str,
    labels: &Labels,
    namespaces: &Namespaces,
) -> Result<Vec<Term>, String> {
    terms.iter().map(|term| Term::compile(term, namespace, labels, namespaces)).collect()
}

/// Required affinity and anti-affinity terms.
fn required_terms(spec: &PodSpec) -> (&[PodAffinityTerm], &[PodAffinityTerm]) {
    let affinity = spec.affinity.as_ref();
    let required = affinity
        .and_then(|affinity| affinity.pod_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_deref());
    let excluded = affinity
        .and_then(|affinity| affinity.pod_anti_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_deref());
    (required.unwrap_or(&[]), excluded.unwrap_or(&[]))
}

fn gate(spec: &PodSpec) -> Option<String> {
    if let Some(gate) = spec.scheduling_gates.iter().flatten().next() {
        return Some(format!("scheduling gate `{}` is closed", gate.name));
    }
    let claim = spec.resource_claims.iter().flatten().next()?;
    Some(format!("resource claim `{}` needs dynamic resource allocation, which is not checked", claim.name))
}
