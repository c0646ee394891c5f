//! Planned nodes as Kubernetes objects, and a placement by names: for checking, for simulation, and
//! for whoever steers the scheduler of the cluster.

use super::problem::Problem;
use super::solution::{PlannedNode, Solution};
use crate::state::intern::Symbol;
use crate::state::names::keys;
use crate::state::pod_spec::label;
use crate::state::resources::{CPU, ResourceId};
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// `namespace/name` of every placed pod, with the name of its node.
pub fn placement(problem: &Problem<'_>, solution: &Solution) -> BTreeMap<String, String> {
    let cluster = problem.cluster;
    let pod = |at: &u32| cluster.pods[*at as usize].name.to_string();
    let new = solution.nodes.iter().flat_map(|node| node.pods.iter().map(move |at| (pod(at), node.name.clone())));
    let running = solution.existing.iter().flat_map(|(node, pods)| {
        let name = cluster.nodes[*node as usize].name.to_string();
        pods.iter().map(move |at| (pod(at), name.clone()))
    });
    new.chain(running).collect()
}

/// The planned nodes as they would register: labels, taints, and what is allocatable once the daemons
/// of the pool have taken theirs.
pub fn nodes(problem: &Problem<'_>, solution: &Solution) -> Vec<Node> {
    solution.nodes.iter().map(|node| node_object(problem, node)).collect()
}

/// The value of one label of a planned node, the host name aside.
pub fn node_label(problem: &Problem<'_>, planned: &PlannedNode, key: Symbol) -> Option<Symbol> {
    let cluster = problem.cluster;
    let instance_type = &cluster.catalogue.types[planned.instance_type as usize];
    let offering = &instance_type.offerings[planned.offering as usize];
    label(&planned.labels, key).or_else(|| instance_type.label(&cluster.names, offering, key))
}

/// The labels of a planned node.
pub fn node_labels(problem: &Problem<'_>, planned: &PlannedNode) -> BTreeMap<String, String> {
    let cluster = problem.cluster;
    let names = &cluster.names;
    let instance_type = &cluster.catalogue.types[planned.instance_type as usize];
    let offering = &instance_type.offerings[planned.offering as usize];
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in planned.labels.iter().chain(&instance_type.labels).chain(&offering.labels) {
        labels.entry(names.text(*key).to_owned()).or_insert_with(|| names.text(*value).to_owned());
    }
    labels.insert(keys::ZONE.to_owned(), names.text(offering.zone).to_owned());
    labels.insert(keys::CAPACITY_TYPE.to_owned(), names.text(offering.capacity_type).to_owned());
    labels.insert(keys::HOSTNAME.to_owned(), planned.name.clone());
    labels
}

fn node_object(problem: &Problem<'_>, planned: &PlannedNode) -> Node {
    let cluster = problem.cluster;
    let names = &cluster.names;
    let pool = &cluster.pools[planned.pool as usize];
    let instance_type = &cluster.catalogue.types[planned.instance_type as usize];
    let quantity =
        |id: ResourceId, amount: i64| Quantity(if id == CPU { format!("{amount}m") } else { amount.to_string() });
    let list = |amounts: &crate::state::resources::Amounts| {
        amounts.iter().map(|(id, amount)| (names.resources.name(id).to_owned(), quantity(id, amount))).collect()
    };
    let mut allocatable = instance_type.allocatable.clone();
    let labels = node_labels(problem, planned);
    for daemon in &cluster.daemons {
        let spec = cluster.spec(daemon.spec);
        let label_of = |key| labels.get(names.text(key)).and_then(|value| names.strings.find(value));
        let runs = spec.node_terms.iter().any(|term| term.met_by(&names.strings, label_of))
            && super::variants::tolerates(names, spec, &pool.taints);
        if runs {
            for (id, amount) in spec.requests.iter() {
                allocatable.add(id, -amount);
            }
        }
    }
    let taints = pool
        .taints
        .iter()
        .map(|taint| Taint {
            key: names.text(taint.key).to_owned(),
            value: Some(names.text(taint.value).to_owned()).filter(|value| !value.is_empty()),
            effect: format!("{:?}", taint.effect),
            time_added: None,
        })
        .collect();
    Node {
        metadata: ObjectMeta { name: Some(planned.name.clone()), labels: Some(labels), ..ObjectMeta::default() },
        spec: Some(NodeSpec { taints: Some(taints), ..NodeSpec::default() }),
        status: Some(NodeStatus {
            allocatable: Some(list(&allocatable)),
            capacity: Some(list(&instance_type.capacity)),
            ..NodeStatus::default()
        }),
    }
}
