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

/// All that decides which domains a constraint has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LayoutKey {
    topology_key: String,
    needed_keys: BTreeSet<String>,
    /// Present where node selection is honored.
    selection: Option<NodeSelection>,
    /// Present where taints are honored.
    tolerations: Option<Vec<PlainToleration>>,
}

/// All that decides what a constraint counts and allows. Equal ones are one group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpreadKey {
    layout: LayoutKey,
    namespace: String,
    selector: Selector,
    max_skew: i64,
    min_domains: usize,
}

impl SpreadKey {
    /// Whether the constraint counts a pod.
    pub fn matches(&self, namespace: &str, labels: &Labels) -> bool {
        self.namespace == namespace && self.selector.matches(labels)
    }
}

impl LayoutKey {
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
            let layout = LayoutKey {
                topology_key: constraint.topology_key.clone(),
                needed_keys: needed_keys.clone(),
                selection: honor_selection.then(|| selection.clone()),
                tolerations: honor_taints.then(|| plain(spec.tolerations.as_deref().unwrap_or(&[]))),
            };
            Ok(SpreadKey {
                layout,
                namespace: namespace.to_owned(),
                selector,
                max_skew: i64::from(constraint.max_skew),
                min_domains: constraint.min_domains.and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
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

/// The domains of all constraints that have the same.
#[derive(Debug)]
struct Layout {
    /// By node: whether it takes part.
    takes_part: Vec<bool>,
    /// Number of nodes by domain.
    domains: BTreeMap<String, u64>,
}

/// Matching pods of one domain; absent where there are none.
#[derive(Debug, Clone, Copy, Default)]
struct Domain {
    pods: i64,
    /// Pods at the time of [`SpreadTable::mark_base`].
    base: i64,
}

/// A constraint with its counts.
#[derive(Debug)]
struct Group {
    key: SpreadKey,
    layout: usize,
    domains: BTreeMap<String, Domain>,
    /// Number of domains by number of pods, empty domains aside, to have the minimum at hand.
    histogram: BTreeMap<i64, u64>,
}

/// Every constraint, gathered into groups, with its domains and counts. Groups are named by their index.
#[derive(Debug, Default)]
pub struct SpreadTable {
    layouts: Vec<Layout>,
    layout_ids: BTreeMap<LayoutKey, usize>,
    groups: Vec<Group>,
    group_ids: BTreeMap<SpreadKey, usize>,
}

impl SpreadTable {
    /// The group of a constraint of a pod with these tolerations, over nodes given as object, labels and
    /// name. A group that is new knows no node and no pod yet.
    pub fn group<'a>(
        &mut self,
        key: SpreadKey,
        tolerations: &[Toleration],
        nodes: impl Iterator<Item = (&'a Node, &'a Labels, &'a str)>,
    ) -> usize {
        if let Some(id) = self.group_ids.get(&key) {
            return *id;
        }
        let layout = *self.layout_ids.entry(key.layout.clone()).or_insert_with_key(|key| {
            let takes_part =
                nodes.map(|(node, labels, name)| key.takes_part(node, labels, name, tolerations)).collect();
            self.layouts.push(Layout { takes_part, domains: BTreeMap::new() });
            self.layouts.len() - 1
        });
        let id = self.groups.len();
        self.group_ids.insert(key.clone(), id);
        self.groups.push(Group { key, layout, domains: BTreeMap::new(), histogram: BTreeMap::new() });
        id
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// The groups that count pods with these labels in this namespace.
    pub fn matched(&self, namespace: &str, labels: &Labels) -> Vec<usize> {
        (0..self.groups.len()).filter(|group| self.groups[*group].key.matches(namespace, labels)).collect()
    }

    /// A node comes into the cluster, or with `present` false leaves it (without pods).
    pub fn change_node(&mut self, node: usize, labels: &Labels, present: bool) {
        for (key, id) in &self.layout_ids {
            let layout = &mut self.layouts[*id];
            let Some(domain) = labels.get(&key.topology_key).filter(|_| layout.takes_part[node]) else { continue };
            let nodes = layout.domains.get(domain).copied().unwrap_or(0);
            match (present, nodes) {
                (true, _) => _ = layout.domains.insert(domain.clone(), nodes + 1),
                (false, 0 | 1) => _ = layout.domains.remove(domain),
                (false, _) => _ = layout.domains.insert(domain.clone(), nodes - 1),
            }
        }
    }

    /// A pod that a group counts comes to a node, or leaves it.
    pub fn change_pod(&mut self, group: usize, node: usize, labels: &Labels, present: bool) {
        let Group { key, layout, domains, histogram } = &mut self.groups[group];
        let takes_part = self.layouts[*layout].takes_part[node];
        let Some(name) = labels.get(&key.layout.topology_key).filter(|_| takes_part) else { return };
        let mut domain = domains.get(name).copied().unwrap_or_default();
        remove_one(histogram, domain.pods);
        domain.pods += if present { 1 } else { -1 };
        if domain.pods != 0 {
            *histogram.entry(domain.pods).or_insert(0) += 1;
        }
        if domain.pods == 0 && domain.base == 0 {
            domains.remove(name);
        } else {
            domains.insert(name.clone(), domain);
        }
    }

    /// Remembers the present counts as those of the running pods.
    pub fn mark_base(&mut self) {
        for domain in self.groups.iter_mut().flat_map(|group| group.domains.values_mut()) {
            domain.base = domain.pods;
        }
    }

    /// Name of the domain a node is in, whether or not it takes part.
    pub fn domain<'a>(&self, group: usize, labels: &'a Labels) -> Option<&'a str> {
        labels.get(&self.groups[group].key.layout.topology_key).map(String::as_str)
    }

    /// Matching pods that run in a domain.
    pub fn base(&self, group: usize, domain: &str) -> i64 {
        self.groups[group].domains.get(domain).map_or(0, |domain| domain.base)
    }

    /// Why a pod with this constraint cannot go to a node now.
    pub fn refusal(&self, group: usize, labels: &Labels, matches_itself: bool) -> Option<String> {
        if let Some(key) = self.groups[group].key.layout.needed_keys.iter().find(|key| !labels.contains_key(*key)) {
            return Some(format!("the node has no label `{key}`"));
        }
        let domain = self.domain(group, labels)?;
        self.excess(group, domain, self.count(group, domain) + i64::from(matches_itself))
    }

    /// Why no order can have led to the final state: a domain that received new pods of this constraint,
    /// `members` of which it counts, holds too many of them beside the running ones.
    pub fn final_refusal(&self, group: usize, domain: &str, members: i64) -> Option<String> {
        self.excess(group, domain, self.base(group, domain) + members)
    }

    /// Whether the constraint holds for a pod where it is now.
    pub fn holds(&self, group: usize, labels: &Labels) -> bool {
        self.domain(group, labels).is_some_and(|domain| self.excess(group, domain, self.count(group, domain)).is_none())
    }

    fn count(&self, group: usize, domain: &str) -> i64 {
        self.groups[group].domains.get(domain).map_or(0, |domain| domain.pods)
    }

    /// The global minimum now, and whether there are fewer domains than `minDomains`.
    fn minimum(&self, group: usize) -> (i64, bool) {
        let group = &self.groups[group];
        let domains = self.layouts[group.layout].domains.len();
        if domains < group.key.min_domains {
            return (0, true);
        }
        let filled: u64 = group.histogram.values().sum();
        let least = group.histogram.first_key_value().map_or(0, |(pods, _)| *pods);
        (if filled < domains as u64 { 0 } else { least }, false)
    }

    fn excess(&self, group: usize, domain: &str, pods: i64) -> Option<String> {
        let (minimum, few) = self.minimum(group);
        let skew = pods - minimum;
        let SpreadKey { layout, max_skew, .. } = &self.groups[group].key;
        (skew > *max_skew).then(|| {
            let few = if few { " (fewer domains than `minDomains`)" } else { "" };
            let key = &layout.topology_key;
            format!("{pods} in `{key}={domain}`, global minimum {minimum}{few}: skew {skew}, `maxSkew` {max_skew}")
        })
    }
}

fn remove_one(histogram: &mut BTreeMap<i64, u64>, pods: i64) {
    match histogram.get_mut(&pods) {
        Some(count) if *count > 1 => *count -= 1,
        _ => _ = histogram.remove(&pods),
    }
}
