//! In which order pods leave whose successors are meant for nodes that are there: the largest first, and smaller ones
//! once these have been bound. For kube-scheduler may be quicker than whoever tells it the plan, and would put small
//! ones where a large one is meant to be; after the large ones there is a place for the small ones anywhere. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::autoscaler::state::live::{Live, LivePod, Uid};
use crate::autoscaler::steering::Plan;

/// Nobody waits longer when no larger pod gets any further: its workload makes no successor, or not yet.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);

/// Whose turn it is.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// How large the largest pods are that have yet to arrive, how many there are, and since when that is so.
    ahead: Option<(u32, usize, Timestamp)>,
}

impl Turns {
    /// Takes those out of `leaving` that wait until larger ones have arrived; until when, if any does.
    pub fn sort_out<T>(
        &mut self,
        (live, plan): (&Live, &Plan),
        leaving: &mut Vec<T>,
        uid: impl Fn(&T) -> Option<Uid>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let pod = |one: &T| {
            let pod = live.pod(uid(one)?)?;
            plan.place_of(pod.uid).and(Some(pod))
        };
        let to_leave = leaving.iter().filter_map(pod);
        let classes: Vec<u32> = to_leave.chain(plan.on_the_way(live)).map(|pod| class(live, pod)).collect();
        let Some(largest) = classes.iter().max().copied() else {
            self.ahead = None;
            return None;
        };
        let count = classes.iter().filter(|class| **class == largest).count();
        let since = match self.ahead {
            Some((class, before, since)) if (class, before) == (largest, count) => since,
            _ => now,
        };
        self.ahead = Some((largest, count, since));
        let until = since.saturating_add(PATIENCE).unwrap_or(now);
        if until <= now {
            return None;
        }
        let before = leaving.len();
        leaving.retain(|one| pod(one).is_none_or(|pod| class(live, pod) == largest));
        (leaving.len() < before).then_some(until)
    }
}

/// Pods of a class are of about the same size: none is twice as large as another.
fn class(live: &Live, pod: &LivePod) -> u32 {
    live.size_of(pod).max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::steering::Target;
    use crate::autoscaler::steering::testing::{State, at};

    /// Pods on a node that goes, the large one and the small one meant for another node.
    fn leaving() -> (State, Plan) {
        let mut state = State::new();
        state.node("old", "4", true);
        state.node("new", "4", true);
        state.sized_pod("large", Some("old"), "2");
        state.sized_pod("small", Some("old"), "200m");
        state.sized_pod("other", Some("old"), "100m");
        let mut plan = Plan::default();
        for pod in ["large", "small"] {
            plan.place(&state.live, state.uid(pod), Target::Node("new".into()), at(0));
        }
        (state, plan)
    }

    fn sort_out(turns: &mut Turns, (state, plan): &(State, Plan), pods: &[&str], now: i64) -> (Vec<String>, bool) {
        let mut pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
        let uid = |pod: &String| Some(Uid::read(pod));
        let until = turns.sort_out((&state.live, plan), &mut pods, uid, at(now));
        (pods, until.is_some())
    }

    #[test]
    fn a_small_pod_waits_until_the_large_one_has_arrived_and_one_without_a_place_does_not() {
        let (mut world, mut turns) = (leaving(), Turns::default());
        let first = sort_out(&mut turns, &world, &["large", "small", "other"], 0);
        assert_eq!(first, (vec!["large".to_owned(), "other".to_owned()], true));
        // Its successor is on its way.
        world.0.remove_pod("large");
        world.1.settle(&world.0.live, at(1));
        world.0.sized_pod("successor", None, "2");
        world.1.inherit(&world.0.live, at(1));
        assert_eq!(sort_out(&mut turns, &world, &["small"], 1), (Vec::new(), true));
        world.0.sized_pod("successor", Some("new"), "2");
        world.1.settle(&world.0.live, at(2));
        assert_eq!(sort_out(&mut turns, &world, &["small"], 2), (vec!["small".to_owned()], false));
    }

    #[test]
    fn nobody_waits_for_long_where_nothing_gets_any_further() {
        let (world, mut turns) = (leaving(), Turns::default());
        let all = ["large", "small"];
        assert_eq!(sort_out(&mut turns, &world, &all, 0).0.len(), 1);
        assert_eq!(sort_out(&mut turns, &world, &all, 1).0.len(), 1);
        assert_eq!(sort_out(&mut turns, &world, &all, 2), (vec!["large".to_owned(), "small".to_owned()], false));
    }
}
