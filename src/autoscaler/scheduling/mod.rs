//! Pods to nodes, at the least hourly cost.
//!
//! [`solve`] reads as the list of its steps: pods that are alike become groups; what can be bought
//! becomes shapes; terms over zones are dealt out; running nodes are filled; the rest is priced by a
//! linear program, bought greedily, and improved round by round until the budget ends.
//!
//! Pure: no cloud, no Kubernetes client, no clock. The same input and the same number of rounds give
//! the same solution.

pub mod compile;
pub mod domains;
pub mod existing;
pub mod explain;
pub mod export;
pub mod fallbacks;
pub mod fill;
pub mod finish;
pub mod groups;
pub mod host_rules;
pub mod improve;
pub mod model;
pub mod nodes;
pub mod packing;
pub mod prices;
pub mod problem;
pub mod random;
pub mod shapes;
pub mod simplex;
pub mod solution;
pub mod supply;
pub mod variants;
pub mod vector;

pub use improve::Budget;
pub use problem::{Problem, Settings};
pub use solution::{PlannedNode, Solution, Unplaced};

use compile::{Compiled, Demand};
use existing::{Placed, fill_existing};
use explain::explain;
use fill::Filler;
use finish::{Dispenser, add_existing, add_nodes};
use improve::Search;
use model::Model;
use packing::{BuyStyle, Menu, Packing, buy};
use prices::set_prices;
use random::Random;
use supply::Supply;

/// Places the pending pods of a problem.
///
/// Pods are dealt out over zones before nodes are filled, on the understanding that all of them find a
/// place. Where some that others count on do not, everything is placed anew without them.
pub fn solve(problem: &Problem<'_>, mut budget: Budget<'_>) -> Solution {
    const MOST_ATTEMPTS: usize = 8;
    let (mut solution, mut missed) = attempt(problem, &mut budget);
    let mut left_out: Vec<Unplaced> = Vec::new();
    let mut smaller = problem.clone();
    for _ in 0..MOST_ATTEMPTS {
        if missed.is_empty() {
            break;
        }
        smaller.pending.retain(|pod| missed.binary_search(pod).is_err());
        left_out.extend(solution.unplaced.drain(..).filter_map(|mut group| {
            group.pods.retain(|pod| missed.binary_search(pod).is_ok());
            (!group.pods.is_empty()).then_some(group)
        }));
        (solution, missed) = attempt(&smaller, &mut budget);
    }
    solution.unplaced.extend(left_out);
    solution
}

/// One solution, and the pods that were counted on while others were dealt out but found no place, sorted.
fn attempt(problem: &Problem<'_>, budget: &mut Budget<'_>) -> (Solution, Vec<u32>) {
    let mut compiled = Compiled::new(problem);
    let mut solution = Solution::default();
    let mut pods = Dispenser::new(&compiled);
    let (demand, stuck) = compiled.deal();
    let (model, placed, mut demand) = use_running_nodes(&mut compiled, &demand);
    add_existing(&compiled, &model, &placed, &mut pods, &mut solution);
    // Pods go to the pools with the most weight; what these cannot take goes on to the next.
    while !demand.is_empty() {
        let (model, packing, rounds) = pack(&compiled, &demand, budget);
        solution.bound += model.bound;
        solution.rounds += rounds;
        let left = left_over(&model, &packing);
        add_nodes(&compiled, &model, &packing, &mut pods, &mut solution);
        compiled.charge_limits(&model, &packing);
        demand = left.into_iter().filter(|(group, _, _)| compiled.lower_tier(*group)).collect();
    }
    let mut missed = Vec::new();
    for (group, left) in pods.rest(&compiled) {
        let never_dealt = stuck.iter().filter(|(at, _)| *at == group).map(|(_, count)| *count as usize).sum::<usize>();
        if !compiled.terms.matched[group].is_empty() {
            missed.extend(left.iter().skip(never_dealt));
        }
        let reason = explain(&compiled, group);
        solution.unplaced.push(Unplaced { pods: left, reason });
    }
    missed.sort_unstable();
    (solution, missed)
}

/// Fills running nodes; what is left to be bought for is returned.
fn use_running_nodes(compiled: &mut Compiled<'_>, demand: &Demand) -> (Model, Placed, Demand) {
    let mut model = compiled.model(demand, false);
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

fn left_over(model: &Model, packing: &Packing) -> Demand {
    let mut missing: Vec<u32> = model.items.iter().map(|item| item.count).collect();
    for (item, count) in packing.bins.iter().flat_map(|bin| &bin.contents) {
        missing[*item as usize] -= count;
    }
    demand_of(model, (0_u32..).zip(missing).filter(|(_, count)| *count > 0).collect())
}

/// Buys nodes for a demand and improves on them. When the settings ask for balance, two solutions are
/// worked on in turn, one with the replicas of each workload kept apart and one without; the first is
/// taken if it costs no more than the share allows.
fn pack(compiled: &Compiled<'_>, demand: &Demand, budget: &mut Budget<'_>) -> (Model, Packing, u64) {
    let settings = compiled.problem.settings;
    let (free_model, mut free_packing) = first_answer(compiled, demand, false);
    if settings.balance_share <= 0.0 {
        let rounds = Search::new(&free_model, &mut free_packing, settings.seed).run(budget);
        return (free_model, free_packing, rounds);
    }
    let (model, mut packing) = first_answer(compiled, demand, true);
    let rounds = improve_in_turn(
        [Search::new(&model, &mut packing, settings.seed), Search::new(&free_model, &mut free_packing, settings.seed)],
        budget,
    );
    let allowed = packing.cost as f64 <= free_packing.cost as f64 * (1.0 + settings.balance_share);
    let missing = |model: &Model, packing: &Packing| {
        left_over(model, packing).iter().map(|(_, _, count)| u64::from(*count)).sum::<u64>()
    };
    if allowed && missing(&model, &packing) <= missing(&free_model, &free_packing) {
        (model, packing, rounds)
    } else {
        (free_model, free_packing, rounds)
    }
}

/// Gives two searches the same number of rounds, some at a time.
fn improve_in_turn(mut searches: [Search<'_>; 2], budget: &mut Budget<'_>) -> u64 {
    const AT_A_TIME: u64 = 64;
    let mut rounds = 0;
    while rounds < budget.iterations {
        let before = rounds;
        for search in &mut searches {
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

/// Nodes for a demand, bought greedily, with what is plainly too much taken away again.
fn first_answer(compiled: &Compiled<'_>, demand: &Demand, balanced: bool) -> (Model, Packing) {
    let seed = compiled.problem.settings.seed;
    let mut model = compiled.model(demand, balanced);
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
    // A poor answer for few nodes is worth a few more tries, each with some noise.
    if packing.bins.len() <= 64 && packing.cost as f64 / 1e9 > model.bound * improve::POOR {
        for noise in [0.05, 0.1, 0.2, 0.4] {
            let most_cost = packing.cost;
            let other = bought(BuyStyle { noise, most_cost, ..BuyStyle::PLAIN });
            if (other.0, other.1.cost) < (left, packing.cost) {
                (left, packing) = other;
            }
        }
    }
    let mut search = Search::new(&model, &mut packing, seed);
    if let Some(term) = term {
        search.dissolve_surplus(needed as usize, term);
    }
    search.polish();
    (model, packing)
}
