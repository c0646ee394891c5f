//! Pods to nodes, at the least hourly cost.
//!
//! [`solve`] reads as the list of its steps: pods that are alike become groups; what can be bought
//! becomes shapes; terms over zones are dealt out; running nodes are filled; the rest is priced by a
//! linear program, bought greedily, and improved round by round until the budget ends.
//!
//! Pure: no cloud, no Kubernetes client, no clock. The same input and the same number of rounds give
//! the same solution.

pub mod alternatives;
pub mod compile;
pub mod daemons;
pub mod dealer;
pub mod domains;
pub mod existing;
pub mod explain;
pub mod export;
pub mod fill;
pub mod finish;
pub mod groups;
pub mod host_rules;
pub mod improve;
pub mod model;
pub mod nodes;
pub mod packing;
pub mod places;
pub mod prices;
pub mod problem;
pub mod random;
mod reach;
pub mod scope;
pub mod second_look;
pub mod shapes;
pub mod simplex;
pub mod solution;
pub mod supply;
mod together;
pub mod variants;
pub mod vector;

pub use alternatives::{Alternative, alternatives};
pub use improve::Budget;
pub use problem::{Problem, Settings};
pub use solution::{PlannedNode, Solution, Unplaced};

use compile::{Apart, Compiled, Deal, Demand};
use existing::{Placed, fill_existing};
use explain::explain;
use fill::{Bin, Filler};
use finish::{Dispenser, add_existing, add_nodes};
use improve::Search;
use model::Model;
use packing::{BuyStyle, Menu, Packing, buy};
use prices::set_prices;
use random::Random;
use second_look::second_look;
use supply::Supply;

/// Places the pending pods of a problem.
///
/// What finds no place at first is looked at once more when everything else stands. Instances of reservations that pods
/// were put onto stand among the nodes to buy.
pub fn solve(problem: &Problem<'_>, mut budget: Budget<'_>) -> Solution {
    let (mut solution, hopeful) = settle(problem, &mut budget);
    if !hopeful.is_empty() {
        second_look(problem, &mut solution, &hopeful);
    }
    solution.have_places(problem.cluster);
    solution
}

/// A solution whose assumptions hold, and the pods without a place that a node could be had for.
///
/// Pods are dealt out over zones before nodes are filled, on the understanding that all of them find a
/// place and that no domain opens but those of their own. Where that does not come true, everything is
/// placed anew without the pods that others counted on in vain, or with every domain in mind.
fn settle(problem: &Problem<'_>, budget: &mut Budget<'_>) -> (Solution, Vec<u32>) {
    /// After so many attempts the pods to leave out are doubled each time, so that there is an end soon.
    const PATIENT_ATTEMPTS: usize = 12;
    let mut left_out: Vec<Unplaced> = Vec::new();
    let mut hopeful = Vec::new();
    let mut smaller = problem.clone();
    let mut wide = false;
    let mut attempts = 0;
    loop {
        let Attempt { mut solution, mut missed, surprised, hopeful: others } = attempt(&smaller, wide, budget);
        let settled = missed.is_empty() && (!surprised || wide);
        if settled {
            hopeful.extend(others);
            solution.unplaced.extend(left_out);
            return (solution, hopeful);
        }
        wide |= surprised;
        attempts += 1;
        if attempts > PATIENT_ATTEMPTS && !missed.is_empty() {
            let more = missed.len() << (attempts - PATIENT_ATTEMPTS).min(20);
            missed.extend(smaller.pending.iter().rev().take(more));
            missed.sort_unstable();
            missed.dedup();
            let reason = "the pods that it depends on find no place".to_owned();
            solution.unplaced.push(Unplaced { pods: missed.clone(), reason });
        }
        smaller.pending.retain(|pod| missed.binary_search(pod).is_err());
        hopeful.extend_from_slice(&missed);
        let mut named: Vec<u32> = Vec::new();
        left_out.extend(solution.unplaced.drain(..).filter_map(|mut group| {
            group.pods.retain(|pod| missed.binary_search(pod).is_ok() && !named.contains(pod));
            named.extend_from_slice(&group.pods);
            (!group.pods.is_empty()).then_some(group)
        }));
    }
}

/// One solution, and what was wrong about its assumptions.
struct Attempt {
    solution: Solution,
    /// Pods that were counted on while others were dealt out but found no place, sorted.
    missed: Vec<u32>,
    /// Whether a node opened a domain that a spread had not taken into account.
    surprised: bool,
    /// Pods without a place that would fit onto some node by themselves.
    hopeful: Vec<u32>,
}

fn attempt(problem: &Problem<'_>, wide: bool, budget: &mut Budget<'_>) -> Attempt {
    let mut compiled = Compiled::new(problem);
    let mut solution = Solution::default();
    let mut pods = Dispenser::new(&compiled);
    let Deal { demand, stuck, uncounted } = compiled.deal(wide);
    let (model, placed, mut demand) = use_running_nodes(&mut compiled, &demand);
    add_existing(&compiled, &model, &placed, &mut pods, &mut solution);
    // Pods go to the pools with the most weight; what these cannot take goes on to the next.
    while !demand.is_empty() {
        let (model, packing, rounds) = pack(&compiled, &demand, budget);
        solution.bound += (model.bound - value_left(&model, &packing)).max(0.0);
        solution.rounds += rounds;
        let left = left_over(&model, &packing);
        add_nodes(&compiled, &model, &packing, &mut pods, &mut solution);
        compiled.note_bought(&model, &packing);
        demand = compiled.lower_tiers(left);
    }
    let (mut missed, mut hopeful) = (Vec::new(), Vec::new());
    for (group, left) in pods.rest(&compiled) {
        let never_dealt = stuck.iter().filter(|(at, _)| *at == group).map(|(_, count)| *count as usize).sum::<usize>();
        if !compiled.terms.matched[group].is_empty() {
            missed.extend(left.iter().skip(never_dealt));
        }
        if compiled.could_place(group) {
            hopeful.extend_from_slice(&left);
        }
        let reason = explain(&compiled, group);
        solution.unplaced.push(Unplaced { pods: left, reason });
    }
    missed.sort_unstable();
    let surprised = solution.nodes.iter().any(|node| opens_a_domain(&compiled, node, &uncounted));
    Attempt { solution, missed, surprised, hopeful }
}

/// Whether a node takes part in a spread that did not take its domain into account.
fn opens_a_domain(compiled: &Compiled<'_>, node: &PlannedNode, uncounted: &[(u16, u32)]) -> bool {
    if uncounted.is_empty() {
        return false;
    }
    let cluster = compiled.problem.cluster;
    let label_of = |key| export::node_label(compiled.problem, node, key);
    let taints = &cluster.pools[node.pool as usize].taints;
    let cell = compiled.cells.known(label_of);
    let here = uncounted.iter().filter(|(uncounted, _)| Some(*uncounted) == cell);
    here.map(|(_, scope)| &compiled.terms.scopes[*scope as usize])
        .any(|scope| scope.holds(&cluster.names, label_of, taints))
}

/// Fills running nodes; what is left to be bought for is returned.
fn use_running_nodes(compiled: &mut Compiled<'_>, demand: &Demand) -> (Model, Placed, Demand) {
    let mut model = compiled.model(demand, Apart::Free);
    model.index();
    let mut supply = Supply::full(&model);
    let mut filler = Filler::new(&model);
    let placed = fill_existing(compiled, &model, &mut supply, &mut filler);
    let left = demand_of(&model, supply.leftovers());
    (model, placed, left)
}

fn demand_of(model: &Model, items: Vec<(u32, u32)>) -> Demand {
    let mut demand = Demand::new();
    for (item, count) in items {
        let item = &model.items[item as usize];
        demand.push((item.group as usize, item.cell, count * item.pods_each));
        for (group, each) in &item.companions {
            demand.push((*group as usize, item.cell, each * count));
        }
    }
    demand.sort_unstable();
    demand.dedup_by(|a, b| {
        let same = (a.0, a.1) == (b.0, b.1);
        if same {
            b.2 += a.2;
        }
        same
    });
    demand
}

fn missing(model: &Model, packing: &Packing) -> Vec<u32> {
    let mut missing: Vec<u32> = model.items.iter().map(|item| item.count).collect();
    for (item, count) in packing.bins.iter().flat_map(|bin| &bin.contents) {
        missing[*item as usize] -= count;
    }
    missing
}

/// What the items that found no place count for in the bound.
fn value_left(model: &Model, packing: &Packing) -> f64 {
    model.items.iter().zip(missing(model, packing)).map(|(item, count)| item.value * f64::from(count)).sum()
}

fn left_over(model: &Model, packing: &Packing) -> Demand {
    let missing = missing(model, packing);
    demand_of(model, (0_u32..).zip(missing).filter(|(_, count)| *count > 0).collect())
}

/// Buys nodes for a demand and improves on them. When the settings ask for balance, several solutions are
/// worked on in turn, with the replicas of each workload kept apart in one way or another. The first of
/// them that costs no more than the settings allow is taken.
fn pack(compiled: &Compiled<'_>, demand: &Demand, budget: &mut Budget<'_>) -> (Model, Packing, u64) {
    let settings = compiled.problem.settings;
    let mut ways = Vec::new();
    if settings.balance_share > 0.0 {
        if settings.core_share > 0.0 {
            ways.push(Apart::Layered(settings.core_share));
        }
        ways.push(Apart::Halved);
    }
    ways.push(Apart::Free);
    let mut answers: Vec<(Model, Packing)> = ways.iter().map(|way| first_answer(compiled, demand, *way)).collect();
    let mut searches: Vec<Search<'_>> =
        answers.iter_mut().map(|(model, packing)| Search::new(model, packing, settings.seed)).collect();
    let rounds = match searches.as_mut_slice() {
        [only] => only.run(budget),
        several => improve_in_turn(several, budget),
    };
    let missing = |(model, packing): &(Model, Packing)| {
        left_over(model, packing).iter().map(|(_, _, count)| u64::from(*count)).sum::<u64>()
    };
    let (least, most_missing) = answers.last().map_or((0, 0), |free| (free.1.cost, missing(free)));
    let most = |way: &Apart| match way {
        Apart::Layered(_) => least as f64 * (1.0 + settings.core_premium),
        Apart::Halved | Apart::Free => least as f64 * (1.0 + settings.balance_share),
    };
    let mut all = ways.iter().zip(&answers);
    let chosen = all.position(|(way, answer)| answer.1.cost as f64 <= most(way) && missing(answer) <= most_missing);
    let (model, packing) = answers.swap_remove(chosen.unwrap_or(answers.len() - 1));
    (model, packing, rounds)
}

/// Gives searches the same number of rounds, some at a time.
fn improve_in_turn(searches: &mut [Search<'_>], budget: &mut Budget<'_>) -> u64 {
    const AT_A_TIME: u64 = 64;
    let mut rounds = 0;
    while rounds < budget.iterations {
        let before = rounds;
        for search in searches.iter_mut() {
            if budget.stop.as_mut().is_some_and(|stop| stop()) {
                return rounds;
            }
            rounds += search.run(&mut Budget::rounds(AT_A_TIME.min(budget.iterations - rounds)));
        }
        if rounds == before {
            break;
        }
    }
    rounds
}

/// Where limits of pools leave pods without a place, these are scarcer than money: nodes are bought by what they take of
/// them. A packing of `model` that leaves fewer than `left` pieces, if there is one.
fn within_limits(compiled: &Compiled<'_>, demand: &Demand, apart: Apart, model: &Model, left: u64) -> Option<Packing> {
    /// How many times the cost of the whole demand all that limits leave is worth, one after the other.
    const WORTH: [f64; 3] = [10.0, 100.0, 1000.0];
    if model.limit_use.is_empty() {
        return None;
    }
    let (mut best, mut least) = (None, left);
    for worth in WORTH {
        let mut scarce = compiled.model(demand, apart);
        let order = scarce.price_by_limits(worth * model.bound.max(1e-3));
        set_prices(&mut scarce);
        scarce.index();
        let (mut packing, mut supply) = (Packing::new(&scarce), Supply::full(&scarce));
        let (mut filler, mut random) = (Filler::new(&scarce), Random::new(compiled.problem.settings.seed));
        let menu = Menu::new(&scarce, 2);
        buy(&scarce, &menu, &mut packing, &mut supply, &mut filler, BuyStyle::PLAIN, &mut random);
        if supply.pieces() < least {
            least = supply.pieces();
            let mut same = Packing::new(model);
            packing.bins.into_iter().for_each(|bin| same.push(model, Bin { shape: order[bin.shape as usize], ..bin }));
            best = Some(same);
        }
        if least == 0 {
            break;
        }
    }
    best
}

/// Nodes for a demand, bought greedily, with what is plainly too much taken away again.
fn first_answer(compiled: &Compiled<'_>, demand: &Demand, apart: Apart) -> (Model, Packing) {
    let seed = compiled.problem.settings.seed;
    let mut model = compiled.model(demand, apart);
    set_prices(&mut model);
    model.index();
    let (needed, term) = Supply::full(&model).nodes_needed(&model);
    let menu = Menu::new(&model, 2);
    let mut filler = Filler::new(&model);
    let mut bought = |style: BuyStyle| {
        let mut packing = Packing::new(&model);
        let mut supply = Supply::full(&model);
        buy(&model, &menu, &mut packing, &mut supply, &mut filler, style, &mut Random::new(seed));
        (supply.pieces(), packing)
    };
    let (mut left, mut packing) = bought(BuyStyle::PLAIN);
    // A poor answer is worth a few more tries: with larger nodes, and for few nodes with some noise.
    let poor = |packing: &Packing| packing.cost as f64 / 1e9 > model.bound * improve::POOR;
    let few = packing.bins.len() <= 64;
    let larger = [(0.0, 0.01), (0.0, 0.03)].into_iter().filter(|_| few || (needed < 50 && packing.bins.len() < 500));
    let noisy = [(0.05, 0.0), (0.1, 0.0), (0.2, 0.0), (0.4, 0.0)].into_iter().filter(|_| few);
    let others: Vec<(f64, f64)> = larger.chain(noisy).collect();
    for (noise, bias) in others {
        if !poor(&packing) {
            break;
        }
        let other = bought(BuyStyle { noise, bias, most_cost: packing.cost, ..BuyStyle::PLAIN });
        if (other.0, other.1.cost) < (left, packing.cost) {
            (left, packing) = other;
        }
    }
    if left > 0
        && let Some(other) = within_limits(compiled, demand, apart, &model, left)
    {
        packing = other;
    }
    let mut search = Search::new(&model, &mut packing, seed);
    if let Some(term) = term {
        search.dissolve_surplus(needed as usize, term);
    }
    search.polish(needed >= 50);
    (model, packing)
}
