//! From what the search found to commands: which pod goes where, and which nodes hang together.
//!
//! Nodes that share a replacement go in one command. Everything else is a command of its own, so that one
//! failure holds up as little as possible, and a part that does not pay for itself is left out.

use super::command::{Command, Destination, Reason};
use super::fleet::{Fleet, FleetNode};
use super::ground::{Candidate, Ground, Kind};
use super::moving::eviction_weight;
use crate::scheduling::PlannedNode;
use crate::scheduling::fill::Bin;
use crate::scheduling::finish::ZoneChoice;
use crate::scheduling::vector::{ZERO, add};
use crate::state::instance_types::Price;
use crate::state::intern::FastMap;

/// A pod that goes elsewhere: (pod, node of the fleet that it leaves, where to).
pub type Move = (u32, u32, Destination);

/// Nodes that go, nodes that come, pods that move.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Nodes that go, by index in the fleet.
    pub remove: Vec<u32>,
    /// Nodes that come.
    pub new: Vec<PlannedNode>,
    /// Pods that move.
    pub moves: Vec<Move>,
    /// What moving the pods of each node that goes costs, in dollars, in the order of `remove`.
    pub moving: Vec<f64>,
}

/// Pods by item that lose their node: (pod, node of the fleet).
type Displaced = FastMap<u32, Vec<(u32, u32)>>;

/// Reads the plan off the ground. `of_candidate` is the node of the fleet that a candidate stands for.
pub fn read(ground: &Ground<'_>, of_candidate: &[u32]) -> Plan {
    let mut plan = Plan::default();
    let mut displaced = Displaced::default();
    for site in ground.sites.iter().filter(|site| !site.alive) {
        let Some(at) = site.candidate else { continue };
        let node = of_candidate[at as usize];
        plan.remove.push(node);
        plan.moving.push(site.moving);
        for pod in &ground.candidates[at as usize].pods {
            displaced.entry(ground.item_of_pod[pod]).or_default().push((*pod, node));
        }
    }
    let cluster = ground.compiled.problem.cluster;
    let is_place = |node: u32| cluster.nodes[node as usize].place.is_some();
    let mut zones = ZoneChoice::default();
    let mut order: Vec<usize> = (0..ground.sites.len()).filter(|at| ground.sites[*at].alive).collect();
    // Replacements first, so that each takes from as few nodes as possible.
    order.sort_by(|a, b| {
        let (a, b) = (&ground.sites[*a], &ground.sites[*b]);
        let new = |kind: Kind| matches!(kind, Kind::New(_));
        new(b.kind).cmp(&new(a.kind)).then(b.price.total_cmp(&a.price))
    });
    for at in order {
        let site = &ground.sites[at];
        match site.kind {
            Kind::New(shape) => {
                let to = Destination::Replacement(u32::try_from(plan.new.len()).unwrap_or(u32::MAX));
                let moves = take(&mut displaced, &site.contents, to);
                let mut node = planned(ground, &mut zones, shape, &site.contents, plan.new.len());
                node.pods = moves.iter().map(|(pod, _, _)| *pod).collect();
                plan.new.push(node);
                plan.moves.extend(moves);
            }
            Kind::Running(node) if is_place(node) => {
                let to = Destination::Replacement(u32::try_from(plan.new.len()).unwrap_or(u32::MAX));
                let moves = take(&mut displaced, &site.contents, to);
                let pods: Vec<u32> = moves.iter().map(|(pod, _, _)| *pod).collect();
                if !pods.is_empty() {
                    plan.new.extend(PlannedNode::of_place(cluster, node, pods));
                    plan.moves.extend(moves);
                }
            }
            Kind::Running(node) => {
                let extra = beyond_own(ground, at);
                plan.moves.extend(take(&mut displaced, &extra, Destination::Running(node)));
            }
        }
    }
    plan
}

/// What a running site holds beyond its own pods.
fn beyond_own(ground: &Ground<'_>, at: usize) -> Vec<(u32, u32)> {
    let site = &ground.sites[at];
    let mut extra = site.contents.clone();
    let own = site.candidate.into_iter().flat_map(|one| &ground.candidates[one as usize].pods);
    for pod in own {
        let item = ground.item_of_pod[pod];
        if let Some((_, count)) = extra.iter_mut().find(|(known, _)| *known == item) {
            *count = count.saturating_sub(1);
        }
    }
    extra.retain(|(_, count)| *count > 0);
    extra
}

/// Hands out displaced pods for some items, from nodes that this destination takes from already if possible.
fn take(displaced: &mut Displaced, contents: &[(u32, u32)], to: Destination) -> Vec<Move> {
    let mut linked: Vec<u32> = Vec::new();
    let mut moves = Vec::new();
    for (item, count) in contents {
        let Some(list) = displaced.get_mut(item) else { continue };
        for _ in 0..*count {
            let at = list.iter().position(|(_, from)| linked.contains(from)).unwrap_or(0);
            if list.is_empty() {
                break;
            }
            let (pod, from) = list.remove(at);
            if !linked.contains(&from) {
                linked.push(from);
            }
            moves.push((pod, from, to));
        }
    }
    moves
}

fn planned(ground: &Ground<'_>, zones: &mut ZoneChoice, shape: u32, contents: &[(u32, u32)], at: usize) -> PlannedNode {
    let compiled = ground.compiled;
    let mut used = ZERO;
    contents.iter().for_each(|(item, count)| {
        add(&mut used, &ground.model.items[*item as usize].size, *count, ground.model.dimensions)
    });
    let bin = Bin { shape, used, contents: contents.to_vec() };
    let offering = zones.choose(compiled, &ground.model, &bin);
    let shape = &ground.model.shapes[shape as usize];
    let variant = &compiled.shapes.variants[shape.variant as usize];
    let instance_type = &compiled.problem.cluster.catalogue.types[shape.instance_type as usize];
    PlannedNode {
        name: format!("new-{}", at + 1),
        pool: variant.pool,
        instance_type: shape.instance_type,
        offering,
        price: instance_type.offerings[offering as usize].price,
        labels: variant.labels.clone(),
        pods: Vec::new(),
    }
}

/// Splits a plan into commands: nodes that share a replacement stay together.
pub fn split(fleet: &Fleet<'_>, reason: Reason, plan: Plan) -> Vec<Command> {
    let place: FastMap<u32, usize> = plan.remove.iter().enumerate().map(|(at, node)| (*node, at)).collect();
    let mut leader: Vec<usize> = (0..plan.remove.len()).collect();
    let mut leader_of_new: Vec<Option<usize>> = vec![None; plan.new.len()];
    fn root(leader: &mut [usize], mut at: usize) -> usize {
        while leader[at] != at {
            leader[at] = leader[leader[at]];
            at = leader[at];
        }
        at
    }
    for (_, from, to) in &plan.moves {
        let Destination::Replacement(new) = to else { continue };
        let from = root(&mut leader, place[from]);
        match leader_of_new[*new as usize] {
            Some(known) => {
                let known = root(&mut leader, known);
                leader[known] = from;
            }
            None => leader_of_new[*new as usize] = Some(from),
        }
    }
    let mut commands: FastMap<usize, Command> = FastMap::default();
    let mut order: Vec<usize> = Vec::new();
    for (at, node) in plan.remove.iter().enumerate() {
        let of = root(&mut leader, at);
        commands.entry(of).or_insert_with(|| {
            order.push(of);
            Command {
                reason,
                remove: Vec::new(),
                replacements: Vec::new(),
                moves: Vec::new(),
                saving: Price(0),
                moving: 0.0,
                explanation: String::new(),
            }
        });
        if let Some(command) = commands.get_mut(&of) {
            command.remove.push(*node);
            command.moving += plan.moving.get(at).copied().unwrap_or(0.0);
        }
    }
    let mut new_at: Vec<u32> = vec![0; plan.new.len()];
    for (at, mut node) in plan.new.into_iter().enumerate() {
        let Some(of) = leader_of_new[at] else { continue };
        let of = root(&mut leader, of);
        if let Some(command) = commands.get_mut(&of) {
            new_at[at] = u32::try_from(command.replacements.len()).unwrap_or(u32::MAX);
            node.name = format!("new-{}", command.replacements.len() + 1);
            command.replacements.push(node);
        }
    }
    for (pod, from, to) in plan.moves {
        let of = root(&mut leader, place[&from]);
        let to = match to {
            Destination::Replacement(new) => Destination::Replacement(new_at[new as usize]),
            running => running,
        };
        if let Some(command) = commands.get_mut(&of) {
            command.moves.push((pod, to));
        }
    }
    order.into_iter().filter_map(|of| commands.remove(&of)).map(|command| explained(fleet, command)).collect()
}

/// What nodes cost per hour.
pub fn price_of(fleet: &Fleet<'_>, nodes: &[u32]) -> Price {
    Price(nodes.iter().map(|node| fleet.nodes[*node as usize].price.0).sum())
}

fn explained(fleet: &Fleet<'_>, mut command: Command) -> Command {
    let removed = price_of(fleet, &command.remove);
    let bought = Price(command.replacements.iter().map(|node| node.price.0).sum());
    command.saving = Price(removed.0.saturating_sub(bought.0));
    let cluster = fleet.cluster;
    let names: Vec<&str> =
        command.remove.iter().map(|node| &*cluster.nodes[fleet.nodes[*node as usize].node as usize].name).collect();
    let types: Vec<&str> = command
        .replacements
        .iter()
        .map(|node| cluster.names.text(cluster.catalogue.types[node.instance_type as usize].name))
        .collect();
    let instead = if types.is_empty() {
        "nothing new is needed".to_owned()
    } else {
        format!("{} {} instead", types.join(", "), if types.len() == 1 { "comes" } else { "come" })
    };
    command.explanation = format!(
        "{}: {} {} with {} pod(s) to move, {instead}; ${:.4} an hour becomes ${:.4}",
        command.reason,
        names.join(", "),
        if names.len() == 1 { "goes" } else { "go" },
        command.moves.len(),
        removed.dollars(),
        bought.dollars(),
    );
    command
}

/// A node as the search names it.
pub fn candidate(fleet: &Fleet<'_>, node: &FleetNode) -> Candidate {
    Candidate {
        node: node.node,
        pool: node.pool,
        price: node.price.dollars(),
        pods: node.pods.iter().map(|pod| pod.pod).collect(),
        weights: node.pods.iter().map(|pod| eviction_weight(pod.deletion_cost, pod.priority)).collect(),
        spot: node.capacity_type == fleet.cluster.names.known.spot,
    }
}
