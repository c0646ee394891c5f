//! The answer as data.

use crate::autoscaler::scheduling::{Alternative, PlannedNode, Problem, Solution, alternatives};
use crate::autoscaler::state::names::Names;
use crate::autoscaler::state::resources::{CPU, MEMORY};
use serde::Serialize;

/// Hours of a month in price lists.
pub const HOURS_PER_MONTH: f64 = 730.0;

/// What the workloads would get, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Nodes to buy, dearest first.
    pub nodes: Vec<ReportNode>,
    /// Running nodes that take pods.
    pub existing: Vec<ReportExisting>,
    /// Pods without a place.
    pub unplaced: Vec<ReportUnplaced>,
    /// Pods with a place.
    pub placed: usize,
    /// Dollars per hour of the nodes to buy.
    pub hourly_cost: f64,
    /// Dollars per month of the nodes to buy.
    pub monthly_cost: f64,
    /// No set of nodes for these pods costs less per hour.
    pub lower_bound: f64,
    /// Requested CPU as a share of what the new nodes have for pods.
    pub cpu_use: f64,
    /// Requested memory as a share of what the new nodes have for pods.
    pub memory_use: f64,
}

/// A node to buy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportNode {
    /// Its name within the report.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// Its instance type.
    pub instance_type: String,
    /// Its zone.
    pub zone: String,
    /// `spot`, `on-demand` or `reserved`.
    pub capacity_type: String,
    /// Dollars per hour.
    pub hourly_cost: f64,
    /// Requested CPU as a share of what it has for pods.
    pub cpu_use: f64,
    /// Requested memory as a share of what it has for pods.
    pub memory_use: f64,
    /// Why this one, and what was second.
    pub why: String,
    /// The cheapest other way to hold the same pods, if there is one.
    pub second: Option<ReportOffering>,
    /// Its pods, as `namespace/name`.
    pub pods: Vec<String>,
}

/// Another way to buy a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportOffering {
    /// The instance type.
    pub instance_type: String,
    /// The zone.
    pub zone: String,
    /// `spot`, `on-demand` or `reserved`.
    pub capacity_type: String,
    /// Dollars per hour.
    pub hourly_cost: f64,
}

/// A running node that takes pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportExisting {
    /// Its name.
    pub name: String,
    /// The pods, as `namespace/name`.
    pub pods: Vec<String>,
}

/// Pods without a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportUnplaced {
    /// The pods, as `namespace/name`.
    pub pods: Vec<String>,
    /// Why.
    pub reason: String,
}

impl Report {
    /// Reports on a solution.
    pub fn new(problem: &Problem<'_>, solution: &Solution) -> Self {
        let cluster = problem.cluster;
        let names: &Names = &cluster.names;
        let pod_names =
            |pods: &[u32]| pods.iter().map(|at| cluster.pods[*at as usize].name.to_string()).collect::<Vec<_>>();
        let share = |used: i64, of: i64| if of > 0 { used as f64 / of as f64 } else { 0.0 };
        let (mut used, mut had) = ([0_i64; 2], [0_i64; 2]);
        let mut nodes = Vec::new();
        for node in &solution.nodes {
            let instance_type = &cluster.catalogue.types[node.instance_type as usize];
            let offering = &instance_type.offerings[node.offering as usize];
            let asked = |id| {
                node.pods.iter().map(|at| cluster.spec(cluster.pods[*at as usize].spec).requests.get(id)).sum::<i64>()
            };
            let (own_used, own_had) =
                ([asked(CPU), asked(MEMORY)], [CPU, MEMORY].map(|id| instance_type.allocatable.get(id)));
            for at in 0..2 {
                used[at] += own_used[at];
                had[at] += own_had[at];
            }
            let (why, second) = reasons(problem, node);
            nodes.push(ReportNode {
                name: node.name.clone(),
                pool: names.text(cluster.pools[node.pool as usize].name).to_owned(),
                instance_type: names.text(instance_type.name).to_owned(),
                zone: names.text(offering.zone).to_owned(),
                capacity_type: names.text(offering.capacity_type).to_owned(),
                hourly_cost: node.price.dollars(),
                cpu_use: share(own_used[0], own_had[0]),
                memory_use: share(own_used[1], own_had[1]),
                why,
                second,
                pods: pod_names(&node.pods),
            });
        }
        let unreadable =
            cluster.unreadable.iter().map(|u| ReportUnplaced { pods: vec![u.pod.clone()], reason: u.reason.clone() });
        let unplaced =
            solution.unplaced.iter().map(|u| ReportUnplaced { pods: pod_names(&u.pods), reason: u.reason.clone() });
        Self {
            nodes,
            existing: solution
                .existing
                .iter()
                .map(|(node, pods)| ReportExisting {
                    name: cluster.nodes[*node as usize].name.to_string(),
                    pods: pod_names(pods),
                })
                .collect(),
            unplaced: unplaced.chain(unreadable).collect(),
            placed: solution.placed(),
            hourly_cost: solution.cost.dollars(),
            monthly_cost: solution.cost.dollars() * HOURS_PER_MONTH,
            lower_bound: solution.bound,
            cpu_use: share(used[0], had[0]),
            memory_use: share(used[1], had[1]),
        }
    }
}

/// Why a node is what it is, and what was second.
fn reasons(problem: &Problem<'_>, node: &PlannedNode) -> (String, Option<ReportOffering>) {
    let cluster = problem.cluster;
    let names = &cluster.names;
    let pool = names.text(cluster.pools[node.pool as usize].name);
    let mut others = alternatives(problem, node);
    others.retain(|other| (other.instance_type, other.offering) != (node.instance_type, node.offering));
    let Some(Alternative { instance_type, offering, .. }) = others.first() else {
        return (format!("nothing else that pool `{pool}` may buy holds these pods"), None);
    };
    let instance_type = &cluster.catalogue.types[*instance_type as usize];
    let offering = &instance_type.offerings[*offering as usize];
    let second = ReportOffering {
        instance_type: names.text(instance_type.name).to_owned(),
        zone: names.text(offering.zone).to_owned(),
        capacity_type: names.text(offering.capacity_type).to_owned(),
        hourly_cost: offering.price.dollars(),
    };
    let ReportOffering { instance_type, zone, capacity_type, hourly_cost } = &second;
    let other = format!("`{instance_type}` {capacity_type} in {zone} at {hourly_cost:.4} $ per hour");
    let why = if offering.price < node.price {
        format!("the limits or minimum values of pool `{pool}` rule out {other}")
    } else {
        format!(
            "cheapest of {} that pool `{pool}` may buy and that hold these pods; second is {other}",
            others.len() + 1
        )
    };
    (why, Some(second))
}
