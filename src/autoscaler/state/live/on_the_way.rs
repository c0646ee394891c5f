//! Claims that are no nodes yet, as nodes: so that what was asked for is not asked for again.

use super::Live;
use super::claims::LiveClaim;
use crate::api::labels::RESERVATION_ID;
use crate::state::cluster::{Cluster, NodeEntry};
use crate::state::instance_types::{InstanceType, Offering, Price};
use crate::state::intern::Symbol;
use crate::state::names::{Names, keys};
use crate::state::pod_reading::read_taints;
use crate::state::pod_spec::{Labels, Taint};
use crate::state::requirements::{Requirements, ValueSet};
use crate::state::resources::Amounts;
use std::sync::Arc;

/// The labels of a claim that are known: those that it has, and those that can have one value only.
pub(super) fn labels_of(names: &mut Names, claim: &LiveClaim) -> Vec<(Symbol, Symbol)> {
    let mut labels: Vec<(Symbol, Symbol)> = Vec::new();
    let mut add = |names: &mut Names, key: &str, value: &str| {
        let pair = (names.key(key), names.strings.intern(value));
        if !labels.iter().any(|(known, _)| *known == pair.0) {
            labels.push(pair);
        }
    };
    for (key, value) in claim.object.metadata.labels.iter().flatten() {
        add(names, key, value);
    }
    for requirement in &claim.object.spec.requirements {
        if requirement.operator.text() == "In"
            && let [value] = requirement.values.as_slice()
        {
            add(names, &requirement.key, value);
        }
    }
    labels
}

/// The taints that the node of a claim keeps.
pub(super) fn taints_of(names: &mut Names, claim: &LiveClaim) -> Vec<Taint> {
    read_taints(names, &claim.object.spec.taints).unwrap_or_default()
}

impl Live {
    /// A claim without a node, as one.
    pub(super) fn on_the_way(&self, cluster: &mut Cluster, claim: &LiveClaim, leaving: bool) -> NodeEntry {
        let names = &mut cluster.names;
        let mut labels = labels_of(names, claim);
        let (mut capacity, mut allocatable) = (claim.capacity.clone(), claim.allocatable.clone());
        if allocatable.iter().all(|(_, amount)| amount == 0) {
            let requirements = requirements_of(names, claim, &labels);
            if let Some(expected) = expect(names, &cluster.catalogue.types, &requirements, &claim.requests) {
                (capacity, allocatable) = (expected.capacity, expected.allocatable);
                for (key, value) in expected.labels {
                    if !labels.iter().any(|(known, _)| *known == key) {
                        labels.push((key, value));
                    }
                }
            } else {
                (capacity, allocatable) = (claim.requests.clone(), claim.requests.clone());
            }
        }
        let own = names.strings.intern(&claim.name);
        for key in [names.known.hostname, names.key(keys::NODE_NAME_FIELD)] {
            labels.retain(|(known, _)| *known != key);
            labels.push((key, own));
        }
        labels.sort_unstable();
        let labels: Labels = labels.into();
        let taints = taints_of(names, claim);
        NodeEntry {
            name: Arc::clone(&claim.name),
            labels,
            taints,
            allocatable,
            capacity,
            schedulable: !leaving,
            initialized: false,
            place: None,
        }
    }
}

fn requirements_of(names: &mut Names, claim: &LiveClaim, labels: &[(Symbol, Symbol)]) -> Requirements {
    let mut all = Requirements::default();
    for requirement in &claim.object.spec.requirements {
        let operator = requirement.operator.text();
        let set = ValueSet::from_operator(&mut names.strings, &requirement.key, operator, &requirement.values);
        if let Ok(set) = set {
            let key = names.key(&requirement.key);
            all.add(key, set);
        }
    }
    for (key, value) in labels {
        all.add(*key, ValueSet::single(*value));
    }
    all
}

/// What a launch will give: at least what the smallest machine has that it may choose, with the labels of the cheapest.
struct Expected {
    capacity: Amounts,
    allocatable: Amounts,
    labels: Vec<(Symbol, Symbol)>,
}

fn expect(names: &Names, types: &[InstanceType], wanted: &Requirements, requests: &Amounts) -> Option<Expected> {
    let decided = |key: Symbol, types: &InstanceType, offering: &Offering| types.label(names, offering, key);
    let mut best: Option<(Price, &InstanceType, &Offering)> = None;
    let mut least: Option<(Amounts, Amounts)> = None;
    for instance_type in types.iter().filter(|each| holds(&each.allocatable, requests)) {
        // Keys that neither type nor offering decide are the pool's own and no obstacle.
        // A reservation is for claims that name it, whether something is left of it or not.
        let named = || names.strings.find(RESERVATION_ID).is_some_and(|key| wanted.get(key).is_some());
        let fits = |offering: &&Offering| {
            (offering.available || (offering.capacity_type == names.known.reserved && named()))
                && wanted.iter().all(|(key, set)| {
                    decided(key, instance_type, offering).is_none_or(|value| set.allows(&names.strings, Some(value)))
                })
        };
        let mut fitting = instance_type.offerings.iter().filter(fits).peekable();
        if fitting.peek().is_none() {
            continue;
        }
        let (capacity, allocatable) =
            least.get_or_insert_with(|| (instance_type.capacity.clone(), instance_type.allocatable.clone()));
        *capacity = lesser(capacity, &instance_type.capacity);
        *allocatable = lesser(allocatable, &instance_type.allocatable);
        for offering in fitting {
            if best.is_none_or(|(price, _, _)| offering.price < price) {
                best = Some((offering.price, instance_type, offering));
            }
        }
    }
    let ((_, instance_type, offering), (capacity, allocatable)) = (best?, least?);
    let mut labels = vec![(names.known.zone, offering.zone), (names.known.capacity_type, offering.capacity_type)];
    labels.extend(instance_type.labels.iter().chain(&offering.labels).copied());
    Some(Expected { capacity, allocatable, labels })
}

fn holds(allocatable: &Amounts, requests: &Amounts) -> bool {
    requests.iter().all(|(id, amount)| allocatable.get(id) >= amount)
}

fn lesser(a: &Amounts, b: &Amounts) -> Amounts {
    a.iter().map(|(id, amount)| (id, amount.min(b.get(id)))).collect()
}
