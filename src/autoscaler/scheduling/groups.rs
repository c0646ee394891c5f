//! Pods that are alike, and which pods the terms of others speak of.
//!
//! Two pods are alike when their specs are equal and their labels differ only where nobody looks.
//! The cost of everything that follows grows with the number of groups, not of pods.

use super::problem::Problem;
use crate::state::cluster::Cluster;
use crate::state::intern::{FastMap, Symbol};
use crate::state::names::Names;
use crate::state::pod_spec::{Labels, PodSelector, PodSpec};
use crate::state::requirements::Requirements;

/// Pending pods that are alike.
#[derive(Clone, Debug)]
pub struct Group {
    /// Number of the spec.
    pub spec: u32,
    /// What selectors see of it.
    pub identity: u32,
    /// The pods, by index.
    pub pods: Vec<u32>,
}

/// The groups of a problem.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// Pending pods by likeness, in order of first appearance.
    pub groups: Vec<Group>,
    /// Selectors that occur in the terms of pending pods, and in the anti-affinity of running ones.
    pub selectors: Vec<PodSelector>,
    /// Selectors that match, by identity.
    pub matched: Vec<Vec<u32>>,
    /// Identities of running pods, by pod index (only where selectors exist; else empty).
    pub identity_of_pod: FastMap<u32, u32>,
    selector_ids: FastMap<PodSelector, u32>,
}

impl Groups {
    /// Groups the pending pods of a problem.
    pub fn new(problem: &Problem<'_>) -> Self {
        let cluster = problem.cluster;
        let mut groups = Self::default();
        groups.collect_selectors(problem);
        let mut identities = Identities::new(cluster, &groups.selectors);
        let mut known: FastMap<(u32, u32), u32> = FastMap::default();
        for &pod in &problem.pending {
            let entry = &cluster.pods[pod as usize];
            let identity = identities.of(cluster, entry.spec, entry.labels);
            let next = u32::try_from(groups.groups.len()).unwrap_or(u32::MAX);
            let at = *known.entry((entry.spec, identity)).or_insert(next);
            if at == next {
                groups.groups.push(Group { spec: entry.spec, identity, pods: Vec::new() });
            }
            groups.groups[at as usize].pods.push(pod);
        }
        if !groups.selectors.is_empty() {
            for (at, entry) in (0_u32..).zip(&cluster.pods) {
                if entry.node.is_some() {
                    groups.identity_of_pod.insert(at, identities.of(cluster, entry.spec, entry.labels));
                }
            }
        }
        groups.matched = identities.matched(&cluster.names, &groups.selectors);
        groups
    }

    fn collect_selectors(&mut self, problem: &Problem<'_>) {
        let cluster = problem.cluster;
        let mut seen = vec![0_u8; cluster.spec_count()];
        for &pod in &problem.pending {
            seen[cluster.pods[pod as usize].spec as usize] |= 1;
        }
        for entry in cluster.pods.iter().filter(|entry| entry.node.is_some()) {
            seen[entry.spec as usize] |= 2;
        }
        for (at, seen) in seen.into_iter().enumerate() {
            let spec = cluster.spec(u32::try_from(at).unwrap_or(u32::MAX));
            if seen & 1 == 1 {
                let spreads = spec.spreads.iter().map(|spread| &spread.selector);
                let preferred = spec.preferred_pods.iter().map(|(_, term)| &term.selector);
                let terms = spec.affinity.iter().map(|term| &term.selector);
                spreads.chain(preferred).chain(terms).for_each(|selector| self.add_selector(selector));
            }
            spec.anti_affinity.iter().filter(|_| seen > 0).for_each(|term| self.add_selector(&term.selector));
        }
    }

    fn add_selector(&mut self, selector: &PodSelector) {
        if !self.selector_ids.contains_key(selector) {
            let id = u32::try_from(self.selectors.len()).unwrap_or(u32::MAX);
            self.selector_ids.insert(selector.clone(), id);
            self.selectors.push(selector.clone());
        }
    }

    /// The number of a selector that was collected.
    pub fn selector_id(&self, selector: &PodSelector) -> Option<u32> {
        self.selector_ids.get(selector).copied()
    }

    /// Whether a selector matches an identity.
    pub fn matches(&self, selector: u32, identity: u32) -> bool {
        self.matched.get(identity as usize).is_some_and(|list| list.binary_search(&selector).is_ok())
    }

    /// The spec of a group.
    pub fn spec<'a>(&self, cluster: &'a Cluster, group: usize) -> &'a PodSpec {
        cluster.spec(self.groups[group].spec)
    }
}

/// Namespaces and labels, reduced to the keys that any selector looks at.
struct Identities {
    keys: Vec<Symbol>,
    projected: Vec<Option<u32>>,
    projections: FastMap<Labels, u32>,
    known: FastMap<(u32, u32), u32>,
    list: Vec<(u32, Labels)>,
}

impl Identities {
    fn new(cluster: &Cluster, selectors: &[PodSelector]) -> Self {
        let mut keys: Vec<Symbol> = selectors
            .iter()
            .filter_map(|selector| selector.labels.as_ref())
            .flat_map(Requirements::iter)
            .map(|(key, _)| key)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        Self {
            keys,
            projected: vec![None; cluster.label_set_count()],
            projections: FastMap::default(),
            known: FastMap::default(),
            list: Vec::new(),
        }
    }

    fn of(&mut self, cluster: &Cluster, spec: u32, labels: u32) -> u32 {
        let namespace = cluster.spec(spec).namespace;
        let projection = match self.projected[labels as usize] {
            Some(projection) => projection,
            None => {
                let kept: Labels = cluster
                    .label_set(labels)
                    .iter()
                    .filter(|(key, _)| self.keys.binary_search(key).is_ok())
                    .copied()
                    .collect();
                let next = u32::try_from(self.projections.len()).unwrap_or(u32::MAX);
                let projection = *self.projections.entry(kept).or_insert(next);
                self.projected[labels as usize] = Some(projection);
                projection
            }
        };
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let identity = *self.known.entry((namespace, projection)).or_insert(next);
        if identity == next {
            let kept = cluster
                .label_set(labels)
                .iter()
                .filter(|(key, _)| self.keys.binary_search(key).is_ok())
                .copied()
                .collect();
            self.list.push((namespace, kept));
        }
        identity
    }

    /// Which selectors match each identity. Selectors that ask for one exact value are found by it,
    /// so that many workloads with a selector each do not have to be tried against one another.
    fn matched(&self, names: &Names, selectors: &[PodSelector]) -> Vec<Vec<u32>> {
        let mut by_value: FastMap<(Symbol, Symbol), Vec<u32>> = FastMap::default();
        let mut others = Vec::new();
        for (at, selector) in (0_u32..).zip(selectors) {
            let anchor =
                selector.labels.iter().flat_map(Requirements::iter).find_map(|(key, set)| match set.listed() {
                    Some([value]) if !set.allows_absent() => Some((key, *value)),
                    _ => None,
                });
            match anchor {
                Some(anchor) => by_value.entry(anchor).or_default().push(at),
                None => others.push(at),
            }
        }
        let test = |at: u32, namespace: u32, labels: &Labels| {
            selectors[at as usize].matches(&names.strings, Symbol(namespace), labels)
        };
        self.list
            .iter()
            .map(|(namespace, labels)| {
                let anchored = labels.iter().filter_map(|pair| by_value.get(pair)).flatten();
                let mut matched: Vec<u32> =
                    anchored.chain(&others).copied().filter(|at| test(*at, *namespace, labels)).collect();
                matched.sort_unstable();
                matched
            })
            .collect()
    }
}
