//! How many nodes of a pool may go at a time, by reason.

use super::Reason;
use super::fleet::Fleet;
use super::schedule::Schedule;
use crate::api::duration::seconds;
use crate::api::node_pool::{DisruptionBudget, DisruptionReason};
use jiff::{SignedDuration, Timestamp};

/// A budget of a pool.
#[derive(Clone, Debug)]
pub struct Budget {
    quota: Quota,
    reasons: Vec<DisruptionReason>,
    schedule: Option<Schedule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quota {
    Percent(u64),
    Nodes(u64),
}

impl Budget {
    /// Reads a budget. One that cannot be read lets nothing go: better too few than too many.
    pub fn read(budget: &DisruptionBudget) -> Self {
        let none = Self { quota: Quota::Nodes(0), reasons: budget.reasons.clone(), schedule: None };
        let quota = match budget.nodes.strip_suffix('%') {
            Some(percent) => percent.trim().parse().map(Quota::Percent),
            None => budget.nodes.trim().parse().map(Quota::Nodes),
        };
        let Ok(quota) = quota else { return none };
        let schedule = match (&budget.schedule, &budget.duration) {
            (None, None) => None,
            (Some(schedule), Some(duration)) => {
                let duration = seconds(duration).ok().and_then(|seconds| i64::try_from(seconds).ok());
                let read = duration.map(|seconds| Schedule::read(schedule, SignedDuration::from_secs(seconds)));
                match read {
                    Some(Ok(schedule)) => Some(schedule),
                    _ => return none,
                }
            }
            _ => return none,
        };
        Self { quota, schedule, ..none }
    }

    /// Whether it speaks of a reason at a time. Expiry is none of the reasons that a budget can name.
    fn applies(&self, reason: Reason, now: Timestamp) -> bool {
        let named = match reason {
            Reason::Empty => Some(DisruptionReason::Empty),
            Reason::Drifted => Some(DisruptionReason::Drifted),
            Reason::Underutilized => Some(DisruptionReason::Underutilized),
            Reason::Expired => None,
        };
        let meant = self.reasons.is_empty() || named.is_some_and(|named| self.reasons.contains(&named));
        meant && self.schedule.as_ref().is_none_or(|schedule| schedule.active(now))
    }

    /// Whether it lets nobody go for a reason now.
    pub fn forbids(&self, reason: Reason, now: Timestamp) -> bool {
        self.applies(reason, now) && self.of(1) == 0
    }

    fn of(&self, nodes: u64) -> u64 {
        match self.quota {
            Quota::Percent(percent) => (nodes.saturating_mul(percent)).div_ceil(100),
            Quota::Nodes(nodes) => nodes,
        }
    }
}

/// What budgets allow now, by pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    of_pool: Vec<[u32; Reason::ALL.len()]>,
}

impl Allowed {
    /// Counts nodes, and takes off those that are gone or unwell already.
    pub fn new(fleet: &Fleet<'_>, now: Timestamp) -> Self {
        let mut nodes = vec![0_u64; fleet.pools.len()];
        let mut gone = vec![0_u64; fleet.pools.len()];
        for node in fleet.nodes.iter().filter(|node| node.initialized.is_some()) {
            nodes[node.pool as usize] += 1;
            gone[node.pool as usize] += u64::from(node.leaving || !node.ready);
        }
        let of_pool = fleet.pools.iter().zip(nodes.iter().zip(&gone)).map(|(pool, (nodes, gone))| {
            Reason::ALL.map(|reason| {
                let applying = pool.budgets.iter().filter(|budget| budget.applies(reason, now));
                let least = applying.map(|budget| budget.of(*nodes)).min().unwrap_or(*nodes);
                u32::try_from(least.saturating_sub(*gone)).unwrap_or(u32::MAX)
            })
        });
        Self { of_pool: of_pool.collect() }
    }

    /// How many more nodes of a pool may go for a reason.
    pub fn left(&self, pool: u32, reason: Reason) -> u32 {
        self.of_pool[pool as usize][reason as usize]
    }

    /// Uses up one node: it counts against every reason.
    pub fn take(&mut self, pool: u32) {
        for left in &mut self.of_pool[pool as usize] {
            *left = left.saturating_sub(1);
        }
    }
}
