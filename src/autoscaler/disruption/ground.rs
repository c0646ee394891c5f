//! The fleet as the search sees it: sites that hold items and have room, and what could be bought.
//!
//! A site is a node that runs, or one that the plan buys. Pods that are alike are items of the packing
//! model; those with terms over zones stay in the zone that they are in, so that no term is upset, unless they have to
//! leave it.

use super::homes::Homes;
use super::moving::MovingCost;
use crate::scheduling::compile::{Apart, Compiled, Demand};
use crate::scheduling::dealer::Dealer;
use crate::scheduling::fill::{Bin, FillStyle, Filler, HostCounts};
use crate::scheduling::model::Model;
use crate::scheduling::packing::Menu;
use crate::scheduling::prices::set_prices;
use crate::scheduling::random::Random;
use crate::scheduling::supply::Supply;
use crate::scheduling::vector::{MAX_DIMENSIONS, Vector, ZERO, subtract};
use crate::state::intern::FastMap;
use std::collections::BTreeMap;

/// What a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A node that runs, by index in the cluster.
    Running(u32),
    /// A node that the plan buys: its shape.
    New(u32),
}

/// A node that may go, as the caller names it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Index of the node in the cluster.
    pub node: u32,
    /// Which budget its removal counts against.
    pub pool: u32,
    /// Price per hour, in dollars.
    pub price: f64,
    /// The pods that would move.
    pub pods: Vec<u32>,
    /// How much the eviction of each weighs beside that of an ordinary pod.
    pub weights: Vec<f64>,
    /// Whether it is bought on spot.
    pub spot: bool,
}

/// A node with what it holds.
#[derive(Clone, Debug)]
pub struct Site {
    /// What it is.
    pub kind: Kind,
    /// Index of the candidate, if it may go.
    pub candidate: Option<u32>,
    /// Price per hour, in dollars.
    pub price: f64,
    /// Items on it that would have to go elsewhere.
    pub contents: Vec<(u32, u32)>,
    /// What moving its own pods costs, in dollars; nothing for pods that only the plan puts there.
    pub moving: f64,
    /// What is free.
    pub free: Vector,
    /// Pods on it by host term.
    pub host: HostCounts,
    /// The cell that it belongs to.
    pub cell: u16,
    /// Index into the sets of classes: of the nodes for running ones, of the model for new ones.
    pub accepts: u32,
    /// Whether pods of others may go there.
    pub open: bool,
    /// Whether it is still there in the plan.
    pub alive: bool,
}

/// Everything that the search works on.
pub struct Ground<'a> {
    /// The problem in the form of the scheduler.
    pub compiled: &'a Compiled<'a>,
    /// Items and shapes.
    pub model: Model,
    /// Shapes that are worth a look.
    pub menu: Menu,
    /// All sites.
    pub sites: Vec<Site>,
    /// Nodes that may go.
    pub candidates: &'a [Candidate],
    /// The item of each pod that may move.
    pub item_of_pod: FastMap<u32, u32>,
    /// How dear moving is.
    pub moving: MovingCost,
}

impl<'a> Ground<'a> {
    /// Lays out the fleet. Pods of candidates are `compiled`'s pending ones. Candidates with pods that must be
    /// beside others are left out, and so are those with pods of a spread that is too uneven for them to come back, and
    /// that have no other home. `open` says which nodes may take pods.
    pub fn new(
        compiled: &'a Compiled<'a>,
        dealer: &Dealer<'_>,
        candidates: &'a [Candidate],
        moving: MovingCost,
        open: &dyn Fn(u32) -> bool,
        homeless: &[u32],
        homes: &Homes,
    ) -> Self {
        let group_of_pod: FastMap<u32, usize> = compiled
            .groups
            .groups
            .iter()
            .enumerate()
            .flat_map(|(at, group)| group.pods.iter().map(move |pod| (*pod, at)))
            .collect();
        let room_of_node: FastMap<u32, usize> =
            compiled.nodes.rooms.iter().enumerate().map(|(at, room)| (room.node, at)).collect();
        let bound: Vec<bool> =
            (0..compiled.groups.groups.len()).map(|group| dealer.concerns(&compiled.groups, group)).collect();
        let loose = |pod: &u32| group_of_pod.get(pod).is_some_and(|group| compiled.rules.beside[*group].is_empty());
        // A spread that a scale-in has left uneven would send a pod's successor elsewhere.
        let level = |pod: &u32, room: usize| {
            let group = group_of_pod[pod];
            !bound[group] || homes.contains_key(pod) || dealer.could_come_back(group, compiled.nodes.rooms[room].cell)
        };
        let is_usable = |one: &Candidate| {
            let room = room_of_node.get(&one.node);
            room.is_some_and(|room| one.pods.iter().all(|pod| loose(pod) && level(pod, *room)))
        };
        let usable: Vec<bool> = candidates.iter().map(is_usable).collect();
        // Items: pods by group, and by cell where terms bind them to it.
        let key = |pod: u32, node: u32| {
            let group = group_of_pod[&pod];
            let own = || compiled.nodes.rooms[room_of_node[&node]].cell;
            (group, bound[group].then(|| homes.get(&pod).copied().unwrap_or_else(own)))
        };
        let mut counts: BTreeMap<(usize, Option<u16>), u32> = BTreeMap::new();
        for (one, _) in candidates.iter().zip(&usable).filter(|(_, usable)| **usable) {
            one.pods.iter().for_each(|pod| *counts.entry(key(*pod, one.node)).or_default() += 1);
        }
        // Pods without a node come too, where no term says in which zone.
        let free = |pod: &&u32| group_of_pod.get(*pod).is_some_and(|group| !bound[*group]) && loose(pod);
        let homeless: Vec<(u32, (usize, Option<u16>))> =
            homeless.iter().filter(free).map(|pod| (*pod, (group_of_pod[pod], None))).collect();
        homeless.iter().for_each(|(_, key)| *counts.entry(*key).or_default() += 1);
        let demand: Demand = counts.iter().map(|((group, cell), count)| (*group, *cell, *count)).collect();
        let ids: FastMap<(usize, Option<u16>), u32> = counts.keys().copied().zip(0_u32..).collect();
        let mut model = compiled.model(&demand, Apart::Free);
        set_prices(&mut model);
        model.index();
        let mut ground = Self {
            compiled,
            menu: Menu::new(&model, 2),
            model,
            sites: Vec::new(),
            candidates,
            item_of_pod: FastMap::default(),
            moving,
        };
        let mut candidate_of_node: FastMap<u32, u32> = FastMap::default();
        for (at, (one, usable)) in (0_u32..).zip(candidates.iter().zip(&usable)) {
            if *usable {
                candidate_of_node.insert(one.node, at);
                for pod in &one.pods {
                    ground.item_of_pod.insert(*pod, ids[&key(*pod, one.node)]);
                }
            }
        }
        ground.add_running(&candidate_of_node, open);
        let mut wanted: Vec<(u32, u32)> = Vec::new();
        homeless.iter().for_each(|(_, key)| add_item(&mut wanted, ids[key], 1));
        ground.keep_room(&wanted);
        ground
    }

    /// Keeps room for pods that are about to come, first on nodes that are starting. What finds none is
    /// bought for elsewhere.
    fn keep_room(&mut self, wanted: &[(u32, u32)]) {
        let mut supply = Supply::new(&self.model);
        let mut filler = Filler::new(&self.model);
        wanted.iter().for_each(|(item, count)| supply.put(&self.model, *item, *count));
        let cluster = self.compiled.problem.cluster;
        let starting =
            |site: &Site| matches!(site.kind, Kind::Running(node) if !cluster.nodes[node as usize].initialized);
        let mut order: Vec<usize> = (0..self.sites.len()).collect();
        order.sort_by_key(|at| !starting(&self.sites[*at]));
        for at in order {
            if supply.is_empty() {
                return;
            }
            let site = &self.sites[at];
            fill_site(self, site, &mut supply, &mut filler, 0.0, &mut Random::new(0));
            for (item, count) in std::mem::take(&mut filler.contents) {
                // These pods are not the plan's to move: they only take room.
                let kind = &self.model.items[item as usize];
                subtract(&mut self.sites[at].free, &kind.size, count, self.model.dimensions);
                note_host(&mut self.sites[at].host, &kind.rules, count);
            }
        }
    }

    fn add_running(&mut self, candidate_of_node: &FastMap<u32, u32>, open: &dyn Fn(u32) -> bool) {
        for room in &self.compiled.nodes.rooms {
            let candidate = candidate_of_node.get(&room.node).copied();
            let mut contents: Vec<(u32, u32)> = Vec::new();
            let one = candidate.map(|at| &self.candidates[at as usize]);
            for pod in one.into_iter().flat_map(|one| &one.pods) {
                add_item(&mut contents, self.item_of_pod[pod], 1);
            }
            self.sites.push(Site {
                kind: Kind::Running(room.node),
                candidate,
                price: one.map_or(0.0, |one| one.price),
                contents,
                moving: one.map_or(0.0, |one| self.moving_of(one)),
                free: room.free,
                host: room.host.clone(),
                cell: room.cell,
                accepts: room.accepts,
                open: open(room.node),
                alive: true,
            });
        }
    }

    /// What moving the pods of a candidate costs, in dollars.
    fn moving_of(&self, one: &Candidate) -> f64 {
        let worth = |pod| self.model.items[self.item_of_pod[pod] as usize].value;
        one.pods.iter().zip(&one.weights).map(|(pod, weight)| self.moving.of_pod(*weight, worth(pod))).sum()
    }

    /// Adds a node that the plan buys.
    pub fn add_new(&mut self, bin: &Bin) {
        let shape = &self.model.shapes[bin.shape as usize];
        let mut site = Site {
            kind: Kind::New(bin.shape),
            candidate: None,
            price: shape.price.dollars(),
            contents: Vec::new(),
            moving: 0.0,
            free: shape.capacity,
            host: HostCounts::new(),
            cell: shape.cell,
            accepts: shape.accepts,
            open: true,
            alive: true,
        };
        for (item, count) in &bin.contents {
            self.model_put(&mut site, *item, *count);
        }
        self.sites.push(site);
    }

    /// Puts items onto a site.
    pub fn put(&mut self, at: usize, item: u32, count: u32) {
        let mut site = std::mem::replace(&mut self.sites[at], Site::nothing());
        self.model_put(&mut site, item, count);
        self.sites[at] = site;
    }

    fn model_put(&self, site: &mut Site, item: u32, count: u32) {
        let kind = &self.model.items[item as usize];
        subtract(&mut site.free, &kind.size, count, self.model.dimensions);
        note_host(&mut site.host, &kind.rules, count);
        add_item(&mut site.contents, item, count);
    }

    /// Whether a site takes pods of a class from a cell.
    pub fn accepts(&self, site: &Site, class: u32, cell: Option<u16>) -> bool {
        cell.is_none_or(|cell| cell == site.cell)
            && match site.kind {
                Kind::Running(_) => {
                    let base = self.model.base_class[class as usize] as usize;
                    self.compiled.nodes.accept_sets[site.accepts as usize][base]
                }
                Kind::New(_) => self.model.accept_sets[site.accepts as usize].contains(class as usize),
            }
    }

    /// What the items on a site are worth at the linear program's prices, in dollars per hour.
    pub fn value(&self, site: &Site) -> f64 {
        site.contents.iter().map(|(item, count)| self.model.items[*item as usize].value * f64::from(*count)).sum()
    }

    /// What the own pods of a site are worth, in dollars per hour.
    pub fn worth_of_own(&self, site: &Site) -> f64 {
        let own = site.candidate.into_iter().flat_map(|at| &self.candidates[at as usize].pods);
        own.map(|pod| self.model.items[self.item_of_pod[pod] as usize].value).sum()
    }

    /// Whether a site may be taken away.
    pub fn may_go(&self, site: &Site) -> bool {
        site.alive && (site.candidate.is_some() || matches!(site.kind, Kind::New(_)))
    }
}

impl Site {
    fn nothing() -> Self {
        Self {
            kind: Kind::Running(u32::MAX),
            candidate: None,
            price: 0.0,
            contents: Vec::new(),
            moving: 0.0,
            free: ZERO,
            host: HostCounts::new(),
            cell: 0,
            accepts: 0,
            open: false,
            alive: false,
        }
    }
}

/// Adds to a list of items.
pub fn add_item(list: &mut Vec<(u32, u32)>, item: u32, count: u32) {
    match list.iter_mut().find(|(known, _)| *known == item) {
        Some((_, sum)) => *sum += count,
        None => list.push((item, count)),
    }
}

/// Counts pods of an item on a host.
pub fn note_host(host: &mut HostCounts, rules: &[crate::scheduling::model::HostRule], count: u32) {
    for rule in rules {
        let (matching, carrying) = (rule.matches * count, u32::from(rule.carries) * count);
        match host.iter_mut().find(|(term, _, _)| *term == rule.term) {
            Some((_, m, c)) => {
                *m += matching;
                *c += carrying;
            }
            None => host.push((rule.term, matching, carrying)),
        }
    }
}

/// Fills the room of a site from the supply.
pub fn fill_site(
    ground: &Ground<'_>,
    site: &Site,
    supply: &mut Supply,
    filler: &mut Filler,
    noise: f64,
    random: &mut Random,
) {
    let accepts = |class: u32, cell: Option<u16>| ground.accepts(site, class, cell);
    filler.start_with(ZERO, &site.host);
    let style = FillStyle { noise, ..FillStyle::default() };
    filler.fill(&ground.model, supply, &site.free, &[1.0; MAX_DIMENSIONS], &accepts, &[], style, random);
    for (item, count) in &filler.contents {
        supply.take(&ground.model, *item, *count);
    }
}
