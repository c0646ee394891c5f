//! Which nodes should go: the search over sets of nodes to take away.
//!
//! For a set of nodes, their pods go into free room of the nodes that stay, and nodes are bought for the
//! rest. What counts is the hourly cost of all nodes, with what moving costs spread over the horizon. Small
//! fleets are searched whole; in large ones nodes that can go without a purchase go first, then parts of
//! the fleet are searched one after the other.

use super::ground::{Ground, Kind, fill_site};
use crate::scheduling::fill::Filler;
use crate::scheduling::improve::{Budget, Search};
use crate::scheduling::packing::{BuyStyle, Packing, buy};
use crate::scheduling::random::Random;
use crate::scheduling::supply::Supply;

/// The most nodes that one part of the search may take away.
const PART: usize = 40;
/// The most nodes that take in pods in one part of the search.
const MOST_DESTINATIONS: usize = 96;

/// What a trial costs at least, in steps.
const TRIAL: u64 = 2000;
/// How often a node is filled until one is bought.
const FILLS_PER_PURCHASE: u64 = 15;
/// How much a trial must gain, in dollars per hour.
const LEAST_CHANGE: f64 = 1e-6;
/// How much chance there is in the order of pods, in the trials for nodes that go together.
const NOISES: [f64; 8] = [0.0, 0.05, 0.1, 0.1, 0.2, 0.2, 0.4, 0.4];
/// How many prefixes of a part, the most wasteful nodes first, are looked at.
const PREFIXES: usize = 16;

/// What the search must keep to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many more nodes may go, by pool.
    pub allowed: Vec<u32>,
    /// Whether spot nodes may be replaced by spot nodes.
    pub spot_to_spot: bool,
}

/// Where the pods of a set of nodes would go.
#[derive(Clone, Debug, Default)]
struct Trial {
    /// The sites that go, by index.
    gone: Vec<usize>,
    /// Items that go onto sites that stay: (site, item, count).
    onto: Vec<(usize, u32, u32)>,
    /// Nodes that are bought.
    packing: Packing,
    /// What changes against leaving everything as it is, in dollars per hour; below zero is a gain.
    change: f64,
}

/// The search.
pub struct Mover<'g, 'a, 's> {
    ground: &'g mut Ground<'a>,
    /// Asked before each trial; `true` ends the search.
    stop: Option<&'s mut dyn FnMut() -> bool>,
    ended: bool,
    limits: Limits,
    supply: Supply,
    filler: Filler,
    random: Random,
    /// What is left of the effort that the search may take, in steps of filling a node.
    left: u64,
}

impl<'g, 'a, 's> Mover<'g, 'a, 's> {
    /// A search with so much effort.
    pub fn new(
        ground: &'g mut Ground<'a>,
        limits: Limits,
        seed: u64,
        effort: u64,
        stop: Option<&'s mut dyn FnMut() -> bool>,
    ) -> Self {
        let (supply, filler) = (Supply::new(&ground.model), Filler::new(&ground.model));
        Self { ground, stop, ended: false, limits, supply, filler, random: Random::new(seed), left: effort }
    }

    /// Finds what to take away and puts it into the ground.
    pub fn run(&mut self) {
        let movable = self.movable().len();
        if movable == 0 {
            return;
        }
        if movable > PART {
            self.take_what_fits_elsewhere();
        }
        let mut without_gain = 0;
        while self.goes_on() && without_gain < self.parts().max(1) {
            let part = self.choose_part();
            let destinations = self.destinations(&part);
            let before = self.left;
            match self.search_part(&part, &destinations) {
                Some(trial) => {
                    self.commit(trial);
                    without_gain = 0;
                }
                None => without_gain += 1,
            }
            if self.left == before {
                return;
            }
        }
    }

    /// Takes all away at once, if that is a gain.
    pub fn take_together(&mut self) -> bool {
        let gone = self.movable();
        if !self.within_budget(&gone) {
            return false;
        }
        let rooms = self.by_room(self.open().filter(|at| gone.binary_search(at).is_err()).collect());
        let trials = NOISES.map(|noise| self.trial(&gone, &rooms, BuyStyle::PLAIN, noise));
        let best = trials.into_iter().flatten().min_by(|a, b| a.change.total_cmp(&b.change));
        let Some(mut best) = best else { return false };
        self.polish(&mut best);
        let gains = best.change < -LEAST_CHANGE;
        if gains {
            self.commit(best);
        }
        gains
    }

    fn goes_on(&mut self) -> bool {
        self.ended |= self.left == 0 || self.stop.as_mut().is_some_and(|stop| stop());
        !self.ended
    }

    fn movable(&self) -> Vec<usize> {
        (0..self.ground.sites.len()).filter(|at| self.ground.may_go(&self.ground.sites[*at])).collect()
    }

    fn parts(&self) -> usize {
        self.movable().len().div_ceil(PART)
    }

    /// What a site costs beyond what its items are worth, as a share of its price.
    fn waste(&self, at: usize) -> f64 {
        let site = &self.ground.sites[at];
        1.0 - self.ground.value(site) / site.price.max(1e-9)
    }

    /// Nodes whose pods all find room on others, one after the other, the most wasteful first.
    fn take_what_fits_elsewhere(&mut self) {
        let mut order = self.movable();
        let key: Vec<f64> = (0..self.ground.sites.len()).map(|at| self.waste(at)).collect();
        order.sort_by(|a, b| key[*b].total_cmp(&key[*a]).then(a.cmp(b)));
        let mut rooms: Vec<usize> = (0..self.ground.sites.len())
            .filter(|at| self.ground.sites[*at].open && self.ground.sites[*at].alive)
            .collect();
        rooms.sort_by(|a, b| key[*a].total_cmp(&key[*b]).then(a.cmp(b)));
        for at in order {
            if !self.goes_on() {
                return;
            }
            if !self.within_budget(&[at]) {
                continue;
            }
            rooms.retain(|room| self.ground.sites[*room].alive);
            let trial = self.trial(&[at], &rooms, BuyStyle { most_cost: 0, ..BuyStyle::PLAIN }, 0.0);
            if let Some(trial) = trial
                && trial.packing.bins.is_empty()
                && trial.change < 0.0
            {
                self.commit(trial);
            }
        }
    }

    /// Nodes to look at together: all of a small fleet; of a large one mostly those with much waste.
    fn choose_part(&mut self) -> Vec<usize> {
        let mut all = self.movable();
        if all.len() <= PART {
            return all;
        }
        let mut scored: Vec<(f64, usize)> =
            all.drain(..).map(|at| (self.waste(at) + 0.5 * self.random.unit(), at)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut part: Vec<usize> = scored.into_iter().take(PART).map(|(_, at)| at).collect();
        part.sort_unstable();
        part
    }

    /// The part itself and the sites with most room.
    fn destinations(&self, part: &[usize]) -> Vec<usize> {
        let mut all: Vec<usize> = self.open().collect();
        if all.len() > MOST_DESTINATIONS {
            let (own, mut others): (Vec<usize>, Vec<usize>) =
                all.into_iter().partition(|at| part.binary_search(at).is_ok());
            others.sort_by_key(|at| std::cmp::Reverse(self.ground.sites[*at].free[0]));
            others.truncate(MOST_DESTINATIONS.saturating_sub(part.len()));
            all = own.into_iter().chain(others).collect();
        }
        self.by_room(all)
    }

    /// Sites that take pods.
    fn open(&self) -> impl Iterator<Item = usize> {
        self.ground.sites.iter().enumerate().filter(|(_, site)| site.open && site.alive).map(|(at, _)| at)
    }

    /// Sites, those with the least room first.
    fn by_room(&self, mut sites: Vec<usize>) -> Vec<usize> {
        let room = |at: &usize| -> f64 {
            let site = &self.ground.sites[*at];
            site.free[0] as f64 / 1e3 + site.free[1] as f64 / 8e9
        };
        sites.sort_by(|a, b| room(a).total_cmp(&room(b)).then(a.cmp(b)));
        sites
    }

    fn within_budget(&self, gone: &[usize]) -> bool {
        let mut used = vec![0_u32; self.limits.allowed.len()];
        for at in gone {
            if let Some(candidate) = self.ground.sites[*at].candidate {
                let pool = self.ground.candidates[candidate as usize].pool as usize;
                used[pool] += 1;
                if used[pool] > self.limits.allowed[pool] {
                    return false;
                }
            }
        }
        true
    }

    /// The best set of nodes of a part to take away, if that is a gain.
    fn search_part(&mut self, part: &[usize], rooms: &[usize]) -> Option<Trial> {
        let mut order: Vec<usize> = part.to_vec();
        order.sort_by(|a, b| self.waste(*b).total_cmp(&self.waste(*a)).then(a.cmp(b)));
        let mut pool: Vec<Trial> = Vec::new();
        let step = order.len().div_ceil(PREFIXES);
        for count in (1..=order.len()).filter(|count| count % step == 0 || *count == order.len()) {
            self.consider(&mut pool, &order[..count], rooms, 0.0);
        }
        self.greedy(&mut pool, &order, rooms);
        pool.sort_by(|a, b| a.change.total_cmp(&b.change));
        pool.truncate(4);
        let mut best = pool.clone();
        for start in pool {
            let found = self.climb(start, part, rooms);
            best.push(found);
        }
        best.sort_by(|a, b| a.change.total_cmp(&b.change));
        best.dedup_by(|a, b| a.gone == b.gone);
        best.truncate(4);
        best.iter_mut().for_each(|trial| self.polish(trial));
        best.into_iter().min_by(|a, b| a.change.total_cmp(&b.change)).filter(|trial| trial.change < -LEAST_CHANGE)
    }

    fn consider(&mut self, pool: &mut Vec<Trial>, gone: &[usize], rooms: &[usize], noise: f64) {
        if !self.goes_on() || !self.within_budget(gone) {
            return;
        }
        if let Some(trial) = self.trial(gone, rooms, BuyStyle::PLAIN, noise) {
            pool.push(trial);
        }
    }

    /// Nodes are added to those that go as long as that helps.
    fn greedy(&mut self, pool: &mut Vec<Trial>, order: &[usize], rooms: &[usize]) {
        let mut gone: Vec<usize> = Vec::new();
        let mut least = 0.0;
        for at in order {
            gone.push(*at);
            let mut found = Vec::new();
            self.consider(&mut found, &gone, rooms, 0.0);
            match found.pop() {
                Some(trial) if trial.change < least => {
                    least = trial.change;
                    pool.push(trial);
                }
                _ => {
                    gone.pop();
                }
            }
        }
    }

    /// Single nodes and pairs are flipped as long as that helps.
    fn climb(&mut self, start: Trial, part: &[usize], rooms: &[usize]) -> Trial {
        let mut best = start;
        let mut tries = part.len() * 40;
        let mut stale = 0;
        while tries > 0 && !self.ended && stale < part.len() * 15 {
            tries -= 1;
            stale += 1;
            let mut gone = best.gone.clone();
            let flips = 1 + self.random.below(3);
            for _ in 0..flips {
                let at = part[self.random.below(part.len())];
                match gone.iter().position(|known| *known == at) {
                    Some(place) => {
                        gone.swap_remove(place);
                    }
                    None => gone.push(at),
                }
            }
            if gone.is_empty() {
                continue;
            }
            let noise = [0.0, 0.0, 0.1, 0.4][self.random.below(4)];
            let mut found = Vec::new();
            self.consider(&mut found, &gone, rooms, noise);
            if let Some(trial) = found.pop()
                && trial.change < best.change - 1e-9
            {
                best = trial;
                stale = 0;
            }
        }
        best
    }

    /// Improves what a trial buys.
    fn polish(&mut self, trial: &mut Trial) {
        if trial.packing.bins.is_empty() {
            return;
        }
        let before = trial.packing.cost;
        let rounds = if self.ended { 40 } else { 300 };
        self.left = self.left.saturating_sub(rounds * TRIAL);
        Search::new(&self.ground.model, &mut trial.packing, self.random.bits()).run(&mut Budget::rounds(rounds));
        let saved = before.saturating_sub(trial.packing.cost) as f64 / 1e9;
        trial.change -= self.ground.moving.of_new_nodes(saved);
    }

    /// Places the pods of some sites elsewhere.
    fn trial(&mut self, gone: &[usize], rooms: &[usize], style: BuyStyle, noise: f64) -> Option<Trial> {
        let ground = &*self.ground;
        self.supply.clear(&ground.model);
        let mut change = 0.0;
        let mut spot_goes = false;
        for at in gone {
            let site = &ground.sites[*at];
            change += ground.moving.hourly(site.moving)
                - match site.kind {
                    Kind::Running(_) => site.price,
                    Kind::New(_) => ground.moving.of_new_nodes(site.price),
                };
            spot_goes |= site.candidate.is_some_and(|one| ground.candidates[one as usize].spot);
            for (item, count) in &site.contents {
                self.supply.put(&ground.model, *item, *count);
            }
        }
        let mut onto = Vec::new();
        let kinds = self.supply.active().len() as u64;
        let mut nodes = 0;
        for at in rooms {
            if self.supply.is_empty() {
                break;
            }
            if gone.contains(at) {
                continue;
            }
            nodes += 1;
            fill_site(ground, &ground.sites[*at], &mut self.supply, &mut self.filler, noise, &mut self.random);
            onto.extend(self.filler.contents.iter().map(|(item, count)| (*at, *item, *count)));
        }
        let mut packing = Packing::new(&ground.model);
        if !self.supply.is_empty() {
            if style.most_cost == 0 {
                self.left = self.left.saturating_sub(TRIAL + kinds * kinds * nodes);
                return None;
            }
            let most_cost = (-change).max(0.0) * 1e9;
            let style = BuyStyle { noise, most_cost: most_cost as u64, ..style };
            buy(&ground.model, &ground.menu, &mut packing, &mut self.supply, &mut self.filler, style, &mut self.random);
        }
        nodes += FILLS_PER_PURCHASE * packing.bins.len() as u64;
        self.left = self.left.saturating_sub(TRIAL + kinds * kinds * nodes);
        let bought: f64 = packing.cost as f64 / 1e9;
        let spot_comes = || packing.bins.iter().any(|bin| is_spot(ground, bin.shape));
        if !self.supply.is_empty() || (spot_goes && !self.limits.spot_to_spot && spot_comes()) {
            return None;
        }
        change += ground.moving.of_new_nodes(bought);
        Some(Trial { gone: gone.to_vec(), onto, packing, change })
    }

    /// Makes a trial part of the plan.
    fn commit(&mut self, trial: Trial) {
        for at in &trial.gone {
            let site = &mut self.ground.sites[*at];
            site.alive = false;
            let (kind, candidate) = (site.kind, site.candidate);
            if let Kind::New(shape) = kind {
                self.charge_limits(shape, -1);
            }
            if let Some(candidate) = candidate {
                let pool = self.ground.candidates[candidate as usize].pool as usize;
                self.limits.allowed[pool] = self.limits.allowed[pool].saturating_sub(1);
            }
        }
        for (at, item, count) in trial.onto {
            self.ground.put(at, item, count);
        }
        for bin in &trial.packing.bins {
            self.ground.add_new(bin);
            self.charge_limits(bin.shape, 1);
        }
    }

    /// Takes a node off the limits of its pool, or gives it back.
    fn charge_limits(&mut self, shape: u32, sign: i64) {
        let model = &mut self.ground.model;
        let Some(needs) = model.limit_use.get(shape as usize) else { return };
        let pool = model.pool_of_variant[model.shapes[shape as usize].variant as usize] as usize;
        let limit = model.pool_limits[pool].iter_mut().flat_map(|limit| limit.left.iter_mut());
        limit.zip(needs).for_each(|(left, need)| *left -= sign * need);
    }
}

/// Whether a shape is bought on spot.
pub fn is_spot(ground: &Ground<'_>, shape: u32) -> bool {
    let cluster = ground.compiled.problem.cluster;
    let shape = &ground.model.shapes[shape as usize];
    let offering = &cluster.catalogue.types[shape.instance_type as usize].offerings[shape.offering as usize];
    offering.capacity_type == cluster.names.known.spot
}
