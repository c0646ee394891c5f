//! What else a planned node could be bought as: offerings of its pool that would hold the same pods.
//! A launch needs them when the chosen one cannot be had, and pools that ask for a minimum of values
//! count them.

use super::problem::Problem;
use super::shapes::daemon_runs;
use super::solution::PlannedNode;
use super::variants::tolerates;
use crate::autoscaler::state::instance_types::{InstanceType, Offering, Price};
use crate::autoscaler::state::intern::Symbol;
use crate::autoscaler::state::pod_spec::{PodSpec, label};
use crate::autoscaler::state::resources::Amounts;

/// Other (type, offering) pairs for a node, by index into the catalogue, cheapest first, at most `most`.
/// Where pods of the node have terms over topologies, zone and capacity type stay as planned.
pub fn fallbacks(problem: &Problem<'_>, node: &PlannedNode, most: usize) -> Vec<(u32, u32)> {
    let cluster = problem.cluster;
    let names = &cluster.names;
    let pool = &cluster.pools[node.pool as usize];
    let planned = &cluster.catalogue.types[node.instance_type as usize].offerings[node.offering as usize];
    let specs = specs_of(problem, node);
    let mut asked = Amounts::default();
    for pod in &node.pods {
        asked.add_all(&cluster.spec(cluster.pods[*pod as usize].spec).requests);
    }
    let bound = specs.iter().any(|spec| has_terms(spec));
    let daemons: Vec<&PodSpec> = cluster
        .daemons
        .iter()
        .map(|daemon| cluster.spec(daemon.spec))
        .filter(|spec| tolerates(names, spec, &pool.taints))
        .collect();
    let mut found: Vec<(Price, u32, u32)> = Vec::new();
    for (type_at, instance_type) in (0_u32..).zip(&cluster.catalogue.types) {
        for (offering_at, offering) in (0_u32..).zip(&instance_type.offerings) {
            let same_place = offering.zone == planned.zone && offering.capacity_type == planned.capacity_type;
            let chosen = (type_at, offering_at) == (node.instance_type, node.offering);
            if chosen || !offering.available || (bound && !same_place) {
                continue;
            }
            let label_of = |key: Symbol| label_of(problem, node, instance_type, offering, key);
            let suits = pool.requirements.met_by(&names.strings, label_of)
                && specs.iter().all(|spec| spec.node_terms.iter().any(|term| term.met_by(&names.strings, label_of)));
            if suits && has_room(problem, instance_type, &daemons, &asked, &label_of) {
                found.push((offering.price, type_at, offering_at));
            }
        }
    }
    found.sort_unstable();
    found.into_iter().take(most).map(|(_, type_at, offering_at)| (type_at, offering_at)).collect()
}

fn specs_of<'a>(problem: &Problem<'a>, node: &PlannedNode) -> Vec<&'a PodSpec> {
    let cluster = problem.cluster;
    let mut specs: Vec<u32> = node.pods.iter().map(|pod| cluster.pods[*pod as usize].spec).collect();
    specs.sort_unstable();
    specs.dedup();
    specs.into_iter().map(|spec| cluster.spec(spec)).collect()
}

fn has_terms(spec: &PodSpec) -> bool {
    !spec.affinity.is_empty() || !spec.anti_affinity.is_empty() || spec.spreads.iter().any(|spread| spread.required)
}

fn label_of(
    problem: &Problem<'_>,
    node: &PlannedNode,
    instance_type: &InstanceType,
    offering: &Offering,
    key: Symbol,
) -> Option<Symbol> {
    label(&node.labels, key).or_else(|| instance_type.label(&problem.cluster.names, offering, key))
}

fn has_room(
    problem: &Problem<'_>,
    instance_type: &InstanceType,
    daemons: &[&PodSpec],
    asked: &Amounts,
    label_of: &impl Fn(Symbol) -> Option<Symbol>,
) -> bool {
    let mut all = asked.clone();
    for daemon in daemons.iter().filter(|daemon| daemon_runs(&problem.cluster.names, daemon, label_of)) {
        all.add_all(&daemon.requests);
    }
    let names = &problem.cluster.names;
    all.iter().all(|(id, amount)| {
        let unlimited = names.resources.name(id).starts_with("attachable-volumes-")
            && instance_type.allocatable.stated(id).is_none();
        amount <= instance_type.allocatable.get(id) || unlimited
    })
}
