//! Which zone the successors of pods come up in, where a spread will not let them come back.
//!
//! A scale-in takes pods away without a look at their spread. A pod of a zone that has too many by now has its
//! successor elsewhere, so a plan that moves it has to place it there. Nothing here moves a pod for the balance: it
//! says where those go that move anyway.

use std::collections::BTreeMap;

use super::ground::Candidate;
use crate::scheduling::compile::Compiled;
use crate::scheduling::dealer::{Balance, Dealer};
use crate::state::intern::FastMap;

/// The cells of pods whose successors come up in another one than they are in, or may do so, by pod.
pub type Homes = FastMap<u32, u16>;

/// Pods of one group that may move, by the cell that they are in.
type Movable = BTreeMap<u16, Vec<u32>>;

/// Where the successors come up when the pods of all `candidates` move. Those of candidates that come first leave a
/// crowded zone first. Pods that come back where they are have no entry, unless their spread is uneven.
pub fn homes(compiled: &Compiled<'_>, dealer: &Dealer<'_>, candidates: &[Candidate]) -> Homes {
    let groups = compiled.groups.groups.iter().enumerate();
    let mut uneven: BTreeMap<usize, (Balance, Movable)> = groups
        .filter_map(|(at, _)| Some((at, dealer.only_spread(at)?)))
        .filter(|(_, balance)| !balance.is_even())
        .map(|(at, balance)| (at, (balance, Movable::new())))
        .collect();
    if uneven.is_empty() {
        return Homes::default();
    }
    let group_of_pod: FastMap<u32, usize> =
        uneven.keys().flat_map(|at| compiled.groups.groups[*at].pods.iter().map(move |pod| (*pod, *at))).collect();
    let cell_of_node: FastMap<u32, u16> = compiled.nodes.rooms.iter().map(|room| (room.node, room.cell)).collect();
    for one in candidates {
        let Some(cell) = cell_of_node.get(&one.node) else { continue };
        for pod in &one.pods {
            if let Some((_, movable)) = group_of_pod.get(pod).and_then(|group| uneven.get_mut(group)) {
                movable.entry(*cell).or_default().push(*pod);
            }
        }
    }
    let mut homes = Homes::default();
    for (balance, movable) in uneven.into_values() {
        deal(balance, movable, &mut homes);
    }
    homes
}

/// Takes all pods off and lets in one after the other, as the spread does: where one was before, as long as it can.
fn deal(mut balance: Balance, mut movable: Movable, homes: &mut Homes) {
    for (cell, pods) in &movable {
        balance.take(*cell, pods.len());
    }
    let mut open: usize = movable.values().map(Vec::len).sum();
    let mut strangers: Vec<u16> = Vec::new();
    while open > 0 {
        let has = |cell: u16| movable.get(&cell).is_some_and(|pods| !pods.is_empty());
        let Some(cell) = balance.choose(has) else { return };
        balance.put(cell);
        open -= 1;
        match movable.get_mut(&cell).and_then(Vec::pop) {
            Some(pod) => drop(homes.insert(pod, cell)),
            None => strangers.push(cell),
        }
    }
    let left = movable.into_values().flatten();
    homes.extend(left.zip(strangers));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(pods: &[(u16, u32)], movable: &[(u16, &[u32])]) -> BTreeMap<u32, u16> {
        let mut homes = Homes::default();
        let movable = movable.iter().map(|(cell, pods)| (*cell, pods.to_vec())).collect();
        deal(Balance::new(1, pods.to_vec()), movable, &mut homes);
        homes.into_iter().collect()
    }

    #[test]
    fn only_as_many_change_their_zone_as_have_to() {
        let homes = dealt(&[(0, 2), (1, 3), (2, 5)], &[(1, &[10]), (2, &[20, 21, 22, 23, 24])]);
        let there = |cell: u16| homes.values().filter(|home| **home == cell).count();
        assert_eq!((there(0), there(1), there(2)), (1, 1, 4));
        assert_eq!(homes[&20], 0, "those that come first leave");
    }

    #[test]
    fn where_nobody_else_moves_a_crowded_zone_takes_none_back() {
        assert_eq!(dealt(&[(0, 1), (1, 1), (2, 5)], &[(2, &[7])]), BTreeMap::from([(7, 0)]));
    }
}
