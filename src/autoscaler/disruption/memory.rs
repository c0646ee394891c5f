//! What was decided before, so that a fleet without change is not searched again and comes to rest.

use super::fleet::Fleet;
use super::hash::{mix, of};
use super::stay::Stay;
use crate::state::cluster::Cluster;
use crate::state::intern::FastMap;

/// How much dearer than at rest a fleet with the same load has to be before it is searched again.
const DEARER: f64 = 1.005;

/// What one decision leaves for the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The fleet that was searched last without a command coming of it.
    searched: Option<u64>,
    /// Why its nodes stay, by node.
    stays: FastMap<Box<str>, Stay>,
    rest: Option<Rest>,
}

/// A fleet that was searched whole: nothing cheaper is looked for while it carries the same load.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rest {
    load: u64,
    market: u64,
    cost: f64,
}

impl Memory {
    /// Whether the same fleet was searched already.
    pub fn knows(&self, fingerprint: u64) -> bool {
        self.searched == Some(fingerprint)
    }

    /// Why a node of the fleet that was searched last stays.
    pub fn stay(&self, node: &str) -> Option<&Stay> {
        self.stays.get(node)
    }

    /// Whether a fleet with this load and market is where an earlier search brought it.
    pub fn at_rest(&self, load: u64, market: u64, cost: f64) -> bool {
        self.rest.is_some_and(|rest| rest.load == load && rest.market == market && cost <= rest.cost * DEARER + 1e-9)
    }

    /// Remembers where a search of the whole fleet leads.
    pub fn come_to_rest(&mut self, load: u64, market: u64, cost: f64) {
        self.rest = Some(Rest { load, market, cost });
    }

    /// Remembers a search without a command, and why nodes stay.
    pub fn note(&mut self, fingerprint: Option<u64>, stays: impl Iterator<Item = (Box<str>, Stay)>) {
        self.searched = fingerprint;
        self.stays = stays.collect();
    }
}

/// The pods that have to run, wherever they do: the same for the same replicas under other names.
pub fn load(fleet: &Fleet<'_>) -> u64 {
    let cluster = fleet.cluster;
    let specs: Vec<u64> =
        (0..cluster.spec_count()).map(|at| spec(cluster, u32::try_from(at).unwrap_or(u32::MAX))).collect();
    let moving = fleet.nodes.iter().flat_map(|node| &node.pods).map(|pod| pod.pod);
    let pending = (0_u32..).zip(&cluster.pods).filter(|(_, pod)| pod.node.is_none() && !pod.leaving).map(|(at, _)| at);
    moving.chain(pending).map(|pod| mix(specs[cluster.pods[pod as usize].spec as usize])).fold(0, u64::wrapping_add)
}

/// A spec by what stands in it, not by its number.
fn spec(cluster: &Cluster, id: u32) -> u64 {
    let spec = cluster.spec(id);
    let workload = spec.workload.map_or("", |workload| cluster.names.text(workload));
    let mut hash = of(workload.as_bytes());
    for (resource, amount) in spec.requests.iter() {
        hash = mix(hash ^ of(cluster.names.resources.name(resource).as_bytes()) ^ mix(amount as u64));
    }
    hash
}

/// What can be bought, and what pools ask for.
pub fn market(fleet: &Fleet<'_>) -> u64 {
    let mut hash = 0_u64;
    for instance_type in &fleet.cluster.catalogue.types {
        for offering in &instance_type.offerings {
            hash = mix(hash ^ offering.price.0 ^ (u64::from(offering.available) << 63));
        }
    }
    let places = fleet.cluster.nodes.iter().filter_map(|node| node.place.as_ref());
    for place in places {
        hash = mix(hash ^ (u64::from(place.instance_type) << 32) ^ u64::from(place.offering) ^ (1 << 61));
    }
    for (pool, policy) in fleet.cluster.pools.iter().zip(&fleet.pools) {
        hash = mix(hash ^ of(format!("{pool:?}{policy:?}").as_bytes()));
    }
    hash
}

/// Everything that a search depends on: where pods are, which nodes may go, now or later, and how many.
pub fn fingerprint(fleet: &Fleet<'_>, candidates: &[(u32, bool)], allowed: &[u32], market: u64) -> u64 {
    let cluster = fleet.cluster;
    let mut hash = market;
    for (at, node) in (0_u64..).zip(&cluster.nodes) {
        hash = mix(hash ^ of(node.name.as_bytes()) ^ at ^ (u64::from(node.schedulable) << 62));
    }
    let pods = cluster.pods.iter().map(|pod| {
        let node = pod.node.map_or(u64::MAX, u64::from);
        mix((node << 32) ^ (u64::from(pod.spec) << 8) ^ u64::from(pod.labels) ^ (u64::from(pod.leaving) << 63))
    });
    hash = mix(hash ^ pods.fold(0, u64::wrapping_add));
    let candidates = candidates.iter().map(|(at, now)| u64::from(*at) | (u64::from(*now) << 32));
    candidates.chain(allowed.iter().map(|count| u64::from(*count))).fold(hash, |hash, one| mix(hash ^ one))
}
