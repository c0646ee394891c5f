//! Which pods want a node: those that kube-scheduler finds no place for, and those of nodes that leave. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::market::Stock;
use super::plan_claims::Lookup;
use crate::autoscaler::api::NodePool;
use crate::autoscaler::interruption::INTERRUPTED;
use crate::autoscaler::interruption::warned::moves;
use crate::autoscaler::scheduling::{Problem, Settings};
use crate::autoscaler::state::intern::FastMap;
use crate::autoscaler::state::live::{Live, LivePod, LivePool, Owner, Protection, Snapshot, Uid};
use crate::autoscaler::steering::{Plan, Target};

/// A pod that kube-scheduler has not looked at for so long is held back by something else.
const JUDGED_WITHIN: SignedDuration = SignedDuration::from_secs(4);

/// How many pods want something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Pods that a node may have to be bought for.
    pub waiting: usize,
    /// Pods that kube-scheduler has yet to look at.
    pub unjudged: usize,
}

/// Whether a pod is one that nodes are bought for.
fn counts(pod: &LivePod) -> bool {
    pod.node.is_none() && !pod.leaving() && !matches!(pod.owner, Owner::Daemon | Owner::Mirror)
}

/// How many pods want something, those of `known` aside: nothing can be done for these now.
pub fn demand(live: &Live, plan: &Plan, known: &BTreeSet<Uid>, now: Timestamp) -> Demand {
    let mut demand = Demand::default();
    let open = |pod: &LivePod| counts(pod) && plan.place_of(pod.uid).is_none() && !plan.is_loose(pod.uid, now);
    for pod in live.pods().filter(|pod| open(pod)) {
        if pod.unschedulable {
            demand.waiting += usize::from(!known.contains(&pod.uid));
        } else if now.duration_since(pod.created) < JUDGED_WITHIN {
            demand.unjudged += 1;
        }
    }
    demand.waiting += moving(live).filter(|pod| plan.place_of(pod.uid).is_none() && !known.contains(&pod.uid)).count();
    demand
}

/// Pods that will have to leave their node and will come again elsewhere. Those of a node that is taken back count
/// whatever protects them: their machine goes.
fn moving(live: &Live) -> impl Iterator<Item = &LivePod> {
    live.nodes().flat_map(move |node| {
        let claim = live.claim_of_node(node);
        let leaves = claim.is_some_and(|claim| node.deletion.is_some() || claim.deletion().is_some());
        let taken_back = claim.is_some_and(|claim| claim.annotation(INTERRUPTED).is_some());
        let pods = live.pods_on(&node.name);
        pods.filter(move |pod| (taken_back && moves(pod)) || (leaves && comes_again(live, pod)))
    })
}

/// Whether a pod will be evicted soon and made anew: not if it, or a budget, keeps it where it is.
fn comes_again(live: &Live, pod: &LivePod) -> bool {
    let counts = |unhealthy_go: bool| pod.ready || !unhealthy_go;
    let locked = live.budgets_of(pod).any(|budget| budget.allowed == 0 && counts(budget.always_allows_unhealthy));
    pod.owner == Owner::Workload
        && !pod.leaving()
        && !matches!(pod.do_not_disrupt, Some(Protection::Always | Protection::For(_)))
        && !locked
}

/// What is asked of the scheduler, with everything that the answer is read with.
pub struct Question {
    /// The state, with pods that have a place standing on it.
    pub snapshot: Snapshot,
    /// The pods to place, by index.
    pub pending: Vec<u32>,
    /// Nodes that leave and whose pods are among those to place.
    pub without: Vec<bool>,
    /// The pools' objects.
    pub pools: BTreeMap<String, Arc<NodePool>>,
    /// Pools that are left out, and why.
    pub left_out: Vec<String>,
}

impl Question {
    /// Takes a snapshot.
    pub fn new(live: &mut Live, plan: &Plan, stock: &Stock, now: Timestamp) -> Self {
        let mut snapshot = live.snapshot(&stock.catalogue, now);
        let pools: BTreeMap<String, Arc<NodePool>> =
            live.pools().map(|pool| (pool.name.to_string(), Arc::clone(&pool.object))).collect();
        let class = |pool: &str| Some(pools.get(pool)?.spec.template.spec.node_class_ref.name.clone());
        stock.restrict(&mut snapshot.cluster, class);
        seat(plan, &mut snapshot);
        let leaving: BTreeSet<Uid> = moving(live).map(|pod| pod.uid).collect();
        let mut without = vec![false; snapshot.cluster.nodes.len()];
        let mut pending = Vec::new();
        for (at, uid) in (0_u32..).zip(&snapshot.pods) {
            let entry = &snapshot.cluster.pods[at as usize];
            let placed = plan.place_of(*uid).is_some() || plan.is_loose(*uid, now);
            match entry.node {
                None if !placed && live.pod(*uid).is_some_and(|pod| counts(pod) && pod.unschedulable) => {
                    pending.push(at)
                }
                Some(node) if !placed && leaving.contains(uid) => {
                    without[node as usize] = true;
                    pending.push(at);
                }
                _ => {}
            }
        }
        Self { snapshot, pending, without, pools, left_out: left_out(live) }
    }

    /// As a problem.
    pub fn problem(&self, settings: Settings) -> Problem<'_> {
        let (pending, without) = (self.pending.clone(), self.without.clone());
        Problem { cluster: &self.snapshot.cluster, pending, without, settings }
    }
}

/// Pools that nothing can be bought for now, in sentences.
fn left_out(live: &Live) -> Vec<String> {
    let why = |pool: &LivePool| {
        let class = pool.class();
        if pool.deletion().is_some() {
            return Some("it is being deleted".to_owned());
        }
        if let Err(faults) = &pool.read {
            return Some(faults.first().map_or_else(String::new, ToString::to_string));
        }
        match live.class(class) {
            None => Some(format!("its EC2NodeClass `{class}` does not exist")),
            Some(found) if !found.ready() => Some(format!("its EC2NodeClass `{class}` is not ready")),
            Some(_) => None,
        }
    };
    let sentence = |pool: &LivePool| Some(format!("NodePool `{}` is left out: {}", pool.name, why(pool)?));
    live.pools().filter_map(sentence).collect()
}

impl Lookup for Question {
    fn pool(&self, name: &str) -> Option<&NodePool> {
        self.pools.get(name).map(|pool| &**pool)
    }

    fn uid(&self, pod: u32) -> Option<Uid> {
        self.snapshot.pods.get(pod as usize).copied()
    }
}

/// Puts pods onto what they are meant for.
pub(super) fn seat(plan: &Plan, snapshot: &mut Snapshot) {
    let mut by_claim: BTreeMap<&str, u32> = BTreeMap::new();
    let mut by_node: BTreeMap<&str, u32> = BTreeMap::new();
    for (at, member) in (0_u32..).zip(&snapshot.members) {
        by_claim.extend(member.claim.as_deref().map(|claim| (claim, at)));
        by_node.extend(member.node.as_deref().map(|node| (node, at)));
    }
    let number: FastMap<Uid, usize> = snapshot.pods.iter().copied().zip(0_usize..).collect();
    let mut seats = Vec::new();
    for (uid, place) in plan.places() {
        let node = match &place.target {
            Target::Claim(name) => by_claim.get(&**name),
            Target::Node(name) => by_node.get(&**name),
        };
        if let (Some(pod), Some(node)) = (number.get(&uid), node) {
            seats.push((*pod, *node));
        }
    }
    for (pod, node) in seats {
        snapshot.cluster.pods[pod].node = Some(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::steering::testing::{State, at};

    fn count(state: &State, plan: &Plan, known: &BTreeSet<Uid>) -> (usize, usize) {
        let Demand { waiting, unjudged } = demand(&state.live, plan, known, at(1));
        (waiting, unjudged)
    }

    #[test]
    fn only_pods_without_a_place_want_a_node() {
        let mut state = State::new();
        state.claim("c1", None);
        state.unschedulable_pod("p1");
        state.unschedulable_pod("p2");
        state.pod("new", None);
        let mut plan = Plan::default();
        assert_eq!(count(&state, &plan, &BTreeSet::new()), (2, 1));
        plan.place(&state.live, state.uid("p1"), Target::Claim("c1".into()), at(0));
        assert_eq!(count(&state, &plan, &BTreeSet::new()), (1, 1));
        assert_eq!(count(&state, &plan, &BTreeSet::from([state.uid("p2")])), (0, 1), "nothing can be done for it");
    }

    #[test]
    fn pods_with_a_place_stand_on_their_claim_in_the_question() {
        let mut state = State::new();
        state.claim("c1", None);
        state.unschedulable_pod("p1");
        state.unschedulable_pod("p2");
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("p1"), Target::Claim("c1".into()), at(0));
        let question = Question::new(&mut state.live, &plan, &Stock::default(), at(1));
        let pending: Vec<&str> =
            question.pending.iter().map(|pod| &*question.snapshot.cluster.pods[*pod as usize].name).collect();
        assert_eq!(pending, ["default/p2"]);
        let cluster = &question.snapshot.cluster;
        let seated = cluster.pods.iter().find(|pod| &*pod.name == "default/p1").and_then(|pod| pod.node);
        assert_eq!(seated.map(|node| &*cluster.nodes[node as usize].name), Some("c1"));
    }

    #[test]
    fn pods_of_a_node_that_leaves_are_planned_before_they_are_evicted() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "4", true);
        state.pod("p1", Some("n1"));
        let plan = Plan::default();
        assert_eq!(count(&state, &plan, &BTreeSet::new()), (0, 0));
        state.leaving_claim("c1", "n1");
        assert_eq!(count(&state, &plan, &BTreeSet::new()), (1, 0));
        let question = Question::new(&mut state.live, &plan, &Stock::default(), at(1));
        assert_eq!((question.pending.len(), question.without), (1, vec![true]));
    }
}
