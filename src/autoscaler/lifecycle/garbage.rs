//! What is left over: claims whose instance is gone, instances without a claim, nodes without either.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// EC2 may not show an instance for so long after its launch.
const SHOWN_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// An instance without a claim is left alone for so long: its claim may not know of it yet.
const CLAIMED_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// A claim without an instance may still adopt one for so long after it was made.
const ADOPTS_WITHIN: SignedDuration = SignedDuration::from_secs(300);

/// A claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimFacts {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// Its class.
    pub class: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its instance.
    pub instance: Option<String>,
    /// When it was launched, if it was.
    pub launched: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// Whether its node is ready; a claim without node has none that is.
    pub ready: bool,
}

/// An instance of this cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFacts {
    /// Its id.
    pub id: String,
    /// The pool it was launched for.
    pub pool: String,
    /// The class it was launched with.
    pub class: String,
    /// When it was launched.
    pub launched: Timestamp,
    /// Whether it neither ends nor has ended.
    pub alive: bool,
}

/// A node of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its instance.
    pub instance: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleted: bool,
}

/// What is to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Claims whose instance is gone, with the instance.
    pub claims: Vec<(String, String)>,
    /// Instances that nobody claims.
    pub instances: Vec<String>,
    /// Nodes without claim and instance, or of an instance in the list above.
    pub nodes: Vec<String>,
    /// When an instance that is still spared has to be looked at again.
    pub again: Option<Timestamp>,
}

/// Compares. `asked` is the time before the instances were read: what is younger says nothing.
pub fn find(claims: &[ClaimFacts], instances: &[InstanceFacts], nodes: &[NodeFacts], asked: Timestamp) -> Garbage {
    let alive: BTreeSet<&str> = instances.iter().filter(|one| one.alive).map(|one| one.id.as_str()).collect();
    let claimed: BTreeSet<&str> = claims.iter().filter_map(|claim| claim.instance.as_deref()).collect();
    let mut garbage = Garbage::default();
    garbage.claims.extend(claims.iter().filter_map(|claim| gone(claim, &alive, asked)));
    let mut adopting = adopting(claims, asked);
    for instance in instances.iter().filter(|one| one.alive && !claimed.contains(one.id.as_str())) {
        let spared = instance.launched.checked_add(CLAIMED_WITHIN).unwrap_or(instance.launched);
        let wanted = adopting.get_mut(&(instance.pool.as_str(), instance.class.as_str())).filter(|left| **left > 0);
        if asked < spared {
            garbage.again = Some(garbage.again.map_or(spared, |again| again.min(spared)));
        } else if let Some(left) = wanted {
            *left -= 1;
        } else {
            garbage.instances.push(instance.id.clone());
        }
    }
    let ending: BTreeSet<&str> = garbage.instances.iter().map(String::as_str).collect();
    for node in nodes.iter().filter(|node| !node.deleted && !claimed.contains(node.instance.as_str())) {
        let instance = node.instance.as_str();
        if ending.contains(instance) || (!alive.contains(instance) && !node.ready) {
            garbage.nodes.push(node.name.clone());
        }
    }
    garbage
}

/// The claim and its instance, if that is gone.
fn gone(claim: &ClaimFacts, alive: &BTreeSet<&str>, asked: Timestamp) -> Option<(String, String)> {
    let instance = claim.instance.as_deref()?;
    let launched = claim.launched.unwrap_or(claim.created);
    let shown = launched.checked_add(SHOWN_AFTER).ok()?;
    let is_gone = !claim.deleted && !claim.ready && asked >= shown && !alive.contains(instance);
    is_gone.then(|| (claim.name.clone(), instance.to_owned()))
}

/// How many claims of each pool and class wait for an instance.
fn adopting(claims: &[ClaimFacts], now: Timestamp) -> BTreeMap<(&str, &str), usize> {
    let mut waiting = BTreeMap::new();
    let young = |claim: &&ClaimFacts| now.duration_since(claim.created) < ADOPTS_WITHIN;
    for claim in claims.iter().filter(|claim| claim.instance.is_none() && !claim.deleted).filter(young) {
        *waiting.entry((claim.pool.as_str(), claim.class.as_str())).or_default() += 1;
    }
    waiting
}

#[cfg(test)]
mod tests;
