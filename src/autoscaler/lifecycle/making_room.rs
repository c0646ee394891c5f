//! When a pod would need a node of its own only because smaller ones took the room that was meant for it, these
//! move. Pure.
//!
//! kube-scheduler may put a small pod where a large one was meant to go, and the large one fits nowhere else then.
//! A node for it alone is dear, and consolidation would move pods later to get rid of it again. A pod that has
//! hardly begun is cheaper to move now: where its node may be disrupted at all, and the saving exceeds the restart.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::demand::Question;
use super::market::Stock;
use super::plan_claims::Lookup;
use super::survey::Survey;
use crate::autoscaler::api::node_pool::ConsolidationPolicy;
use crate::autoscaler::disruption::moving::eviction_weight;
use crate::autoscaler::disruption::protection::held_by;
use crate::autoscaler::disruption::{Fleet, FleetNode, MovingCost, Reason, Settings as DisruptionSettings};
use crate::autoscaler::scheduling::{Budget, Problem, Settings, Solution, solve};
use crate::autoscaler::state::cluster::Cluster;
use crate::autoscaler::state::live::{Live, LivePod, Owner, Uid};
use crate::autoscaler::state::resources::{Amounts, CPU, MEMORY};
use crate::autoscaler::steering::Plan;

/// Only for so few pods: more are better served by nodes.
const FEW: usize = 12;
/// A pod that was bound no longer ago has hardly begun.
const JUST_BOUND: SignedDuration = SignedDuration::from_secs(20);
/// A pod that may take longer to end, in seconds, is no quicker to make room than a node is to come.
const LONGEST_GRACE: u32 = 30;
/// How many pods make room for one at most; whether that is worth it is another matter.
const MOST_MOVED: usize = 12;
/// How often room is made for a pod: another one may be quicker to take it.
const MOST_HELPED: u32 = 3;
/// How many pods make room within a minute at most.
const MOST_A_MINUTE: usize = 24;
/// How many ways to make room are tried in one decision.
const TRIALS: usize = 24;
/// How long each of them is improved, in rounds.
const ROUNDS: u64 = 20;

/// A pod that may be asked to move.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    /// Index in the question's snapshot.
    pub pod: u32,
    /// What its move costs, in dollars.
    pub cost: f64,
}

/// What was asked of pods lately.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Pods that were asked to make room, and did not go.
    stayers: BTreeSet<Uid>,
    /// Pods that room was made for, and how often.
    helped: BTreeMap<Uid, u32>,
    /// When pods made room.
    moves: Vec<Timestamp>,
}

impl Memory {
    /// A pod was asked, and did not go.
    pub fn refused(&mut self, pod: Uid) {
        self.stayers.insert(pod);
    }

    /// Pods were asked to make room for others.
    pub fn asked(&mut self, pods: usize, helped: impl Iterator<Item = Uid>, now: Timestamp) {
        self.moves.extend(std::iter::repeat_n(now, pods));
        helped.for_each(|uid| *self.helped.entry(uid).or_default() += 1);
    }

    /// Forgets pods that are gone.
    pub fn keep(&mut self, live: &Live, now: Timestamp) {
        self.stayers.retain(|uid| live.pod(*uid).is_some());
        self.helped.retain(|uid, _| live.pod(*uid).is_some());
        self.moves.retain(|at| now.duration_since(*at) < SignedDuration::from_secs(60));
    }

    fn allows(&self, question: &Question) -> bool {
        let times = |pod: &u32| question.uid(*pod).and_then(|uid| self.helped.get(&uid)).copied().unwrap_or(0);
        self.moves.len() < MOST_A_MINUTE && question.pending.iter().all(|pod| times(pod) < MOST_HELPED)
    }
}

/// A solution with pods that move.
#[derive(Debug)]
pub struct Instead {
    /// What goes where; pods that move are among those that go onto nodes that exist, or are bought.
    pub solution: Solution,
    /// The pods that have to leave where they are.
    pub moving: Vec<u32>,
}

/// The pods that may be asked to move for those that the question is about.
pub fn guests(
    live: &mut Live,
    plan: &Plan,
    stock: &Stock,
    question: &Question,
    memory: &Memory,
    now: Timestamp,
) -> Vec<Guest> {
    let fresh = |pod: &LivePod| pod.bound.is_some_and(|bound| now.duration_since(bound) <= JUST_BOUND);
    let Some(priority) = lowest_priority(live, question) else { return Vec::new() };
    if !memory.allows(question) || !live.pods().any(fresh) {
        return Vec::new();
    }
    let may_go = |pod: &LivePod| {
        let calm = pod.owner == Owner::Workload && pod.grace_seconds <= LONGEST_GRACE && pod.priority <= priority;
        calm && fresh(pod) && plan.place_of(pod.uid).is_none() && !memory.stayers.contains(&pod.uid)
    };
    let survey = Survey::new(live, plan, stock, &BTreeSet::new(), now);
    let fleet = survey.fleet(DisruptionSettings::default());
    let number: BTreeMap<Uid, u32> = question.snapshot.pods.iter().copied().zip(0_u32..).collect();
    let mut guests = Vec::new();
    for node in fleet.nodes.iter().filter(|node| lets_pods_go(&fleet, node, now)) {
        for pod in node.pods.iter().filter(|pod| held_by(&fleet, pod, now).is_none()) {
            let own = survey.uid(pod.pod).and_then(|uid| live.pod(uid));
            let Some(own) = own.filter(|pod| may_go(pod)) else { continue };
            let weight = eviction_weight(pod.deletion_cost, pod.priority);
            let cost = fleet.settings.moving.of_pod(weight, worth(fleet.cluster, node, pod.pod));
            guests.extend(number.get(&own.uid).map(|at| Guest { pod: *at, cost }));
        }
    }
    guests
}

/// The lowest priority of the pods in question, if they are few, there, and on no node.
fn lowest_priority(live: &Live, question: &Question) -> Option<i32> {
    if question.pending.len() > FEW {
        return None;
    }
    let waits = |pod: &u32| live.pod(question.uid(*pod)?).filter(|pod| pod.node.is_none());
    let priorities: Option<Vec<i32>> = question.pending.iter().map(|pod| Some(waits(pod)?.priority)).collect();
    priorities?.into_iter().min()
}

/// Whether the pool of a node lets it be disrupted for the sake of its cost.
fn lets_pods_go(fleet: &Fleet<'_>, node: &FleetNode, now: Timestamp) -> bool {
    let pool = &fleet.pools[node.pool as usize];
    let consolidates = pool.policy != ConsolidationPolicy::WhenEmpty && pool.consolidate_after.is_some();
    let forbidden = pool.budgets.iter().any(|budget| budget.forbids(Reason::Underutilized, now));
    consolidates && !forbidden && !node.leaving && !node.do_not_disrupt
}

/// What the room of a pod costs per hour.
fn worth(cluster: &Cluster, node: &FleetNode, pod: u32) -> f64 {
    let (has, asks) = (&cluster.nodes[node.node as usize].allocatable, requests(cluster, pod));
    let share = |id| asks.get(id) as f64 / has.get(id).max(1) as f64;
    node.price.dollars() * (share(CPU) + share(MEMORY)) / 2.0
}

/// A solution that is cheaper, or has a place for more pods, because some pods move; if there is one that is worth it.
pub fn instead(question: &Question, guests: &[Guest], settings: Settings, solution: &Solution) -> Option<Instead> {
    let mut best: Option<Instead> = None;
    let mut open: Vec<Guest> = guests.to_vec();
    let mut trials = TRIALS;
    while !open.is_empty() {
        let (now, moved) = best.as_ref().map_or((solution, &[][..]), |best| (&best.solution, &best.moving[..]));
        let Some(better) = step(question, &open, settings, now, moved, &mut trials) else { break };
        open.retain(|guest| !better.moving.contains(&guest.pod));
        best = Some(better);
    }
    best
}

/// Room for the pods of one more node that would be bought, or for one more that would get none.
fn step(
    question: &Question,
    guests: &[Guest],
    settings: Settings,
    solution: &Solution,
    moved: &[u32],
    trials: &mut usize,
) -> Option<Instead> {
    let cluster = &question.snapshot.cluster;
    let free = free_room(cluster, solution, moved);
    let without = solution.unplaced.iter().flat_map(|group| group.pods.chunks(1));
    let mut short: Vec<&[u32]> = solution.nodes.iter().map(|node| &*node.pods).chain(without).collect();
    short.sort_by_key(|pods| pods.len());
    short.into_iter().find_map(|pods| {
        let ways: Vec<Vec<Way<'_>>> = pods.iter().map(|pod| ways(cluster, *pod, guests, &free)).collect();
        (0..ways.first()?.len()).find_map(|first| {
            let way = together(&ways, first)?;
            *trials = trials.checked_sub(1)?;
            let moving: Vec<u32> = moved.iter().copied().chain(way.iter().map(|guest| guest.pod)).collect();
            let trial = without_places(question, &moving, settings);
            let place = |pod: &u32| trial.existing.iter().find(|(_, pods)| pods.contains(pod)).map(|(node, _)| *node);
            // A node for those that move may be a smaller one than a node for the pod that they make room for.
            let bought = |pod: &u32| trial.nodes.iter().any(|node| node.pods.contains(pod));
            let stay = moving.iter().all(|pod| place(pod).is_some() || bought(pod));
            let pays = stay && is_better(&trial, solution, cost(&way));
            // Who would come back to where it is has no need to go.
            let leaves = |pod: &u32| place(pod) != cluster.pods[*pod as usize].node;
            let moving = moving.into_iter().filter(leaves).collect();
            pays.then_some(Instead { moving, solution: trial })
        })
    })
}

/// Guests that make room for one pod.
type Way<'a> = Vec<&'a Guest>;

fn cost(way: &[&Guest]) -> f64 {
    way.iter().map(|guest| guest.cost).sum()
}

/// A way for all of several pods: for the first one its `first`, for each other one its best without guests that make
/// room for one before it.
fn together<'a>(ways: &[Vec<Way<'a>>], first: usize) -> Option<Way<'a>> {
    let mut all: Way<'a> = Vec::new();
    for (at, ways) in ways.iter().enumerate() {
        let from = if at == 0 { first } else { 0 };
        let taken = |guest: &&Guest| all.iter().any(|other| other.pod == guest.pod);
        let way = ways[from..].iter().find(|way| !way.iter().any(taken))?.clone();
        all.extend(way);
    }
    Some(all)
}

/// The solution if pods had no node yet.
fn without_places(question: &Question, moving: &[u32], settings: Settings) -> Solution {
    let mut cluster = question.snapshot.cluster.clone();
    moving.iter().for_each(|pod| cluster.pods[*pod as usize].node = None);
    let pending = question.pending.iter().chain(moving).copied().collect();
    let problem = Problem { cluster: &cluster, pending, without: question.without.clone(), settings };
    solve(&problem, Budget::rounds(ROUNDS))
}

/// Whether more pods have a place, or what is saved over the horizon exceeds the cost of the move.
fn is_better(trial: &Solution, solution: &Solution, cost: f64) -> bool {
    let left = |solution: &Solution| solution.unplaced.iter().map(|group| group.pods.len()).sum::<usize>();
    let moving = MovingCost::default();
    let (before, after) = (solution.cost.dollars(), trial.cost.dollars());
    let pays = before - after - moving.hourly(cost) > before * moving.least_share;
    left(trial) < left(solution) || (left(trial) == left(solution) && pays)
}

/// What is free on each node beside the pods on it that have not moved, and those that the solution puts there.
fn free_room(cluster: &Cluster, solution: &Solution, moved: &[u32]) -> Vec<Amounts> {
    let mut free: Vec<Amounts> = cluster.nodes.iter().map(|node| node.allocatable.clone()).collect();
    let there = (0_u32..).zip(&cluster.pods).filter_map(|(at, pod)| Some((pod.node?, at)));
    let there = there.filter(|(_, pod)| !moved.contains(pod));
    let planned = solution.existing.iter().flat_map(|(node, pods)| pods.iter().map(|pod| (*node, *pod)));
    for (node, pod) in there.chain(planned) {
        requests(cluster, pod).iter().for_each(|(id, amount)| free[node as usize].add(id, -amount));
    }
    free
}

/// Guests that leave a pod enough room when they go: one of a node, or if none is enough the largest ones of it
/// together. Those for whom there is room elsewhere come first, of these the best.
fn ways<'a>(cluster: &Cluster, pod: u32, guests: &'a [Guest], free: &[Amounts]) -> Vec<Way<'a>> {
    let node_of = |guest: &Guest| cluster.pods[guest.pod as usize].node;
    let fits_elsewhere = |guest: &Guest| {
        let fits = |room: &Amounts| requests(cluster, guest.pod).iter().all(|(id, amount)| room.get(id) >= amount);
        (0_u32..).zip(free).any(|(node, room)| node_of(guest) != Some(node) && fits(room))
    };
    let mut of_node: BTreeMap<u32, Vec<&Guest>> = BTreeMap::new();
    let spec_of = |guest: &Guest| cluster.pods[guest.pod as usize].spec;
    let mut others: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut homeless: BTreeSet<u32> = BTreeSet::new();
    for (node, guest) in guests.iter().filter_map(|guest| Some((node_of(guest)?, guest))) {
        // Of those that are alike no more than may move together are worth a trial.
        let alike = others.entry((node, spec_of(guest))).or_default();
        *alike += 1;
        if *alike <= MOST_MOVED {
            if !fits_elsewhere(guest) {
                homeless.insert(guest.pod);
            }
            of_node.entry(node).or_default().push(guest);
        }
    }
    let found = of_node.into_iter().flat_map(|(node, mut guests)| {
        let asked = requests(cluster, pod).iter();
        let lacks = asked.map(|(id, asked)| (id, asked - free[node as usize].get(id)));
        let lacks: Amounts = lacks.filter(|(_, lacks)| *lacks > 0).collect();
        // Where nothing is lacking it is not room that keeps the pod away.
        if lacks.iter().next().is_none() {
            return Vec::new();
        }
        let covers = |way: &[&Guest]| {
            let held = |id| way.iter().map(|guest| requests(cluster, guest.pod).get(id)).sum::<i64>();
            lacks.iter().all(|(id, amount)| held(id) >= amount)
        };
        let mut ways: Vec<Way<'_>> = guests.iter().filter(|one| covers(&[**one])).map(|one| vec![*one]).collect();
        if ways.is_empty() {
            let without = |guest: &Guest| homeless.contains(&guest.pod);
            guests.sort_by(|a, b| without(a).cmp(&without(b)).then(b.cost.total_cmp(&a.cost)));
            let largest = (2..=MOST_MOVED.min(guests.len())).map(|count| &guests[..count]);
            ways.extend(largest.into_iter().find(|way| covers(way)).map(<[_]>::to_vec));
        }
        ways
    });
    let mut found: Vec<Way<'_>> = found.collect();
    let without = |way: &Way<'_>| way.iter().any(|guest| homeless.contains(&guest.pod));
    found.sort_by(|a, b| (without(a), a.len()).cmp(&(without(b), b.len())).then(cost(a).total_cmp(&cost(b))));
    found
}

fn requests(cluster: &Cluster, pod: u32) -> &Amounts {
    &cluster.spec(cluster.pods[pod as usize].spec).requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::api::NodePool;
    use crate::autoscaler::api::pool_reading::read_pool;
    use crate::autoscaler::scheduling::Solution;
    use crate::autoscaler::state::catalogue_file::read_catalogue;
    use crate::autoscaler::state::live::Snapshot;
    use serde_json::{Value, json};

    const TYPES: &str =
        "instance_type,vcpu,memory_mib,on_demand_usd,spot_a_usd,spot_b_usd,zones\nm5.xlarge,4,16384,0.2,,,ab\n";

    /// A cluster of nodes with four processors each, and the pod `late`, which asks for three and waits.
    struct Given(Question);

    impl Given {
        fn new(nodes: &[&str]) -> Self {
            Self::selling(TYPES, nodes)
        }

        fn selling(types: &str, nodes: &[&str]) -> Self {
            let pool: NodePool = serde_json::from_value(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "default" },
                "spec": { "template": { "spec": { "requirements": [],
                    "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c" } } } },
            }))
            .expect("a pool");
            let mut cluster = Cluster::default();
            cluster.catalogue = read_catalogue(&mut cluster.names, types, "z").expect("a catalogue");
            let read = read_pool(&mut cluster.names, "default", &pool.spec).expect("a pool without faults");
            cluster.pools.push(read);
            for name in nodes {
                let node: Value = json!({ "metadata": { "name": name }, "status": {
                    "allocatable": { "cpu": "4", "memory": "14Gi", "pods": "20" },
                    "conditions": [{ "type": "Ready", "status": "True" }] } });
                cluster.add_node(&serde_json::from_value(node).expect("a node")).expect("a node that can be read");
            }
            let snapshot = Snapshot { cluster, ..Snapshot::default() };
            let mut given = Self(Question {
                snapshot,
                pending: Vec::new(),
                without: vec![false; nodes.len()],
                pools: BTreeMap::new(),
                left_out: Vec::new(),
                coming: BTreeMap::new(),
            });
            given.pod("late", "3", None);
            given.0.pending.push(0);
            given
        }

        /// Adds a pod; its number.
        fn pod(&mut self, name: &str, cpu: &str, node: Option<&str>) -> u32 {
            let pod = json!({ "metadata": { "name": name, "namespace": "default" }, "spec": { "nodeName": node,
                "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu, "memory": "128Mi" } } }] } });
            self.0.snapshot.cluster.add_pod(&serde_json::from_value(pod).expect("a pod"));
            self.0.snapshot.pods.push(Uid::read(name));
            u32::try_from(self.0.snapshot.pods.len() - 1).expect("few pods")
        }

        fn bought(&self) -> Solution {
            solve(&self.0.problem(Settings::default()), Budget::rounds(ROUNDS))
        }

        fn instead(&self, guests: &[(u32, f64)]) -> Option<Instead> {
            let guests: Vec<Guest> = guests.iter().map(|(pod, cost)| Guest { pod: *pod, cost: *cost }).collect();
            instead(&self.0, &guests, Settings::default(), &self.bought())
        }
    }

    #[test]
    fn room_is_made_for_a_pod_again_when_another_one_took_it_but_not_for_ever() {
        let given = Given::new(&["n1"]);
        let mut memory = Memory::default();
        for _ in 0..MOST_HELPED {
            assert!(memory.allows(&given.0));
            memory.asked(1, given.0.uid(0).into_iter(), Timestamp::UNIX_EPOCH);
        }
        assert!(!memory.allows(&given.0));
    }

    #[test]
    fn the_pod_that_is_cheapest_to_move_makes_room_instead_of_a_node_that_is_bought() {
        let mut given = Given::new(&["n1", "n2"]);
        let [dear, cheap] = ["dear", "cheap"].map(|name| given.pod(name, "600m", Some("n1")));
        given.pod("old", "2", Some("n2"));
        assert_eq!(given.bought().nodes.len(), 1);
        let found = given.instead(&[(dear, 0.02), (cheap, 0.01)]).expect("one moves");
        assert_eq!(found.moving, [cheap]);
        assert!(found.solution.nodes.is_empty() && found.solution.unplaced.is_empty());
        let node_of = |pod: u32| found.solution.existing.iter().find(|(_, pods)| pods.contains(&pod)).map(|one| one.0);
        assert_eq!((node_of(0), node_of(cheap)), (Some(0), Some(1)));
    }

    #[test]
    fn several_move_where_one_is_not_enough() {
        let mut given = Given::new(&["n1", "n2"]);
        let small = ["a", "b", "c"].map(|name| given.pod(name, "600m", Some("n1")));
        given.pod("old", "2", Some("n2"));
        let found = given.instead(&small.map(|pod| (pod, 0.001))).expect("two move");
        assert_eq!(found.moving.len(), 2);
        assert!(found.solution.nodes.is_empty());
    }

    #[test]
    fn all_pods_of_a_node_find_room_or_none_is_made() {
        let given = |third: &str| {
            let mut given = Given::new(&["n1", "n2", "n3"]);
            given.0.pending = ["a", "b"].map(|name| given.pod(name, "1800m", None)).to_vec();
            let guests = ["n1", "n2"].map(|node| {
                given.pod("old", "1800m", Some(node));
                (given.pod(&format!("of-{node}"), "600m", Some(node)), 0.001)
            });
            given.pod("old", third, Some("n3"));
            assert_eq!(given.bought().nodes.len(), 1, "both go onto one new node");
            given.instead(&guests)
        };
        assert!(given("3").is_none(), "n3 has room for one guest, and the new node would still be needed");
        let found = given("2500m").expect("n3 has room for both guests");
        assert!(found.moving.len() == 2 && found.solution.nodes.is_empty());
    }

    #[test]
    fn guests_get_a_smaller_node_than_the_pod_that_they_make_room_for_would_get() {
        let types = format!("{TYPES}m5.large,2,8192,0.1,,,ab\n");
        let mut given = Given::selling(&types, &["n1", "n2"]);
        let guest = given.pod("guest", "1500m", Some("n1"));
        given.pod("old", "3", Some("n2"));
        let found = given.instead(&[(guest, 0.001)]).expect("it moves");
        assert_eq!(found.moving, [guest]);
        let bought: Vec<&[u32]> = found.solution.nodes.iter().map(|node| &*node.pods).collect();
        assert_eq!(bought, [&[guest][..]], "one node, for the guest");
        assert!(found.solution.cost < given.bought().cost);
        assert!(given.instead(&[(guest, 1.0)]).is_none(), "the move costs more than the smaller node saves");
    }

    #[test]
    fn nobody_moves_without_a_place_to_go_to_or_for_less_than_the_move_costs() {
        let given = |old: &str| {
            let mut given = Given::new(&["n1", "n2"]);
            let guest = given.pod("guest", "1500m", Some("n1"));
            given.pod("old", old, Some("n2"));
            (given, guest)
        };
        let (full, guest) = given("3");
        assert!(full.instead(&[(guest, 0.001)]).is_none(), "n2 is full");
        let (given, guest) = given("2");
        assert!(given.instead(&[(guest, 1.0)]).is_none(), "the node costs 0.2 an hour");
        assert!(given.instead(&[(guest, 0.001)]).is_some());
        assert!(given.instead(&[]).is_none());
    }

    #[test]
    fn a_pod_that_nothing_can_be_bought_for_gets_the_room_of_one_that_fits_elsewhere() {
        let mut given = Given::new(&["n1", "n2"]);
        given.0.snapshot.cluster.pools.clear();
        let guest = given.pod("guest", "1500m", Some("n1"));
        given.pod("old", "2", Some("n2"));
        assert_eq!(given.bought().unplaced.len(), 1);
        let found = given.instead(&[(guest, 1.0)]).expect("it moves");
        assert!(found.solution.unplaced.is_empty());
    }
}
