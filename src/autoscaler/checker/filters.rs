//! The filters: what speaks against one pod on one node at this moment.

use std::collections::BTreeSet;

use super::cluster::Cluster;
use super::volumes::Place;
use super::{Rule, resources, taints};

impl<'a> Cluster<'a> {
    /// What speaks against a pod on a node now, in the order of kube-scheduler's filters.
    pub fn refusals(&self, pod: usize, node: usize) -> Vec<(Rule, String)> {
        let mut found = self.order_free_refusals(pod, node);
        found.extend(self.order_bound_refusals(pod, node));
        found
    }

    /// The part of [`Self::refusals`] that does not depend on which pods came first: what holds among all
    /// pods held before.
    pub fn order_free_refusals(&self, pod: usize, node: usize) -> Vec<(Rule, String)> {
        let (pod_facts, node_facts) = (&self.pods[pod], &self.nodes[node]);
        let mut found: Vec<(Rule, String)> = Vec::new();
        found.extend(pod_facts.malformed.iter().map(|reason| (Rule::Malformed, reason.clone())));
        found.extend(node_facts.malformed.iter().map(|reason| (Rule::Malformed, format!("node: {reason}"))));
        found.extend(pod_facts.gated.iter().map(|reason| (Rule::Gated, reason.clone())));
        if taints::cordoned(node_facts.node, pod_facts.tolerations) {
            found.push((Rule::Unschedulable, "the node is cordoned".to_owned()));
        }
        let selection = pod_facts.selection.refusal(node_facts.labels, node_facts.name);
        found.extend(selection.map(|reason| (Rule::NodeAffinity, reason)));
        if let Some(taint) = taints::repelling(node_facts.node, pod_facts.tolerations) {
            found.push((Rule::Taints, format!("taint `{}` is not tolerated", taints::written(taint))));
        }
        let exceeded = resources::exceeded(&pod_facts.requests, &node_facts.used, &node_facts.allocatable);
        found.extend(exceeded.into_iter().map(|reason| (Rule::Resources, reason)));
        found.extend(self.port_refusal(pod, node));
        found.extend(self.volume_refusals(pod, node));
        found.extend(self.anti_affinity_refusal(pod, node).map(|reason| (Rule::PodAntiAffinity, reason)));
        found
    }

    /// The part of [`Self::refusals`] that depends on which pods came first: spread and affinity.
    pub fn order_bound_refusals(&self, pod: usize, node: usize) -> Vec<(Rule, String)> {
        let labels = self.nodes[node].labels;
        let spread = self.members[pod].spread.iter().filter_map(|(group, matches_itself)| {
            Some((Rule::TopologySpread, self.spread.refusal(*group, labels, *matches_itself)?))
        });
        let affinity = self.members[pod].affinity.and_then(|(group, matches_itself)| {
            Some((Rule::PodAffinity, self.affinity[group].refusal(labels, matches_itself)?))
        });
        spread.chain(affinity).collect()
    }

    fn port_refusal(&self, pod: usize, node: usize) -> Option<(Rule, String)> {
        let wanted = &self.pods[pod].ports;
        if wanted.is_empty() {
            return None;
        }
        self.nodes[node].pods.iter().find_map(|other| {
            let taken = &self.pods[*other].ports;
            let port = wanted.iter().find(|port| taken.iter().any(|other| port.clashes(other)))?;
            Some((Rule::HostPorts, format!("port `{}` is held by pod `{}`", port.written(), self.pods[*other].key)))
        })
    }

    fn volume_refusals(&self, pod: usize, node: usize) -> Vec<(Rule, String)> {
        let (volumes, facts) = (&self.pods[pod].volumes, &self.nodes[node]);
        let mut found: Vec<(Rule, String)> =
            volumes.waiting.iter().map(|reason| (Rule::Volumes, reason.clone())).collect();
        let others = if volumes.has_waiting_claim() { self.waiting_places() } else { Vec::new() };
        let place = Place { volumes, labels: facts.labels, node: facts.name };
        found.extend(self.storage.reach_refusal(place, &others).map(|reason| (Rule::Volumes, reason)));
        let beside = facts.pods.iter().map(|other| &self.pods[*other].volumes);
        let limit = self.storage.limit_refusal(volumes, facts.name, beside);
        found.extend(limit.map(|reason| (Rule::VolumeLimits, reason)));
        for claim in volumes.claims.iter().filter(|claim| claim.exclusive) {
            if let Some(user) = self.claim_users.get(&claim.key).and_then(BTreeSet::first) {
                let (namespace, name) = &claim.key;
                let user = &self.pods[*user].key;
                found.push((
                    Rule::VolumeAccess,
                    format!("claim `{namespace}/{name}` is for one pod, and pod `{user}` uses it"),
                ));
            }
        }
        found
    }

    fn waiting_places(&self) -> Vec<Place<'_, 'a>> {
        self.waiting
            .iter()
            .filter_map(|pod| {
                let node = &self.nodes[self.node_of(*pod)?];
                Some(Place { volumes: &self.pods[*pod].volumes, labels: node.labels, node: node.name })
            })
            .collect()
    }

    fn anti_affinity_refusal(&self, pod: usize, node: usize) -> Option<String> {
        let labels = self.nodes[node].labels;
        let membership = &self.members[pod];
        let own = membership.anti_affinity.iter().find_map(|group| self.anti_affinity[*group].refuses_owner(labels));
        own.or_else(|| {
            let matched = &self.matched[membership.class].anti_affinity;
            matched.iter().find_map(|group| self.anti_affinity[*group].refuses_match(labels))
        })
    }
}
