//! Where pods of a group can go, and at what price: shapes, pools, cells, room on running nodes.

use super::compile::Compiled;
use super::model::Shape;
use super::vector::{Vector, fits, times};

/// Where pods of one class and size can go.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    /// Weights of the pools that can take them, most first.
    pub(super) weights: Vec<i32>,
    /// Price of the share of a node that one takes, by pool weight and cell.
    pub(super) cost: Vec<(i32, u16, f64)>,
    /// How many fit onto running nodes, by cell.
    pub(super) room: Vec<(u16, u32)>,
    /// The most that fit onto any one node.
    pub(super) most_together: u32,
}

impl Reach {
    /// Cells with what a pod costs there and how many running nodes have room for. Pools of less weight
    /// only come in where no other sells.
    pub(super) fn choices(&self, room: &[(u16, u32)]) -> Vec<(u16, f64, u32)> {
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

impl Compiled<'_> {
    pub(super) fn pool_weight(&self, shape: &Shape) -> i32 {
        let pool = self.shapes.variants[shape.variant as usize].pool;
        self.problem.cluster.pools[pool as usize].weight
    }

    /// Whether a group asks for a resource that was left out for there being too many.
    pub fn asks_too_much(&self, group: usize) -> bool {
        let requests = &self.groups.spec(self.problem.cluster, group).requests;
        requests.iter().any(|(id, amount)| amount > 0 && !self.shapes.dimensions.contains(&id))
    }

    pub(super) fn reach(&mut self, group: usize) -> Reach {
        let key = (self.shapes.class_of_group[group], self.sizes[group]);
        if let Some(known) = self.reach.get(&key) {
            return known.clone();
        }
        let found = self.find_reach(key.0, &key.1);
        self.reach.insert(key, found.clone());
        found
    }

    pub(super) fn find_reach(&self, class: u32, size: &Vector) -> Reach {
        let dims = self.shapes.dimensions.len();
        let mut reach = Reach::default();
        for shape in &self.shapes.shapes {
            if !self.shapes.accept_sets[shape.accepts as usize].contains(class as usize) {
                continue;
            }
            let together = times(size, &shape.capacity, dims);
            if together == 0 || !self.shapes.within_limits(self.problem.cluster, shape) {
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
    pub(super) fn room_by_the_rules(&self, group: usize) -> Option<Vec<(u16, u32)>> {
        let rules = &self.rules.of_group[group];
        let beside = &self.rules.beside[group];
        if rules.is_empty() && beside.is_empty() {
            return None;
        }
        // Once a pod that it must be beside has a place, only the nodes of such pods will do.
        let bound = beside.iter().any(|selector| self.present.contains(*selector as usize));
        let terms: Vec<u32> = beside.iter().filter_map(|selector| self.rules.counting_term(*selector)).collect();
        let class = self.shapes.class_of_group[group] as usize;
        let mut rooms: Vec<(u16, u32)> = Vec::new();
        for room in &self.nodes.rooms {
            if !self.nodes.accept_sets[room.accepts as usize][class] {
                continue;
            }
            let runs = |term: &u32| room.host.iter().any(|(known, matching, _)| known == term && *matching > 0);
            if bound && !terms.iter().all(runs) {
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
