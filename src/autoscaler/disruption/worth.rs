//! Whether a command is worth it: the net gain, and what the policy Balanced asks for besides.

use super::command::Command;
use super::fleet::{Fleet, FleetNode};
use super::moving::eviction_weight;
use super::plan::price_of;
use crate::api::node_pool::ConsolidationPolicy;

/// Savings must weigh at least this much of the disruption, each as a share of the whole pool.
const LEAST_RATIO: f64 = 0.5;

/// Whether what a command saves over the horizon exceeds what it costs, by enough to be worth a change.
pub fn pays(fleet: &Fleet<'_>, command: &Command) -> bool {
    let moving = &fleet.settings.moving;
    let removed = price_of(fleet, &command.remove).dollars();
    let bought: f64 = command.replacements.iter().map(|node| node.price.dollars()).sum();
    let net = removed - moving.of_new_nodes(bought) - moving.hourly(command.moving);
    net > removed * moving.least_share
}

/// The pool whose balance a command upsets, if there is one.
pub fn out_of_balance(fleet: &Fleet<'_>, command: &Command) -> Option<u32> {
    let mut pools: Vec<u32> = command.remove.iter().map(|node| fleet.nodes[*node as usize].pool).collect();
    pools.sort_unstable();
    pools.dedup();
    let balanced = |pool: &u32| fleet.pools[*pool as usize].policy == ConsolidationPolicy::Balanced;
    pools.into_iter().filter(balanced).find(|pool| {
        let of_pool = |node: &&FleetNode| node.pool == *pool;
        let cost: f64 = fleet.nodes.iter().filter(of_pool).map(|node| node.price.dollars()).sum();
        let disruption: f64 = fleet.nodes.iter().filter(of_pool).map(disruption_of).sum();
        let moved: f64 = command.remove.iter().map(|node| disruption_of(&fleet.nodes[*node as usize])).sum();
        let saved = command.saving.dollars() / cost.max(1e-9);
        saved < LEAST_RATIO * moved / disruption.max(1e-9)
    })
}

/// How much the disruption of a node weighs: one, and what its pods weigh.
fn disruption_of(node: &FleetNode) -> f64 {
    1.0 + node.pods.iter().map(|pod| eviction_weight(pod.deletion_cost, pod.priority).max(0.0)).sum::<f64>()
}
