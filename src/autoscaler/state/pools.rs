//! NodePools as the scheduler sees them.

use super::intern::Symbol;
use super::pod_spec::{Labels, Taint};
use super::requirements::Requirements;
use super::resources::Amounts;

/// A NodePool, read.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: Symbol,
    /// Pools with more weight are tried first.
    pub weight: i32,
    /// Requirements of the template, its labels and the pool's own name among them.
    pub requirements: Requirements,
    /// Keys of which a launch must leave at least so many values to choose from.
    pub min_values: Vec<(Symbol, u32)>,
    /// Labels that every node of the pool gets.
    pub labels: Labels,
    /// Taints that every node of the pool keeps.
    pub taints: Vec<Taint>,
    /// Taints that go once the node has started; pods need not tolerate them.
    pub startup_taints: Vec<Taint>,
    /// The most of each resource that the nodes of the pool may have together.
    pub limits: Amounts,
    /// The most nodes.
    pub node_limit: Option<i64>,
}
