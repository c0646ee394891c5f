//! Which of its pods a ReplicaSet is to let go first when it is scaled in, so that nodes empty and few pods have to move.
//!
//! Left to itself it takes them evenly from all nodes, and what is left has to be put together again. It heeds
//! `controller.kubernetes.io/pod-deletion-cost` before that: pods of low cost go first. So the nodes get an order in
//! which they are to go, the same for every workload ([`rank`]). It is made from behind: the next node to stay is the one
//! with which those that stay hold all workloads in proportion, so that whatever all of them are scaled in to, about
//! that share of the nodes is full and the rest is empty.
//!
//! Nobody is to lose by that: a workload keeps pods in two zones as long as it can, on two nodes where there is one zone, and
//! one that asks to be spread over zones is taken from the fullest zone ([`complete`]).

use crate::state::intern::FastMap;
use std::collections::{BTreeMap, BTreeSet};

/// Ranks are below this; costs of pods that stand equally high in their workload lie within it.
pub const STEP: u32 = 1 << 17;
/// So many pods of a workload stay apart from each other as long as they can.
const APART: usize = 2;
/// Pods of a zone beyond that many are not told apart.
const MOST_TIERS: u32 = 63;
/// So many nodes are weighed against each other at a time.
const MOST_WEIGHED: usize = 512;

/// A node with the pods that may be scaled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Berth {
    /// Pods by workload: (workload, how many).
    pub pods: Vec<(u32, u32)>,
    /// Its place in the order, as far as it has one: those of high rank go first.
    pub rank: Option<u32>,
}

impl Berth {
    /// Counts a pod.
    pub fn add(&mut self, workload: u32) {
        match self.pods.iter_mut().find(|(known, _)| *known == workload) {
            Some((_, count)) => *count += 1,
            None => self.pods.push((workload, 1)),
        }
    }
}

/// Gives nodes without a rank one; nodes that have one keep it, unless there is no room left between two. `sizes` says how
/// large a pod of each workload is. Equal nodes stay in the order in which they are given.
pub fn rank(berths: &mut [&mut Berth], sizes: &[u64]) {
    let mut known: Vec<usize> = (0..berths.len()).filter(|at| berths[*at].rank.is_some()).collect();
    known.sort_by_key(|at| berths[*at].rank);
    let mut open: Vec<usize> = (0..berths.len()).filter(|at| berths[*at].rank.is_none()).collect();
    known.reverse();
    open.reverse();
    let mut stay = Staying::new(berths, sizes);
    let mut order: Vec<usize> = Vec::with_capacity(berths.len());
    while !open.is_empty() {
        let mut best = open.len();
        let mut least = known.last().map_or(f64::INFINITY, |at| stay.imbalance_with(berths[*at]));
        for at in (open.len().saturating_sub(MOST_WEIGHED)..open.len()).rev() {
            let imbalance = stay.imbalance_with(berths[open[at]]);
            if imbalance < least {
                (best, least) = (at, imbalance);
            }
        }
        let next = if best < open.len() { Some(open.remove(best)) } else { known.pop() };
        let Some(next) = next.or_else(|| open.pop()) else { break };
        stay.add(berths[next]);
        order.push(next);
    }
    order.extend(known.into_iter().rev());
    number(berths, &order);
}

/// Numbers those in between evenly; all of them when there is no room.
fn number(berths: &mut [&mut Berth], order: &[usize]) {
    let mut from = 0;
    let mut gap: Vec<usize> = Vec::new();
    let ends = order.iter().map(|at| Some(*at)).chain([None]);
    for at in ends {
        let until = match at {
            Some(at) => berths[at].rank,
            None => Some(STEP),
        };
        match (at, until) {
            (Some(at), None) => gap.push(at),
            (_, until) => {
                let until = until.unwrap_or(STEP);
                let each =
                    until.saturating_sub(from) / (u32::try_from(gap.len()).unwrap_or(u32::MAX).saturating_add(1));
                if each == 0 && !gap.is_empty() {
                    order.iter().for_each(|at| berths[*at].rank = None);
                    return number(berths, order);
                }
                for (nth, at) in (1_u32..).zip(gap.drain(..)) {
                    berths[at].rank = Some(from + nth * each);
                }
                from = until;
            }
        }
    }
}

/// The nodes that stay so far. The imbalance is the sum over workloads of size × (pods that stay − their share)², the share
/// being that of everything that stays.
struct Staying<'a> {
    sizes: &'a [u64],
    /// Pods by workload: in all, and on nodes that stay.
    total: Vec<f64>,
    kept: Vec<f64>,
    /// Sizes of all pods, and of those that stay.
    whole: f64,
    part: f64,
    /// Sums over workloads, weighed by size: kept², kept × total, total².
    squares: [f64; 3],
}

impl<'a> Staying<'a> {
    fn new(berths: &[&mut Berth], sizes: &'a [u64]) -> Self {
        let mut total = vec![0.0; sizes.len()];
        berths.iter().flat_map(|one| &one.pods).for_each(|(of, count)| total[*of as usize] += f64::from(*count));
        let weighed = |value: &dyn Fn(f64) -> f64| -> f64 {
            sizes.iter().zip(&total).map(|(size, total)| *size as f64 * value(*total)).sum()
        };
        let (whole, squares) = (weighed(&|total| total), [0.0, 0.0, weighed(&|total| total * total)]);
        Self { sizes, kept: vec![0.0; sizes.len()], total, whole, part: 0.0, squares }
    }

    fn size(&self, of: u32) -> f64 {
        self.sizes[of as usize] as f64
    }

    fn imbalance_with(&self, berth: &Berth) -> f64 {
        let own: f64 = berth.pods.iter().map(|(of, count)| self.size(*of) * f64::from(*count)).sum();
        let share = (self.part + own) / self.whole.max(1.0);
        let [kept, both, total] = self.squares;
        let before = kept - 2.0 * share * both + share * share * total;
        let change = |(of, count): &(u32, u32)| {
            let (of_it, count) = (*of as usize, f64::from(*count));
            self.size(*of) * count * (2.0 * (self.kept[of_it] - share * self.total[of_it]) + count)
        };
        before + berth.pods.iter().map(change).sum::<f64>()
    }

    fn add(&mut self, berth: &Berth) {
        for (of, count) in &berth.pods {
            let (size, at, count) = (self.size(*of), *of as usize, f64::from(*count));
            self.squares[0] += size * count * (2.0 * self.kept[at] + count);
            self.squares[1] += size * count * self.total[at];
            self.kept[at] += count;
            self.part += size * count;
        }
    }
}

/// A pod of a workload, where it runs or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat<'a> {
    /// Its node.
    pub node: &'a str,
    /// The zone of the node.
    pub zone: &'a str,
    /// The rank of the node.
    pub rank: u32,
    /// What it costs to let it go, as far as that was said.
    pub cost: Option<i32>,
}

/// The rank of the node for which a cost was said.
pub fn rank_of(cost: i32) -> Option<u32> {
    (cost <= 0).then(|| cost.unsigned_abs() % STEP)
}

impl Seat<'_> {
    /// Whether it costs what fits its node.
    pub fn is_right(&self) -> bool {
        self.cost.and_then(rank_of) == Some(self.rank)
    }

    fn tier(&self) -> u32 {
        self.cost.map_or(0, |cost| cost.unsigned_abs() / STEP)
    }
}

/// Gives those pods of a workload a cost that have none which fits their node. `even` says that the workload is to be
/// spread over zones.
pub fn complete(seats: &mut [Seat<'_>], even: bool) {
    let mut open: Vec<usize> = (0..seats.len()).filter(|at| !seats[*at].is_right()).collect();
    open.sort_by_key(|at| seats[*at].rank);
    let several_zones = seats.windows(2).any(|two| two[0].zone != two[1].zone);
    let domain = |seat: &Seat<'_>| if several_zones { seat.zone.to_owned() } else { seat.node.to_owned() };
    let mut tiers: BTreeMap<&str, FastMap<u32, ()>> = BTreeMap::new();
    let mut apart: BTreeSet<String> = BTreeSet::new();
    for seat in seats.iter().filter(|seat| seat.is_right()) {
        tiers.entry(seat.zone).or_default().insert(seat.tier(), ());
        apart.extend((seat.tier() == 0).then(|| domain(seat)));
    }
    for at in open {
        let taken = tiers.entry(seats[at].zone).or_default();
        let tier = match even {
            true => (0..MOST_TIERS).find(|tier| !taken.contains_key(tier)).unwrap_or(MOST_TIERS),
            false => u32::from(apart.len() >= APART || !apart.insert(domain(&seats[at]))),
        };
        taken.insert(tier, ());
        seats[at].cost = i32::try_from(tier * STEP + seats[at].rank).ok().map(|cost| -cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berth(pods: &[(u32, u32)]) -> Berth {
        Berth { pods: pods.to_vec(), rank: None }
    }

    /// The nodes in the order in which they stay, the first the longest.
    fn ranked(berths: &mut [Berth], sizes: &[u64]) -> Vec<usize> {
        rank(&mut berths.iter_mut().collect::<Vec<_>>(), sizes);
        let mut order: Vec<usize> = (0..berths.len()).collect();
        order.sort_by_key(|at| berths[*at].rank);
        order
    }

    #[test]
    fn whatever_is_left_holds_all_workloads_in_proportion() {
        // Four nodes with pods of one workload each, of two workloads.
        let mut berths = [berth(&[(0, 4)]), berth(&[(0, 4)]), berth(&[(1, 4)]), berth(&[(1, 4)])];
        let order = ranked(&mut berths, &[1000, 1000]);
        let first: BTreeSet<u32> = order[..2].iter().map(|at| berths[*at].pods[0].0).collect();
        assert_eq!(first.len(), 2, "one of each stays: {order:?}");
    }

    #[test]
    fn a_node_with_everything_stays_before_those_with_one_kind() {
        let mut berths = [berth(&[(0, 8)]), berth(&[(1, 8)]), berth(&[(0, 4), (1, 4)])];
        assert_eq!(ranked(&mut berths, &[1000, 1000])[0], 2);
    }

    #[test]
    fn nodes_keep_their_rank_when_others_come_in_between() {
        let mut berths = vec![berth(&[(0, 4)]), berth(&[(1, 4)]), berth(&[(0, 4)])];
        ranked(&mut berths, &[1000, 1000]);
        let before: Vec<Option<u32>> = berths.iter().map(|one| one.rank).collect();
        berths.push(berth(&[(0, 2), (1, 2)]));
        let order = ranked(&mut berths, &[1000, 1000]);
        assert_eq!(berths[..3].iter().map(|one| one.rank).collect::<Vec<_>>(), before);
        assert_eq!(order[0], 3, "what is in proportion stays longest");
    }

    #[test]
    fn where_there_is_no_room_between_two_all_are_numbered_anew() {
        let mut berths = vec![berth(&[(0, 9)]), berth(&[(0, 9)]), berth(&[(0, 9)])];
        (berths[0].rank, berths[1].rank) = (Some(0), Some(1));
        berths[2].pods = vec![(0, 1)];
        let order = ranked(&mut berths, &[1000]);
        let ranks: BTreeSet<Option<u32>> = berths.iter().map(|one| one.rank).collect();
        assert_eq!(ranks.len(), 3, "{berths:?}");
        let of = |node| order.iter().position(|at| *at == node);
        assert!(of(0) < of(1), "the order stays");
    }

    #[test]
    fn many_nodes_get_ranks_of_their_own() {
        let mut berths: Vec<Berth> = (0..3000_u32).map(|at| berth(&[(at % 7, 1 + at % 3), (at % 11, 2)])).collect();
        ranked(&mut berths, &[500; 11]);
        let ranks: BTreeSet<u32> = berths.iter().filter_map(|one| one.rank).collect();
        assert_eq!(ranks.len(), 3000);
        assert!(ranks.iter().all(|rank| *rank < STEP));
    }

    fn seat<'a>(node: &'a str, zone: &'a str, rank: u32) -> Seat<'a> {
        Seat { node, zone, rank, cost: None }
    }

    /// The nodes of the pods in the order in which they go.
    fn gone<'a>(mut seats: Vec<Seat<'a>>, even: bool) -> Vec<&'a str> {
        complete(&mut seats, even);
        seats.sort_by_key(|seat| seat.cost);
        seats.into_iter().map(|seat| seat.node).collect()
    }

    #[test]
    fn nodes_of_high_rank_empty_first_and_two_pods_stay_apart() {
        let seats = [("last", 9), ("first", 1), ("last", 9), ("next", 5), ("first", 1), ("next", 5), ("last", 9)];
        let gone = gone(seats.iter().map(|(node, rank)| seat(node, "a", *rank)).collect(), false);
        assert_eq!(gone, ["last", "last", "last", "next", "first", "next", "first"]);
    }

    #[test]
    fn a_workload_keeps_pods_in_two_zones() {
        let seats = [("n9", "a", 9), ("n9", "a", 9), ("n1", "b", 1), ("n1", "b", 1), ("n5", "b", 5), ("n7", "c", 7)];
        let gone = gone(seats.iter().map(|(node, zone, rank)| seat(node, zone, *rank)).collect(), false);
        assert_eq!(gone, ["n9", "n9", "n5", "n1", "n7", "n1"]);
    }

    #[test]
    fn one_that_is_spread_over_zones_is_taken_from_the_fullest() {
        let seats = [("a", 1), ("a", 1), ("a", 1), ("b", 2), ("b", 2), ("c", 3)];
        let gone = gone(seats.iter().map(|(zone, rank)| seat(zone, zone, *rank)).collect(), true);
        assert_eq!(gone, ["a", "b", "a", "c", "b", "a"]);
    }

    #[test]
    fn what_has_been_said_stands_while_a_pod_stays_on_its_node() {
        let mut seats = vec![seat("n1", "a", 4), seat("n2", "a", 8)];
        complete(&mut seats, true);
        let said: Vec<Option<i32>> = seats.iter().map(|seat| seat.cost).collect();
        seats.push(seat("n3", "a", 2));
        complete(&mut seats, true);
        assert_eq!(seats.iter().map(|seat| seat.cost).take(2).collect::<Vec<_>>(), said);
        seats[0].rank = 6;
        assert!(!seats[0].is_right());
    }

    #[test]
    fn a_gap_is_filled_by_the_next_pod_that_comes() {
        let mut seats = vec![seat("n1", "a", 4); 3];
        complete(&mut seats, true);
        let gap = seats.remove(0).cost;
        seats.push(seat("n1", "a", 4));
        complete(&mut seats, true);
        assert_eq!(seats[2].cost, gap);
    }
}
