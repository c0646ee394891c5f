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
use crate::autoscaler::state::cluster::PodEntry;
use crate::autoscaler::state::intern::{FastMap, Symbol};
use crate::autoscaler::state::live::{Coming, Live, LivePod, LivePool, Owner, Protection, Snapshot, Uid};
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
    /// Those that wait and are still to be made, or to be looked at by kube-scheduler.
    pub coming: usize,
    /// How many workloads those are of that wait.
    pub workloads: usize,
}

/// Whether a pod is one that nodes are bought for.
fn counts(pod: &LivePod) -> bool {
    pod.node.is_none() && !pod.leaving() && !matches!(pod.owner, Owner::Daemon | Owner::Mirror)
}

/// What nothing can be done for now.
#[derive(Clone, Debug, Default)]
pub struct Hopeless {
    /// Pods.
    pub pods: BTreeSet<Uid>,
    /// Workloads whose pods are still to come.
    pub workloads: BTreeSet<Arc<str>>,
}

/// How many pods want something, those of `known` aside: nothing can be done for these now.
pub fn demand(live: &Live, plan: &Plan, known: &Hopeless, now: Timestamp) -> Demand {
    let mut demand = Demand::default();
    let (fresh, known_pods) = (live.fresh(now), &known.pods);
    let mut workloads: BTreeSet<Symbol> = BTreeSet::new();
    for (coming, pods) in uncovered(live, plan, now) {
        if !known.workloads.contains(&coming.workload) {
            demand.coming += pods;
            workloads.extend(live.symbol(&coming.workload));
        }
    }
    let open = |pod: &LivePod| counts(pod) && plan.place_of(pod.uid).is_none() && !plan.is_loose(pod.uid, now);
    demand.waiting = demand.coming;
    for pod in live.pods().filter(|pod| open(pod)) {
        if pod.unschedulable || is_of(&fresh, pod) {
            if known_pods.contains(&pod.uid) {
                continue;
            }
            demand.waiting += 1;
            demand.coming += usize::from(!pod.unschedulable);
            workloads.extend(pod.workload);
        } else if now.duration_since(pod.created) < JUDGED_WITHIN {
            demand.unjudged += 1;
        }
    }
    demand.workloads = workloads.len();
    demand.waiting +=
        moving(live).filter(|pod| plan.place_of(pod.uid).is_none() && !known_pods.contains(&pod.uid)).count();
    demand
}

/// Whether a pod is of a workload that has asked for more just now: what it asks for is decided about as a whole,
/// before kube-scheduler has looked at every one of its pods.
fn is_of(fresh: &BTreeMap<Symbol, Timestamp>, pod: &LivePod) -> bool {
    !pod.gated && pod.workload.and_then(|workload| fresh.get(&workload)).is_some_and(|until| pod.created <= *until)
}

/// Pods to come that no place is kept for.
fn uncovered(live: &Live, plan: &Plan, now: Timestamp) -> Vec<(Coming, usize)> {
    let coming = live.coming(now);
    if coming.is_empty() {
        return Vec::new();
    }
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    for (workload, _) in plan.vacancies() {
        *kept.entry(workload).or_default() += 1;
    }
    let open = coming.into_iter().map(|coming| {
        let pods = coming.pods.saturating_sub(kept.get(&*coming.workload).copied().unwrap_or(0));
        (coming, pods)
    });
    open.filter(|(_, pods)| *pods > 0).collect()
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
    /// The workloads of those pods that are still to come.
    pub coming: BTreeMap<Uid, Arc<str>>,
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
        let mut coming = keep_places(live, plan, &mut snapshot);
        let fresh = live.fresh(now);
        let leaving: BTreeSet<Uid> = moving(live).map(|pod| pod.uid).collect();
        let wants = |pod: &LivePod| counts(pod) && (pod.unschedulable || is_of(&fresh, pod));
        let mut without = vec![false; snapshot.cluster.nodes.len()];
        let mut pending = Vec::new();
        for (of, pods) in uncovered(live, plan, now) {
            for _ in 0..pods {
                pending.push(add_coming(&mut snapshot, &mut coming, &of.workload, (of.spec, of.labels), None));
            }
        }
        for (at, uid) in (0_u32..).zip(&snapshot.pods) {
            let entry = &snapshot.cluster.pods[at as usize];
            let placed = plan.place_of(*uid).is_some() || plan.is_loose(*uid, now);
            match entry.node {
                None if !placed && live.pod(*uid).is_some_and(&wants) => pending.push(at),
                Some(node) if !placed && leaving.contains(uid) => {
                    without[node as usize] = true;
                    pending.push(at);
                }
                _ => {}
            }
        }
        Self { snapshot, pending, without, pools, left_out: left_out(live), coming }
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

/// Adds a pod that is still to come; its number.
fn add_coming(
    snapshot: &mut Snapshot,
    coming: &mut BTreeMap<Uid, Arc<str>>,
    workload: &Arc<str>,
    (spec, labels): (u32, u32),
    node: Option<u32>,
) -> u32 {
    let at = u32::try_from(snapshot.pods.len()).unwrap_or(u32::MAX);
    let uid = Uid::of_nobody(u32::try_from(coming.len()).unwrap_or(u32::MAX));
    let name = format!("{}/to-come-{}", workload.split('/').next().unwrap_or_default(), coming.len());
    snapshot.cluster.pods.push(PodEntry { name: name.into(), spec, labels, node, leaving: false });
    snapshot.pods.push(uid);
    coming.insert(uid, Arc::clone(workload));
    at
}

/// Puts pods that are still to come onto what is kept for them.
fn keep_places(live: &Live, plan: &Plan, snapshot: &mut Snapshot) -> BTreeMap<Uid, Arc<str>> {
    let mut coming = BTreeMap::new();
    let numbers = Numbers::of(snapshot);
    for (workload, target) in plan.vacancies() {
        if let (Some(template), Some(node)) = (live.template(workload), numbers.node(target)) {
            add_coming(snapshot, &mut coming, workload, template, Some(node));
        }
    }
    coming
}

/// Nodes of a snapshot by the names of what pods are meant for.
struct Numbers(BTreeMap<Target, u32>);

impl Numbers {
    fn of(snapshot: &Snapshot) -> Self {
        let mut all = BTreeMap::new();
        for (at, member) in (0_u32..).zip(&snapshot.members) {
            all.extend(member.claim.iter().map(|claim| (Target::Claim(Arc::clone(claim)), at)));
            all.extend(member.node.iter().map(|node| (Target::Node(Arc::clone(node)), at)));
        }
        Self(all)
    }

    fn node(&self, target: &Target) -> Option<u32> {
        self.0.get(target).copied()
    }
}

/// Puts pods onto what they are meant for.
pub(super) fn seat(plan: &Plan, snapshot: &mut Snapshot) {
    let numbers = Numbers::of(snapshot);
    let number: FastMap<Uid, usize> = snapshot.pods.iter().copied().zip(0_usize..).collect();
    let mut seats = Vec::new();
    for (uid, place) in plan.places() {
        if let (Some(pod), Some(node)) = (number.get(&uid), numbers.node(&place.target)) {
            seats.push((*pod, node));
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

    fn count(state: &State, plan: &Plan, known: &Hopeless) -> (usize, usize) {
        let Demand { waiting, unjudged, .. } = demand(&state.live, plan, known, at(1));
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
        assert_eq!(count(&state, &plan, &Hopeless::default()), (2, 1));
        plan.place(&state.live, state.uid("p1"), Target::Claim("c1".into()), at(0));
        assert_eq!(count(&state, &plan, &Hopeless::default()), (1, 1));
        assert_eq!(
            count(&state, &plan, &Hopeless { pods: BTreeSet::from([state.uid("p2")]), ..Hopeless::default() }),
            (0, 1),
            "nothing can be done for it"
        );
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
    fn pods_that_a_workload_has_yet_to_make_are_decided_about_with_those_that_it_has_made() {
        let mut state = State::new();
        state.replicas(5);
        state.claim("c1", None);
        state.pod("made", None);
        let mut plan = Plan::default();
        assert_eq!(count(&state, &plan, &Hopeless::default()), (5, 0));
        plan.expect(&state.live, &"default/ReplicaSet/web".into(), Target::Claim("c1".into()), at(0));
        assert_eq!(count(&state, &plan, &Hopeless::default()), (4, 0));
        let question = Question::new(&mut state.live, &plan, &Stock::default(), at(1));
        assert_eq!((question.pending.len(), question.coming.len()), (4, 4), "three to come, and one that is kept");
        let seated = question.snapshot.cluster.pods.iter().filter(|pod| pod.node.is_some()).count();
        assert_eq!(seated, 1);
        let later = demand(&state.live, &plan, &Hopeless::default(), at(31));
        assert_eq!(later.waiting, 0, "they are not believed in for ever");
    }

    #[test]
    fn pods_that_take_the_place_of_others_are_no_new_demand() {
        let mut state = State::new();
        state.replicas(2);
        state.node("n1", "4", true);
        state.pod("p1", Some("n1"));
        state.pod("p2", Some("n1"));
        state.made_replicas(2);
        state.remove_pod("p1");
        assert_eq!(count(&state, &Plan::default(), &Hopeless::default()), (0, 0), "its successor is not missed");
        state.replicas(3);
        assert_eq!(count(&state, &Plan::default(), &Hopeless::default()), (2, 0), "more are asked for");
    }

    #[test]
    fn pods_of_a_node_that_leaves_are_planned_before_they_are_evicted() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "4", true);
        state.pod("p1", Some("n1"));
        let plan = Plan::default();
        assert_eq!(count(&state, &plan, &Hopeless::default()), (0, 0));
        state.leaving_claim("c1", "n1");
        assert_eq!(count(&state, &plan, &Hopeless::default()), (1, 0));
        let question = Question::new(&mut state.live, &plan, &Stock::default(), at(1));
        assert_eq!((question.pending.len(), question.without), (1, vec![true]));
    }
}
