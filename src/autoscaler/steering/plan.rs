//! Which pod is meant for which claim or node. Pure.
//!
//! A pod has a place from the decision that gave it one until it is bound. While it has, nothing is bought for it
//! again. When kube-scheduler puts it elsewhere, another pod that is alike takes its place; when what it was
//! meant for goes, it is planned anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::autoscaler::state::intern::{FastMap, Symbol};
use crate::autoscaler::state::live::{Live, LiveNode, LivePod, Uid};
use crate::autoscaler::state::resources::Amounts;

/// How long a place waits for the successor of a pod that is gone.
const INHERITANCE: SignedDuration = SignedDuration::from_secs(30);
/// The news that a pod is gone may come so much later than its successor was made.
const LATE: SignedDuration = SignedDuration::from_secs(5);
/// How long a pod may wait for a node that has room for it and takes pods, before it is planned anew.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// How long kube-scheduler is left to itself with pods whose place others have taken, before they are planned anew:
/// so long after the last one, and so long after the first.
const SETTLING: (SignedDuration, SignedDuration) =
    (SignedDuration::from_millis(500), SignedDuration::from_millis(1500));

/// What a pod is meant for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A claim, whose node may not be there yet.
    Claim(Arc<str>),
    /// A node.
    Node(Arc<str>),
}

impl Target {
    /// The node, once there is one.
    pub fn node<'a>(&self, live: &'a Live) -> Option<&'a LiveNode> {
        match self {
            Self::Claim(name) => live.node_of_claim(live.claim(name)?),
            Self::Node(name) => live.node(name),
        }
    }

    /// Whether it is there and not about to go.
    fn stands(&self, live: &Live) -> bool {
        match self {
            Self::Claim(name) => {
                let stays = live.claim(name).is_some_and(|claim| claim.deletion().is_none());
                stays && self.node(live).is_none_or(|node| node.deletion.is_none())
            }
            Self::Node(name) => live.node(name).is_some_and(|node| node.deletion.is_none()),
        }
    }
}

/// The place of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// What it is meant for.
    pub target: Target,
    /// The node where the pod ran when it was planned, if it has to leave there.
    pub leaves: Option<Arc<str>>,
    /// Since when.
    pub since: Timestamp,
    /// The workload that makes a successor when the pod goes.
    workload: Option<Arc<str>>,
}

/// A place whose pod is gone and will be made anew.
#[derive(Clone, Debug)]
struct Vacancy {
    workload: Arc<str>,
    target: Target,
    since: Timestamp,
    until: Timestamp,
    /// Whether it is for a pod that a workload has yet to make, rather than for the successor of one.
    foreseen: bool,
}

/// A pod whose place others have taken.
#[derive(Clone, Copy, Debug)]
struct Loose {
    since: Timestamp,
    until: Timestamp,
}

/// What became of places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Pods that were bound where they were meant to be: how long after they were planned.
    pub landed: Vec<SignedDuration>,
    /// Pods that were bound elsewhere, with nobody alike to change places with.
    pub strayed: u64,
    /// Places that are given up: what they were on is gone or full.
    pub freed: u64,
}

/// Which pod is meant for which claim or node.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    places: FastMap<Uid, Place>,
    vacancies: Vec<Vacancy>,
    loose: FastMap<Uid, Loose>,
    /// Successors that have been found, as long as others are looked for.
    heirs: BTreeSet<Uid>,
    /// Pods of workloads with places for pods to come that have been reckoned with.
    known: BTreeMap<Arc<str>, BTreeSet<Uid>>,
}

impl Plan {
    /// Gives a pod a place.
    pub fn place(&mut self, live: &Live, uid: Uid, target: Target, now: Timestamp) {
        let Some(pod) = live.pod(uid) else { return };
        let there = target.node(live).map(|node| &*node.name);
        if pod.node.is_none() || pod.node.map(|node| live.text(node)) != there {
            let text = |symbol: Symbol| Arc::from(live.text(symbol));
            let (leaves, workload) = (pod.node.map(text), pod.workload.map(text));
            self.loose.remove(&uid);
            if let Some(known) = workload.as_ref().and_then(|workload: &Arc<str>| self.known.get_mut(workload)) {
                known.insert(uid);
            }
            self.places.insert(uid, Place { target, leaves, since: now, workload });
        }
    }

    /// Keeps a place for a pod that its workload has yet to make.
    pub fn expect(&mut self, live: &Live, workload: &Arc<str>, target: Target, now: Timestamp) {
        self.known.entry(Arc::clone(workload)).or_insert_with(|| {
            let own = live.symbol(workload).into_iter().flat_map(|workload| live.pods_of(workload));
            own.map(|pod| pod.uid).collect()
        });
        let until = now.saturating_add(INHERITANCE).unwrap_or(now);
        self.vacancies.push(Vacancy { workload: Arc::clone(workload), target, since: now, until, foreseen: true });
    }

    /// The places that are kept for pods to come: workload and target.
    pub fn vacancies(&self) -> impl Iterator<Item = (&Arc<str>, &Target)> {
        self.vacancies.iter().map(|vacancy| (&vacancy.workload, &vacancy.target))
    }

    /// Whether pods are still to be made that are meant for a claim.
    pub fn foresees(&self, claim: &str) -> bool {
        let means = |target: &Target| matches!(target, Target::Claim(name) if **name == *claim);
        self.vacancies.iter().any(|open| open.foreseen && means(&open.target))
    }

    /// Takes the place of a pod away.
    pub fn forget(&mut self, uid: Uid) {
        self.places.remove(&uid);
    }

    /// The place of a pod.
    pub fn place_of(&self, uid: Uid) -> Option<&Place> {
        self.places.get(&uid)
    }

    /// Whether kube-scheduler is left to itself with a pod for now: nothing is planned for it meanwhile.
    pub fn is_loose(&self, uid: Uid, now: Timestamp) -> bool {
        self.loose.get(&uid).is_some_and(|loose| loose.until > now)
    }

    /// When pods are to be planned anew that kube-scheduler is left to itself with.
    pub fn settles_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.loose.values().map(|loose| loose.until).filter(|until| *until > now).max()
    }

    /// All places.
    pub fn places(&self) -> impl Iterator<Item = (Uid, &Place)> {
        self.places.iter().map(|(uid, place)| (*uid, place))
    }

    /// Gives up every place on a target; the pods have none then.
    pub fn release(&mut self, target: &Target) -> usize {
        let before = self.places.len();
        self.places.retain(|_, place| place.target != *target);
        self.vacancies.retain(|vacancy| vacancy.target != *target);
        before - self.places.len()
    }

    /// Whether pods are still to come to a claim or its node.
    pub fn expects(&self, claim: Option<&str>, node: Option<&str>) -> bool {
        let means = |target: &Target| match target {
            Target::Claim(name) => claim == Some(&**name),
            Target::Node(name) => node == Some(&**name),
        };
        self.places.values().any(|place| means(&place.target)) || self.vacancies.iter().any(|open| means(&open.target))
    }

    /// Names of the claims and of the nodes that pods are still to come to.
    pub fn expecting(&self) -> BTreeSet<Target> {
        let open = self.vacancies.iter().map(|vacancy| vacancy.target.clone());
        self.places.values().map(|place| place.target.clone()).chain(open).collect()
    }

    /// Pods that are on their way to nodes which take pods: those that leave another one for them, and pending ones.
    pub fn on_the_way<'a>(&'a self, live: &'a Live) -> impl Iterator<Item = &'a LivePod> {
        self.places.iter().filter_map(|(uid, place)| {
            let pod = live.pod(*uid).filter(|pod| pod.node.is_none() || pod.leaving())?;
            place.target.node(live).is_some_and(is_open).then_some(pod)
        })
    }

    /// Compares the plan with what has come about.
    pub fn settle(&mut self, live: &Live, now: Timestamp) -> Settled {
        let mut settled = Settled::default();
        let mut strays = Vec::new();
        let mut uids: Vec<Uid> = self.places.keys().copied().collect();
        uids.sort_unstable();
        for uid in uids {
            match self.look_at(live, uid, now) {
                Fate::Waits => continue,
                Fate::Landed => {
                    settled.landed.extend(self.places.get(&uid).map(|place| now.duration_since(place.since)))
                }
                Fate::Strayed(node) => strays.push((uid, node)),
                Fate::Gone => {}
                Fate::Lost => settled.freed += 1,
            }
            if strays.last().is_none_or(|(stray, _)| *stray != uid) {
                self.places.remove(&uid);
            }
        }
        let mut is_at_work = !settled.landed.is_empty() || !strays.is_empty();
        for (uid, node) in strays {
            let Some(place) = self.places.remove(&uid) else { continue };
            settled.strayed += u64::from(!self.change_places(live, uid, &place, node));
        }
        is_at_work |= self.take_arrived(live);
        let loose = self.loose.len();
        self.loose.retain(|uid, _| live.pod(*uid).is_some_and(|pod| pod.node.is_none() && !pod.leaving()));
        is_at_work |= self.loose.len() < loose;
        settled.freed += self.loosen(live, is_at_work, now);
        self.vacancies.retain(|vacancy| vacancy.until > now && vacancy.target.stands(live));
        self.drop_surplus(live);
        settled
    }

    /// Pods that were foreseen and had been bound when they were first seen: each takes one of the places of its
    /// workload, that on its node if there is one. Whether there are any.
    fn take_arrived(&mut self, live: &Live) -> bool {
        let mut arrived = false;
        let (known, vacancies) = (&mut self.known, &mut self.vacancies);
        for (workload, known) in known {
            let own = live.symbol(workload).into_iter().flat_map(|workload| live.pods_of(workload));
            for (pod, bound) in own.filter_map(|pod| Some((pod, live.text(pod.node?)))) {
                if !known.insert(pod.uid) {
                    continue;
                }
                arrived = true;
                let of_it = |open: &Vacancy| open.foreseen && open.workload == *workload;
                let there = |open: &Vacancy| open.target.node(live).is_some_and(|node| *node.name == *bound);
                let found = vacancies.iter().position(|open| of_it(open) && there(open));
                if let Some(at) = found.or_else(|| vacancies.iter().position(of_it)) {
                    vacancies.swap_remove(at);
                }
            }
        }
        arrived
    }

    /// Keeps no more places for pods to come than pods will come.
    fn drop_surplus(&mut self, live: &Live) {
        let mut left: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        self.vacancies.retain(|open| {
            let left = left.entry(Arc::clone(&open.workload)).or_insert_with(|| live.to_come(&open.workload));
            let keeps = !open.foreseen || *left > 0;
            *left = left.saturating_sub(1);
            keeps
        });
        let vacancies = &self.vacancies;
        self.known.retain(|workload, _| vacancies.iter().any(|open| open.foreseen && open.workload == *workload));
    }

    fn look_at(&mut self, live: &Live, uid: Uid, now: Timestamp) -> Fate {
        let Some(place) = self.places.get(&uid) else { return Fate::Gone };
        let stands = place.target.stands(live);
        let Some(pod) = live.pod(uid) else {
            if place.leaves.is_some()
                && stands
                && let Some(workload) = place.workload.clone()
            {
                let until = now.saturating_add(INHERITANCE).unwrap_or(now);
                let target = place.target.clone();
                self.vacancies.push(Vacancy { workload, target, since: now, until, foreseen: false });
            }
            return Fate::Gone;
        };
        let node = place.target.node(live);
        match pod.node {
            Some(bound) if node.is_some_and(|node| *node.name == *live.text(bound)) => Fate::Landed,
            Some(bound) if place.leaves.as_deref() != Some(live.text(bound)) => Fate::Strayed(bound),
            _ if !stands => Fate::Lost,
            None if pod.leaving() => Fate::Gone,
            None if node.is_some_and(is_open) && now.duration_since(place.since) > PATIENCE => Fate::Lost,
            _ => Fate::Waits,
        }
    }

    /// A pod that was meant for `place` runs on `node` now: a pod that is alike, and that was meant for that node,
    /// takes the place.
    fn change_places(&mut self, live: &Live, stray: Uid, place: &Place, node: Symbol) -> bool {
        let node = live.text(node);
        let like = |uid: Uid| live.pod(uid).map(|pod| (pod.spec, pod.labels, pod.workload));
        let kind = like(stray);
        let there = |target: &Target| target.node(live).is_some_and(|other| *other.name == *node);
        let mut alike: Vec<(&Uid, &mut Place)> = self
            .places
            .iter_mut()
            .filter(|(uid, other)| other.leaves.is_none() && like(**uid) == kind && there(&other.target))
            .collect();
        alike.sort_unstable_by_key(|(uid, _)| **uid);
        let Some((_, other)) = alike.into_iter().next() else { return false };
        other.target = place.target.clone();
        true
    }

    /// Gives up the places on nodes that have become too full for them, whoever has come there. Pods of spreads are told one
    /// after the other where they are meant to be, so kube-scheduler is at work on the others: when it has begun to take
    /// places of its own choice, all of them are planned anew at once, when it has come to an end. How many.
    fn loosen(&mut self, live: &Live, is_at_work: bool, now: Timestamp) -> u64 {
        let mut meant: BTreeMap<&str, Vec<Uid>> = BTreeMap::new();
        for (uid, place) in &self.places {
            if let Some(node) = place.target.node(live) {
                meant.entry(&node.name).or_default().push(*uid);
            }
        }
        let mut freed: Vec<Uid> =
            meant.into_iter().flat_map(|(node, pods)| self.without_room(live, node, &pods)).collect();
        if !freed.is_empty() {
            freed.extend(self.untold(live));
        }
        let before = self.places.len();
        self.drop_without_room(live);
        for uid in freed {
            self.places.remove(&uid);
            self.loose.entry(uid).or_insert(Loose { since: now, until: now });
        }
        if is_at_work {
            let later = |time: Timestamp, by| time.saturating_add(by).unwrap_or(time);
            for loose in self.loose.values_mut().filter(|loose| loose.until >= now) {
                loose.until = later(now, SETTLING.0).min(later(loose.since, SETTLING.1));
            }
        }
        u64::try_from(before - self.places.len()).unwrap_or(u64::MAX)
    }

    /// Pods of spreads that are meant for nodes which take pods, and have not been told.
    fn untold(&self, live: &Live) -> Vec<Uid> {
        let is_spread =
            |pod: &LivePod| live.spec(pod).is_some_and(|spec| spec.spreads.iter().any(|spread| spread.required));
        let untold = self.places.iter().filter(|(uid, place)| {
            let pod = live.pod(**uid).filter(|pod| pod.node.is_none() && pod.nominated.is_none());
            pod.is_some_and(is_spread) && place.target.node(live).is_some_and(is_open)
        });
        untold.map(|(uid, _)| *uid).collect()
    }

    /// Gives up places for pods to come on nodes that have no room for them any more.
    fn drop_without_room(&mut self, live: &Live) {
        let on = |open: &Vacancy| open.target.node(live).filter(|_| open.foreseen);
        let mut free: BTreeMap<&str, Amounts> = BTreeMap::new();
        for node in self.vacancies.iter().filter_map(on) {
            free.entry(&node.name).or_insert_with(|| self.room_on(live, node));
        }
        for (uid, place) in &self.places {
            let free = place.target.node(live).and_then(|node| free.get_mut(&*node.name));
            free.zip(live.pod(*uid)).into_iter().for_each(|(free, pod)| take(free, live, pod));
        }
        self.vacancies.retain(|open| {
            let free = on(open).and_then(|node| free.get_mut(&*node.name));
            free.zip(live.requests_of(&open.workload)).is_none_or(|(free, requests)| takes(free, requests))
        });
    }

    /// Those of the pods that are meant for a node that it has no room for any more. Those that have been told keep theirs
    /// first, for kube-scheduler keeps it for them; then the smallest, so that most pods stay where they were meant to be.
    fn without_room(&self, live: &Live, name: &str, meant: &[Uid]) -> Vec<Uid> {
        let Some(node) = live.node(name) else { return Vec::new() };
        let mut free = self.room_on(live, node);
        let mut waiting: Vec<(bool, Amounts, Uid)> = meant
            .iter()
            .filter_map(|uid| {
                let pod = live.pod(*uid).filter(|pod| pod.node.map(|on| live.text(on)) != Some(name))?;
                let told = pod.nominated.is_some_and(|node| live.text(node) == name);
                Some((!told, live.spec(pod)?.requests.clone(), *uid))
            })
            .collect();
        waiting.sort_unstable();
        let without =
            waiting.into_iter().filter_map(|(_, requests, uid)| (!takes(&mut free, &requests)).then_some(uid));
        without.collect()
    }

    /// What those pods of a node leave free that stay there.
    fn room_on(&self, live: &Live, node: &LiveNode) -> Amounts {
        let leaves = |pod: &LivePod| {
            pod.leaving() || self.places.get(&pod.uid).is_some_and(|place| place.leaves.as_ref() == Some(&node.name))
        };
        let mut free = live.promised(node);
        live.pods_on(&node.name).filter(|pod| !leaves(pod)).for_each(|pod| take(&mut free, live, pod));
        free
    }

    /// Gives new pods the places of their predecessors, which may still be ending. A successor that kube-scheduler was
    /// quicker to bind needs none, and nobody is waited for in its stead. How many were given.
    pub fn inherit(&mut self, live: &Live, now: Timestamp) -> usize {
        let ending = self.ending(live, now);
        if self.vacancies.is_empty() && ending.is_empty() {
            self.heirs.clear();
            return 0;
        }
        let mut open: Vec<(Option<Uid>, Vacancy)> = self.vacancies.drain(..).map(|vacancy| (None, vacancy)).collect();
        open.extend(ending.into_iter().map(|(uid, vacancy)| (Some(uid), vacancy)));
        let mut inherited = 0;
        for pod in self.successors(live) {
            let own = pod.workload.map(|workload| live.text(workload));
            let bound = pod.node.map(|node| live.text(node));
            if bound.is_none() && self.is_loose(pod.uid, now) {
                continue;
            }
            // Whether a pod that is bound has taken a place that was foreseen, `settle` reckons.
            let fits = |(_, vacancy): &(Option<Uid>, Vacancy)| {
                let late = pod.created.saturating_add(LATE).is_ok_and(|time| time < vacancy.since);
                own == Some(&*vacancy.workload) && (bound.is_none() || !(late || vacancy.foreseen))
            };
            let there = |(_, vacancy): &(Option<Uid>, Vacancy)| {
                bound.is_some() && vacancy.target.node(live).map(|node| &*node.name) == bound
            };
            let at = open.iter().position(|one| fits(one) && there(one)).or_else(|| open.iter().position(fits));
            let Some((predecessor, vacancy)) = at.map(|at| open.remove(at)) else { continue };
            predecessor.iter().for_each(|uid| self.forget(*uid));
            self.heirs.insert(pod.uid);
            if pod.node.is_none() {
                if let Some(known) = self.known.get_mut(&vacancy.workload) {
                    known.insert(pod.uid);
                }
                let (target, workload) = (vacancy.target, Some(vacancy.workload));
                self.places.insert(pod.uid, Place { target, leaves: None, since: now, workload });
                inherited += 1;
            }
        }
        self.vacancies = open.into_iter().filter_map(|(uid, vacancy)| uid.is_none().then_some(vacancy)).collect();
        inherited
    }

    /// Places of pods that are ending, as they will be vacant: a ReplicaSet makes the successor before they are gone.
    fn ending(&self, live: &Live, now: Timestamp) -> Vec<(Uid, Vacancy)> {
        let mut all: Vec<(Uid, Vacancy)> = self
            .places
            .iter()
            .filter_map(|(uid, place)| {
                let pod = live.pod(*uid).filter(|pod| pod.leaving() && place.leaves.is_some())?;
                let grace = SignedDuration::from_secs(i64::from(pod.grace_seconds));
                let since = pod.deletion.and_then(|time| time.checked_sub(grace).ok()).unwrap_or(now);
                let (workload, target) = (place.workload.clone()?, place.target.clone());
                Some((*uid, Vacancy { workload, target, since, until: now, foreseen: false }))
            })
            .collect();
        all.sort_unstable_by_key(|(uid, _)| *uid);
        all
    }

    /// Pods that may be somebody's successor, the oldest first.
    fn successors<'a>(&self, live: &'a Live) -> Vec<&'a LivePod> {
        let new = |pod: &&LivePod| {
            !pod.leaving()
                && pod.workload.is_some()
                && !self.places.contains_key(&pod.uid)
                && !self.heirs.contains(&pod.uid)
        };
        let mut all: Vec<&LivePod> = live.pods().filter(new).collect();
        all.sort_unstable_by_key(|pod| (pod.created, pod.uid));
        all
    }
}

/// Takes what is asked for from what is free, if there is enough of everything that is stated.
fn takes(free: &mut Amounts, requests: &Amounts) -> bool {
    let fits = requests.iter().all(|(id, amount)| free.get(id) >= amount || free.stated(id).is_none());
    if fits {
        requests.iter().for_each(|(id, amount)| free.add(id, -amount));
    }
    fits
}

/// How a place stands.
enum Fate {
    Waits,
    Landed,
    Strayed(Symbol),
    Gone,
    Lost,
}

fn take(free: &mut Amounts, live: &Live, pod: &LivePod) {
    if let Some(spec) = live.spec(pod) {
        spec.requests.iter().for_each(|(id, amount)| free.add(id, -amount));
    }
}

/// Whether a node takes pods as far as its own state goes.
fn is_open(node: &LiveNode) -> bool {
    node.ready() && !node.unschedulable && !node.has_taint(crate::autoscaler::lifecycle::registration::UNREGISTERED)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{State, at};
    use super::*;
    use serde_json::json;

    fn claim(name: &str) -> Target {
        Target::Claim(name.into())
    }

    #[test]
    fn a_pod_has_its_place_until_it_is_bound_there() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.pod("p1", None);
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("p1"), claim("c1"), at(0));
        assert_eq!(plan.settle(&state.live, at(1)), Settled::default());
        assert!(plan.expects(Some("c1"), None) && !plan.expects(Some("c2"), None));
        state.node("n1", "1", true);
        state.pod("p1", Some("n1"));
        assert_eq!(
            plan.settle(&state.live, at(2)),
            Settled { landed: vec![SignedDuration::from_secs(2)], ..Settled::default() }
        );
        assert!(plan.place_of(state.uid("p1")).is_none());
    }

    #[test]
    fn places_on_a_node_that_is_full_are_freed_however_late_it_is_seen_who_came_there() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "1", true);
        state.pod("p1", None);
        state.sized_pod("other", Some("n1"), "700m");
        let mut plan = Plan::default();
        assert_eq!(plan.settle(&state.live, at(60)), Settled::default());
        // It was decided by what was so before.
        plan.place(&state.live, state.uid("p1"), claim("c1"), at(61));
        assert_eq!(plan.settle(&state.live, at(62)), Settled { freed: 1, ..Settled::default() });
    }

    #[test]
    fn devices_that_have_yet_to_be_told_are_reckoned_with() {
        let mut state = State::new();
        state.promised_claim("c1", "n1", &json!({ "cpu": "4", "pods": "10", "nvidia.com/gpu": "1" }));
        state.node_with("n1", &json!({ "cpu": "4", "pods": "10", "nvidia.com/gpu": "0" }), true);
        state.asking_pod("p1", &json!({ "cpu": "1", "nvidia.com/gpu": "1" }));
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("p1"), claim("c1"), at(0));
        assert_eq!(plan.settle(&state.live, at(1)), Settled::default());
    }

    #[test]
    fn pods_that_are_alike_change_places_when_one_lands_on_the_others_node() {
        let mut state = State::new();
        for (claim, node) in [("c1", "n1"), ("c2", "n2")] {
            state.claim(claim, Some(node));
            state.node(node, "2", true);
        }
        state.pod("p1", None);
        state.pod("p2", None);
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("p1"), claim("c1"), at(0));
        plan.place(&state.live, state.uid("p2"), claim("c2"), at(0));
        state.pod("p1", Some("n2"));
        assert_eq!(plan.settle(&state.live, at(1)), Settled::default());
        assert_eq!(plan.place_of(state.uid("p2")).map(|place| place.target.clone()), Some(claim("c1")));
    }

    #[test]
    fn a_stray_that_fills_a_node_frees_the_places_that_have_no_room_any_more() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.claim("c2", Some("n2"));
        state.node("n1", "1", true);
        state.node("n2", "1", true);
        state.pod("p1", None);
        state.sized_pod("other", None, "600m");
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("p1"), claim("c1"), at(0));
        plan.place(&state.live, state.uid("other"), claim("c2"), at(0));
        state.sized_pod("other", Some("n1"), "600m");
        assert_eq!(plan.settle(&state.live, at(1)), Settled { strayed: 1, freed: 1, ..Settled::default() });
        assert!(plan.place_of(state.uid("p1")).is_none());
        let p1 = state.uid("p1");
        assert!(plan.is_loose(p1, at(1)), "kube-scheduler is left to itself with it for a moment");
        assert_eq!(plan.settles_at(at(1)), Some(at(1) + SETTLING.0));
        assert!(!plan.is_loose(p1, at(2)) && plan.settles_at(at(2)).is_none());
        plan.place(&state.live, p1, claim("c2"), at(1));
        assert!(!plan.is_loose(p1, at(1)), "it has a place");
    }

    #[test]
    fn a_pod_that_nobody_had_a_place_for_frees_the_places_that_it_takes_the_room_of() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "1", true);
        state.sized_pod("meant", None, "600m");
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("meant"), claim("c1"), at(0));
        assert_eq!(plan.settle(&state.live, at(1)).freed, 0);
        state.sized_pod("other", Some("n1"), "600m");
        assert_eq!(plan.settle(&state.live, at(2)).freed, 1);
    }

    #[test]
    fn pods_of_a_spread_that_were_not_told_yet_are_planned_anew_together_when_one_has_no_room_left() {
        let mut state = State::new();
        for (claim, node) in [("c1", "n1"), ("c2", "n2"), ("c3", "n3")] {
            state.claim(claim, Some(node));
            state.node(node, "1", node != "n3");
        }
        for (pod, told) in [("crowded", None), ("told", Some("n2")), ("untold", None), ("later", None)] {
            state.spread_pod(pod, None, told);
        }
        state.sized_pod("other", None, "800m");
        let mut plan = Plan::default();
        for (pod, place) in [("crowded", "c1"), ("told", "c2"), ("untold", "c2"), ("later", "c3"), ("other", "c2")] {
            plan.place(&state.live, state.uid(pod), claim(place), at(0));
        }
        state.sized_pod("other", Some("n1"), "800m");
        assert_eq!(plan.settle(&state.live, at(1)).freed, 2);
        let placed = |pod: &str| plan.place_of(state.uid(pod)).is_some();
        assert_eq!(["crowded", "told", "untold", "later"].map(placed), [false, true, false, true]);
    }

    #[test]
    fn a_place_goes_with_what_it_is_on() {
        let mut state = State::new();
        state.claim("c1", None);
        state.pod("p1", None);
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("p1"), claim("c1"), at(0));
        state.remove_claim("c1");
        assert_eq!(plan.settle(&state.live, at(1)), Settled { freed: 1, ..Settled::default() });
        plan.place(&state.live, state.uid("p1"), claim("c2"), at(0));
        assert_eq!(plan.release(&claim("c2")), 1);
    }

    #[test]
    fn the_successor_of_a_pod_that_had_to_leave_inherits_its_place() {
        let mut state = State::new();
        state.node("old", "4", true);
        state.claim("c1", None);
        state.pod("p1", Some("old"));
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("p1"), claim("c1"), at(0));
        assert_eq!(plan.settle(&state.live, at(1)), Settled::default(), "it still runs where it was");
        state.remove_pod("p1");
        plan.settle(&state.live, at(2));
        assert!(plan.expects(Some("c1"), None), "its successor is expected");
        state.pod("p2", None);
        assert_eq!(plan.inherit(&state.live, at(3)), 1);
        assert_eq!(plan.place_of(state.uid("p2")).map(|place| place.target.clone()), Some(claim("c1")));
        assert_eq!(plan.inherit(&state.live, at(4)), 0);
    }

    #[test]
    fn nobody_waits_for_a_successor_that_was_bound_before_it_was_seen() {
        let mut state = State::new();
        state.node("old", "4", true);
        state.node("new", "4", true);
        state.pod("p1", Some("old"));
        state.pod("p2", Some("old"));
        let mut plan = Plan::default();
        for pod in ["p1", "p2"] {
            plan.place(&state.live, state.uid(pod), Target::Node("new".into()), at(0));
        }
        state.remove_pod("p1");
        state.pod("s1", Some("new"));
        plan.settle(&state.live, at(1));
        plan.inherit(&state.live, at(1));
        assert!(plan.expects(None, Some("new")), "p2 is still to come");
        state.remove_pod("p2");
        plan.settle(&state.live, at(2));
        plan.inherit(&state.live, at(2));
        assert!(plan.expects(None, Some("new")), "one successor is not two");
        state.pod("s2", Some("new"));
        assert_eq!(plan.inherit(&state.live, at(3)), 0);
        assert!(!plan.expects(None, Some("new")), "both are there");
    }

    #[test]
    fn places_for_pods_to_come_are_taken_by_those_that_come_wherever_they_are_bound() {
        let mut state = State::new();
        state.replicas(3);
        for (claim, node) in [("c1", "n1"), ("c2", "n2")] {
            state.claim(claim, Some(node));
            state.node(node, "4", true);
        }
        let workload: Arc<str> = "default/ReplicaSet/web".into();
        let mut plan = Plan::default();
        for to in ["c1", "c1", "c2"] {
            plan.expect(&state.live, &workload, claim(to), at(0));
        }
        state.pod("early", None);
        assert_eq!(plan.inherit(&state.live, at(1)), 1);
        state.pod("bound", Some("n2"));
        plan.settle(&state.live, at(1));
        let kept: Vec<&Target> = plan.vacancies().map(|(_, target)| target).collect();
        assert_eq!(kept, [&claim("c1")], "one is inherited, one was taken by binding");
        assert!(plan.foresees("c1") && !plan.foresees("c2"));
        state.replicas(2);
        plan.settle(&state.live, at(2));
        assert!(!plan.foresees("c1"), "nobody comes any more");
    }

    #[test]
    fn a_pod_that_an_open_node_does_not_get_is_planned_anew_after_a_while() {
        let mut state = State::new();
        state.claim("c1", Some("n1"));
        state.node("n1", "4", true);
        state.pod("p1", None);
        let mut plan = Plan::default();
        plan.place(&state.live, state.uid("p1"), claim("c1"), at(0));
        assert_eq!(plan.settle(&state.live, at(59)).freed, 0);
        assert_eq!(plan.settle(&state.live, at(61)).freed, 1);
    }
}
