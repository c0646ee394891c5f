//! From a problem to packing models: groups, shapes, cells, items.

use super::dealer::{Choice, Dealer, Dealt};
use super::domains::{DomainRule, DomainTerms, topology_keys};
use super::groups::Groups;
use super::host_rules::HostRules;
use super::model::{BitSet, HostRule, Item, Model, Shape};
use super::nodes::Nodes;
use super::problem::Problem;
use super::shapes::{Cells, Sets, Shapes, drop_dominated};
use super::vector::{Vector, add, fits, times, vector};
use crate::autoscaler::state::intern::FastMap;

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
    present: BitSet,
    reach: FastMap<(u32, Vector), Reach>,
}

/// Where pods of one class and size can go.
#[derive(Clone, Debug, Default)]
struct Reach {
    /// Weights of the pools that can take them, most first.
    weights: Vec<i32>,
    /// Price of the share of a node that one takes, by pool weight and cell.
    cost: Vec<(i32, u16, f64)>,
    /// How many fit onto running nodes, by cell.
    room: Vec<(u16, u32)>,
    /// The most that fit onto any one node.
    most_together: u32,
}

impl Reach {
    /// Cells with what a pod costs there and how many running nodes have room for. Pools of less weight
    /// only come in where no other sells.
    fn choices(&self, room: &[(u16, u32)]) -> Vec<(u16, f64, u32)> {
        /// More than any pod costs.
        const NEXT_TIER: f64 = 1e9;
        let mut cells: Vec<(u16, f64, u32)> = Vec::new();
        for (tier, weight) in self.weights.iter().enumerate() {
            for (_, cell, cost) in self.cost.iter().filter(|(own, _, _)| own == weight) {
                if !cells.iter().any(|(known, _, _)| known == cell) {
                    cells.push((*cell, cost + NEXT_TIER * tier as f64, 0));
                }
            }
        }
        for (cell, room) in room {
            match cells.iter_mut().find(|(known, _, _)| known == cell) {
                Some((_, _, sum)) => *sum = *room,
                None => cells.push((*cell, f64::INFINITY, *room)),
            }
        }
        cells.sort_by_key(|(cell, _, _)| *cell);
        cells
    }
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
        let rules = HostRules::new(problem, &groups);
        let mut cells = Cells::new(topology_keys(problem, &groups));
        let mut shapes = Shapes::new(problem, &groups, &mut cells);
        let found = std::mem::take(&mut shapes.shapes);
        shapes.shapes =
            drop_dominated(found, &shapes.variants, &shapes.pool_limits, &shapes.accept_sets, shapes.dimensions.len());
        let nodes = Nodes::new(problem, &groups, &rules, &shapes, &mut cells);
        let terms = DomainTerms::new(problem, &groups, &cells);
        let sizes = groups
            .groups
            .iter()
            .map(|group| vector(&shapes.dimensions, &problem.cluster.spec(group.spec).requests))
            .collect();
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

    fn pool_weight(&self, shape: &Shape) -> i32 {
        let pool = self.shapes.variants[shape.variant as usize].pool;
        self.problem.cluster.pools[pool as usize].weight
    }

    /// Whether a group asks for a resource that was left out for there being too many.
    pub fn asks_too_much(&self, group: usize) -> bool {
        let requests = &self.groups.spec(self.problem.cluster, group).requests;
        requests.iter().any(|(id, amount)| amount > 0 && !self.shapes.dimensions.contains(&id))
    }

    fn reach(&mut self, group: usize) -> Reach {
        let key = (self.shapes.class_of_group[group], self.sizes[group]);
        if let Some(known) = self.reach.get(&key) {
            return known.clone();
        }
        let found = self.find_reach(key.0, &key.1);
        self.reach.insert(key, found.clone());
        found
    }

    /// Whether the limits of its pool leave room for one node of a shape.
    fn within_limits(&self, shape: &Shape) -> bool {
        let pool = self.shapes.variants[shape.variant as usize].pool;
        let Some(limit) = &self.shapes.pool_limits[pool as usize] else { return true };
        let instance_type = &self.problem.cluster.catalogue.types[shape.instance_type as usize];
        let needs = self.shapes.limit_use(pool, instance_type);
        limit.left.iter().zip(needs).all(|(left, need)| need <= *left)
    }

    fn find_reach(&self, class: u32, size: &Vector) -> Reach {
        let dims = self.shapes.dimensions.len();
        let mut reach = Reach::default();
        for shape in &self.shapes.shapes {
            if !self.shapes.accept_sets[shape.accepts as usize].contains(class as usize) {
                continue;
            }
            let together = times(size, &shape.capacity, dims);
            if together == 0 || !self.within_limits(shape) {
                continue;
            }
            reach.most_together = reach.most_together.max(together);
            let weight = self.pool_weight(shape);
            let share = (0..dims)
                .filter(|d| shape.capacity[*d] > 0)
                .map(|d| size[d] as f64 / shape.capacity[d] as f64)
                .fold(0.0, f64::max);
            let cost = share * shape.price.dollars();
            match reach.cost.iter_mut().find(|(known, cell, _)| *known == weight && *cell == shape.cell) {
                Some((_, _, least)) => *least = least.min(cost),
                None => reach.cost.push((weight, shape.cell, cost)),
            }
            if !reach.weights.contains(&weight) {
                reach.weights.push(weight);
            }
        }
        reach.weights.sort_unstable_by(|a, b| b.cmp(a));
        for room in &self.nodes.rooms {
            if self.nodes.accept_sets[room.accepts as usize][class as usize] {
                let more = times(size, &room.free, dims);
                if more > 0 {
                    reach.most_together = reach.most_together.max(more);
                    match reach.room.iter_mut().find(|(cell, _)| *cell == room.cell) {
                        Some((_, sum)) => *sum = sum.saturating_add(more),
                        None => reach.room.push((room.cell, more)),
                    }
                }
            }
        }
        reach
    }

    /// How many pods of a group running nodes take, by cell, where rules between pods of one host bear on it.
    fn room_by_the_rules(&self, group: usize) -> Option<Vec<(u16, u32)>> {
        let rules = &self.rules.of_group[group];
        if rules.is_empty() {
            return None;
        }
        let class = self.shapes.class_of_group[group] as usize;
        let mut rooms: Vec<(u16, u32)> = Vec::new();
        for room in &self.nodes.rooms {
            if !self.nodes.accept_sets[room.accepts as usize][class] {
                continue;
            }
            let mut most = times(&self.sizes[group], &room.free, self.shapes.dimensions.len());
            for rule in rules {
                let here = room.host.iter().find(|(term, _, _)| *term == rule.term);
                let (matching, carrying) = here.map_or((0, 0), |(_, matching, carrying)| (*matching, *carrying));
                if rule.carries || carrying > 0 {
                    let limit = self.rules.terms[rule.term as usize].limit;
                    let unmatched = if matching <= limit { u32::MAX } else { 0 };
                    most = most.min(limit.saturating_sub(matching).checked_div(rule.matches).unwrap_or(unmatched));
                }
            }
            match rooms.iter_mut().find(|(cell, _)| *cell == room.cell) {
                Some((_, sum)) => *sum = sum.saturating_add(most),
                None => rooms.push((room.cell, most)),
            }
        }
        rooms.retain(|(_, room)| *room > 0);
        Some(rooms)
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
    pub fn model(&self, demand: &Demand, balanced: bool) -> Model {
        let mut sets = Sets::default();
        let mut refined: FastMap<(u32, Option<i32>), u32> = FastMap::default();
        let mut items: Vec<Item> = Vec::new();
        let mut base_class = Vec::new();
        for part in self.with_companions(demand) {
            let key = (self.shapes.class_of_group[part.group], self.tier[part.group]);
            let next = u32::try_from(refined.len()).unwrap_or(u32::MAX);
            let class = *refined.entry(key).or_insert(next);
            if class == next {
                base_class.push(key.0);
            }
            items.push(self.item(&part, class, balanced));
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
        let mut translated: FastMap<(u32, i32), (u32, bool)> = FastMap::default();
        for shape in &self.shapes.shapes {
            let weight = self.pool_weight(shape);
            let (accepts, useful) = *translated.entry((shape.accepts, weight)).or_insert_with(|| {
                let old = &self.shapes.accept_sets[shape.accepts as usize];
                let mut set = BitSet::default();
                for ((class, tier), new) in &refined {
                    if *tier == Some(weight) && old.contains(*class as usize) {
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

    fn item(&self, part: &Part, class: u32, balanced: bool) -> Item {
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
        let alone = balanced && part.pods_each == 1 && part.companions.is_empty() && replicas > 1;
        Item {
            group: u32::try_from(part.group).unwrap_or(u32::MAX),
            pods_each: part.pods_each,
            companions: part.companions.clone().into(),
            beside: part.beside.clone().into(),
            size,
            class,
            cell: part.cell,
            count: part.count,
            per_node: if alone { u32::try_from(replicas.div_ceil(2)).unwrap_or(u32::MAX) } else { u32::MAX },
            rules: rules.into(),
            value: 0.0,
            bucket: 0,
        }
    }

    /// Splits a demand into items: one pod each, or the pods that must share a host.
    fn with_companions(&self, demand: &Demand) -> Vec<Part> {
        let mut parts: Vec<Part> = demand
            .iter()
            .map(|(group, cell, count)| Part {
                group: *group,
                pods_each: 1,
                companions: Vec::new(),
                beside: Vec::new(),
                cell: *cell,
                count: *count,
            })
            .collect();
        if self.rules.beside.iter().all(Vec::is_empty) {
            return parts;
        }
        let mut led = BitSet::default();
        for at in 0..parts.len() {
            let group = parts[at].group;
            if self.rules.beside[group].is_empty() || parts[at].count == 0 {
                continue;
            }
            self.keep_together(&mut parts, at, &mut led);
        }
        parts.retain(|part| part.count > 0);
        parts
    }

    /// `led` are the selectors of which a first pod goes where there is none yet.
    fn keep_together(&self, parts: &mut Vec<Part>, at: usize, led: &mut BitSet) {
        let group = parts[at].group;
        let identity = self.groups.groups[group].identity;
        let wanted = &self.rules.beside[group];
        let own = wanted.iter().all(|selector| self.groups.matches(*selector, identity));
        let taken = |selector: &u32| self.present.contains(*selector as usize) || led.contains(*selector as usize);
        if wanted.iter().any(taken) {
            parts[at].beside = wanted.iter().filter_map(|selector| self.rules.counting_term(*selector)).collect();
            return;
        }
        if own {
            // The first goes anywhere, the others to it: one item of as many as fit on one node.
            let together =
                self.reach.get(&(self.shapes.class_of_group[group], self.sizes[group])).map_or(0, |r| r.most_together);
            parts[at].pods_each = parts[at].count.min(together).max(1);
            parts[at].count = 1;
            wanted.iter().for_each(|selector| led.insert(*selector as usize));
            return;
        }
        // Beside pods that are pending too: each of those takes its share along.
        let host = (0..parts.len()).find(|other| {
            *other != at
                && parts[*other].count > 0
                && parts[*other].companions.is_empty()
                && self.rules.beside[parts[*other].group].is_empty()
                && (parts[*other].cell == parts[at].cell || parts[at].cell.is_none() || parts[*other].cell.is_none())
                && wanted.iter().all(|s| self.groups.matches(*s, self.groups.groups[parts[*other].group].identity))
        });
        let Some(host) = host else {
            parts[at].beside = wanted.iter().filter_map(|selector| self.rules.counting_term(*selector)).collect();
            return;
        };
        let (hosts, guests) = (parts[host].count, parts[at].count);
        let guest = u32::try_from(group).unwrap_or(u32::MAX);
        let (each, more) = (guests / hosts, guests % hosts);
        let cell = parts[host].cell.or(parts[at].cell);
        parts[host].cell = cell;
        parts[at].count = 0;
        if more > 0 {
            let mut with_more = parts[host].clone();
            with_more.count = more;
            with_more.companions.push((guest, each + 1));
            parts.push(with_more);
            parts[host].count -= more;
        }
        if each > 0 {
            parts[host].companions.push((guest, each));
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

    /// Whether a pod of a group could stand on some node, all terms between pods aside.
    pub fn could_place(&self, group: usize) -> bool {
        let key = (self.shapes.class_of_group[group], self.sizes[group]);
        !self.asks_too_much(group) && self.reach.get(&key).is_some_and(|reach| reach.most_together > 0)
    }

    /// Whether a pod of a group could stand on an empty node of any pool.
    pub fn fits_somewhere(&self, group: usize) -> bool {
        let dims = self.shapes.dimensions.len();
        let class = self.shapes.class_of_group[group] as usize;
        self.shapes.shapes.iter().any(|shape| {
            self.shapes.accept_sets[shape.accepts as usize].contains(class)
                && fits(&self.sizes[group], &shape.capacity, dims)
        })
    }
}

/// Part of a demand.
#[derive(Clone, Debug)]
struct Part {
    group: usize,
    pods_each: u32,
    companions: Vec<(u32, u32)>,
    beside: Vec<u32>,
    cell: Option<u16>,
    count: u32,
}
