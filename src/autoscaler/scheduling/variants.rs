//! Pool variants: a pool with one value chosen for each label that it leaves open.
//!
//! A pool that requires `team In [a, b]`, or only that `team` exists, gives nodes of either kind, but
//! each node is of one kind. Labels that no pod looks at are left alone. Whether the hardware is shared is open too
//! where a pool does not say: every type is sold either way.

use super::groups::Groups;
use super::problem::Problem;
use crate::state::intern::Symbol;
use crate::state::names::Names;
use crate::state::pod_spec::{Effect, Labels, PodSpec, Taint, Toleration, label};
use crate::state::pools::Pool;
use std::collections::{BTreeMap, BTreeSet};

const MOST_VALUES: usize = 24;
const MOST_VARIANTS: usize = 96;

/// A pool with its open labels chosen.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Index of the pool.
    pub pool: u32,
    /// Labels that the pool gives, sorted by key.
    pub labels: Labels,
}

/// The values of label keys that pods ask for, and the keys that anything looks at.
pub struct Wanted {
    values: BTreeMap<Symbol, BTreeSet<Symbol>>,
}

impl Wanted {
    /// Collects from the pending pods.
    pub fn new(problem: &Problem<'_>, groups: &Groups) -> Self {
        let mut wanted = Self { values: BTreeMap::new() };
        for group in &groups.groups {
            wanted.look_at(problem.cluster.spec(group.spec));
        }
        wanted
    }

    fn look_at(&mut self, spec: &PodSpec) {
        let preferred = spec.preferred_nodes.iter().map(|(_, term)| term);
        for (key, set) in spec.node_terms.iter().chain(preferred).flat_map(|term| term.iter()) {
            self.values.entry(key).or_default().extend(set.listed().unwrap_or_default());
        }
        let spreads = spec.spreads.iter().map(|spread| spread.topology_key);
        let terms =
            spec.affinity.iter().chain(&spec.anti_affinity).chain(spec.preferred_pods.iter().map(|(_, term)| term));
        for key in spreads.chain(terms.map(|term| term.topology_key)) {
            self.values.entry(key).or_default();
        }
    }
}

/// Whether a key is one that only the cloud or the kubelet sets.
pub fn is_cloud_key(names: &Names, key: Symbol) -> bool {
    let text = names.text(key);
    let known = [names.known.hostname, names.known.region, names.known.arch, names.known.os, names.known.instance_type];
    known.contains(&key) || text.starts_with("karpenter.k8s.aws/") || text.starts_with("topology.k8s.aws/")
}

/// All variants of all pools.
pub fn variants(problem: &Problem<'_>, wanted: &Wanted) -> Vec<Variant> {
    let cluster = problem.cluster;
    let mut all = Vec::new();
    for (index, pool) in (0_u32..).zip(&cluster.pools) {
        let fixed = fixed_labels(&cluster.names, pool);
        let with = |tenancy: Symbol| [fixed.as_slice(), &[(cluster.names.known.tenancy, tenancy)]].concat();
        let mut chosen: Vec<Vec<(Symbol, Symbol)>> = match label(&pool.labels, cluster.names.known.tenancy) {
            Some(_) => vec![fixed],
            None => tenancies(&cluster.names, pool, wanted).into_iter().map(with).collect(),
        };
        for (key, set) in pool.requirements.iter() {
            let open = !cluster.catalogue.decides(&cluster.names, key) && !is_cloud_key(&cluster.names, key);
            if !open || chosen.iter().flatten().any(|(fixed, _)| *fixed == key) {
                continue;
            }
            let Some(asked) = wanted.values.get(&key) else {
                continue;
            };
            let values: Vec<Symbol> = match set.listed() {
                Some(listed) => {
                    listed.iter().copied().filter(|v| set.allows(&cluster.names.strings, Some(*v))).collect()
                }
                None => asked.iter().copied().filter(|v| set.allows(&cluster.names.strings, Some(*v))).collect(),
            };
            let values: Vec<Symbol> = values.into_iter().take(MOST_VALUES).collect();
            if values.is_empty() || values.len() * chosen.len() > MOST_VARIANTS {
                continue;
            }
            chosen = chosen
                .iter()
                .flat_map(|labels| values.iter().map(move |value| [labels.as_slice(), &[(key, *value)]].concat()))
                .collect();
        }
        all.extend(chosen.into_iter().map(|mut labels| {
            labels.sort_unstable();
            Variant { pool: index, labels: labels.into() }
        }));
    }
    all
}

/// The tenancies of a pool's nodes: shared hardware unless pool or pods ask for other.
fn tenancies(names: &Names, pool: &Pool, wanted: &Wanted) -> Vec<Symbol> {
    let own = pool.requirements.get(names.known.tenancy);
    let mut all = vec![names.known.shared, names.known.dedicated];
    all.retain(|tenancy| own.is_none_or(|set| set.allows(&names.strings, Some(*tenancy))));
    if !wanted.values.contains_key(&names.known.tenancy) {
        all.truncate(1);
    }
    all
}

/// Labels that every node of the pool gets: those of the template, and requirements with one value.
fn fixed_labels(names: &Names, pool: &Pool) -> Vec<(Symbol, Symbol)> {
    let mut labels = pool.labels.to_vec();
    labels.push((names.known.node_pool, pool.name));
    for (key, set) in pool.requirements.iter() {
        if let Some([value]) = set.listed()
            && !is_cloud_key(names, key)
            && key != names.known.zone
            && key != names.known.capacity_type
            && label(&pool.labels, key).is_none()
        {
            labels.push((key, *value));
        }
    }
    labels.sort_unstable();
    labels.dedup_by_key(|(key, _)| *key);
    labels
}

/// Whether a pod tolerates all taints that keep pods away.
pub fn tolerates(names: &Names, spec: &PodSpec, taints: &[Taint]) -> bool {
    tolerated(names, &spec.tolerations, taints)
}

/// Whether tolerations cover all taints that keep pods away.
pub fn tolerated(names: &Names, tolerations: &[Toleration], taints: &[Taint]) -> bool {
    taints
        .iter()
        .filter(|taint| taint.effect != Effect::PreferNoSchedule)
        .all(|taint| tolerations.iter().any(|toleration| toleration.tolerates(&names.strings, taint)))
}
