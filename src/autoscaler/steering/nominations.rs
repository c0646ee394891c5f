//! What pods have to be told now. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::plan::{Plan, Target};
use super::waves::{Meant, next_wave};
use crate::autoscaler::lifecycle::registration::UNREGISTERED;
use crate::autoscaler::state::instance_types::Catalogue;
use crate::autoscaler::state::intern::FastMap;
use crate::autoscaler::state::live::{Live, LivePod, Uid};

/// What a pod is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nomination {
    /// The pod.
    pub pod: Uid,
    /// `namespace/name`.
    pub name: Arc<str>,
    /// The node that it is meant for; `None` takes back what it was told.
    pub node: Option<Arc<str>>,
}

impl Nomination {
    /// What a pod is told.
    pub(super) fn of(pod: &LivePod, node: Option<Arc<str>>) -> Self {
        Self { pod: pod.uid, name: Arc::clone(&pod.name), node }
    }
}

/// The pods that were told something.
#[derive(Clone, Debug, Default)]
pub struct Told(BTreeSet<Uid>);

impl Told {
    /// Remembers what a pod has been told.
    pub fn note(&mut self, nomination: &Nomination) {
        match &nomination.node {
            Some(_) => self.0.insert(nomination.pod),
            None => self.0.remove(&nomination.pod),
        };
    }

    /// Takes over what another process has told: a pending pod that is nominated for a node that stands has its
    /// place there; one that is nominated for a node that is gone will hear so.
    pub fn adopt(&mut self, live: &Live, plan: &mut Plan, now: Timestamp) {
        let unknown = live.pods().filter(|pod| waits(pod) && !self.0.contains(&pod.uid));
        let unknown: Vec<(Uid, Arc<str>)> =
            unknown.filter_map(|pod| Some((pod.uid, live.text(pod.nominated?).into()))).collect();
        for (pod, node) in unknown {
            if plan.place_of(pod).is_none() && live.node(&node).is_some_and(|node| node.deletion.is_none()) {
                plan.place(live, pod, Target::Node(Arc::clone(&node)), now);
            }
            self.0.insert(pod);
        }
    }

    /// Pods that were told something that the plan does not say any more.
    fn stale(&mut self, live: &Live, plan: &Plan) -> Vec<Nomination> {
        self.0.retain(|pod| live.pod(*pod).is_some_and(waits));
        let stale = self.0.iter().filter(|pod| plan.place_of(**pod).is_none()).filter_map(|pod| live.pod(*pod));
        stale.map(|pod| Nomination::of(pod, None)).collect()
    }
}

/// What has to be told now, large pods first: about the nodes `only`, or without any about all that are there. When a node
/// comes, kube-scheduler tries all pods, and takes back what they were told by then: until it takes pods, only those are
/// told of it that this has happened to.
pub fn due(live: &mut Live, plan: &Plan, told: &mut Told, only: &[&str], now: Timestamp) -> Vec<Nomination> {
    let open: Vec<(Uid, Arc<str>, bool)> = plan
        .places()
        .filter_map(|(uid, place)| {
            let pod = live.pod(uid).filter(|pod| waits(pod))?;
            let node = place.target.node(live)?;
            let said = pod.nominated.is_some_and(|known| live.text(known) == &*node.name);
            let concerned = match only {
                [] => !node.has_taint(UNREGISTERED) || pod.refused.is_some_and(|at| at >= node.created),
                only => only.contains(&&*node.name),
            };
            (said || concerned).then(|| (uid, Arc::clone(&node.name), said))
        })
        .collect();
    let mut due = if only.is_empty() { told.stale(live, plan) } else { Vec::new() };
    if open.iter().all(|(_, _, said)| *said) {
        return due;
    }
    let chosen = if open.iter().any(|(uid, _, _)| is_spread(live, *uid)) {
        in_waves(live, &open, now)
    } else {
        open.into_iter().filter(|(_, _, said)| !said).map(|(uid, node, _)| (uid, node)).collect()
    };
    let mut meant: Vec<(&LivePod, Arc<str>)> =
        chosen.into_iter().filter_map(|(uid, node)| Some((live.pod(uid)?, node))).collect();
    // What pods are told before kube-scheduler has looked at them is taken back, and small ones find room anyway.
    let size = |pod| live.spec(pod).map(|spec| spec.requests.size());
    meant.sort_by_cached_key(|(pod, _)| (!pod.unschedulable, Reverse(size(pod)), Arc::clone(&pod.name)));
    due.extend(meant.into_iter().map(|(pod, node)| Nomination::of(pod, Some(node))));
    due
}

/// Whether a pod has yet to be bound.
pub(super) fn waits(pod: &LivePod) -> bool {
    pod.node.is_none() && !pod.leaving()
}

fn is_spread(live: &Live, uid: Uid) -> bool {
    let spec = live.pod(uid).and_then(|pod| live.spec(pod));
    spec.is_some_and(|spec| spec.spreads.iter().any(|spread| spread.required))
}

fn in_waves(live: &mut Live, open: &[(Uid, Arc<str>, bool)], now: Timestamp) -> Vec<(Uid, Arc<str>)> {
    let snapshot = live.snapshot(&Catalogue::default(), now);
    let number: FastMap<Uid, u32> = snapshot.pods.iter().copied().zip(0_u32..).collect();
    let meant: Vec<Meant> = open
        .iter()
        .filter_map(|(uid, node, said)| {
            let node = snapshot.cluster.node_id(node)?;
            Some(Meant { pod: *number.get(uid)?, node, nominated: *said })
        })
        .collect();
    let wave = next_wave(&snapshot.cluster, &meant);
    let name = |node: u32| Arc::clone(&snapshot.cluster.nodes[node as usize].name);
    wave.into_iter().map(|one| (snapshot.pods[one.pod as usize], name(one.node))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{State, at};
    use super::*;

    fn names(due: &[Nomination]) -> Vec<(String, Option<String>)> {
        due.iter().map(|one| (one.name.to_string(), one.node.as_deref().map(str::to_owned))).collect()
    }

    fn to(pod: &str, node: &str) -> (String, Option<String>) {
        (format!("default/{pod}"), Some(node.to_owned()))
    }

    #[test]
    fn a_node_that_takes_no_pods_yet_is_told_of_when_it_is_asked_about_or_kube_scheduler_has_tried_them() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.pod("p1", None);
        let (mut plan, mut told) = (Plan::default(), Told::default());
        plan.place(&state.live, state.uid("p1"), Target::Claim("c1".into()), at(0));
        assert!(due(&mut state.live, &plan, &mut told, &["n1"], at(0)).is_empty(), "there is no node yet");
        state.node("n1", "4", false);
        assert!(due(&mut state.live, &plan, &mut told, &[], at(0)).is_empty());
        assert_eq!(names(&due(&mut state.live, &plan, &mut told, &["n1"], at(0))), [to("p1", "n1")]);
        state.nominated_pod("p1", "n1");
        assert!(due(&mut state.live, &plan, &mut told, &["n1"], at(0)).is_empty(), "it has been told");
        state.unschedulable_pod("p1");
        let again = due(&mut state.live, &plan, &mut told, &[], at(0));
        assert_eq!(names(&again), [to("p1", "n1")], "kube-scheduler has tried it since the node came");
    }

    #[test]
    fn large_pods_are_told_first() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "4", true);
        let (mut plan, mut told) = (Plan::default(), Told::default());
        for (name, cpu) in [("p1", "100m"), ("p2", "2"), ("p3", "500m")] {
            state.sized_pod(name, None, cpu);
            plan.place(&state.live, state.uid(name), Target::Claim("c1".into()), at(0));
        }
        let due = due(&mut state.live, &plan, &mut told, &[], at(0));
        assert_eq!(names(&due), [to("p2", "n1"), to("p3", "n1"), to("p1", "n1")]);
    }

    #[test]
    fn pods_that_kube_scheduler_has_looked_at_are_told_first() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "4", true);
        let (mut plan, mut told) = (Plan::default(), Told::default());
        for name in ["p1", "p2"] {
            state.pod(name, None);
            plan.place(&state.live, state.uid(name), Target::Claim("c1".into()), at(0));
        }
        state.unschedulable_pod("p2");
        assert_eq!(names(&due(&mut state.live, &plan, &mut told, &[], at(0))), [to("p2", "n1"), to("p1", "n1")]);
    }

    #[test]
    fn what_the_plan_does_not_say_any_more_is_taken_back() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "4", true);
        state.nominated_pod("p1", "n1");
        let (plan, mut told) = (Plan::default(), Told::default());
        let known = Nomination { pod: state.uid("p1"), name: "default/p1".into(), node: Some("n1".into()) };
        told.note(&known);
        let back = due(&mut state.live, &plan, &mut told, &[], at(0));
        assert_eq!(names(&back), [("default/p1".to_owned(), None)]);
        told.note(&back[0]);
        assert!(due(&mut state.live, &plan, &mut told, &[], at(0)).is_empty());
    }

    #[test]
    fn what_another_process_has_told_is_kept_if_the_node_stands_and_taken_back_if_not() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "4", true);
        state.nominated_pod("p1", "n1");
        state.nominated_pod("p2", "gone");
        let (mut plan, mut told) = (Plan::default(), Told::default());
        told.adopt(&state.live, &mut plan, at(0));
        assert_eq!(plan.place_of(state.uid("p1")).map(|place| place.target.clone()), Some(Target::Node("n1".into())));
        assert_eq!(names(&due(&mut state.live, &plan, &mut told, &[], at(0))), [("default/p2".to_owned(), None)]);
    }
}
