//! Which nodes may go, and what replaces them.
//!
//! [`decide`] looks at the whole fleet at once and returns commands, and for every node that no command
//! takes away the reason why it stays. Pure: no cloud, no Kubernetes client, no clock.
//!
//! | file | holds |
//! |---|---|
//! | `fleet` | what a decision is made from |
//! | `command`, `stay` | what comes out: what goes, and why the rest stays |
//! | `budgets`, `schedule` | how many nodes of a pool may go, and when |
//! | `protection` | what forbids a node to go |
//! | `drift` | whether a node is as its pool and class say |
//! | `replace` | drifted and expired nodes: what has to be there before they go |
//! | `consolidate` | cheaper ways to run the same pods |
//! | `ground`, `search` | the search over sets of nodes |
//! | `homes` | in which zone the successors of pods come up that are out of balance |
//! | `moving`, `worth` | what moving costs, and whether a saving is worth it |
//! | `plan` | from what was found to commands |
//! | `scale_in` | which pods a ReplicaSet is to let go first |
//! | `memory` | what was decided before |

pub mod budgets;
pub mod command;
pub mod consolidate;
pub mod drift;
pub mod fleet;
pub mod ground;
pub mod hash;
pub mod homes;
pub mod memory;
pub mod moving;
pub mod plan;
pub mod protection;
pub mod replace;
pub mod scale_in;
pub mod schedule;
pub mod search;
pub mod stay;
pub mod worth;

pub use budgets::{Allowed, Budget};
pub use command::{Command, Decision, Destination, Reason};
pub use fleet::{Fleet, FleetNode, FleetPod, PodBudget, PoolPolicy, Protection, Settings};
pub use memory::Memory;
pub use moving::MovingCost;
pub use stay::Stay;

use crate::scheduling;
use jiff::Timestamp;
use moving::eviction_weight;
use protection::held_by_pods;

/// Decides which nodes go now. `budget` may end the search early; then the best so far is taken.
pub fn decide(fleet: &Fleet<'_>, now: Timestamp, memory: &mut Memory, budget: &mut scheduling::Budget<'_>) -> Decision {
    let mut round = Round::new(fleet, now);
    round.remove_empty();
    round.replace(Reason::Drifted);
    round.replace(Reason::Expired);
    round.consolidate(memory, budget);
    round.finish()
}

/// A decision in the making.
pub(crate) struct Round<'f> {
    fleet: &'f Fleet<'f>,
    now: Timestamp,
    allowed: Allowed,
    /// Nodes that a command takes away, by index in the fleet.
    taken: Vec<bool>,
    stays: Vec<Option<Stay>>,
    decision: Decision,
}

impl<'f> Round<'f> {
    fn new(fleet: &'f Fleet<'f>, now: Timestamp) -> Self {
        Self {
            fleet,
            now,
            allowed: Allowed::new(fleet, now),
            taken: vec![false; fleet.nodes.len()],
            stays: vec![None; fleet.nodes.len()],
            decision: Decision::default(),
        }
    }

    /// What forbids a node to go for any reason.
    fn forbidden(&self, node: &FleetNode) -> Option<Stay> {
        if node.leaving {
            return Some(Stay::Leaving);
        }
        if node.initialized.is_none() {
            return Some(Stay::Starting);
        }
        if node.do_not_disrupt {
            return Some(Stay::Protected);
        }
        node.nominated_until.filter(|until| self.now < *until).map(|until| Stay::Expected { until })
    }

    /// What forbids a node to be emptied for a saving.
    fn forbidden_for_a_saving(&self, node: &FleetNode) -> Option<Stay> {
        let pool = &self.fleet.pools[node.pool as usize];
        if let Some(stay) = self.forbidden(node) {
            return Some(stay);
        }
        if pool.fixed {
            return Some(Stay::Fixed { pool: pool.name.clone() });
        }
        let Some(from) = node.quiet_from(pool.consolidate_after) else {
            return Some(Stay::NeverConsolidated { pool: pool.name.clone() });
        };
        if self.now < from {
            return Some(Stay::Unquiet { until: from });
        }
        held_by_pods(self.fleet, node, self.now)
    }

    /// Nodes without pods go at once, as far as budgets allow.
    fn remove_empty(&mut self) {
        for at in 0..self.fleet.nodes.len() {
            let node = &self.fleet.nodes[at];
            if !is_empty(node) || self.forbidden_for_a_saving(node).is_some() {
                continue;
            }
            if self.allowed.left(node.pool, Reason::Empty) == 0 {
                self.stays[at] = Some(self.out_of_budget(node, Reason::Empty));
                continue;
            }
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            let plan = plan::Plan { remove: vec![at], ..plan::Plan::default() };
            let commands = plan::split(self.fleet, Reason::Empty, plan);
            self.take(commands);
        }
    }

    fn out_of_budget(&self, node: &FleetNode, reason: Reason) -> Stay {
        Stay::Budget { reason, pool: self.fleet.pools[node.pool as usize].name.clone() }
    }

    /// Makes commands part of the decision.
    fn take(&mut self, commands: Vec<Command>) {
        for command in commands {
            for node in &command.remove {
                self.taken[*node as usize] = true;
                self.allowed.take(self.fleet.nodes[*node as usize].pool);
            }
            self.decision.commands.push(command);
        }
    }

    fn finish(mut self) -> Decision {
        for (at, node) in self.fleet.nodes.iter().enumerate() {
            if !self.taken[at] {
                let stay = self.stays[at].take().or_else(|| self.forbidden_for_a_saving(node)).unwrap_or(Stay::Later);
                self.decision.stays.push((u32::try_from(at).unwrap_or(u32::MAX), stay));
            }
        }
        self.decision
    }
}

/// Whether nobody minds that a node goes: it has no pods, or only such as ask to be the first to go.
pub fn is_empty(node: &FleetNode) -> bool {
    node.pods.iter().all(|pod| eviction_weight(pod.deletion_cost, pod.priority) <= 0.0)
}

#[cfg(test)]
mod tests;
