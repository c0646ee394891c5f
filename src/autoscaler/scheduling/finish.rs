//! From packings back to pods: which pod goes to which node, and in which zone each node is bought.

use super::compile::Compiled;
use super::existing::Placed;
use super::fill::Bin;
use super::model::Model;
use super::packing::Packing;
use super::solution::{PlannedNode, Solution};
use crate::state::instance_types::Price;
use crate::state::intern::{FastMap, Symbol};
use crate::state::pod_spec::{PodSpec, label};

/// Hands out the pods of each group, one after the other.
pub struct Dispenser {
    next: Vec<usize>,
}

impl Dispenser {
    /// Starts with the first pod of every group.
    pub fn new(compiled: &Compiled<'_>) -> Self {
        Self { next: vec![0; compiled.groups.groups.len()] }
    }

    fn take(&mut self, compiled: &Compiled<'_>, group: usize, count: u32, into: &mut Vec<u32>) {
        let pods = &compiled.groups.groups[group].pods;
        let from = self.next[group];
        let until = (from + count as usize).min(pods.len());
        into.extend_from_slice(&pods[from..until]);
        self.next[group] = until;
    }

    fn take_item(&mut self, compiled: &Compiled<'_>, model: &Model, item: u32, count: u32, into: &mut Vec<u32>) {
        let item = &model.items[item as usize];
        self.take(compiled, item.group as usize, item.pods_each * count, into);
        for (group, each) in &item.companions {
            self.take(compiled, *group as usize, each * count, into);
        }
    }

    /// Pods that were not handed out, by group.
    pub fn rest(&self, compiled: &Compiled<'_>) -> Vec<(usize, Vec<u32>)> {
        let groups = compiled.groups.groups.iter().enumerate();
        groups
            .filter(|(at, group)| self.next[*at] < group.pods.len())
            .map(|(at, group)| (at, group.pods[self.next[at]..].to_vec()))
            .collect()
    }
}

/// Adds what went onto running nodes.
pub fn add_existing(
    compiled: &Compiled<'_>,
    model: &Model,
    placed: &Placed,
    pods: &mut Dispenser,
    solution: &mut Solution,
) {
    for (room, item, count) in placed {
        let node = compiled.nodes.rooms[*room].node;
        let at = match solution.existing.iter().position(|(known, _)| *known == node) {
            Some(at) => at,
            None => {
                solution.existing.push((node, Vec::new()));
                solution.existing.len() - 1
            }
        };
        pods.take_item(compiled, model, *item, *count, &mut solution.existing[at].1);
    }
}

/// Adds the nodes of a packing.
pub fn add_nodes(
    compiled: &Compiled<'_>,
    model: &Model,
    packing: &Packing,
    pods: &mut Dispenser,
    solution: &mut Solution,
) {
    let mut zones = ZoneChoice::default();
    let mut bins: Vec<&Bin> = packing.bins.iter().collect();
    // Dear nodes first, so that the cheap ones even out the zones.
    bins.sort_by(|a, b| {
        model.shapes[b.shape as usize]
            .price
            .cmp(&model.shapes[a.shape as usize].price)
            .then_with(|| a.contents.cmp(&b.contents))
    });
    for bin in bins {
        let shape = &model.shapes[bin.shape as usize];
        let offering = zones.choose(compiled, model, bin);
        let instance_type = &compiled.problem.cluster.catalogue.types[shape.instance_type as usize];
        let variant = &compiled.shapes.variants[shape.variant as usize];
        let mut own = Vec::new();
        for (item, count) in &bin.contents {
            pods.take_item(compiled, model, *item, *count, &mut own);
        }
        let price = instance_type.offerings[offering as usize].price;
        solution.cost = Price(solution.cost.0 + price.0);
        solution.nodes.push(PlannedNode {
            name: format!("new-{}", solution.nodes.len() + 1),
            pool: variant.pool,
            instance_type: shape.instance_type,
            offering,
            price,
            labels: variant.labels.clone(),
            pods: own,
        });
    }
}

/// Spreads nodes over zones where that costs nothing, to where their pods like it best.
#[derive(Default)]
pub struct ZoneChoice {
    nodes: FastMap<Symbol, u32>,
    pods: FastMap<(u32, Symbol), u32>,
}

impl ZoneChoice {
    /// The offering that a node is bought by.
    pub fn choose(&mut self, compiled: &Compiled<'_>, model: &Model, bin: &Bin) -> u32 {
        let cluster = compiled.problem.cluster;
        let names = &cluster.names;
        let shape = &model.shapes[bin.shape as usize];
        let instance_type = &cluster.catalogue.types[shape.instance_type as usize];
        let variant = &compiled.shapes.variants[shape.variant as usize];
        let pool = &cluster.pools[variant.pool as usize];
        let mut best: Option<(u32, (i64, u32, u32))> = None;
        for (at, offering) in (0_u32..).zip(&instance_type.offerings) {
            if !offering.available || offering.price != shape.price {
                continue;
            }
            let label_of =
                |key: Symbol| label(&variant.labels, key).or_else(|| instance_type.label(names, offering, key));
            let same_cell = compiled
                .cells
                .keys
                .iter()
                .zip(&compiled.cells.values[usize::from(shape.cell)])
                .all(|(key, value)| label_of(*key) == *value);
            let groups = || {
                bin.contents.iter().flat_map(|(item, count)| {
                    let item = &model.items[*item as usize];
                    let own = std::iter::once((item.group, item.pods_each * count));
                    own.chain(item.companions.iter().map(move |(group, each)| (*group, each * count)))
                })
            };
            let fits = same_cell
                && pool.requirements.met_by(&names.strings, label_of)
                && groups().all(|(group, _)| {
                    let spec = compiled.groups.spec(cluster, group as usize);
                    spec.node_terms.iter().any(|term| term.met_by(&names.strings, label_of))
                });
            if at != shape.offering && !fits {
                continue;
            }
            let liking: i64 = groups()
                .map(|(group, count)| i64::from(count) * self.liking(compiled, group, count, offering.zone, &label_of))
                .sum();
            let rank = (-liking, self.nodes.get(&offering.zone).copied().unwrap_or(0), u32::from(at != shape.offering));
            if best.is_none_or(|(_, held)| rank < held) {
                best = Some((at, rank));
            }
        }
        let chosen = best.map_or(shape.offering, |(at, _)| at);
        let zone = instance_type.offerings[chosen as usize].zone;
        *self.nodes.entry(zone).or_default() += 1;
        for (item, count) in &bin.contents {
            let item = &model.items[*item as usize];
            *self.pods.entry((item.group, zone)).or_default() += item.pods_each * count;
        }
        chosen
    }

    /// How much each of `count` pods would like to be in a zone, given where its like already are.
    fn liking(
        &self,
        compiled: &Compiled<'_>,
        group: u32,
        count: u32,
        zone: Symbol,
        label_of: &impl Fn(Symbol) -> Option<Symbol>,
    ) -> i64 {
        if !compiled.problem.settings.preferences {
            return 0;
        }
        let cluster = compiled.problem.cluster;
        let spec: &PodSpec = compiled.groups.spec(cluster, group as usize);
        let nodes: i64 = spec
            .preferred_nodes
            .iter()
            .filter(|(_, term)| term.met_by(&cluster.names.strings, label_of))
            .map(|(weight, _)| i64::from(*weight) * 1000)
            .sum();
        let crowd = i64::from(self.pods.get(&(group, zone)).copied().unwrap_or(0)) + i64::from(count) - 1;
        let identity = compiled.groups.groups[group as usize].identity;
        let own =
            |selector| compiled.groups.selector_id(selector).is_some_and(|id| compiled.groups.matches(id, identity));
        let soft_spread = spec
            .spreads
            .iter()
            .filter(|s| !s.required && s.topology_key == cluster.names.known.zone && own(&s.selector))
            .count();
        let near: i64 = spec
            .preferred_pods
            .iter()
            .filter(|(_, term)| term.topology_key == cluster.names.known.zone && own(&term.selector))
            .map(|(weight, _)| i64::from(*weight) * 1000 * crowd.min(1))
            .sum();
        nodes + near - i64::try_from(soft_spread).unwrap_or(0) * crowd
    }
}
