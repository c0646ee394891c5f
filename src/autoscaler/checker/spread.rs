//! Topology spread constraints.
//!
//! Counted are pods of the constraint's namespace that its selector (with `matchLabelKeys`) matches and that
//! are not being deleted, on nodes that take part: a node takes part when it has the topology keys of all
//! constraints of the same kind on the pod, matches the pod's node selection (`nodeAffinityPolicy: Honor`,
//! the default) and has no taint that the pod does not tolerate (`nodeTaintsPolicy: Honor`, not the
//! default). Domains are those of the nodes that take part. The global minimum is that of the least filled
//! domain, or 0 with fewer than `minDomains` domains. A pod may go to a domain when its count, with the pod
//! itself if it matches, exceeds the minimum by `maxSkew` at most.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, PodSpec, Toleration, TopologySpreadConstraint};

use super::node_affinity::NodeSelection;
use super::selector::{Labels, Selector};
use super::taints;

/// A toleration in a form that can be compared.
type PlainToleration = [Option<String>; 4];

/// All that decides what a constraint counts and allows. Equal ones are one group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpreadKey {
    topology_key: String,
    namespace: String,
    selector: Selector,
    needed_keys: BTreeSet<String>,
    max_skew: i64,
    min_domains: usize,
    selection: Option<NodeSelection>,
    tolerations: Option<Vec<PlainToleration>>,
}

impl SpreadKey {
    /// Whether the constraint counts a pod.
    pub fn matches(&self, namespace: &str, labels: &Labels) -> bool {
        self.namespace == namespace && self.selector.matches(labels)
    }

    /// Whether a node takes part in the count.
    fn takes_part(&self, node: &Node, labels: &Labels, name: &str, tolerations: &[Toleration]) -> bool {
        self.needed_keys.iter().all(|key| labels.contains_key(key))
            && self.selection.as_ref().is_none_or(|selection| selection.matches(labels, name))
            && (self.tolerations.is_none() || taints::repelling(node, tolerations).is_none())
    }
}

/// Compiles the constraints of a pod that are hard (`DoNotSchedule`, the default) or soft.
///
/// # Errors
/// Names the operator that the API does not know.
pub fn compile(
    spec: &PodSpec,
    namespace: &str,
    own: &Labels,
    selection: &NodeSelection,
    hard: bool,
) -> Result<Vec<SpreadKey>, String> {
    let constraints: Vec<&TopologySpreadConstraint> = spec
        .topology_spread_constraints
        .iter()
        .flatten()
        .filter(|constraint| (constraint.when_unsatisfiable != "ScheduleAnyway") == hard)
        .collect();
    let needed_keys: BTreeSet<String> = constraints.iter().map(|constraint| constraint.topology_key.clone()).collect();
    constraints
        .into_iter()
        .map(|constraint| {
            let mut selector = Selector::compile(constraint.label_selector.as_ref())?;
            selector.narrow(constraint.match_label_keys.as_deref(), own, true);
            let honor_selection = constraint.node_affinity_policy.as_deref() != Some("Ignore");
            let honor_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
            Ok(SpreadKey {
                topology_key: constraint.topology_key.clone(),
                namespace: namespace.to_owned(),
                selector,
                needed_keys: needed_keys.clone(),
                max_skew: i64::from(constraint.max_skew),
                min_domains: constraint.min_domains.and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
                selection: honor_selection.then(|| selection.clone()),
                tolerations: honor_taints.then(|| plain(spec.tolerations.as_deref().unwrap_or(&[]))),
            })
        })
        .collect()
}

fn plain(tolerations: &[Toleration]) -> Vec<PlainToleration> {
    tolerations
        .iter()
        .map(|toleration| {
            [toleration.key.clone(), toleration.operator.clone(), toleration.value.clone(), toleration.effect.clone()]
        })
        .collect()
}

/// One domain of a group.
#[derive(Debug, Clone, Copy, Default)]
struct Domain {
    nodes: u64,
    pods: i64,
    /// Pods at the time of [`SpreadGroup::mark_base`].
    base: i64,
}

/// A constraint with its domains and counts.
#[derive(Debug, Clone)]
pub struct SpreadGroup {
    /// What it counts and allows.
    pub key: SpreadKey,
    /// By node: whether it takes part.
    takes_part: Vec<bool>,
    domains: BTreeMap<String, Domain>,
    /// Number of domains by number of pods, to have the minimum at hand.
    histogram: BTreeMap<i64, u64>,
}

impl SpreadGroup {
    /// A group over nodes given as object, labels and name, none of which is in the cluster yet.
    pub fn new<'a>(
        key: SpreadKey,
        tolerations: &[Toleration],
        nodes: impl Iterator<Item = (&'a Node, &'a Labels, &'a str)>,
    ) -> Self {
        let takes_part = nodes.map(|(node, labels, name)| key.takes_part(node, labels, name, tolerations)).collect();
        Self { key, takes_part, domains: BTreeMap::new(), histogram: BTreeMap::new() }
    }

    /// A node comes into the cluster, or with `present` false leaves it (without pods).
    pub fn change_node(&mut self, node: usize, labels: &Labels, present: bool) {
        let Some(name) = self.counted_domain(node, labels) else { return };
        let domain = self.domains.entry(name.to_owned()).or_default();
        let known = domain.nodes > 0;
        domain.nodes = if present { domain.nodes + 1 } else { domain.nodes.saturating_sub(1) };
        let (stays, pods) = (domain.nodes > 0, domain.pods);
        match (known, stays) {
            (false, true) => *self.histogram.entry(pods).or_insert(0) += 1,
            (true, false) => remove_one(&mut self.histogram, pods),
            _ => {}
        }
        if !stays {
            self.domains.remove(name);
        }
    }

    /// A matching pod comes to a node, or leaves it.
    pub fn change_pod(&mut self, node: usize, labels: &Labels, present: bool) {
        let Some(name) = self.counted_domain(node, labels) else { return };
        let Some(domain) = self.domains.get_mut(name) else { return };
        remove_one(&mut self.histogram, domain.pods);
        domain.pods += if present { 1 } else { -1 };
        *self.histogram.entry(domain.pods).or_insert(0) += 1;
    }

    /// Remembers the present counts as those of the running pods.
    pub fn mark_base(&mut self) {
        for domain in self.domains.values_mut() {
            domain.base = domain.pods;
        }
    }

    /// Name of the domain a node is in, whether or not it takes part.
    pub fn domain<'a>(&self, labels: &'a Labels) -> Option<&'a str> {
        labels.get(&self.key.topology_key).map(String::as_str)
    }

    /// Matching pods in a domain now.
    pub fn count(&self, domain: &str) -> i64 {
        self.domains.get(domain).map_or(0, |domain| domain.pods)
    }

    /// The global minimum now.
    pub fn minimum(&self) -> i64 {
        if self.domains.len() < self.key.min_domains {
            return 0;
        }
        self.histogram.first_key_value().map_or(0, |(pods, _)| *pods)
    }

    /// Why a pod with this constraint cannot go to a node now.
    pub fn refusal(&self, labels: &Labels, matches_itself: bool) -> Option<String> {
        if let Some(key) = self.key.needed_keys.iter().find(|key| !labels.contains_key(*key)) {
            return Some(format!("the node has no label `{key}`"));
        }
        let domain = self.domain(labels)?;
        self.excess(domain, self.count(domain) + i64::from(matches_itself))
    }

    /// Why no order can have led to the final state: a domain that received new pods of this constraint,
    /// `members` of which it counts, holds too many of them beside the running ones.
    pub fn final_refusal(&self, domain: &str, members: i64) -> Option<String> {
        let base = self.domains.get(domain).map_or(0, |domain| domain.base);
        self.excess(domain, base + members)
    }

    /// Whether the constraint holds for a pod where it is now.
    pub fn holds(&self, labels: &Labels) -> bool {
        self.domain(labels).is_some_and(|domain| self.excess(domain, self.count(domain)).is_none())
    }

    /// The level at which a domain starts: its running matches.
    pub fn base(&self, domain: &str) -> i64 {
        self.domains.get(domain).map_or(0, |domain| domain.base)
    }

    fn excess(&self, domain: &str, pods: i64) -> Option<String> {
        let minimum = self.minimum();
        let skew = pods - minimum;
        let SpreadKey { topology_key, max_skew, .. } = &self.key;
        (skew > *max_skew).then(|| {
            let few = if self.domains.len() < self.key.min_domains { " (fewer domains than `minDomains`)" } else { "" };
            format!(
                "{pods} in `{topology_key}={domain}`, global minimum {minimum}{few}: skew {skew}, `maxSkew` {max_skew}"
            )
        })
    }

    fn counted_domain<'a>(&self, node: usize, labels: &'a Labels) -> Option<&'a str> {
        self.takes_part.get(node).copied().unwrap_or(false).then(|| self.domain(labels)).flatten()
    }
}

fn remove_one(histogram: &mut BTreeMap<i64, u64>, pods: i64) {
    match histogram.get_mut(&pods) {
        Some(count) if *count > 1 => *count -= 1,
        _ => _ = histogram.remove(&pods),
    }
}
