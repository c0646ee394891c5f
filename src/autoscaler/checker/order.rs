//! The search for an order in which kube-scheduler could have placed the new pods.
//!
//! Where a pod goes is given, so the search is over sequences only. Pods that no spread or affinity rule
//! connects cannot be in each other's way, so each connected set is searched alone: exhaustively while it
//! is small (every subset is visited once), otherwise by rounds. A round always takes the first pod that can
//! be placed, lowest level first (the level is how full the pod's domain would be); pods that got stuck go
//! to the front of the next round.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Cluster;
use super::{Order, Rule, Violation};

/// Up to this many connected pods are searched exhaustively.
const EXHAUSTIVE: usize = 14;
/// Rounds for larger sets.
const ROUNDS: usize = 24;
/// Attempts to place a pod after which a round no longer goes back to the front after each success.
const EAGER_ATTEMPTS: usize = 1_000_000;
/// Attempts to place a pod after which a round, and with it the search of its set, ends.
const ALL_ATTEMPTS: usize = 4_000_000;

/// What became of one connected set.
struct Outcome {
    sequence: Vec<usize>,
    stuck: Vec<usize>,
    exhausted: bool,
}

/// Looks for an order of the new pods (pod, node), none of which is placed. `order_free_rules_hold` says that
/// the final state keeps every rule that does not depend on order, so that only the others are looked at.
pub fn find(cluster: &mut Cluster, new: &[(usize, usize)], order_free_rules_hold: bool) -> Order {
    find_within(cluster, new, order_free_rules_hold, EXHAUSTIVE)
}

/// [`find`], with the size (at most 32) up to which connected sets are searched exhaustively.
pub fn find_within(
    cluster: &mut Cluster,
    new: &[(usize, usize)],
    order_free_rules_hold: bool,
    exhaustive: usize,
) -> Order {
    let mut search = Search { cluster, target: new.iter().copied().collect(), order_free_rules_hold };
    let mut sequence = Vec::new();
    let mut stuck = Vec::new();
    let mut proved = !order_free_rules_hold;
    for set in search.connected_sets() {
        let outcome = if set.len() <= exhaustive { search.exhaust(&set) } else { search.rounds(&set) };
        proved |= !outcome.stuck.is_empty() && outcome.exhausted;
        sequence.extend(outcome.sequence);
        stuck.extend(outcome.stuck);
    }
    let placed = sequence.iter().map(|pod| search.cluster.pods[*pod].key.clone()).collect();
    if stuck.is_empty() {
        return Order::Found(placed);
    }
    Order::Stuck { placed, stuck: stuck.into_iter().map(|pod| search.why_stuck(pod)).collect(), proved }
}

/// A round under way.
struct Round {
    sequence: Vec<usize>,
    blocked: Vec<usize>,
    attempts: usize,
}

struct Search<'b, 'a> {
    cluster: &'b mut Cluster<'a>,
    target: BTreeMap<usize, usize>,
    order_free_rules_hold: bool,
}

impl Search<'_, '_> {
    /// Pods by the spread and affinity groups that connect them, in order of their first pod.
    fn connected_sets(&self) -> Vec<Vec<usize>> {
        let cluster = &self.cluster;
        let spread: BTreeSet<usize> =
            self.own_groups(|pod| cluster.members[pod].spread.iter().map(|(group, _)| *group).collect());
        let affinity: BTreeSet<usize> =
            self.own_groups(|pod| cluster.members[pod].affinity.iter().map(|(group, _)| *group).collect());
        let offset = cluster.pods.len();
        let affinity_offset = offset + cluster.spread.len();
        let mut parents: Vec<usize> = (0..affinity_offset + cluster.affinity.len()).collect();
        for pod in self.target.keys() {
            let members = &cluster.members[*pod];
            let matched = &cluster.matched[members.class];
            let of_spread = members.spread.iter().map(|(group, _)| group).chain(&matched.spread);
            for group in of_spread.filter(|group| spread.contains(group)) {
                unite(&mut parents, *pod, offset + group);
            }
            let of_affinity = members.affinity.iter().map(|(group, _)| group).chain(&matched.affinity);
            for group in of_affinity.filter(|group| affinity.contains(group)) {
                unite(&mut parents, *pod, affinity_offset + group);
            }
        }
        let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for pod in self.target.keys() {
            sets.entry(root(&mut parents, *pod)).or_default().push(*pod);
        }
        let mut sets: Vec<Vec<usize>> = sets.into_values().collect();
        sets.sort();
        sets
    }

    fn own_groups(&self, of_pod: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
        self.target.keys().flat_map(|pod| of_pod(*pod)).collect()
    }

    fn can_place(&self, pod: usize) -> bool {
        self.reasons(pod).is_empty()
    }

    fn reasons(&self, pod: usize) -> Vec<(Rule, String)> {
        let node = self.target[&pod];
        let bound = self.cluster.order_bound_refusals(pod, node);
        if self.order_free_rules_hold || !bound.is_empty() {
            return bound;
        }
        self.cluster.order_free_refusals(pod, node)
    }

    fn place(&mut self, pod: usize) {
        self.cluster.place(pod, self.target[&pod]);
    }

    fn why_stuck(&self, pod: usize) -> Violation {
        let (rule, detail) =
            self.reasons(pod).into_iter().next().unwrap_or((Rule::Reference, "its turn never came".to_owned()));
        let node = self.cluster.nodes[self.target[&pod]].name.to_owned();
        Violation { pod: self.cluster.pods[pod].key.clone(), node, rule, detail }
    }

    /// Visits every reachable subset of a small set once; leaves the longest sequence placed.
    fn exhaust(&mut self, set: &[usize]) -> Outcome {
        let mut visited = BTreeSet::new();
        let mut best = Vec::new();
        self.extend(set, 0, &mut visited, &mut Vec::new(), &mut best);
        let sequence: Vec<usize> = best.iter().map(|position| set[*position]).collect();
        for pod in &sequence {
            self.place(*pod);
        }
        let stuck = set.iter().filter(|pod| !sequence.contains(pod)).copied().collect();
        Outcome { sequence, stuck, exhausted: true }
    }

    /// Depth first from the subset `placed` (a bit per position). Whether all pods could be placed.
    fn extend(
        &mut self,
        set: &[usize],
        placed: u32,
        visited: &mut BTreeSet<u32>,
        path: &mut Vec<usize>,
        best: &mut Vec<usize>,
    ) -> bool {
        if path.len() > best.len() {
            best.clone_from(path);
        }
        if path.len() == set.len() {
            return true;
        }
        if !visited.insert(placed) {
            return false;
        }
        for (position, pod) in set.iter().enumerate() {
            let bit = 1 << position;
            if placed & bit != 0 || visited.contains(&(placed | bit)) || !self.can_place(*pod) {
                continue;
            }
            self.place(*pod);
            path.push(position);
            let done = self.extend(set, placed | bit, visited, path, best);
            path.pop();
            self.cluster.remove(*pod);
            if done {
                return true;
            }
        }
        false
    }

    /// Rounds over a large set; leaves the longest sequence placed.
    fn rounds(&mut self, set: &[usize]) -> Outcome {
        let levels = self.levels(set);
        let mut urgency: BTreeMap<usize, i64> = BTreeMap::new();
        let mut best: Option<Outcome> = None;
        let mut attempts = 0;
        for _ in 0..ROUNDS {
            let mut queue = set.to_vec();
            queue.sort_by_key(|pod| {
                let urgent = urgency.get(pod).copied().unwrap_or(0);
                (-urgent, levels.get(pod).copied().unwrap_or(0), self.is_free(*pod), *pod)
            });
            let outcome = self.round(queue, &mut attempts);
            for pod in &outcome.sequence {
                self.cluster.remove(*pod);
            }
            for pod in &outcome.stuck {
                *urgency.entry(*pod).or_insert(0) += 1;
            }
            let done = outcome.stuck.is_empty();
            if best.as_ref().is_none_or(|best| outcome.stuck.len() < best.stuck.len()) {
                best = Some(outcome);
            }
            if done || attempts >= ALL_ATTEMPTS {
                break;
            }
        }
        let best = best.unwrap_or(Outcome { sequence: Vec::new(), stuck: set.to_vec(), exhausted: false });
        for pod in &best.sequence {
            self.place(*pod);
        }
        best
    }

    /// Takes the first pod that can be placed until none can. After many attempts it no longer goes back to
    /// the front after each success, and after too many it gives up.
    fn round(&mut self, queue: Vec<usize>, attempts: &mut usize) -> Outcome {
        let mut round = Round { sequence: Vec::with_capacity(queue.len()), blocked: Vec::new(), attempts: 0 };
        for pod in queue {
            round.blocked.push(pod);
            let newest = round.blocked.len() - 1;
            if self.try_blocked(&mut round, newest) && round.attempts < EAGER_ATTEMPTS {
                self.retry(&mut round, EAGER_ATTEMPTS);
            }
        }
        self.retry(&mut round, ALL_ATTEMPTS);
        *attempts += round.attempts;
        Outcome { sequence: round.sequence, stuck: round.blocked, exhausted: false }
    }

    /// Passes over the blocked pods until a whole pass places none, or the attempts are used up.
    fn retry(&mut self, round: &mut Round, attempts: usize) {
        let mut position = 0;
        let mut placed_in_pass = false;
        while round.attempts < attempts {
            if position == round.blocked.len() {
                if !placed_in_pass {
                    return;
                }
                (position, placed_in_pass) = (0, false);
            } else if !self.try_blocked(round, position) {
                position += 1;
            } else if round.attempts < EAGER_ATTEMPTS {
                (position, placed_in_pass) = (0, false);
            } else {
                placed_in_pass = true;
            }
        }
    }

    /// Places a blocked pod if that is possible now.
    fn try_blocked(&mut self, round: &mut Round, position: usize) -> bool {
        let pod = round.blocked[position];
        round.attempts += 1;
        let possible = self.can_place(pod);
        if possible {
            round.blocked.remove(position);
            self.place(pod);
            round.sequence.push(pod);
        }
        possible
    }

    /// Whether no order-bound rule of its own holds a pod back.
    fn is_free(&self, pod: usize) -> bool {
        let members = &self.cluster.members[pod];
        members.spread.is_empty() && members.affinity.is_none()
    }

    /// How full the fullest domain of each pod is when it comes, if every domain is filled pod by pod.
    fn levels(&self, set: &[usize]) -> BTreeMap<usize, i64> {
        let mut filled: BTreeMap<(usize, &str), i64> = BTreeMap::new();
        let mut levels = BTreeMap::new();
        let mut by_freedom = set.to_vec();
        by_freedom.sort_by_key(|pod| (self.is_free(*pod), *pod));
        for pod in by_freedom {
            let labels = self.cluster.nodes[self.target[&pod]].labels;
            let mut level = 0;
            for group in &self.cluster.matched[self.cluster.members[pod].class].spread {
                let spread = &self.cluster.spread;
                if let Some(domain) = spread.domain(*group, labels) {
                    let count = filled.entry((*group, domain)).or_insert_with(|| spread.base(*group, domain));
                    level = level.max(*count);
                    *count += 1;
                }
            }
            levels.insert(pod, level);
        }
        levels
    }
}

fn root(parents: &mut [usize], mut item: usize) -> usize {
    while parents[item] != item {
        parents[item] = parents[parents[item]];
        item = parents[item];
    }
    item
}

fn unite(parents: &mut [usize], one: usize, other: usize) {
    let (one, other) = (root(parents, one), root(parents, other));
    parents[one] = other;
}
