//! Improving a packing: take a few nodes away, place their pods again in another way, keep what is
//! not worse. The nodes that hold least for their price are taken most often.
//!
//! Pods are placed again in one of two ways: into the free room of other nodes and then by buying as
//! in the first packing, with noise; or onto the cheapest set of up to three machines that is large
//! enough in sum, when that costs less than what was taken away.

use super::fill::{Bin, FillStyle, Filler};
use super::model::Model;
use super::packing::{BuyStyle, Menu, Packing, buy, cheapest_below, cheapest_for, fill_shape};
use super::random::Random;
use super::supply::Supply;
use super::vector::{MAX_DIMENSIONS, Vector, ZERO, add, subtract};

/// When to stop.
pub struct Budget<'a> {
    /// Rounds of improvement at most.
    pub iterations: u64,
    /// Asked every few rounds; `true` ends the search.
    pub stop: Option<&'a mut dyn FnMut() -> bool>,
}

impl Budget<'_> {
    /// Only a number of rounds: the same input gives the same solution on every machine.
    pub fn rounds(iterations: u64) -> Self {
        Self { iterations, stop: None }
    }
}

/// Most pods (as items) that one round takes off their nodes.
const MOST_ITEMS: usize = 1500;
/// How often a round takes away a whole third of the nodes.
const WIDE: f64 = 0.12;
/// A first answer that is so far above the bound is polished for some rounds.
pub const POOR: f64 = 1.06;
const POLISH_ROUNDS: u64 = 48;
/// The share of the cost (one in so many) that surplus nodes may cost to be rid of.
const NODE_WORTH: u64 = 125;
const MOST_POLISHED: usize = 120;
const POLISH_STEP: u64 = 16;
const ROUNDS_BETWEEN_STOPS: u64 = 8;

/// The state of a search.
pub struct Search<'a> {
    model: &'a Model,
    menu: Menu,
    packing: &'a mut Packing,
    supply: Supply,
    filler: Filler,
    random: Random,
}

/// What a round changed, so that it can be undone.
#[derive(Default)]
struct Undo {
    removed: Vec<(usize, Bin)>,
    changed: Vec<(usize, Bin)>,
    kept: usize,
}

impl<'a> Search<'a> {
    /// A search that works on `packing`, which holds every pod that can be placed.
    pub fn new(model: &'a Model, packing: &'a mut Packing, seed: u64) -> Self {
        Self {
            model,
            menu: Menu::new(model, 4),
            packing,
            supply: Supply::new(model),
            filler: Filler::new(model),
            random: Random::new(seed),
        }
    }

    /// Runs rounds until the budget ends; the number of rounds is returned.
    pub fn run(&mut self, budget: &mut Budget<'_>) -> u64 {
        if self.packing.bins.is_empty() {
            return 0;
        }
        let mut best = self.packing.clone();
        let mut since_best = 0_u32;
        for round in 0..budget.iterations {
            if round % ROUNDS_BETWEEN_STOPS == 0 && budget.stop.as_mut().is_some_and(|stop| stop()) {
                self.finish(best);
                return round;
            }
            if at_bound(self.model, best.cost) {
                self.finish(best);
                return round;
            }
            let small = self.packing.bins.len() <= 64;
            let slack = if small { best.cost / 400 } else { 0 };
            self.round(best.cost + slack);
            let better = (self.packing.cost, self.packing.bins.len()) < (best.cost, best.bins.len());
            since_best = if better { 0 } else { since_best + 1 };
            if better && (small || round % 64 == 0) {
                best = self.packing.clone();
            } else if small && since_best > 400 {
                *self.packing = best.clone();
                since_best = 0;
            }
        }
        self.finish(best);
        budget.iterations
    }

    /// A few rounds for a first answer that came out poorly.
    pub fn polish(&mut self, forced: bool) {
        // The more nodes, the less of them one round touches. Where rules force nodes open the bound is out
        // of reach anyway.
        let nodes = if forced { 0 } else { self.packing.bins.len().min(MOST_POLISHED) };
        let most_rounds = POLISH_ROUNDS.max(2 * nodes as u64);
        for _ in 0..most_rounds / POLISH_STEP {
            if (self.packing.cost as f64) / 1e9 <= self.model.bound * POOR {
                break;
            }
            self.run(&mut Budget::rounds(POLISH_STEP));
        }
    }

    /// Dissolves nodes beyond `needed` into others that are made larger for it, where that costs hardly
    /// more. Nodes without a pod of the term that forces `needed` nodes open are the ones to go.
    pub fn dissolve_surplus(&mut self, needed: usize, term: u32) {
        let surplus = self.packing.bins.len().saturating_sub(needed);
        if surplus == 0 {
            return;
        }
        let forced = |bin: &Bin| {
            let items = bin.contents.iter().map(|(item, _)| &self.model.items[*item as usize]);
            items.flat_map(|item| item.rules.iter()).any(|rule| rule.term == term && rule.carries)
        };
        // From the back, so that a removal moves no node that is still to come.
        let small: Vec<usize> = (0..self.packing.bins.len())
            .rev()
            .filter(|at| !forced(&self.packing.bins[*at]))
            .take(surplus * 2)
            .collect();
        let mut dissolved = 0;
        // Fewer nodes are worth a little: each has a price that is on no list.
        let most_cost = self.packing.cost + self.packing.cost / NODE_WORTH;
        for at in small {
            if dissolved == surplus {
                break;
            }
            let before = self.packing.cost;
            let bin = self.packing.remove(self.model, at);
            for (item, count) in &bin.contents {
                self.supply.put(self.model, *item, *count);
            }
            let mut undo = Undo { removed: vec![(at, bin)], changed: Vec::new(), kept: self.packing.bins.len() };
            self.grow_others(&mut undo);
            if self.supply.is_empty() && self.packing.cost <= before.max(most_cost) {
                dissolved += 1;
            } else {
                self.supply.clear(self.model);
                self.revert(undo);
            }
        }
    }

    /// Puts each waiting item onto the node, of some drawn at random, that becomes least dearer by it.
    fn grow_others(&mut self, undo: &mut Undo) {
        const DRAWS: usize = 48;
        let model = self.model;
        for (item, count) in self.supply.leftovers() {
            for _ in 0..count {
                let kept = undo.kept;
                let mut best: Option<(u64, usize, u32)> = None;
                for draw in 0..kept.min(DRAWS) {
                    let at = if kept <= DRAWS { draw } else { self.random.below(kept) };
                    if let Some((extra, shape)) = self.growth(at, item)
                        && best.is_none_or(|(least, _, _)| extra < least)
                    {
                        best = Some((extra, at, shape));
                        if extra == 0 {
                            break;
                        }
                    }
                }
                let Some((_, at, shape)) = best else { return };
                if !undo.changed.iter().any(|(changed, _)| *changed == at) {
                    undo.changed.push((at, self.packing.bins[at].clone()));
                }
                self.supply.take(model, item, 1);
                let mut bin = self.packing.bins[at].clone();
                add(&mut bin.used, &model.items[item as usize].size, 1, model.dimensions);
                match bin.contents.iter_mut().find(|(known, _)| *known == item) {
                    Some((_, sum)) => *sum += 1,
                    None => bin.contents.push((item, 1)),
                }
                bin.shape = shape;
                self.packing.replace(model, at, bin);
            }
        }
    }

    /// What it costs more to put one item onto a node, and the shape that the node needs then.
    fn growth(&mut self, at: usize, item: u32) -> Option<(u64, u32)> {
        let model = self.model;
        let bin = &self.packing.bins[at];
        let kind = &model.items[item as usize];
        let shape = &model.shapes[bin.shape as usize];
        if kind.cell.is_some_and(|cell| cell != shape.cell) {
            return None;
        }
        if !kind.rules.is_empty() || kind.per_node != u32::MAX || !kind.beside.is_empty() {
            let there = bin.contents.iter().find(|(known, _)| *known == item).map_or(0, |(_, count)| *count);
            self.filler.start_from(model, bin);
            if self.filler.allowed(model, item, there) == 0 {
                return None;
            }
        }
        let mut used = bin.used;
        add(&mut used, &kind.size, 1, model.dimensions);
        if model.accepts(shape, kind.class) && super::vector::fits(&used, &shape.capacity, model.dimensions) {
            return Some((0, bin.shape));
        }
        let grown = Bin { shape: bin.shape, used, contents: bin.contents.iter().copied().chain([(item, 1)]).collect() };
        let larger = cheapest_below(model, self.packing, &grown, u64::MAX)?;
        Some((model.shapes[larger as usize].price.0.saturating_sub(shape.price.0), larger))
    }

    fn finish(&mut self, best: Packing) {
        if (best.cost, best.bins.len()) < (self.packing.cost, self.packing.bins.len()) {
            *self.packing = best;
        }
    }

    /// One round; the result is kept when it costs at most what was there before, or `tolerated`.
    fn round(&mut self, tolerated: u64) {
        let before = (self.packing.cost, self.packing.bins.len());
        let mut undo = self.destroy();
        let removed_price = before.0 - self.packing.cost;
        if self.random.unit() < 0.15 && undo.removed.len() <= 2 {
            self.grow_others(&mut undo);
        }
        let covered = undo.changed.is_empty()
            && undo.removed.len() <= 6
            && self.random.unit() < 0.5
            && self.cover(&undo, removed_price);
        if !covered {
            self.rebuild(&mut undo, before.0.max(tolerated));
        }
        let after = (self.packing.cost, self.packing.bins.len());
        let accepted = self.supply.is_empty() && (after <= before || after.0 <= tolerated);
        if !accepted {
            self.supply.clear(self.model);
            self.revert(undo);
        }
    }

    /// Takes the third of the nodes away that holds least for its price.
    fn destroy_worst_third(&mut self) -> Undo {
        let mut order: Vec<(f64, usize)> =
            (0..self.packing.bins.len()).map(|at| (self.waste(at) * (0.6 + 0.4 * self.random.unit()), at)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut chosen: Vec<usize> =
            order.iter().take(self.packing.bins.len().div_ceil(3)).map(|(_, at)| *at).collect();
        chosen.sort_unstable_by(|a, b| b.cmp(a));
        let mut undo = Undo::default();
        for at in chosen {
            let bin = self.packing.remove(self.model, at);
            for (item, count) in &bin.contents {
                self.supply.put(self.model, *item, *count);
            }
            undo.removed.push((at, bin));
        }
        undo.kept = self.packing.bins.len();
        undo
    }

    fn destroy(&mut self) -> Undo {
        if self.packing.bins.len() <= 60 && self.random.unit() < WIDE {
            return self.destroy_worst_third();
        }
        let count = self.packing.bins.len();
        let most = count.min(if count <= 12 { (count / 2).max(3) } else { 7 });
        let wanted = 1 + self.random.below(most);
        let mut undo = Undo::default();
        let mut items = 0;
        let mut cell = None;
        while undo.removed.len() < wanted && !self.packing.bins.is_empty() && items < MOST_ITEMS {
            let Some(at) = self.pick(cell) else { break };
            let bin = self.packing.remove(self.model, at);
            cell = cell.or(Some(self.model.shapes[bin.shape as usize].cell));
            for (item, count) in &bin.contents {
                self.supply.put(self.model, *item, *count);
                items += 1;
            }
            undo.removed.push((at, bin));
        }
        undo.kept = self.packing.bins.len();
        undo
    }

    /// A node to take away: of a few drawn at random, the one with most waste, mostly of one cell.
    fn pick(&mut self, cell: Option<u16>) -> Option<usize> {
        let draws = 1 + self.random.below(3);
        let mut worst: Option<(usize, f64)> = None;
        for _ in 0..draws {
            let mut at = self.random.below(self.packing.bins.len());
            for _ in 0..4 {
                let own = self.model.shapes[self.packing.bins[at].shape as usize].cell;
                if cell.is_none_or(|cell| cell == own) || self.random.unit() < 0.1 {
                    break;
                }
                at = self.random.below(self.packing.bins.len());
            }
            let waste = self.waste(at);
            if worst.is_none_or(|(_, most)| waste > most) {
                worst = Some((at, waste));
            }
        }
        worst.map(|(at, _)| at)
    }

    fn waste(&self, at: usize) -> f64 {
        let bin = &self.packing.bins[at];
        let value: f64 =
            bin.contents.iter().map(|(item, count)| self.model.items[*item as usize].value * f64::from(*count)).sum();
        1.0 - value / self.model.shapes[bin.shape as usize].price.dollars().max(1e-9)
    }

    fn rebuild(&mut self, undo: &mut Undo, most_cost: u64) {
        let noise = [0.0, 0.1, 0.3, 0.8][self.random.below(4)];
        if self.random.unit() < 0.6 {
            self.fill_survivors(undo, noise);
        }
        let look = [1.0, 0.5, 0.25, 0.1][self.random.below(4)];
        let style = BuyStyle { noise, look, repeat: false, bias: 0.0, most_cost };
        buy(self.model, &self.menu, self.packing, &mut self.supply, &mut self.filler, style, &mut self.random);
    }

    /// Puts pods into the free room of nodes that stay.
    fn fill_survivors(&mut self, undo: &mut Undo, noise: f64) {
        let count = undo.kept;
        for _ in 0..count.min(6) {
            if self.supply.is_empty() {
                return;
            }
            let at = self.random.below(count);
            if undo.changed.iter().any(|(changed, _)| *changed == at) {
                continue;
            }
            self.extend_bin(at, noise, undo);
        }
    }

    fn extend_bin(&mut self, at: usize, noise: f64, undo: &mut Undo) {
        let model = self.model;
        let bin = &self.packing.bins[at];
        let shape = &model.shapes[bin.shape as usize];
        self.filler.start_from(model, bin);
        let style = FillStyle { noise, ..FillStyle::default() };
        fill_shape(model, &self.supply, &mut self.filler, shape, &bin.contents, style, &mut self.random);
        if self.filler.contents.is_empty() {
            return;
        }
        undo.changed.push((at, bin.clone()));
        let bin = &mut self.packing.bins[at];
        bin.used = self.filler.used;
        for (item, count) in &self.filler.contents {
            self.supply.take(model, *item, *count);
            match bin.contents.iter_mut().find(|(known, _)| known == item) {
                Some((_, sum)) => *sum += count,
                None => bin.contents.push((*item, *count)),
            }
        }
    }

    /// Looks for up to three machines that are cheaper than what was taken away and large enough in
    /// sum, and tries to put everything onto them.
    fn cover(&mut self, undo: &Undo, price: u64) -> bool {
        let model = self.model;
        let Some(cell) = undo.removed.first().map(|(_, bin)| model.shapes[bin.shape as usize].cell) else {
            return false;
        };
        if undo.removed.iter().any(|(_, bin)| model.shapes[bin.shape as usize].cell != cell) {
            return false;
        }
        let mut load = ZERO;
        for (_, bin) in &undo.removed {
            add(&mut load, &bin.used, 1, model.dimensions);
        }
        let sets = self.cheaper_sets(usize::from(cell), &load, price);
        for set in sets {
            if self.try_set(&set) {
                return true;
            }
        }
        false
    }

    /// Sets of one to three shapes of a cell with room for `load` in sum and a price below `price`.
    fn cheaper_sets(&mut self, cell: usize, load: &Vector, price: u64) -> Vec<Vec<u32>> {
        let model = self.model;
        let shapes = self.menu.shapes(cell);
        let mut found: Vec<(u64, Vec<u32>)> = Vec::new();
        let mut bases: Vec<Option<u32>> = vec![None];
        for _ in 0..2 {
            bases.push(shapes.get(self.random.below(shapes.len())).copied());
        }
        for base in bases {
            let mut rest = *load;
            let mut left = price;
            if let Some(base) = base {
                let shape = &model.shapes[base as usize];
                if shape.price.0 >= price {
                    continue;
                }
                left -= shape.price.0;
                subtract(&mut rest, &shape.capacity, 1, model.dimensions);
            }
            pairs_for(model, shapes, &rest, left, |extra, cost| {
                let mut set: Vec<u32> = base.into_iter().collect();
                set.extend_from_slice(extra);
                found.push((price - left + cost, set));
            });
        }
        found.sort();
        // The cheapest ones are the tightest; try some further down too.
        let mut sets = Vec::new();
        for _ in 0..3 {
            if found.is_empty() {
                break;
            }
            let span = found.len().min(12);
            sets.push(found.remove(self.random.below(span)).1);
        }
        sets
    }

    fn try_set(&mut self, set: &[u32]) -> bool {
        let model = self.model;
        let start = self.packing.bins.len();
        let noise = if self.random.unit() < 0.5 { 0.0 } else { 0.3 };
        for &at in set {
            if !self.packing.can_buy(model, at) {
                break;
            }
            self.filler.start();
            let style = FillStyle { noise, ..FillStyle::default() };
            fill_shape(model, &self.supply, &mut self.filler, &model.shapes[at as usize], &[], style, &mut self.random);
            if self.filler.contents.is_empty() {
                continue;
            }
            for (item, count) in &self.filler.contents {
                self.supply.take(model, *item, *count);
            }
            let mut bin = Bin { shape: at, used: self.filler.used, contents: self.filler.contents.clone() };
            if let Some(cheaper) = cheapest_for(model, self.packing, &bin) {
                bin.shape = cheaper;
            }
            self.packing.push(model, bin);
        }
        if self.supply.is_empty() {
            return true;
        }
        while self.packing.bins.len() > start {
            let bin = self.packing.remove(model, self.packing.bins.len() - 1);
            for (item, count) in &bin.contents {
                self.supply.put(model, *item, *count);
            }
        }
        false
    }

    fn revert(&mut self, undo: Undo) {
        while self.packing.bins.len() > undo.kept {
            self.packing.remove(self.model, self.packing.bins.len() - 1);
        }
        for (at, bin) in undo.changed {
            self.packing.replace(self.model, at, bin);
        }
        for (at, bin) in undo.removed.into_iter().rev() {
            self.packing.restore(self.model, at, bin);
        }
    }
}

/// Whether a cost is so near the bound that no cheaper solution can exist.
fn at_bound(model: &Model, cost: u64) -> bool {
    (cost as f64) / 1e9 <= model.bound * (1.0 + 1e-9)
}

/// Calls `found` for every single shape and pair that has room for `load` and costs less than `price`.
fn pairs_for(model: &Model, shapes: &[u32], load: &Vector, price: u64, mut found: impl FnMut(&[u32], u64)) {
    let dims = model.dimensions;
    let short = |rest: &[i64; MAX_DIMENSIONS], capacity: &Vector| (0..dims).any(|d| rest[d] > capacity[d]);
    for (first, &a) in shapes.iter().enumerate() {
        let one = &model.shapes[a as usize];
        if one.price.0 >= price {
            break;
        }
        if !short(load, &one.capacity) {
            found(&[a], one.price.0);
            continue;
        }
        let mut rest = *load;
        subtract(&mut rest, &one.capacity, 1, dims);
        for &b in &shapes[first..] {
            let two = &model.shapes[b as usize];
            let cost = one.price.0 + two.price.0;
            if cost >= price {
                break;
            }
            if !short(&rest, &two.capacity) {
                found(&[a, b], cost);
                break;
            }
        }
    }
}
