//! What keeps a node from being disrupted: its own annotation, its pods, and their disruption budgets.

use super::fleet::{Fleet, FleetNode, FleetPod, Protection};
use super::stay::Stay;
use jiff::Timestamp;

/// Why the pods of a node keep it, if they do.
pub fn held_by_pods(fleet: &Fleet<'_>, node: &FleetNode, now: Timestamp) -> Option<Stay> {
    node.pods.iter().find_map(|pod| held_by(fleet, pod, now))
}

/// Why a pod keeps its node, if it does.
pub fn held_by(fleet: &Fleet<'_>, pod: &FleetPod, now: Timestamp) -> Option<Stay> {
    let name = || -> Box<str> { (&*fleet.cluster.pods[pod.pod as usize].name).into() };
    match pod.protection {
        Some(Protection::Always) => return Some(Stay::PodProtected { pod: name(), until: None }),
        Some(Protection::For(time)) => {
            let until = pod.started.and_then(|started| started.checked_add(time).ok());
            if until.is_none_or(|until| now < until) {
                return Some(Stay::PodProtected { pod: name(), until });
            }
        }
        None => {}
    }
    // The eviction API refuses a pod that two budgets cover.
    if let [first, second, ..] = pod.budgets.as_slice() {
        let of = |at: &u32| fleet.pod_budgets[*at as usize].name.clone();
        return Some(Stay::TwoPodBudgets { pod: name(), first: of(first), second: of(second) });
    }
    let closed = pod.budgets.iter().map(|at| &fleet.pod_budgets[*at as usize]).find(|budget| {
        let unwell = budget.unhealthy_always && !pod.ready;
        budget.allowed <= 0 && !unwell
    })?;
    Some(Stay::PodBudget { pod: name(), budget: closed.name.clone() })
}
