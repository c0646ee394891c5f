//! Pods that kube-scheduler has to be made to look at once more. Pure.
//!
//! kube-scheduler refuses a pod while others that are nominated for its node hold the room. When those are bound
//! elsewhere there is room, but it tries the pod again only after five minutes: a pod that comes to a node makes none,
//! as it sees it. What it does look out for is a nomination that is taken back: then it tries all pods of the same
//! priority or less that found no room (1.35, `eventhandlers.go`, `hasNominatedNodeNameChanged`). So where pods wait for
//! room that is theirs, and kube-scheduler has come to rest, one of them has its nomination taken back, and is told again.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::nominations::{Nomination, waits};
use super::plan::Plan;
use crate::autoscaler::state::intern::FastMap;
use crate::autoscaler::state::live::{Live, LivePod, Uid};

/// For so long a pod waits once kube-scheduler has come to rest: it has refused nobody, and bound none of those that wait.
/// Twice as long after each time, up to [`DOUBLINGS`].
const REST: SignedDuration = SignedDuration::from_secs(1);
const DOUBLINGS: u32 = 6;
/// So many times as long it waits where kube-scheduler does not come to rest.
const UNREST: i32 = 4;

/// A pod that waits.
#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Timestamp,
    /// How often kube-scheduler has been made to look at it.
    times: u32,
}

impl Wait {
    /// Whether the pod has waited for long enough.
    fn is_over(&self, at_rest: bool, now: Timestamp) -> bool {
        let patience = REST * 2_i32.pow(self.times.min(DOUBLINGS));
        now.duration_since(self.since) >= if at_rest { patience } else { patience * UNREST }
    }
}

/// The pods that wait for room which is theirs on nodes that take pods.
#[derive(Clone, Debug, Default)]
pub struct Stalled {
    waits: FastMap<Uid, Wait>,
    /// When one of them was last bound.
    bound: Option<Timestamp>,
}

impl Stalled {
    /// Whether anybody waits.
    pub fn waits(&self) -> bool {
        !self.waits.is_empty()
    }

    /// The pod whose nomination has to be taken back for the sake of all that have waited for too long.
    pub fn due(&mut self, live: &Live, plan: &Plan, now: Timestamp) -> Option<Nomination> {
        self.keep_up(live, plan, now);
        let lately = |at: Option<Timestamp>| at.is_some_and(|at| now.duration_since(at) < REST);
        let at_rest = !lately(live.last_refusal()) && !lately(self.bound);
        let over = self.waits.iter().filter(|(_, wait)| wait.is_over(at_rest, now));
        let told = over.filter_map(|(uid, _)| live.pod(*uid)).filter(|pod| pod.nominated.is_some());
        let first = told.max_by_key(|pod| (pod.priority, pod.uid))?;
        let tried = |pod: &LivePod| pod.priority <= first.priority;
        for (uid, wait) in &mut self.waits {
            if wait.is_over(at_rest, now) && live.pod(*uid).is_some_and(tried) {
                *wait = Wait { since: now, times: wait.times + 1 };
            }
        }
        Some(Nomination::of(first, None))
    }

    fn keep_up(&mut self, live: &Live, plan: &Plan, now: Timestamp) {
        let is_bound = |uid: &Uid| live.pod(*uid).is_some_and(|pod| pod.node.is_some());
        if self.waits.keys().any(is_bound) {
            self.bound = Some(now);
        }
        let waiting: BTreeSet<Uid> = plan.on_the_way(live).filter(|pod| waits(pod)).map(|pod| pod.uid).collect();
        self.waits.retain(|uid, _| waiting.contains(uid));
        for uid in waiting {
            self.waits.entry(uid).or_insert(Wait { since: now, times: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Target;
    use super::super::testing::{State, at};
    use super::*;

    /// Pods that are meant for an open node, and told.
    fn told(pods: &[&str]) -> (State, Plan) {
        let (mut state, mut plan) = (State::new(), Plan::default());
        state.claim("c1", Some("n1"));
        state.node("n1", "4", true);
        for name in pods {
            state.nominated_pod(name, "n1");
            plan.place(&state.live, state.uid(name), Target::Claim("c1".into()), at(0));
        }
        (state, plan)
    }

    fn due(stalled: &mut Stalled, state: &State, plan: &Plan, seconds: i64) -> Option<String> {
        let due = stalled.due(&state.live, plan, at(seconds))?;
        assert_eq!(due.node, None);
        Some(due.name.to_string())
    }

    #[test]
    fn one_pod_speaks_for_all_that_wait_and_ever_more_seldom() {
        let ((state, plan), mut stalled) = (told(&["p1", "p2"]), Stalled::default());
        let mut times = (0..40).filter(|second| due(&mut stalled, &state, &plan, *second).is_some());
        assert_eq!(times.by_ref().collect::<Vec<_>>(), [1, 3, 7, 15, 31]);
        assert!(stalled.waits());
    }

    #[test]
    fn while_kube_scheduler_binds_those_that_wait_the_others_are_patient() {
        let ((mut state, plan), mut stalled) = (told(&["p1", "p2", "p3"]), Stalled::default());
        assert_eq!(due(&mut stalled, &state, &plan, 0), None);
        for (second, bound) in [(1, "p1"), (2, "p2")] {
            state.pod(bound, Some("n1"));
            assert_eq!(due(&mut stalled, &state, &plan, second), None);
        }
        assert_eq!(due(&mut stalled, &state, &plan, 3), Some("default/p3".to_owned()));
        state.pod("p3", Some("n1"));
        assert_eq!(due(&mut stalled, &state, &plan, 4), None);
        assert!(!stalled.waits());
    }

    #[test]
    fn where_kube_scheduler_never_rests_it_is_made_to_look_all_the_same() {
        let ((mut state, plan), mut stalled) = (told(&["p1", "p2", "p3", "p4", "p5", "last"]), Stalled::default());
        let mut woken = Vec::new();
        for second in 0..5 {
            if second > 0 {
                state.pod(&format!("p{second}"), Some("n1"));
            }
            woken.extend(due(&mut stalled, &state, &plan, second).map(|_| second));
        }
        assert_eq!(woken, [4]);
    }

    #[test]
    fn nobody_waits_on_a_node_that_takes_no_pods() {
        let ((mut state, plan), mut stalled) = (told(&["p1"]), Stalled::default());
        state.node("n1", "4", false);
        assert!((0..9).all(|second| due(&mut stalled, &state, &plan, second).is_none()));
        assert!(!stalled.waits());
    }
}
