//! A second look at pods that found no place: with everything else where it is, would one fit after all?
//!
//! Pods are dealt out over zones all at once, and pods that must share a host are moved as one. That can
//! leave pods out that would fit by themselves. Here the nodes of the solution are taken as running, so that
//! nothing has to be assumed of anybody.

use super::daemons::daemon_runs;
use super::export::node_label;
use super::improve::Budget;
use super::problem::Problem;
use super::settle;
use super::solution::{PlannedNode, Solution};
use super::variants::tolerates;
use crate::state::cluster::{Cluster, NodeEntry};
use crate::state::instance_types::Price;
use crate::state::names::keys;
use crate::state::pod_spec::Labels;

/// The most attempts; each costs about as much as a first answer for a few pods.
const MOST_PASSES: usize = 48;

/// Tries pods of `hopeful` once more and moves those that fit from the unplaced to the placed ones.
pub fn second_look(problem: &Problem<'_>, solution: &mut Solution, hopeful: &[u32]) {
    let mut standing = Standing::new(problem, solution);
    let mut left = MOST_PASSES;
    // Whoever finds a place can make one for others.
    while look_through(&mut standing, solution, hopeful, &mut left) && left > 0 {}
    solution.unplaced.retain(|group| !group.pods.is_empty());
}

/// Tries every group once; whether any pod found a place.
fn look_through(standing: &mut Standing<'_>, solution: &mut Solution, hopeful: &[u32], left: &mut usize) -> bool {
    let mut any = false;
    for at in 0..solution.unplaced.len() {
        let mut pods: Vec<u32> =
            solution.unplaced[at].pods.iter().copied().filter(|pod| hopeful.contains(pod)).collect();
        while !pods.is_empty() && *left > 0 {
            *left -= 1;
            let mut placed = standing.place(solution, &pods);
            if placed.is_empty() && pods.len() > 1 && *left > 0 {
                *left -= 1;
                placed = standing.place(solution, &pods[..1]);
            }
            if placed.is_empty() {
                break;
            }
            any = true;
            pods.retain(|pod| !placed.contains(pod));
            solution.unplaced[at].pods.retain(|pod| !placed.contains(pod));
        }
    }
    any
}

/// The cluster as it will be, with the nodes of the solution in it.
struct Standing<'a> {
    problem: &'a Problem<'a>,
    cluster: Cluster,
    without: Vec<bool>,
    /// Nodes of the cluster before any was planned.
    running: usize,
}

impl<'a> Standing<'a> {
    fn new(problem: &'a Problem<'a>, solution: &Solution) -> Self {
        let mut standing = Self {
            problem,
            cluster: problem.cluster.clone(),
            without: problem.without.clone(),
            running: problem.cluster.nodes.len(),
        };
        // Pods of nodes that are thought away have no node until they are placed again.
        for pod in &mut standing.cluster.pods {
            if pod.node.is_some_and(|node| problem.without[node as usize]) {
                pod.node = None;
            }
        }
        for (node, pods) in &solution.existing {
            standing.bind(*node, pods);
        }
        for node in &solution.nodes {
            standing.add(node);
        }
        standing
    }

    fn bind(&mut self, node: u32, pods: &[u32]) {
        for pod in pods {
            self.cluster.pods[*pod as usize].node = Some(node);
        }
    }

    fn add(&mut self, planned: &PlannedNode) {
        let cluster = self.problem.cluster;
        let pool = &cluster.pools[planned.pool as usize];
        let instance_type = &cluster.catalogue.types[planned.instance_type as usize];
        let label_of = |key| node_label(self.problem, planned, key);
        let daemons: Vec<u32> = cluster
            .daemons
            .iter()
            .filter(|daemon| {
                let spec = cluster.spec(daemon.spec);
                tolerates(&cluster.names, spec, &pool.taints) && daemon_runs(&cluster.names, spec, &label_of)
            })
            .map(|daemon| daemon.spec)
            .collect();
        let labels = self.labels(planned);
        let node = NodeEntry {
            name: planned.name.as_str().into(),
            labels,
            taints: pool.taints.clone(),
            allocatable: instance_type.allocatable.clone(),
            capacity: instance_type.capacity.clone(),
            schedulable: true,
            initialized: true,
            place: None,
        };
        let id = self.cluster.add_planned_node(node, &daemons);
        self.without.push(false);
        self.bind(id, &planned.pods);
    }

    fn labels(&mut self, planned: &PlannedNode) -> Labels {
        let texts = super::export::node_labels(self.problem, planned);
        let names = &mut self.cluster.names;
        let mut labels: Vec<_> =
            texts.iter().map(|(key, value)| (names.key(key), names.strings.intern(value))).collect();
        let own_name = names.strings.intern(&planned.name);
        labels.push((names.key(keys::NODE_NAME_FIELD), own_name));
        labels.sort_unstable();
        labels.dedup_by_key(|(key, _)| *key);
        labels.into()
    }

    /// Places some pods beside everything that stands, and says which found a place.
    fn place(&mut self, solution: &mut Solution, pods: &[u32]) -> Vec<u32> {
        let found = {
            let problem = Problem {
                cluster: &self.cluster,
                pending: pods.to_vec(),
                without: self.without.clone(),
                settings: self.problem.settings,
            };
            settle(&problem, &mut Budget::rounds(0)).0
        };
        let mut placed = Vec::new();
        for (node, pods) in found.existing {
            self.bind(node, &pods);
            placed.extend_from_slice(&pods);
            match (node as usize).checked_sub(self.running) {
                Some(planned) => solution.nodes[planned].pods.extend(pods),
                None => match solution.existing.iter_mut().find(|(known, _)| *known == node) {
                    Some((_, known)) => known.extend(pods),
                    None => solution.existing.push((node, pods)),
                },
            }
        }
        for mut node in found.nodes {
            node.name = format!("new-{}", solution.nodes.len() + 1);
            placed.extend_from_slice(&node.pods);
            solution.cost = Price(solution.cost.0 + node.price.0);
            self.add(&node);
            solution.nodes.push(node);
        }
        placed
    }
}
