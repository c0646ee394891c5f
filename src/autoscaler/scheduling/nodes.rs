//! Nodes that exist or are on their way, as room for pods.

use super::fill::HostCounts;
use super::groups::Groups;
use super::host_rules::HostRules;
use super::model::{HostRule, Shape};
use super::problem::Problem;
use super::shapes::{Cells, Shapes, room_of};
use super::variants::tolerates;
use super::vector::{Vector, subtract, vector};
use crate::state::cluster::NodeEntry;
use crate::state::intern::FastMap;
use crate::state::pod_spec::{PodSpec, label};

/// A node with room.
#[derive(Clone, Debug)]
pub struct NodeRoom {
    /// Index of the node in the cluster.
    pub node: u32,
    /// What is free.
    pub free: Vector,
    /// Pods that run there, by host term.
    pub host: HostCounts,
    /// The cell that it belongs to.
    pub cell: u16,
    /// Index into the sets of classes that nodes accept.
    pub accepts: u32,
}

/// All nodes with room, those that have started first, then by name.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// The nodes.
    pub rooms: Vec<NodeRoom>,
    /// Sets of classes.
    pub accept_sets: Vec<Vec<bool>>,
}

impl Nodes {
    /// Looks at every node that takes pods.
    pub fn new(problem: &Problem<'_>, groups: &Groups, rules: &HostRules, shapes: &Shapes, cells: &mut Cells) -> Self {
        let cluster = problem.cluster;
        let dims = shapes.dimensions.len();
        let mut nodes = Self::default();
        let classes: Vec<&PodSpec> =
            shapes.example_of_class.iter().map(|group| cluster.spec(groups.groups[*group as usize].spec)).collect();
        let mut place: Vec<Option<u32>> = vec![None; cluster.nodes.len()];
        let mut order: Vec<u32> = (0_u32..).zip(&cluster.nodes).map(|(at, _)| at).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&cluster.nodes[*a as usize], &cluster.nodes[*b as usize]);
            b.initialized.cmp(&a.initialized).then_with(|| a.name.cmp(&b.name))
        });
        let mut sets: FastMap<Vec<bool>, u32> = FastMap::default();
        for at in order {
            let node = &cluster.nodes[at as usize];
            if problem.without[at as usize] {
                continue;
            }
            let cell = cells.of(|key| label(&node.labels, key));
            if !node.schedulable {
                continue;
            }
            let mut accepted = accepted(problem, &classes, node);
            if let Some(place) = &node.place {
                leave_to_weightier(problem, shapes, place.weight, &mut accepted);
            }
            let next = u32::try_from(nodes.accept_sets.len()).unwrap_or(u32::MAX);
            let accepts = *sets.entry(accepted.clone()).or_insert(next);
            if accepts == next {
                nodes.accept_sets.push(accepted);
            }
            place[at as usize] = u32::try_from(nodes.rooms.len()).ok();
            nodes.rooms.push(NodeRoom {
                node: at,
                free: room_of(problem, &shapes.dimensions, &node.allocatable),
                host: HostCounts::new(),
                cell,
                accepts,
            });
        }
        nodes.take_running(problem, groups, rules, shapes, &place, dims);
        nodes.reserve_for_daemons(problem, shapes, dims);
        nodes
    }

    fn take_running(
        &mut self,
        problem: &Problem<'_>,
        groups: &Groups,
        rules: &HostRules,
        shapes: &Shapes,
        place: &[Option<u32>],
        dims: usize,
    ) {
        let cluster = problem.cluster;
        let hostname = cluster.names.known.hostname;
        let mut sizes: Vec<Option<Vector>> = vec![None; cluster.spec_count()];
        let mut known: FastMap<(u32, u32), Vec<HostRule>> = FastMap::default();
        for (at, pod) in (0_u32..).zip(&cluster.pods) {
            let Some(room) = pod.node.and_then(|node| place[node as usize]) else {
                continue;
            };
            let room = &mut self.rooms[room as usize];
            let size = sizes[pod.spec as usize]
                .get_or_insert_with(|| vector(&shapes.dimensions, &cluster.spec(pod.spec).requests));
            subtract(&mut room.free, size, 1, dims);
            if rules.terms.is_empty() {
                continue;
            }
            let identity = groups.identity_of_pod.get(&at).copied().unwrap_or(u32::MAX);
            let list = known
                .entry((pod.spec, identity))
                .or_insert_with(|| rules.rules_of(groups, cluster.spec(pod.spec), identity, hostname));
            for rule in list.iter() {
                let carries = u32::from(rule.carries && rules.terms[rule.term as usize].mutual);
                match room.host.iter_mut().find(|(term, _, _)| *term == rule.term) {
                    Some((_, matching, carrying)) => {
                        *matching += rule.matches;
                        *carrying += carries;
                    }
                    None => room.host.push((rule.term, rule.matches, carries)),
                }
            }
        }
    }

    /// On a node that is still starting, room is kept for the daemons that will come.
    fn reserve_for_daemons(&mut self, problem: &Problem<'_>, shapes: &Shapes, dims: usize) {
        let cluster = problem.cluster;
        if cluster.daemons.is_empty() {
            return;
        }
        let mut running = vec![0_u32; cluster.nodes.len()];
        for pod in &cluster.pods {
            if let Some(node) = pod.node {
                running[node as usize] += 1;
            }
        }
        for room in &mut self.rooms {
            let node = &cluster.nodes[room.node as usize];
            if node.initialized || running[room.node as usize] > 0 {
                continue;
            }
            for daemon in &cluster.daemons {
                let spec = cluster.spec(daemon.spec);
                if node_accepts(problem, spec, node) {
                    subtract(&mut room.free, &vector(&shapes.dimensions, &spec.requests), 1, dims);
                }
            }
        }
    }
}

fn accepted(problem: &Problem<'_>, classes: &[&PodSpec], node: &NodeEntry) -> Vec<bool> {
    classes.iter().map(|spec| node_accepts(problem, spec, node)).collect()
}

/// Takes out the pods that a pool of more than this weight takes.
fn leave_to_weightier(problem: &Problem<'_>, shapes: &Shapes, weight: i32, accepted: &mut [bool]) {
    let cluster = problem.cluster;
    let weight_of = |shape: &Shape| cluster.pools[shapes.variants[shape.variant as usize].pool as usize].weight;
    for shape in shapes.shapes.iter().filter(|shape| weight_of(shape) > weight) {
        if shapes.within_limits(cluster, shape) {
            let accepts = &shapes.accept_sets[shape.accepts as usize];
            let classes = accepted.iter_mut().enumerate();
            classes.for_each(|(class, accepted)| *accepted &= !accepts.contains(class));
        }
    }
}

/// Whether labels and taints of a node suit a pod.
pub fn node_accepts(problem: &Problem<'_>, spec: &PodSpec, node: &NodeEntry) -> bool {
    let names = &problem.cluster.names;
    let label_of = |key| label(&node.labels, key);
    spec.node_terms.iter().any(|term| term.is_unrestricted() || term.met_by(&names.strings, label_of))
        && tolerates(names, spec, &node.taints)
}
