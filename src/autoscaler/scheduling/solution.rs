//! What the scheduler decided.

use crate::state::cluster::Cluster;
use crate::state::instance_types::Price;

/// A node to buy.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedNode {
    /// A name that is unique within the solution.
    pub name: String,
    /// Index of the pool.
    pub pool: u32,
    /// Index of the instance type in the catalogue.
    pub instance_type: u32,
    /// Index of the offering of the type.
    pub offering: u32,
    /// Price per hour.
    pub price: Price,
    /// Labels that the pool gives it, open ones chosen.
    pub labels: crate::state::pod_spec::Labels,
    /// The pods that go onto it, by index.
    pub pods: Vec<u32>,
}

impl PlannedNode {
    /// The node that comes of an instance of a reservation.
    pub fn of_place(cluster: &Cluster, node: u32, pods: Vec<u32>) -> Option<Self> {
        let entry = &cluster.nodes[node as usize];
        let place = entry.place.as_ref()?;
        Some(Self {
            name: entry.name.to_string(),
            pool: place.pool,
            instance_type: place.instance_type,
            offering: place.offering,
            price: place.price,
            labels: place.labels.clone(),
            pods,
        })
    }
}

/// Pods of one group that were not placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// The pods, by index.
    pub pods: Vec<u32>,
    /// Why.
    pub reason: String,
}

/// What the scheduler decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Solution {
    /// Nodes to buy.
    pub nodes: Vec<PlannedNode>,
    /// Pods that go onto nodes that exist: (node, pods), by index.
    pub existing: Vec<(u32, Vec<u32>)>,
    /// Pods that cannot be placed.
    pub unplaced: Vec<Unplaced>,
    /// What the new nodes cost per hour.
    pub cost: Price,
    /// No set of new nodes for the same pods costs less, in dollars per hour. It may split pods, so
    /// that with few pods nothing comes near it.
    pub bound: f64,
    /// Rounds of improvement that were run.
    pub rounds: u64,
}

impl Solution {
    /// How far above the bound the cost is: 1.02 is two percent above. 1 when nothing is bought.
    pub fn over_bound(&self) -> f64 {
        if self.bound > 0.0 && self.cost.0 > 0 { self.cost.dollars() / self.bound } else { 1.0 }
    }

    /// Makes nodes to have of the instances of reservations that pods were put onto.
    pub(super) fn have_places(&mut self, cluster: &Cluster) {
        let is_place = |node: u32| cluster.nodes[node as usize].place.is_some();
        if !self.existing.iter().any(|(node, _)| is_place(*node)) {
            return;
        }
        let (places, existing) = std::mem::take(&mut self.existing).into_iter().partition(|(node, _)| is_place(*node));
        self.existing = existing;
        let places: Vec<(u32, Vec<u32>)> = places;
        for (node, pods) in places {
            self.nodes.extend(PlannedNode::of_place(cluster, node, pods));
        }
    }

    /// How many pods have a place.
    pub fn placed(&self) -> usize {
        let new: usize = self.nodes.iter().map(|node| node.pods.len()).sum();
        new + self.existing.iter().map(|(_, pods)| pods.len()).sum::<usize>()
    }
}
