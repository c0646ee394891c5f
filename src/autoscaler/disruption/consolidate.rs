//! Cheaper ways to run the same pods, over the whole fleet at once.

use std::collections::BTreeSet;

use super::command::{Command, Reason};
use super::fleet::{Fleet, FleetNode};
use super::ground::{Candidate, Ground, Kind};
use super::homes::{Homes, homes};
use super::memory::{self, Memory};
use super::plan;
use super::protection::held_by_pods;
use super::search::{Limits, Mover};
use super::stay::Stay;
use super::worth::{out_of_balance, pays};
use super::{Round, hash, is_empty};
use crate::api::node_pool::ConsolidationPolicy;
use crate::scheduling::compile::Compiled;
use crate::scheduling::dealer::Dealer;
use crate::scheduling::{self, Problem};
use crate::state::intern::FastMap;

/// How often what is to go is laid out anew.
const ROUNDS: usize = 4;

impl Round<'_> {
    /// Looks for a cheaper way, unless nothing has changed since the last look.
    pub(super) fn consolidate(&mut self, memory: &mut Memory, budget: &mut scheduling::Budget<'_>) {
        if !self.fleet.settings.searching {
            return;
        }
        let mut candidates: Vec<u32> = Vec::new();
        let (mut complete, mut held) = (true, 0_u64);
        for (at, node) in (0_u32..).zip(&self.fleet.nodes) {
            if self.taken[at as usize] {
                continue;
            }
            match self.forbidden_to_consolidate(node) {
                None => candidates.push(at),
                Some(stay) => {
                    complete &= !is_passing(&stay);
                    if matches!(stay, Stay::Unquiet { .. })
                        && self.fleet.settings.looking_ahead
                        && self.may_go_later(node)
                    {
                        candidates.push(at);
                    }
                    let name = &self.fleet.cluster.nodes[node.node as usize].name;
                    held = held.wrapping_add(hash::of(name.as_bytes()));
                    self.stays[at as usize].get_or_insert(stay);
                }
            }
        }
        let allowed: Vec<u32> =
            (0_u32..).zip(&self.fleet.pools).map(|(pool, _)| self.allowed.left(pool, Reason::Underutilized)).collect();
        // What may not be touched now may be later: then it is another fleet.
        let (load, market) = (memory::load(self.fleet).wrapping_add(held), memory::market(self.fleet));
        let is_quiet = |at: &u32| self.stays[*at as usize].is_none();
        let marked: Vec<(u32, bool)> = candidates.iter().map(|at| (*at, is_quiet(at))).collect();
        let fingerprint = memory::fingerprint(self.fleet, &marked, &allowed, market);
        let cost = self.cost();
        if memory.knows(fingerprint) || memory.at_rest(load, market, cost) || !candidates.iter().any(is_quiet) {
            self.remember(memory, &candidates);
            return;
        }
        self.decision.searched = true;
        let found = self.search(&candidates, &allowed, budget);
        let saved: f64 = self.decision.commands[found..].iter().map(|command| command.saving.dollars()).sum();
        let in_budget = |node: &u32| {
            let pool = self.fleet.nodes[*node as usize].pool as usize;
            candidates.iter().filter(|at| self.fleet.nodes[**at as usize].pool as usize == pool).count()
                <= allowed[pool] as usize
        };
        if complete && candidates.iter().all(in_budget) {
            memory.come_to_rest(load, market, cost - saved);
        }
        let quiet = self.decision.commands.len() == found;
        let names = candidates.iter().filter_map(|at| {
            let node = &self.fleet.nodes[*at as usize];
            let name = &self.fleet.cluster.nodes[node.node as usize].name;
            self.stays[*at as usize].clone().map(|stay| ((&**name).into(), stay))
        });
        memory.note(quiet.then_some(fingerprint), names);
    }

    /// Whether nothing but its unrest keeps a node from being consolidated.
    fn may_go_later(&self, node: &FleetNode) -> bool {
        self.forbidden_by_pool(node).is_none() && held_by_pods(self.fleet, node, self.now).is_none()
    }

    fn forbidden_to_consolidate(&self, node: &FleetNode) -> Option<Stay> {
        self.forbidden_for_a_saving(node).or_else(|| self.forbidden_by_pool(node))
    }

    fn forbidden_by_pool(&self, node: &FleetNode) -> Option<Stay> {
        let pool = &self.fleet.pools[node.pool as usize];
        if pool.policy == ConsolidationPolicy::WhenEmpty && !is_empty(node) {
            return Some(Stay::OnlyEmpty { pool: pool.name.clone(), pods: node.pods.len() });
        }
        (self.allowed.left(node.pool, Reason::Underutilized) == 0)
            .then(|| self.out_of_budget(node, Reason::Underutilized))
    }

    /// What the nodes cost that no command takes away, in dollars per hour.
    fn cost(&self) -> f64 {
        let staying = self.fleet.nodes.iter().zip(&self.taken).filter(|(node, taken)| !**taken && !node.leaving);
        staying.map(|(node, _)| node.price.dollars()).sum()
    }

    /// Repeats why nodes stay, as the last search found.
    fn remember(&mut self, memory: &Memory, candidates: &[u32]) {
        for at in candidates {
            let node = &self.fleet.nodes[*at as usize];
            let name = &self.fleet.cluster.nodes[node.node as usize].name;
            let stay = memory.stay(name).cloned().unwrap_or(Stay::AtRest);
            self.stays[*at as usize].get_or_insert(stay);
        }
    }

    /// Searches; the number of commands before is returned.
    fn search(&mut self, at: &[u32], allowed: &[u32], budget: &mut scheduling::Budget<'_>) -> usize {
        let fleet = self.fleet;
        let candidates: Vec<Candidate> =
            at.iter().map(|at| plan::candidate(fleet, &fleet.nodes[*at as usize])).collect();
        let homeless = self.homeless();
        let mut pending: Vec<u32> = candidates.iter().flat_map(|one| one.pods.iter().copied()).collect();
        pending.extend(&homeless);
        let problem = Problem {
            cluster: fleet.cluster,
            pending,
            without: vec![false; fleet.cluster.nodes.len()],
            settings: scheduling::Settings { seed: fleet.settings.seed, ..scheduling::Settings::default() },
        };
        let compiled = Compiled::new(&problem);
        let outgoing = self.outgoing();
        let open = |node: u32| {
            let entry = &fleet.cluster.nodes[node as usize];
            (entry.initialized || entry.place.is_some()) && !outgoing.contains_key(&node)
        };
        let limits = Limits { allowed: allowed.to_vec(), spot_to_spot: fleet.settings.spot_to_spot };
        let dealer = Dealer::new(&problem, &compiled.groups, &compiled.cells, &compiled.terms);
        let field = Field { fleet, compiled: &compiled, dealer: &dealer, limits, homeless: &homeless, open: &open };
        let wide = homes(&compiled, &dealer, &candidates);
        let (mut ground, mut found) = field.search(&candidates, at, &wide, budget);
        if !wide.is_empty() && !found.good.is_empty() {
            found = field.settled(&candidates, at, found.good, budget);
            if found.good.is_empty() {
                (ground, found) = field.search(&candidates, at, &Homes::default(), budget);
            }
        }
        let before = self.decision.commands.len();
        let unquiet = |node: &u32| matches!(self.stays[*node as usize], Some(Stay::Unquiet { .. }));
        found.good.retain(|command| !command.remove.iter().any(unquiet));
        self.take(found.good);
        for (command, pool) in found.unbalanced {
            let stay = Stay::OutOfBalance { pool: fleet.pools[pool as usize].name.clone() };
            for node in &command.remove {
                self.stays[*node as usize].get_or_insert_with(|| stay.clone());
            }
        }
        for at in at.iter().filter(|at| !self.taken[**at as usize]) {
            let node = &fleet.nodes[*at as usize];
            let site = ground.sites.iter().find(|site| site.kind == Kind::Running(node.node));
            let (worth, moving) = site.map_or((0.0, 0.0), |site| (ground.worth_of_own(site), site.moving));
            let stay = Stay::NoGain { price: node.price.dollars(), worth, moving };
            self.stays[*at as usize].get_or_insert(stay);
        }
        before
    }

    /// Nodes that take no pods: those that are going or have to go.
    pub(super) fn outgoing(&self) -> FastMap<u32, ()> {
        let nodes = self.fleet.nodes.iter().zip(&self.taken);
        nodes
            .filter(|(node, taken)| {
                **taken || node.leaving || node.drifted.is_some() || node.expires().is_some_and(|at| at <= self.now)
            })
            .map(|(node, _)| (node.node, ()))
            .collect()
    }

    /// Pods that are about to need room: pending ones, and those of nodes that are going.
    fn homeless(&self) -> Vec<u32> {
        let cluster = self.fleet.cluster;
        let pending =
            (0_u32..).zip(&cluster.pods).filter(|(_, pod)| pod.node.is_none() && !pod.leaving).map(|(at, _)| at);
        let leaving = self.fleet.nodes.iter().zip(&self.taken).filter(|(node, taken)| node.leaving || **taken);
        pending.chain(leaving.flat_map(|(node, _)| node.pods.iter().map(|pod| pod.pod))).collect()
    }
}

/// Where a search goes on.
struct Field<'f, 'c> {
    fleet: &'f Fleet<'f>,
    compiled: &'c Compiled<'c>,
    dealer: &'f Dealer<'c>,
    limits: Limits,
    homeless: &'f [u32],
    open: &'f dyn Fn(u32) -> bool,
}

/// What a search has found.
#[derive(Default)]
struct Found {
    /// Commands that are worth it.
    good: Vec<Command>,
    /// Commands that would upset the balance of a pool.
    unbalanced: Vec<(Command, u32)>,
    /// Whether there were others.
    more: bool,
}

impl<'c> Field<'_, 'c> {
    /// Looks for nodes to take away, with pods that come up where `homes` says.
    fn search(
        &self,
        candidates: &'c [Candidate],
        at: &[u32],
        homes: &Homes,
        budget: &mut scheduling::Budget<'_>,
    ) -> (Ground<'c>, Found) {
        let mut ground = self.ground(candidates, homes);
        self.mover(&mut ground, budget).run();
        let found = self.judge(&ground, at);
        (ground, found)
    }

    /// Where pods come up that have to leave their zone depends on which others move. So what is to go is laid out
    /// anew for exactly these nodes, until all of it is worth it; nothing otherwise.
    fn settled(
        &self,
        candidates: &[Candidate],
        at: &[u32],
        mut good: Vec<Command>,
        budget: &mut scheduling::Budget<'_>,
    ) -> Found {
        for _ in 0..ROUNDS {
            let gone: BTreeSet<u32> = good.iter().flat_map(|command| command.remove.iter().copied()).collect();
            let chosen = candidates.iter().zip(at).filter(|(_, at)| gone.contains(at));
            let (chosen, at): (Vec<Candidate>, Vec<u32>) = chosen.map(|(one, at)| (one.clone(), *at)).unzip();
            let mut ground = self.ground(&chosen, &homes(self.compiled, self.dealer, &chosen));
            if !self.mover(&mut ground, budget).take_together() {
                break;
            }
            let found = self.judge(&ground, &at);
            if found.unbalanced.is_empty() && !found.more {
                return found;
            }
            good = found.good;
        }
        Found::default()
    }

    fn ground<'d>(&self, candidates: &'d [Candidate], homes: &Homes) -> Ground<'d>
    where
        'c: 'd,
    {
        Ground::new(self.compiled, self.dealer, candidates, self.fleet.settings.moving, self.open, self.homeless, homes)
    }

    fn mover<'g, 'a, 's>(
        &self,
        ground: &'g mut Ground<'a>,
        budget: &'s mut scheduling::Budget<'_>,
    ) -> Mover<'g, 'a, 's> {
        let settings = &self.fleet.settings;
        let stop = budget.stop.as_mut().map(|stop| &mut **stop as &mut dyn FnMut() -> bool);
        Mover::new(ground, self.limits.clone(), settings.seed, settings.effort, stop)
    }

    fn judge(&self, ground: &Ground<'_>, at: &[u32]) -> Found {
        let mut found = Found::default();
        for command in plan::split(self.fleet, Reason::Underutilized, plan::read(ground, at)) {
            match (pays(self.fleet, &command), out_of_balance(self.fleet, &command)) {
                (false, _) => found.more = true,
                (true, None) => found.good.push(command),
                (true, Some(pool)) => found.unbalanced.push((command, pool)),
            }
        }
        found
    }
}

/// Whether a reason to stay goes away by itself in a moment.
fn is_passing(stay: &Stay) -> bool {
    matches!(stay, Stay::Starting | Stay::Leaving | Stay::Expected { .. } | Stay::Unquiet { .. } | Stay::Budget { .. })
}
