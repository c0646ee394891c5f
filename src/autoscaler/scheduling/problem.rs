//! What is asked of the scheduler.

use crate::state::cluster::Cluster;
use crate::state::resources::ResourceId;

/// How solutions are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How much more a solution may cost in which the replicas of each workload are not all on one
    /// machine: 0.02 is two percent, 0 looks at the cost alone.
    pub balance_share: f64,
    /// The share of a workload's replicas that is kept apart from the rest of them, on machines of its own:
    /// when a workload shrinks, replicas go first where there are many of them, so that whole machines become
    /// empty. 0 looks at no such solution, and so does a `balance_share` of 0.
    pub core_share: f64,
    /// How much more such a solution may cost.
    pub core_premium: f64,
    /// Where the search starts; equal seeds give equal solutions.
    pub seed: u64,
    /// Whether preferences are looked at.
    pub preferences: bool,
    /// The share of what a new node has for pods that is planned to stay free, for schedulers that cannot be told
    /// which pod is meant for which node.
    pub headroom: f64,
    /// Whether a pool that wants more values to choose from than there are gets those that there are, rather than
    /// nothing.
    pub fewer_values: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            balance_share: 0.02,
            core_share: 0.5,
            core_premium: 0.035,
            seed: 42,
            preferences: true,
            headroom: 0.0,
            fewer_values: false,
        }
    }
}

/// A cluster, the pods of it that want a place, and the nodes that count.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Indices of the pods to place.
    pub pending: Vec<u32>,
    /// Nodes that are to be thought away, by index. Their pods count only if they are in `pending`.
    pub without: Vec<bool>,
    /// How solutions are chosen.
    pub settings: Settings,
}

impl<'a> Problem<'a> {
    /// All pods without a node, on all nodes.
    pub fn provision(cluster: &'a Cluster, settings: Settings) -> Self {
        let pending = (0_u32..)
            .zip(&cluster.pods)
            .filter(|(_, pod)| pod.node.is_none() && !pod.leaving)
            .map(|(at, _)| at)
            .collect();
        Self { cluster, pending, without: vec![false; cluster.nodes.len()], settings }
    }

    /// What if these nodes went, and their pods had to go elsewhere?
    pub fn without_nodes(cluster: &'a Cluster, nodes: &[u32], settings: Settings) -> Self {
        let mut problem = Self::provision(cluster, settings);
        for node in nodes {
            if let Some(gone) = problem.without.get_mut(*node as usize) {
                *gone = true;
            }
        }
        let moved = (0_u32..)
            .zip(&cluster.pods)
            .filter(|(_, pod)| !pod.leaving && pod.node.is_some_and(|node| nodes.contains(&node)));
        problem.pending.extend(moved.map(|(at, _)| at));
        problem
    }

    /// The resources that the pending pods ask for, the common ones first. Beyond
    /// [`MAX_DIMENSIONS`](super::vector::MAX_DIMENSIONS) the rest is left out, and so are the pods that want it.
    pub(super) fn dimensions(&self) -> Vec<ResourceId> {
        use crate::state::resources::{CPU, MEMORY, PODS};
        let mut wanted = std::collections::BTreeSet::new();
        for pod in &self.pending {
            let spec = self.cluster.spec(self.cluster.pods[*pod as usize].spec);
            wanted.extend(spec.requests.iter().filter(|(_, amount)| *amount > 0).map(|(id, _)| id));
        }
        let mut dimensions = vec![CPU, MEMORY, PODS];
        dimensions.extend(wanted.into_iter().filter(|id| id.0 > 2));
        dimensions.truncate(super::vector::MAX_DIMENSIONS);
        dimensions
    }
}
