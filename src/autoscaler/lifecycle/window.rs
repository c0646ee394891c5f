//! When to decide: how long pods are collected before nodes are bought for them. Pure.
//!
//! One pod in a quiet cluster does not wait. While pods keep coming they are collected, because one decision
//! about many packs them better than many decisions about few; but never for long.

use jiff::{SignedDuration, Timestamp};

use super::demand::Demand;

/// How long pods are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After so long without a new pod the window closes, whatever else.
    pub longest_quiet: SignedDuration,
    /// After so long it closes although pods keep coming.
    pub longest: SignedDuration,
}

/// A quiet moment that is short enough to go unnoticed, and long enough for the replicas of one workload.
const SHORTEST_QUIET: SignedDuration = SignedDuration::from_millis(40);
/// What is waited for more pods while workloads have yet to make theirs: others may be about to ask for some.
const COMING_QUIET: SignedDuration = SignedDuration::from_millis(100);
/// What is waited for more pods when several workloads have asked for some: where two come together, more may follow.
const SEVERAL_QUIET: SignedDuration = SignedDuration::from_millis(200);
/// What is waited for a pod that kube-scheduler has not looked at yet.
const UNJUDGED_QUIET: SignedDuration = SignedDuration::from_millis(160);

impl Default for Patience {
    fn default() -> Self {
        Self { longest_quiet: SignedDuration::from_millis(250), longest: SignedDuration::from_millis(1000) }
    }
}

impl Patience {
    /// With the settings of the batching that Karpenter has as upper bounds, where they are given.
    pub fn within(idle: Option<SignedDuration>, most: Option<SignedDuration>) -> Self {
        let own = Self::default();
        Self {
            longest_quiet: idle.map_or(own.longest_quiet, |idle| idle.min(own.longest_quiet)),
            longest: most.map_or(own.longest, |most| most.min(own.longest)),
        }
    }
}

/// Pods that are being collected.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Timestamp,
    grew: Timestamp,
    seen: usize,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to decide.
    Rest,
    /// More may come: look again at this time, or when something changes.
    Wait(Timestamp),
    /// Decide.
    Act,
}

impl Window {
    /// Looks at how many pods want a node.
    pub fn look(&mut self, now: Timestamp, demand: Demand, patience: Patience) -> Step {
        let Demand { waiting, unjudged, coming, workloads } = demand;
        if waiting == 0 {
            self.open = None;
            return Step::Rest;
        }
        let seen = waiting + unjudged;
        let open = self.open.get_or_insert(Open { since: now, grew: now, seen });
        if seen > open.seen {
            open.grew = now;
        }
        open.seen = seen;
        // The longer pods have been coming, the longer a pause may be without being the end.
        let age = now.duration_since(open.since);
        let least = match (workloads, unjudged, coming) {
            (2.., ..) => SEVERAL_QUIET,
            (_, 0, 0) => SHORTEST_QUIET,
            (_, 0, _) => COMING_QUIET,
            _ => UNJUDGED_QUIET,
        };
        let quiet = (age / 4).max(least).min(patience.longest_quiet);
        let until = (open.grew + quiet).min(open.since + patience.longest);
        if now < until { Step::Wait(until) } else { Step::Act }
    }

    /// A decision has been made; what comes now is collected anew.
    pub fn close(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_millis(1_000_000 + millis)
    }

    /// When the window closes over pods that come at the given times (in milliseconds), and how many it holds.
    fn closes(coming: &[i64], unjudged: usize) -> (i64, usize) {
        let mut window = Window::default();
        for now in 0..20_000 {
            let waiting = coming.iter().filter(|time| **time <= now).count();
            let unjudged = if waiting > 0 { unjudged } else { 0 };
            if window.look(at(now), Demand { waiting, unjudged, ..Demand::default() }, Patience::default()) == Step::Act
            {
                return (now - coming[0], waiting);
            }
        }
        panic!("it never closes");
    }

    #[test]
    fn a_single_pod_hardly_waits() {
        assert_eq!(closes(&[5], 0), (40, 1));
    }

    #[test]
    fn the_replicas_of_one_workload_are_one_decision() {
        let coming: Vec<i64> = (0..12).map(|pod| 10 * pod).collect();
        let (after, pods) = closes(&coming, 0);
        assert_eq!(pods, 12);
        assert!(after < 200, "{after}");
    }

    #[test]
    fn a_storm_is_cut_off() {
        let coming: Vec<i64> = (0..5000).map(|pod| 2 * pod).collect();
        assert_eq!(closes(&coming, 20), (1000, 501));
    }

    #[test]
    fn pauses_of_a_storm_are_bridged_once_it_has_lasted() {
        let coming: Vec<i64> = (0..20).map(|pod| 20 * pod).chain((0..10).map(|pod| 460 + 20 * pod)).collect();
        assert_eq!(closes(&coming, 0).1, 30);
    }

    #[test]
    fn pods_that_nobody_has_judged_are_waited_for_a_little() {
        assert_eq!(closes(&[0], 1), (160, 1));
    }

    #[test]
    fn pods_that_are_foreseen_are_decided_about_before_they_come() {
        let closes_for = |workloads| {
            let mut window = Window::default();
            let demand = Demand { waiting: 12, unjudged: 0, coming: 12, workloads };
            (0..).find(|now| window.look(at(*now), demand, Patience::default()) == Step::Act)
        };
        assert_eq!(closes_for(1), Some(100));
        assert_eq!(closes_for(2), Some(200), "where two ask for pods, others may follow");
    }

    #[test]
    fn settings_only_shorten() {
        let patience = Patience::within(Some(SignedDuration::from_secs(1)), Some(SignedDuration::from_millis(300)));
        assert_eq!(patience.longest_quiet, Patience::default().longest_quiet);
        assert_eq!(patience.longest, SignedDuration::from_millis(300));
    }
}
