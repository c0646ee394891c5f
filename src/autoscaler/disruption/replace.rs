//! Drifted and expired nodes: their pods are placed by the scheduler, and what it buys comes first.

use super::command::{Destination, Reason};
use super::fleet::FleetNode;
use super::plan::{Plan, split};
use super::protection::held_by_pods;
use super::stay::Stay;
use super::{Round, is_empty};
use crate::scheduling::{self, Problem, solve};
use crate::state::intern::FastMap;
use jiff::Timestamp;

/// The most nodes that one decision replaces.
const MOST_AT_ONCE: usize = 64;
/// Rounds of improvement for what is bought.
const ROUNDS: u64 = 60;

impl Round<'_> {
    /// Replaces nodes that must not stay, empty ones first, then those that are due longest.
    pub(super) fn replace(&mut self, reason: Reason) {
        let mut due: Vec<(bool, Timestamp, u32)> = (0_u32..)
            .zip(&self.fleet.nodes)
            .filter(|(at, _)| !self.taken[*at as usize])
            .filter_map(|(at, node)| Some((!is_empty(node), self.due(node, reason)?, at)))
            .collect();
        due.sort_unstable();
        let mut chosen: Vec<u32> = Vec::new();
        let mut allowed = self.allowed.clone();
        for (_, _, at) in due {
            let node = &self.fleet.nodes[at as usize];
            // With a grace period the node goes in the end whatever its pods say.
            let held = || held_by_pods(self.fleet, node, self.now).filter(|_| node.grace.is_none());
            if let Some(stay) = self.forbidden(node).or_else(held) {
                self.stays[at as usize] = Some(stay);
            } else if allowed.left(node.pool, reason) == 0 {
                self.stays[at as usize] = Some(self.out_of_budget(node, reason));
            } else if chosen.len() >= MOST_AT_ONCE {
                self.stays[at as usize] = Some(Stay::Later);
            } else {
                allowed.take(node.pool);
                chosen.push(at);
            }
        }
        self.place(reason, chosen);
    }

    /// Since when a node has to go for a reason.
    fn due(&self, node: &FleetNode, reason: Reason) -> Option<Timestamp> {
        match reason {
            Reason::Drifted => node.drifted.as_ref().map(|(_, since)| *since),
            Reason::Expired => node.expires().filter(|at| *at <= self.now),
            Reason::Empty | Reason::Underutilized => None,
        }
    }

    /// Finds places for the pods of nodes; those with pods that have none stay.
    fn place(&mut self, reason: Reason, mut chosen: Vec<u32>) {
        if chosen.is_empty() {
            return;
        }
        let fleet = self.fleet;
        let mut cluster = fleet.cluster.clone();
        for node in self.outgoing().keys() {
            cluster.nodes[*node as usize].schedulable = false;
        }
        while !chosen.is_empty() {
            let from: FastMap<u32, u32> = chosen
                .iter()
                .flat_map(|at| fleet.nodes[*at as usize].pods.iter().map(move |pod| (pod.pod, *at)))
                .collect();
            let mut pending: Vec<u32> = from.keys().copied().collect();
            pending.sort_unstable();
            let mut without = vec![false; cluster.nodes.len()];
            chosen.iter().for_each(|at| without[fleet.nodes[*at as usize].node as usize] = true);
            let settings = scheduling::Settings { seed: fleet.settings.seed, ..scheduling::Settings::default() };
            let problem = Problem { cluster: &cluster, pending, without, settings };
            let solution = solve(&problem, scheduling::Budget::rounds(ROUNDS));
            let before = chosen.len();
            for group in &solution.unplaced {
                for pod in &group.pods {
                    let at = from[pod];
                    self.stays[at as usize] = Some(Stay::NoPlace { reason: group.reason.as_str().into() });
                    chosen.retain(|other| *other != at);
                }
            }
            if chosen.len() < before {
                continue;
            }
            let mut moves = Vec::new();
            for (node, pods) in &solution.existing {
                moves.extend(pods.iter().map(|pod| (*pod, from[pod], Destination::Running(*node))));
            }
            for (at, node) in (0_u32..).zip(&solution.nodes) {
                moves.extend(node.pods.iter().map(|pod| (*pod, from[pod], Destination::Replacement(at))));
            }
            let commands =
                split(fleet, reason, Plan { remove: chosen, new: solution.nodes, moves, moving: Vec::new() });
            self.take(commands);
            return;
        }
    }
}
