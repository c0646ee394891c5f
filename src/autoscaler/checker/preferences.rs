//! Preferences that the final state keeps.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, WeightedPodAffinityTerm};

use super::cluster::Cluster;
use super::facts::PodFacts;
use super::pod_affinity::{Counts, Namespaces, Term};
use super::selector::NodeTerm;
use super::spread::{self, SpreadTable};
use super::{Kept, Preferences, taints};

impl Kept {
    fn count(&mut self, kept: bool, weight: u64) {
        self.total += 1;
        self.weight_total += weight;
        if kept {
            self.kept += 1;
            self.weight_kept += weight;
        }
    }
}

/// Counts the preferred terms of the new pods (pod, node), all of which are placed. What cannot be read is
/// not counted.
pub fn count(cluster: &Cluster, new: &[(usize, usize)], namespaces: &Namespaces) -> Preferences {
    let (spread, soft_groups) = soft_spread(cluster, new);
    let mut counter = Counter { cluster, namespaces, terms: BTreeMap::new(), spread, soft_groups };
    let mut preferences = Preferences::default();
    for (pod, node) in new {
        counter.node_affinity(*pod, *node, &mut preferences.node_affinity);
        counter.pod_affinity(*pod, *node, &mut preferences);
        counter.soft_spread(*pod, *node, &mut preferences.spread);
        counter.taints(*pod, *node, &mut preferences.taints);
    }
    preferences
}

struct Counter<'b, 'a> {
    cluster: &'b Cluster<'a>,
    namespaces: &'b Namespaces,
    /// Placed pods that a term matches, by domain.
    terms: BTreeMap<Term, Counts>,
    /// Soft constraints, everything placed.
    spread: SpreadTable,
    /// By pod: its soft constraints.
    soft_groups: BTreeMap<usize, Vec<usize>>,
}

impl Counter<'_, '_> {
    fn node_affinity(&self, pod: usize, node: usize, kept: &mut Kept) {
        let node = &self.cluster.nodes[node];
        let preferred = affinity(&self.cluster.pods[pod]).and_then(|affinity| affinity.node_affinity.as_ref());
        for term in preferred
            .iter()
            .flat_map(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten())
        {
            if let Ok(compiled) = NodeTerm::compile(&term.preference) {
                kept.count(compiled.matches(node.labels, node.name), weight(term.weight));
            }
        }
    }

    fn pod_affinity(&mut self, pod: usize, node: usize, preferences: &mut Preferences) {
        let Some(affinity) = affinity(&self.cluster.pods[pod]) else { return };
        let together = affinity
            .pod_affinity
            .iter()
            .flat_map(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten());
        for term in together {
            self.pod_term(pod, node, term, true, &mut preferences.pod_affinity);
        }
        let apart = affinity
            .pod_anti_affinity
            .iter()
            .flat_map(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten());
        for term in apart {
            self.pod_term(pod, node, term, false, &mut preferences.pod_anti_affinity);
        }
    }

    /// A preferred term holds when another matching pod is (or for anti-affinity is not) in the domain.
    fn pod_term(&mut self, pod: usize, node: usize, term: &WeightedPodAffinityTerm, together: bool, kept: &mut Kept) {
        let facts = &self.cluster.pods[pod];
        let Ok(compiled) = Term::compile(&term.pod_affinity_term, facts.namespace, facts.labels, self.namespaces)
        else {
            return;
        };
        let itself = u64::from(compiled.matches(facts.namespace, facts.labels));
        let others = compiled.domain(self.cluster.nodes[node].labels).map_or(0, |domain| {
            let cluster = self.cluster;
            let counts = self.terms.entry(compiled.clone()).or_insert_with_key(|term| matching_pods(cluster, term));
            counts.get(domain).saturating_sub(itself)
        });
        kept.count((others > 0) == together, weight(term.weight));
    }

    fn soft_spread(&self, pod: usize, node: usize, kept: &mut Kept) {
        for group in self.soft_groups.get(&pod).into_iter().flatten() {
            kept.count(self.spread.holds(*group, self.cluster.nodes[node].labels), 1);
        }
    }

    fn taints(&self, pod: usize, node: usize, kept: &mut Kept) {
        let tolerations = self.cluster.pods[pod].tolerations;
        if self.cluster.nodes.iter().any(|node| taints::discouraging(node.node, tolerations)) {
            kept.count(!taints::discouraging(self.cluster.nodes[node].node, tolerations), 1);
        }
    }
}

fn affinity<'b>(pod: &'b PodFacts<'_>) -> Option<&'b Affinity> {
    pod.pod.spec.as_ref()?.affinity.as_ref()
}

fn weight(weight: i32) -> u64 {
    u64::try_from(weight).unwrap_or(0)
}

fn matching_pods(cluster: &Cluster, term: &Term) -> Counts {
    let mut counts = Counts::default();
    for (pod, facts) in cluster.pods.iter().enumerate() {
        let Some(node) = cluster.node_of(pod) else { continue };
        if let Some(domain) = term.domain(cluster.nodes[node].labels)
            && term.matches(facts.namespace, facts.labels)
        {
            counts.change(domain, true);
        }
    }
    counts
}

/// The soft constraints of the new pods with everything placed counted, and which pod has which.
fn soft_spread(cluster: &Cluster, new: &[(usize, usize)]) -> (SpreadTable, BTreeMap<usize, Vec<usize>>) {
    let mut table = SpreadTable::default();
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (pod, _) in new {
        let facts = &cluster.pods[*pod];
        let Some(spec) = &facts.pod.spec else { continue };
        let compiled = spread::compile(spec, facts.namespace, facts.labels, &facts.selection, false);
        for key in compiled.unwrap_or_default() {
            let nodes = cluster.nodes.iter().map(|node| (node.node, node.labels, node.name));
            groups.entry(*pod).or_default().push(table.group(key, facts.tolerations, nodes));
        }
    }
    for (id, node) in cluster.nodes.iter().enumerate() {
        table.change_node(id, node.labels, true);
    }
    for (pod, facts) in cluster.pods.iter().enumerate().filter(|(_, facts)| !facts.leaving) {
        let Some(node) = cluster.node_of(pod) else { continue };
        for group in table.matched(facts.namespace, facts.labels) {
            table.change_pod(group, node, cluster.nodes[node].labels, true);
        }
    }
    (table, groups)
}
