//! What pods have to be told of how dear it is to let them go. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::plan::{Plan, Target};
use crate::autoscaler::disruption::scale_in::{Berth, Seat, complete, rank, rank_of};
use crate::autoscaler::state::intern::{FastMap, Symbol};
use crate::autoscaler::state::live::{Live, LiveClaim, LiveNode, LivePod, Phase, Uid};
use crate::autoscaler::state::names::keys::ZONE;

/// How many pods are told in one round, and how many beside what matters more.
const AT_A_TIME: usize = 100;
const AT_A_TIME_BESIDE: usize = 10;
/// So long after the last pod came or went it is calm.
const CALM: SignedDuration = SignedDuration::from_secs(2);
/// So long after it was bound a pod may take to start before nobody waits for it any more.
const STARTING: SignedDuration = SignedDuration::from_secs(20);
/// How long that is waited for at most.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// A pod that does not remember what it was told is told again after so long.
const AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// What a pod is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionCost {
    /// The pod.
    pub pod: Uid,
    /// `namespace/name`.
    pub name: Arc<str>,
    /// What it costs to let it go.
    pub cost: i32,
}

/// The order in which nodes are to empty, and what pods were told of it, and when.
#[derive(Clone, Debug, Default)]
pub struct DeletionCosts {
    told: FastMap<Uid, (i32, Timestamp)>,
    /// By claim, for its node may be yet to come; `None` where there were no pods when it was looked at.
    ranks: BTreeMap<Arc<str>, Option<u32>>,
    /// Pods have come to a node without a rank.
    missing: bool,
    /// Since when it is waited for that it is calm.
    waits_since: Option<Timestamp>,
}

impl DeletionCosts {
    /// Whether somebody may have to be told as soon as it is calm.
    pub fn waits(&self, now: Timestamp) -> bool {
        self.waits_since.is_some_and(|since| now.duration_since(since) < PATIENCE)
    }

    /// What has to be told now to pods of ReplicaSets that run. While pods find their nodes, or
    /// start there, there is better to do.
    pub fn due(&mut self, live: &Live, plan: &Plan, now: Timestamp) -> Vec<DeletionCost> {
        let starts = |pod: &LivePod| {
            pod.phase == Phase::Pending && pod.bound.is_some_and(|at| now.duration_since(at) < STARTING)
        };
        let waiting = || live.pods().any(|pod| !pod.leaving() && (pod.node.is_none() || starts(pod)));
        let lately = |node: &LiveNode| live.last_pod_event(&node.name).is_some_and(|at| now.duration_since(at) < CALM);
        let mut most = AT_A_TIME;
        if !waiting() && !live.nodes().any(lately) {
            self.waits_since = None;
        } else {
            self.waits_since.get_or_insert(now);
            most = AT_A_TIME_BESIDE;
        }
        if self.waits(now) {
            return Vec::new();
        }
        self.keep_up(live, plan);
        let mut look = Look { live, plan, costs: self, known: FastMap::default(), missing: false, now };
        let mut open: BTreeMap<Symbol, Vec<Uid>> = BTreeMap::new();
        for pod in live.pods().filter(|pod| pod.node.is_some()) {
            let Some(workload) = pod.workload else { continue };
            if concerns(live, pod) && look.seat(pod).is_some_and(|seat| !seat.is_right()) {
                open.entry(workload).or_default().push(pod.uid);
            }
        }
        let due = open.into_iter().flat_map(|(workload, open)| look.of_workload(workload, &open));
        let due: Vec<DeletionCost> = due.take(most).collect();
        self.missing |= look.missing;
        self.told.extend(due.iter().map(|one| (one.pod, (one.cost, now))));
        due
    }

    /// Forgets what is gone, and gives nodes a rank as soon as one is there that has none. Nodes that are not consolidated
    /// have none: their pods are told nothing, and are the last to go.
    fn keep_up(&mut self, live: &Live, plan: &Plan) {
        self.told.retain(|pod, _| live.pod(*pod).is_some());
        self.ranks.retain(|claim, _| live.claim(claim).is_some());
        let claims: Vec<&LiveClaim> = live.claims().filter(|claim| is_consolidated(live, claim)).collect();
        let is_new = |claim: &&LiveClaim| !self.ranks.contains_key(&claim.name) && live.node_of_claim(claim).is_some();
        if std::mem::take(&mut self.missing) || claims.iter().any(is_new) {
            self.rank(live, plan, &claims);
        }
    }

    fn rank(&mut self, live: &Live, plan: &Plan, claims: &[&LiveClaim]) {
        let pods = pods_by_claim(live, plan);
        let mut kinds: BTreeMap<(Symbol, &str), u32> = BTreeMap::new();
        let mut sizes = Vec::new();
        let mut berths = vec![Berth::default(); claims.len()];
        for (claim, berth) in claims.iter().zip(&mut berths) {
            berth.rank = self.ranks.get(&claim.name).copied().flatten();
            for pod in pods.get(&*claim.name).into_iter().flatten() {
                let Some(workload) = pod.workload else { continue };
                // What is spread over zones is to stay in proportion in each of them.
                let zone = if is_spread(live, pod) { zone_of(claim) } else { "" };
                let kind = *kinds.entry((workload, zone)).or_insert_with(|| {
                    sizes.push(live.size_of(pod));
                    u32::try_from(sizes.len() - 1).unwrap_or(u32::MAX)
                });
                berth.add(kind);
            }
        }
        self.recall(&pods, claims, &mut berths);
        let mut with_pods: Vec<&mut Berth> = berths.iter_mut().filter(|berth| !berth.pods.is_empty()).collect();
        rank(&mut with_pods, &sizes);
        let ranks = claims.iter().zip(&berths).map(|(claim, berth)| (Arc::clone(&claim.name), berth.rank));
        self.ranks = ranks.collect();
    }

    /// Ranks that a process before this one has given: those that most pods of a node were told.
    fn recall(&self, pods: &BTreeMap<&str, Vec<&LivePod>>, claims: &[&LiveClaim], berths: &mut [Berth]) {
        let mut taken: BTreeSet<u32> = berths.iter().filter_map(|berth| berth.rank).collect();
        for (claim, berth) in claims.iter().zip(berths).filter(|(_, berth)| berth.rank.is_none()) {
            let mut said: BTreeMap<u32, usize> = BTreeMap::new();
            let running = pods.get(&*claim.name).into_iter().flatten().filter(|pod| pod.node.is_some());
            running
                .filter_map(|pod| rank_of(pod.own_deletion_cost?))
                .for_each(|rank| *said.entry(rank).or_default() += 1);
            let most = said.into_iter().max_by_key(|(_, pods)| *pods).map(|(rank, _)| rank);
            berth.rank = most.filter(|rank| taken.insert(*rank));
        }
    }
}

/// Whether a pod may be scaled in by a ReplicaSet, and nobody else has said what it costs.
fn concerns(live: &Live, pod: &LivePod) -> bool {
    !pod.leaving()
        && pod.deletion_cost == 0
        && pod.workload.is_some_and(|workload| live.text(workload).contains("/ReplicaSet/"))
}

/// The pods that are on the nodes of claims, or meant to be.
fn pods_by_claim<'a>(live: &'a Live, plan: &'a Plan) -> BTreeMap<&'a str, Vec<&'a LivePod>> {
    let mut pods: BTreeMap<&str, Vec<&LivePod>> = BTreeMap::new();
    for pod in live.pods().filter(|pod| concerns(live, pod)) {
        let claim = claim_to_be(live, plan, pod).or_else(|| live.claim_of_node(live.node(live.text(pod.node?))?));
        claim.into_iter().for_each(|claim| pods.entry(&claim.name).or_default().push(pod));
    }
    pods
}

/// The claim that a pod is meant for.
fn claim_to_be<'a>(live: &'a Live, plan: &Plan, pod: &LivePod) -> Option<&'a LiveClaim> {
    match &plan.place_of(pod.uid)?.target {
        Target::Claim(claim) => live.claim(claim),
        Target::Node(node) => live.claim_of_node(live.node(node)?),
    }
}

/// The zone of a claim, once it is launched.
fn zone_of(claim: &LiveClaim) -> &str {
    claim.object.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)).map_or("", String::as_str)
}

fn is_consolidated(live: &Live, claim: &LiveClaim) -> bool {
    let pool = claim.pool().and_then(|pool| live.pool(pool));
    pool.is_some_and(|pool| pool.object.spec.disruption.consolidate_after != "Never")
}

/// One look at pods and their nodes.
struct Look<'a> {
    live: &'a Live,
    plan: &'a Plan,
    costs: &'a DeletionCosts,
    /// Seats on nodes that have been looked at.
    known: FastMap<Symbol, Option<Seat<'a>>>,
    missing: bool,
    now: Timestamp,
}

impl<'a> Look<'a> {
    fn of_workload(&mut self, workload: Symbol, open: &[Uid]) -> Vec<DeletionCost> {
        let live = self.live;
        let mut own: Vec<&LivePod> = live.pods_of(workload).filter(|pod| !pod.leaving()).collect();
        if own.iter().any(|pod| pod.deletion_cost != 0) {
            return Vec::new();
        }
        own.sort_unstable_by_key(|pod| pod.uid);
        let seated: Vec<(&LivePod, Seat<'a>)> =
            own.into_iter().filter_map(|pod| Some((pod, self.seat(pod)?))).collect();
        let even = seated.first().is_some_and(|(pod, _)| is_spread(live, pod));
        let mut seats: Vec<Seat<'a>> = seated.iter().map(|(_, seat)| *seat).collect();
        complete(&mut seats, even);
        let asked = seated.iter().zip(seats).filter(|((pod, _), _)| open.contains(&pod.uid));
        asked
            .filter_map(|((pod, _), seat)| {
                let cost = seat.cost.filter(|cost| !self.was_told(pod.uid, *cost))?;
                Some(DeletionCost { pod: pod.uid, name: Arc::clone(&pod.name), cost })
            })
            .collect()
    }

    /// Whether a pod was told that just now.
    fn was_told(&self, pod: Uid, cost: i32) -> bool {
        let told = self.costs.told.get(&pod);
        told.is_some_and(|(told, at)| *told == cost && self.now.duration_since(*at) < AGAIN)
    }

    /// A pod where it runs, or is meant to.
    fn seat(&mut self, pod: &LivePod) -> Option<Seat<'a>> {
        let live = self.live;
        let known = pod.node.map(|node| (node, self.known.get(&node).copied()));
        let seat = match known {
            Some((_, Some(seat))) => seat,
            Some((node, None)) => {
                let seat = live.node(live.text(node)).and_then(|node| live.claim_of_node(node));
                let seat = seat.and_then(|claim| self.place(claim));
                self.known.insert(node, seat);
                seat
            }
            None => self.place(claim_to_be(live, self.plan, pod)?),
        };
        seat.map(|seat| Seat { cost: pod.own_deletion_cost, ..seat })
    }

    /// A node as those see it that run there.
    fn place(&mut self, claim: &'a LiveClaim) -> Option<Seat<'a>> {
        let rank = *self.costs.ranks.get(&claim.name)?;
        self.missing |= rank.is_none();
        Some(Seat { node: &claim.name, zone: zone_of(claim), rank: rank?, cost: None })
    }
}

/// Whether a pod is to be spread over zones, strictly or not.
fn is_spread(live: &Live, pod: &LivePod) -> bool {
    let zone = live.names().known.zone;
    live.spec(pod).is_some_and(|spec| spec.spreads.iter().any(|spread| spread.topology_key == zone))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{State, at};
    use super::*;

    /// Two nodes of a pool, with two and one pod of a workload.
    fn two_nodes(consolidate_after: &str) -> State {
        let mut state = State::new();
        state.pool("default", consolidate_after);
        state.member("default", "n1", "a");
        state.member("default", "n2", "b");
        for (pod, node) in [("p1", "n1"), ("p2", "n1"), ("p3", "n2")] {
            state.pod(pod, Some(node));
        }
        state
    }

    fn told(costs: &mut DeletionCosts, state: &State, now: i64) -> BTreeMap<String, i32> {
        let due = costs.due(&state.live, &Plan::default(), at(now));
        due.into_iter().map(|one| (one.name.to_string(), one.cost)).collect()
    }

    /// Has the pods remember what they are told.
    fn remember(state: &mut State, told: &BTreeMap<String, i32>) {
        for (name, cost) in told {
            let name = name.split('/').next_back().unwrap_or_default();
            let node = if name == "p3" { "n2" } else { "n1" };
            state.costed_pod(name, node, *cost, true);
        }
    }

    #[test]
    fn running_pods_are_told_once_and_one_in_each_zone_is_to_stay() {
        let (mut state, mut costs) = (two_nodes("30s"), DeletionCosts::default());
        let first = told(&mut costs, &state, 2);
        assert_eq!(first.len(), 3);
        let stays = |pod: &str| first[pod].unsigned_abs() < crate::autoscaler::disruption::scale_in::STEP;
        assert!(stays("default/p3") && stays("default/p1") != stays("default/p2"), "{first:?}");
        assert!(told(&mut costs, &state, 3).is_empty(), "the watch has yet to tell");
        assert_eq!(told(&mut costs, &state, 400), first, "they do not remember it");
        remember(&mut state, &first);
        assert!(told(&mut costs, &state, 800).is_empty());
    }

    #[test]
    fn a_process_that_comes_after_goes_on_with_the_same_order() {
        let mut state = two_nodes("30s");
        let first = told(&mut DeletionCosts::default(), &state, 2);
        remember(&mut state, &first);
        let mut later = DeletionCosts::default();
        assert!(told(&mut later, &state, 12).is_empty());
        state.pod("p4", Some("n2"));
        let rank = |cost: &i32| rank_of(*cost);
        assert_eq!(told(&mut later, &state, 14).values().map(rank).collect::<Vec<_>>(), [rank(&first["default/p3"])]);
    }

    #[test]
    fn nodes_that_are_never_consolidated_and_workloads_of_others_are_left_alone() {
        assert!(told(&mut DeletionCosts::default(), &two_nodes("Never"), 2).is_empty());
        let mut state = two_nodes("30s");
        state.costed_pod("p2", "n1", 7, false);
        assert!(told(&mut DeletionCosts::default(), &state, 2).is_empty(), "somebody else says who is to go");
    }

    #[test]
    fn the_order_is_made_once_where_a_node_has_nothing_that_is_scaled_in() {
        let (mut state, mut costs) = (two_nodes("30s"), DeletionCosts::default());
        state.member("default", "n3", "a");
        state.daemon_pod("d1", "n3");
        told(&mut costs, &state, 2);
        assert!(!costs.missing, "a daemon is nobody who could be told");
        state.pod("p4", Some("n3"));
        told(&mut costs, &state, 4);
        assert!(costs.missing, "but this one is");
        assert!(told(&mut costs, &state, 6).contains_key("default/p4"));
    }

    #[test]
    fn while_pods_find_their_nodes_nobody_is_told_for_a_while() {
        let (mut state, mut costs) = (two_nodes("30s"), DeletionCosts::default());
        assert!(told(&mut costs, &state, 1).is_empty() && costs.waits(at(1)), "they have just come");
        state.pod("p9", None);
        assert!(told(&mut costs, &state, 60).is_empty());
        assert_eq!(told(&mut costs, &state, 61).len(), 3);
    }

    #[test]
    fn while_pods_start_nobody_is_told_for_a_while() {
        let (mut state, mut costs) = (two_nodes("30s"), DeletionCosts::default());
        state.starting_pod("p9", "n2", 10);
        assert!(told(&mut costs, &state, 15).is_empty() && costs.waits(at(15)));
        assert!(told(&mut costs, &state, 29).is_empty());
        assert_eq!(told(&mut costs, &state, 30).len(), 4, "it takes too long");
    }
}
