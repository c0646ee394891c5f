//! The cluster at one moment: nodes, the pods placed so far, and the counts that the rules ask for.
//!
//! Pods come and go with [`Cluster::place`] and [`Cluster::remove`]; each costs as much as there are rules
//! that speak of the pod. [`Cluster::refusals`] is what kube-scheduler's filters say of one pod on one node
//! now (`filters.rs`); the pod itself must not be placed then.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;

use super::facts::{NodeFacts, PodFacts, Rules, finished, pod_key, read_pod, running_on};
use super::pod_affinity::{AffinityGroup, AntiGroup, Namespaces, Term};
use super::selector::Labels;
use super::spread::SpreadTable;
use super::volumes::{ClaimKey, Storage};
use super::{Candidate, Input, Rule, Violation, resources};

/// The groups that a pod's own rules make it a member of.
#[derive(Debug, Default)]
pub struct Membership {
    /// Spread groups, each with whether it counts the pod itself.
    pub spread: Vec<(usize, bool)>,
    /// Affinity group, with whether the pod matches its own terms.
    pub affinity: Option<(usize, bool)>,
    /// Anti-affinity groups.
    pub anti_affinity: Vec<usize>,
    /// Index of the pod's label class.
    pub class: usize,
}

/// The groups that speak of pods with certain labels in a certain namespace.
#[derive(Debug, Default)]
pub struct Matched {
    /// Spread groups that count them.
    pub spread: Vec<usize>,
    /// Affinity groups that they satisfy.
    pub affinity: Vec<usize>,
    /// Anti-affinity groups that exclude them.
    pub anti_affinity: Vec<usize>,
}

/// The cluster at one moment.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// Nodes, candidates last.
    pub nodes: Vec<NodeFacts<'a>>,
    /// Pods, those of candidates last.
    pub pods: Vec<PodFacts<'a>>,
    /// By pod.
    pub members: Vec<Membership>,
    /// By label class.
    pub matched: Vec<Matched>,
    /// Spread groups.
    pub spread: SpreadTable,
    /// Affinity groups.
    pub affinity: Vec<AffinityGroup>,
    /// Anti-affinity groups.
    pub anti_affinity: Vec<AntiGroup>,
    node_ids: BTreeMap<&'a str, usize>,
    pod_ids: BTreeMap<String, usize>,
    /// By pod: the node it is placed on.
    placed: Vec<Option<usize>>,
    /// Placed pods by the claims they use.
    pub claim_users: BTreeMap<ClaimKey, BTreeSet<usize>>,
    /// Placed pods with claims that wait for their first consumer.
    pub waiting: BTreeSet<usize>,
    /// Storage objects.
    pub storage: Storage<'a>,
    /// Names that are given to several objects, of which only the first is looked at.
    duplicates: Vec<Violation>,
    /// For each candidate its node and the pods that come with it.
    candidates: Vec<(usize, Vec<usize>)>,
}

impl<'a> Cluster<'a> {
    /// A cluster with all nodes (candidates aside) and the running pods placed.
    pub fn new(input: &'a Input, candidates: &'a [Candidate]) -> Self {
        let storage = Storage::new(input);
        let namespaces = known_namespaces(input, candidates);
        let nodes: Vec<NodeFacts> =
            input.nodes.iter().chain(candidates.iter().map(|candidate| &candidate.node)).map(NodeFacts::new).collect();
        let mut node_ids = BTreeMap::new();
        let mut duplicates = Vec::new();
        for (id, node) in nodes.iter().take(input.nodes.len()).enumerate() {
            if *node_ids.entry(node.name).or_insert(id) != id {
                duplicates.push(duplicate("", node.name, "several nodes have this name"));
            }
        }
        let given = input.pods.iter().filter(|pod| !finished(pod));
        let daemons = candidates.iter().flat_map(|candidate| &candidate.daemons);
        let (pods, rules): (Vec<PodFacts>, Vec<Rules>) =
            given.chain(daemons).map(|pod| read_pod(pod, &storage, &namespaces)).unzip();
        let daemon_count: usize = candidates.iter().map(|candidate| candidate.daemons.len()).sum();
        let mut pod_ids = BTreeMap::new();
        for (id, pod) in pods.iter().take(pods.len() - daemon_count).enumerate() {
            if *pod_ids.entry(pod.key.clone()).or_insert(id) != id {
                duplicates.push(duplicate(&pod.key, "", "several pods have this name"));
            }
        }
        let mut cluster = Self {
            placed: vec![None; pods.len()],
            duplicates,
            candidates: number_candidates(candidates, input.nodes.len(), pods.len() - daemon_count),
            members: Vec::new(),
            matched: Vec::new(),
            spread: SpreadTable::default(),
            affinity: Vec::new(),
            anti_affinity: Vec::new(),
            claim_users: BTreeMap::new(),
            waiting: BTreeSet::new(),
            nodes,
            pods,
            node_ids,
            pod_ids,
            storage,
        };
        cluster.group(rules);
        cluster.classify();
        for node in 0..input.nodes.len() {
            cluster.change_node(node, true);
        }
        cluster.place_running();
        cluster.spread.mark_base();
        cluster
    }

    /// Index of a node by name, candidates aside.
    pub fn node(&self, name: &str) -> Option<usize> {
        self.node_ids.get(name).copied()
    }

    /// Index of a pod by `namespace/name`.
    pub fn pod(&self, key: &str) -> Option<usize> {
        self.pod_ids.get(key).copied()
    }

    /// The node that a pod is placed on.
    pub fn node_of(&self, pod: usize) -> Option<usize> {
        self.placed[pod]
    }

    /// Number of nodes that are no candidates.
    pub fn own_nodes(&self) -> usize {
        self.nodes.len() - self.candidates.len()
    }

    /// The new pods of a placement with their nodes, by key; and the names that stand for nothing, or for
    /// several things.
    pub fn resolve(&self, placement: &BTreeMap<String, String>) -> (Vec<(usize, usize)>, Vec<Violation>) {
        let mut pairs = Vec::new();
        let mut wrong = self.duplicates.clone();
        for (key, name) in placement {
            let mut refuse = |detail: &str| {
                wrong.push(Violation {
                    pod: key.clone(),
                    node: name.clone(),
                    rule: Rule::Reference,
                    detail: detail.to_owned(),
                });
            };
            match (self.pod(key), self.node(name)) {
                (None, _) => refuse("the pod does not exist, or has finished"),
                (_, None) => refuse("the node does not exist"),
                (Some(pod), Some(_)) if running_on(self.pods[pod].pod).is_some() => refuse("the pod already runs"),
                (Some(pod), Some(node)) => pairs.push((pod, node)),
            }
        }
        (pairs, wrong)
    }

    /// Puts a pod on a node.
    pub fn place(&mut self, pod: usize, node: usize) {
        self.placed[pod] = Some(node);
        self.change_pod(pod, node, true);
    }

    /// Takes a pod off its node.
    pub fn remove(&mut self, pod: usize) {
        if let Some(node) = self.placed[pod].take() {
            self.change_pod(pod, node, false);
        }
    }

    /// Lets a candidate, by its position, join with its daemons; says which node it is.
    pub fn enter(&mut self, candidate: usize) -> usize {
        let (node, daemons) = self.candidates[candidate].clone();
        self.change_node(node, true);
        for daemon in daemons {
            self.place(daemon, node);
        }
        node
    }

    /// Lets a candidate go again.
    pub fn leave(&mut self, candidate: usize) {
        let (node, daemons) = self.candidates[candidate].clone();
        for daemon in daemons {
            self.remove(daemon);
        }
        self.change_node(node, false);
    }

    /// Gathers equal rules into groups.
    fn group(&mut self, rules: Vec<Rules>) {
        let mut affinity_ids: BTreeMap<Vec<Term>, usize> = BTreeMap::new();
        let mut anti_ids: BTreeMap<Term, usize> = BTreeMap::new();
        for (pod, rules) in rules.into_iter().enumerate() {
            let facts = &self.pods[pod];
            let mut membership = Membership::default();
            for key in rules.spread {
                let matches_itself = key.matches(facts.namespace, facts.labels);
                let nodes = self.nodes.iter().map(|node| (node.node, node.labels, node.name));
                let id = self.spread.group(key, facts.tolerations, nodes);
                membership.spread.push((id, matches_itself));
            }
            if !rules.affinity.is_empty() {
                let id = *affinity_ids.entry(rules.affinity).or_insert_with_key(|terms| {
                    self.affinity.push(AffinityGroup::new(terms.clone()));
                    self.affinity.len() - 1
                });
                let matches_itself = self.affinity[id].matches(facts.namespace, facts.labels);
                membership.affinity = Some((id, matches_itself));
            }
            for term in rules.anti_affinity {
                membership.anti_affinity.push(*anti_ids.entry(term).or_insert_with_key(|term| {
                    self.anti_affinity.push(AntiGroup::new(term.clone()));
                    self.anti_affinity.len() - 1
                }));
            }
            // A pod may say the same thing twice; it is a member once.
            membership.spread.sort_unstable();
            membership.spread.dedup();
            membership.anti_affinity.sort_unstable();
            membership.anti_affinity.dedup();
            self.members.push(membership);
        }
    }

    /// Finds which groups speak of which pods, once for pods with the same labels.
    fn classify(&mut self) {
        let mut classes: BTreeMap<(&str, &Labels), usize> = BTreeMap::new();
        for (pod, membership) in self.pods.iter().zip(&mut self.members) {
            let next = classes.len();
            membership.class = *classes.entry((pod.namespace, pod.labels)).or_insert(next);
        }
        self.matched.resize_with(classes.len(), Matched::default);
        for ((namespace, labels), class) in classes {
            self.matched[class] = Matched {
                spread: self.spread.matched(namespace, labels),
                affinity: positions(&self.affinity, |group| group.matches(namespace, labels)),
                anti_affinity: positions(&self.anti_affinity, |group| group.term.matches(namespace, labels)),
            };
        }
    }

    fn place_running(&mut self) {
        let own: Vec<(usize, usize)> = self
            .pod_ids
            .values()
            .filter_map(|pod| Some((*pod, self.node(running_on(self.pods[*pod].pod)?)?)))
            .collect();
        for (pod, node) in own {
            self.place(pod, node);
        }
    }

    fn change_node(&mut self, node: usize, present: bool) {
        let labels = self.nodes[node].labels;
        self.spread.change_node(node, labels, present);
    }

    fn change_pod(&mut self, pod: usize, node: usize, present: bool) {
        let labels = self.nodes[node].labels;
        let (facts, membership) = (&self.pods[pod], &self.members[pod]);
        let on_node = &mut self.nodes[node];
        if present {
            on_node.pods.insert(pod);
            resources::add(&mut on_node.used, &facts.requests);
        } else {
            on_node.pods.remove(&pod);
            resources::subtract(&mut on_node.used, &facts.requests);
        }
        for group in &membership.anti_affinity {
            let group = &mut self.anti_affinity[*group];
            if let Some(domain) = group.term.domain(labels) {
                group.owners.change(domain, present);
            }
        }
        let matched = &self.matched[membership.class];
        for group in &matched.anti_affinity {
            let group = &mut self.anti_affinity[*group];
            if let Some(domain) = group.term.domain(labels) {
                group.matching.change(domain, present);
            }
        }
        for group in &matched.affinity {
            self.affinity[*group].change(labels, present);
        }
        for group in matched.spread.iter().filter(|_| !facts.leaving) {
            self.spread.change_pod(*group, node, labels, present);
        }
        self.change_claims(pod, present);
    }

    fn change_claims(&mut self, pod: usize, present: bool) {
        let volumes = &self.pods[pod].volumes;
        for claim in &volumes.claims {
            let users = self.claim_users.entry(claim.key.clone()).or_default();
            if present {
                users.insert(pod)
            } else {
                users.remove(&pod)
            };
        }
        if volumes.has_waiting_claim() {
            if present {
                self.waiting.insert(pod)
            } else {
                self.waiting.remove(&pod)
            };
        }
    }
}

fn duplicate(pod: &str, node: &str, detail: &str) -> Violation {
    Violation { pod: pod.to_owned(), node: node.to_owned(), rule: Rule::Reference, detail: detail.to_owned() }
}

fn positions<T>(groups: &[T], matches: impl Fn(&T) -> bool) -> Vec<usize> {
    groups.iter().enumerate().filter(|(_, group)| matches(group)).map(|(position, _)| position).collect()
}

/// Every namespace that the input speaks of.
pub fn known_namespaces(input: &Input, candidates: &[Candidate]) -> Namespaces {
    let mut namespaces = Namespaces::default();
    for namespace in &input.namespaces {
        if let Some(name) = &namespace.metadata.name {
            namespaces.insert(name, namespace.metadata.labels.as_ref());
        }
    }
    let daemons = candidates.iter().flat_map(|candidate| &candidate.daemons);
    for pod in input.pods.iter().chain(daemons) {
        let (_, namespace): (_, &str) = pod_key(pod as &Pod);
        namespaces.insert(namespace, None);
    }
    namespaces
}

/// Index of each candidate's node and of its daemons.
fn number_candidates(candidates: &[Candidate], first_node: usize, first_pod: usize) -> Vec<(usize, Vec<usize>)> {
    let mut next = first_pod;
    candidates
        .iter()
        .enumerate()
        .map(|(position, candidate)| {
            let daemons = (next..next + candidate.daemons.len()).collect();
            next += candidate.daemons.len();
            (first_node + position, daemons)
        })
        .collect()
}
