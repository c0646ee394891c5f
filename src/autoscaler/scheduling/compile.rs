//! From a problem to packing models: groups, shapes, cells, items.

use super::dealer::{Choice, Dealer, Dealt};
use super::domains::{DomainRule, DomainTerms, topology_keys};
use super::groups::Groups;
use super::host_rules::HostRules;
use super::model::{BitSet, HostRule, Item, Model, Shape};
use super::nodes::Nodes;
use super::problem::Problem;
use super::reach::Reach;
use super::shapes::{Cells, Sets, Shapes, drop_dominated};
use super::together::Part;
use super::vector::{Vector, add, vector};
use crate::state::intern::FastMap;

/// How the replicas of a workload are kept apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Apart {
    /// Not at all.
    Free,
    /// Not all of them on one node.
    Halved,
    /// This share of them on nodes of their own, few on each; the rest elsewhere, many on each.
    Layered(f64),
}

/// A part that is kept apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Layer {
    /// Goes with everything.
    Any,
    /// Replicas that stay longest.
    Core,
    /// Replicas that go first.
    Rest,
}

/// A problem in the form that the search works on.
pub struct Compiled<'a> {
    /// What was asked.
    pub problem: &'a Problem<'a>,
    /// Pods by likeness.
    pub groups: Groups,
    /// Rules between pods of one host.
    pub rules: HostRules,
    /// Combinations of topology values.
    pub cells: Cells,
    /// What can be bought.
    pub shapes: Shapes,
    /// Nodes that exist.
    pub nodes: Nodes,
    /// Terms over zones and the like.
    pub terms: DomainTerms,
    /// The weight of the pool that each group goes to first; `None` when no pool can take it.
    pub tier: Vec<Option<i32>>,
    /// What a pod of each group asks for.
    pub sizes: Vec<Vector>,
    /// Selectors of which a pod runs, or has been placed.
    pub(super) present: BitSet,
    pub(super) reach: FastMap<(u32, Vector), Reach>,
}

/// What came of dealing pods out over cells.
pub struct Deal {
    /// What is to be placed.
    pub demand: Demand,
    /// Pods that can go nowhere: (group, count).
    pub stuck: Vec<(usize, u32)>,
    /// Cells whose domain a spread did not take into account, with the scope of that spread: a node there
    /// that takes part in the spread would change its balance.
    pub uncounted: Vec<(u16, u32)>,
}

/// How many pods of a group are to be placed, and where.
pub type Demand = Vec<(usize, Option<u16>, u32)>;

impl<'a> Compiled<'a> {
    /// Reads a problem.
    pub fn new(problem: &'a Problem<'a>) -> Self {
        let groups = Groups::new(problem);
        let mut cells = Cells::new(topology_keys(problem, &groups));
        let mut shapes = Shapes::new(problem, &groups, &mut cells);
        let found = std::mem::take(&mut shapes.shapes);
        shapes.shapes =
            drop_dominated(found, &shapes.variants, &shapes.pool_limits, &shapes.accept_sets, shapes.dimensions.len());
        let sizes: Vec<Vector> = groups
            .groups
            .iter()
            .map(|group| vector(&shapes.dimensions, &problem.cluster.spec(group.spec).requests))
            .collect();
        let closed = !groups.selectors.is_empty()
            && !sizes.iter().enumerate().any(|(group, size)| shapes.sell(problem.cluster, group, size));
        let rules = HostRules::new(problem, &groups, closed);
        let nodes = Nodes::new(problem, &groups, &rules, &shapes, &mut cells);
        let terms = DomainTerms::new(problem, &groups, &cells);
        let mut compiled = Self {
            problem,
            tier: vec![None; groups.groups.len()],
            groups,
            rules,
            cells,
            shapes,
            nodes,
            terms,
            sizes,
            present: BitSet::default(),
            reach: FastMap::default(),
        };
        compiled.note_running();
        for group in 0..compiled.groups.groups.len() {
            let reach = compiled.reach(group);
            compiled.tier[group] = reach.weights.first().copied();
        }
        compiled
    }

    fn note_running(&mut self) {
        for (pod, identity) in &self.groups.identity_of_pod {
            let node = self.problem.cluster.pods[*pod as usize].node;
            if node.is_some_and(|node| !self.problem.without[node as usize]) {
                let matched = self.groups.matched.get(*identity as usize).into_iter().flatten();
                matched.for_each(|selector| self.present.insert(*selector as usize));
            }
        }
    }

    /// Remembers that pods of an item have a place.
    pub fn note_placed(&mut self, item: &Item) {
        for group in std::iter::once(item.group).chain(item.companions.iter().map(|(group, _)| *group)) {
            let identity = self.groups.groups[group as usize].identity;
            let matched = self.groups.matched.get(identity as usize).into_iter().flatten();
            matched.for_each(|selector| self.present.insert(*selector as usize));
        }
    }

    /// Deals groups with terms over topologies out to cells. With `wide`, every domain that some pod could
    /// open counts for every spread; otherwise only those of its own pods do, and those that exist.
    pub fn deal(&mut self, wide: bool) -> Deal {
        let mut demand = Demand::new();
        let mut choices = Vec::new();
        let terms = std::mem::take(&mut self.terms);
        let reaches: Vec<Reach> = (0..self.groups.groups.len()).map(|group| self.reach(group)).collect();
        let mut dealer = Dealer::new(self.problem, &self.groups, &self.cells, &terms);
        for (group, reach) in reaches.into_iter().enumerate() {
            let count = u32::try_from(self.groups.groups[group].pods.len()).unwrap_or(u32::MAX);
            if !dealer.concerns(&self.groups, group) {
                demand.push((group, None, count));
                continue;
            }
            let weight = reach.cost.iter().map(|(_, _, cost)| *cost).fold(f64::INFINITY, f64::min);
            let weight = if weight.is_finite() { weight } else { 0.0 };
            let room = self.room_by_the_rules(group).unwrap_or_else(|| reach.room.clone());
            choices.push(Choice { group, cells: reach.choices(&room), weight });
        }
        let (dealt, stuck) = dealer.deal(self.problem, &self.groups, &self.cells, choices, wide);
        demand.extend(dealt.into_iter().map(|Dealt { group, cell, count }| (group, Some(cell), count)));
        let cells = u16::try_from(self.cells.values.len()).unwrap_or(u16::MAX);
        let uncounted = (0_u32..)
            .zip(&terms.terms)
            .filter(|(_, term)| matches!(term.rule, DomainRule::Spread { .. }))
            .flat_map(|(at, term)| {
                let dealer = &dealer;
                (0..cells).filter(move |cell| !dealer.counts(at, *cell)).map(|cell| (cell, term.scope))
            })
            .collect();
        self.terms = terms;
        Deal { demand, stuck, uncounted }
    }

    /// A packing model for a demand. Pods that no pool can take are left in, for running nodes.
    pub fn model(&self, demand: &Demand, apart: Apart) -> Model {
        let mut sets = Sets::default();
        let mut refined: FastMap<(u32, Option<i32>, Layer), u32> = FastMap::default();
        let mut items: Vec<Item> = Vec::new();
        let mut base_class = Vec::new();
        let parts = self.with_companions(demand).into_iter().map(|part| (part, Layer::Any));
        let parts: Vec<(Part, Layer)> = match apart {
            Apart::Layered(share) => parts.flat_map(|(part, _)| layers(part, share)).collect(),
            Apart::Free | Apart::Halved => parts.collect(),
        };
        for (part, layer) in parts {
            let key = (self.shapes.class_of_group[part.group], self.tier[part.group], layer);
            let next = u32::try_from(refined.len()).unwrap_or(u32::MAX);
            let class = *refined.entry(key).or_insert(next);
            if class == next {
                base_class.push(key.0);
            }
            items.push(self.item(&part, class, apart, layer));
        }
        let mut model = Model {
            dimensions: self.shapes.dimensions.len(),
            items,
            base_class,
            host_terms: self.rules.terms.clone(),
            cells: self.cells.values.len().max(1),
            pool_limits: self.shapes.pool_limits.clone(),
            pool_of_variant: self.shapes.variants.iter().map(|variant| variant.pool).collect(),
            ..Model::default()
        };
        let layers: &[Layer] = match apart {
            Apart::Layered(_) => &[Layer::Core, Layer::Rest],
            Apart::Free | Apart::Halved => &[Layer::Any],
        };
        let mut translated: FastMap<(u32, i32, Layer), (u32, bool)> = FastMap::default();
        for (shape, of) in self.shapes.shapes.iter().flat_map(|shape| layers.iter().map(move |of| (shape, *of))) {
            let weight = self.pool_weight(shape);
            let (accepts, useful) = *translated.entry((shape.accepts, weight, of)).or_insert_with(|| {
                let old = &self.shapes.accept_sets[shape.accepts as usize];
                let mut set = BitSet::default();
                for ((class, tier, layer), new) in &refined {
                    let together = *layer == of || *layer == Layer::Any;
                    if *tier == Some(weight) && together && old.contains(*class as usize) {
                        set.insert(*new as usize);
                    }
                }
                (sets.id(&set), !set.is_empty())
            });
            if useful {
                model.shapes.push(Shape { accepts, ..shape.clone() });
            }
        }
        if model.pool_limits.iter().any(Option::is_some) {
            let catalogue = &self.problem.cluster.catalogue;
            model.limit_use = model
                .shapes
                .iter()
                .map(|shape| {
                    let pool = model.pool_of_variant[shape.variant as usize];
                    self.shapes.limit_use(pool, &catalogue.types[shape.instance_type as usize])
                })
                .collect();
        }
        model.accept_sets = sets.sets;
        model
    }

    fn item(&self, part: &Part, class: u32, apart: Apart, layer: Layer) -> Item {
        let dims = self.shapes.dimensions.len();
        let mut size = [0; super::vector::MAX_DIMENSIONS];
        add(&mut size, &self.sizes[part.group], part.pods_each, dims);
        let mut rules: Vec<HostRule> = Vec::new();
        let mut merge = |group: usize, pods: u32| {
            for rule in &self.rules.of_group[group] {
                match rules.iter_mut().find(|known| known.term == rule.term) {
                    Some(known) => {
                        known.matches += rule.matches * pods;
                        known.carries |= rule.carries;
                    }
                    None => rules.push(HostRule { matches: rule.matches * pods, ..*rule }),
                }
            }
        };
        merge(part.group, part.pods_each);
        for (group, pods) in &part.companions {
            merge(*group as usize, *pods);
            add(&mut size, &self.sizes[*group as usize], *pods, dims);
        }
        let replicas = self.groups.groups[part.group].pods.len();
        let alone = part.pods_each == 1 && part.companions.is_empty() && replicas > 1;
        let per_node = match (apart, layer) {
            (Apart::Halved, _) if alone => replicas.div_ceil(2),
            (Apart::Layered(_), Layer::Core) if alone => (part.count as usize).div_ceil(LEAST_CORE_NODES),
            _ => usize::MAX,
        };
        Item {
            group: u32::try_from(part.group).unwrap_or(u32::MAX),
            pods_each: part.pods_each,
            companions: part.companions.clone().into(),
            beside: part.beside.clone().into(),
            size,
            class,
            cell: part.cell,
            count: part.count,
            per_node: u32::try_from(per_node).unwrap_or(u32::MAX),
            rules: rules.into(),
            value: 0.0,
            bucket: 0,
        }
    }

    /// Remembers which pods have a place now, and takes what was bought off the limits of the pools.
    pub fn note_bought(&mut self, model: &Model, packing: &super::packing::Packing) {
        for (item, _) in packing.bins.iter().flat_map(|bin| &bin.contents) {
            if !self.groups.selectors.is_empty() {
                self.note_placed(&model.items[*item as usize]);
            }
        }
        if model.limit_use.is_empty() {
            return;
        }
        for bin in &packing.bins {
            let pool = model.pool_of_variant[model.shapes[bin.shape as usize].variant as usize];
            if let Some(limit) = &mut self.shapes.pool_limits[pool as usize] {
                for (left, need) in limit.left.iter_mut().zip(&model.limit_use[bin.shape as usize]) {
                    *left -= need;
                }
            }
        }
    }

    /// Moves what is left on to the pools of the next lower weight; what has none drops out.
    pub fn lower_tiers(&mut self, left: Demand) -> Demand {
        let mut groups: Vec<usize> = left.iter().map(|(group, _, _)| *group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| self.lower_tier(*group));
        left.into_iter().filter(|(group, _, _)| groups.binary_search(group).is_ok()).collect()
    }

    fn lower_tier(&mut self, group: usize) -> bool {
        let reach = self.reach(group);
        let next = reach.weights.iter().copied().find(|weight| Some(*weight) < self.tier[group]);
        if next.is_some() {
            self.tier[group] = next;
        }
        next.is_some()
    }
}

/// Replicas that stay longest go onto so many nodes at least, if there are as many.
const LEAST_CORE_NODES: usize = 3;

/// Splits a part into replicas that stay longest and the rest.
fn layers(part: Part, share: f64) -> Vec<(Part, Layer)> {
    if part.pods_each != 1 || !part.companions.is_empty() || !part.beside.is_empty() {
        return vec![(part, Layer::Any)];
    }
    let core = ((f64::from(part.count) * share).ceil() as u32).clamp(1, part.count);
    let rest = Part { count: part.count - core, ..part.clone() };
    let core = (Part { count: core, ..part }, Layer::Core);
    if rest.count == 0 { vec![core] } else { vec![core, (rest, Layer::Rest)] }
}
