//! A cluster in which decisions come true at once: pods as ReplicaSets make and remove them, nodes as they
//! register, and the clock that the decisions read.

use eksup::autoscaler::api::node_pool::ConsolidationPolicy;
use eksup::autoscaler::disruption::scale_in::{Berth, Seat, complete, rank};
use eksup::autoscaler::disruption::{
    Budget, Command, Decision, Destination, Fleet, FleetNode, FleetPod, Memory, PoolPolicy, Settings, decide,
};
use eksup::autoscaler::scheduling::random::Random;
use eksup::autoscaler::scheduling::{self, PlannedNode, Problem, Solution, export, solve};
use eksup::autoscaler::state::cluster::Cluster;
use eksup::autoscaler::state::instance_types::Price;
use eksup::autoscaler::state::intern::Symbol;
use eksup::autoscaler::state::pod_spec::label;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::Value;
use std::collections::BTreeMap;

/// A pod of a Deployment.
#[derive(Clone)]
pub struct SimPod {
    pub deployment: usize,
    pub object: Pod,
    pub node: Option<String>,
}

/// A node that runs.
#[derive(Clone)]
pub struct SimNode {
    pub object: Node,
    pub price: Price,
    pub created: Timestamp,
    pub last_pod_event: Timestamp,
}

/// The cluster.
pub struct Simulation {
    base: Box<dyn Fn() -> Cluster>,
    pub pods: Vec<SimPod>,
    pub nodes: Vec<SimNode>,
    pub now: Timestamp,
    pub launch: scheduling::Settings,
    pub settings: Settings,
    pub policy: PoolPolicy,
    made: usize,
    random: Random,
}

impl Simulation {
    /// A cluster with the pools and prices of `base`, and pods to place.
    pub fn new(base: impl Fn() -> Cluster + 'static, pods: Vec<(usize, Pod)>, seed: u64) -> Self {
        let budget = serde_json::from_value(serde_json::json!({ "nodes": "100%" })).expect("a budget");
        let pods = pods.into_iter().map(|(deployment, object)| SimPod { deployment, object, node: None }).collect();
        Self {
            base: Box::new(base),
            pods,
            nodes: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
            launch: scheduling::Settings { seed, ..scheduling::Settings::default() },
            settings: Settings { seed, ..Settings::default() },
            policy: PoolPolicy {
                name: "default".into(),
                policy: ConsolidationPolicy::WhenEmptyOrUnderutilized,
                consolidate_after: Some(SignedDuration::from_secs(10)),
                budgets: vec![Budget::read(&budget)],
                fixed: false,
            },
            made: 0,
            random: Random::new(seed),
        }
    }

    /// The cluster as the scheduler reads it.
    pub fn cluster(&self) -> Cluster {
        let mut cluster = (self.base)();
        for node in &self.nodes {
            cluster.add_node(&node.object).expect("a node");
        }
        for pod in &self.pods {
            let mut object = pod.object.clone();
            if let Some(spec) = &mut object.spec {
                spec.node_name.clone_from(&pod.node);
            }
            cluster.add_pod(&object);
        }
        cluster
    }

    /// Dollars per hour.
    pub fn cost(&self) -> f64 {
        self.nodes.iter().map(|node| node.price.dollars()).sum()
    }

    /// Buys nodes for the pods without one; what it cost at least is returned.
    pub fn provision(&mut self, rounds: u64) -> f64 {
        let cluster = self.cluster();
        let problem = Problem::provision(&cluster, self.launch);
        let solution = solve(&problem, scheduling::Budget::rounds(rounds));
        assert!(solution.unplaced.is_empty(), "every pod has a place");
        let names = self.add_nodes(&problem, &solution.nodes);
        for (node, name) in solution.nodes.iter().zip(&names) {
            node.pods.iter().for_each(|pod| self.pods[*pod as usize].node = Some(name.clone()));
        }
        for (node, pods) in &solution.existing {
            let name = cluster.nodes[*node as usize].name.to_string();
            pods.iter().for_each(|pod| self.pods[*pod as usize].node = Some(name.clone()));
        }
        solution.bound
    }

    fn add_nodes(&mut self, problem: &Problem<'_>, nodes: &[PlannedNode]) -> Vec<String> {
        let mut planned = Solution::default();
        for node in nodes {
            self.made += 1;
            planned.nodes.push(PlannedNode { name: format!("node-{:04}", self.made), ..node.clone() });
        }
        for (mut object, node) in export::nodes(problem, &planned).into_iter().zip(&planned.nodes) {
            let labels = object.metadata.labels.get_or_insert_default();
            labels.insert("karpenter.sh/initialized".into(), "true".into());
            self.nodes.push(SimNode { object, price: node.price, created: self.now, last_pod_event: self.now });
        }
        planned.nodes.into_iter().map(|node| node.name).collect()
    }

    /// Cuts every Deployment to a share of its replicas, rounded down but to one at least. Victims as the ReplicaSet controller
    /// picks them: those of the least deletion cost first, then those with most of their kind on one node, otherwise any.
    pub fn scale_in(&mut self, share: f64) {
        let deployments = self.pods.iter().map(|pod| pod.deployment + 1).max().unwrap_or(0);
        let costs = self.deletion_costs(deployments);
        let mut goes = vec![false; self.pods.len()];
        for deployment in 0..deployments {
            let own: Vec<usize> = (0..self.pods.len()).filter(|at| self.pods[*at].deployment == deployment).collect();
            let doubled = |at: usize| own.iter().filter(|other| self.pods[**other].node == self.pods[at].node).count();
            let mut order: Vec<(i32, usize, u64, usize)> = Vec::new();
            for at in &own {
                order.push((costs[*at], usize::MAX - doubled(*at), self.random.bits(), *at));
            }
            order.sort_unstable();
            let kept = ((own.len() as f64 * share + 1e-9) as usize).max(1).min(own.len());
            order.iter().take(own.len() - kept).for_each(|(.., at)| goes[*at] = true);
        }
        for (at, goes) in goes.iter().enumerate() {
            if *goes {
                self.touch(self.pods[at].node.clone());
            }
        }
        let mut goes = goes.into_iter();
        self.pods.retain(|_| !goes.next().unwrap_or(false));
    }

    /// What the pods are told of how dear it is to let them go.
    fn deletion_costs(&self, deployments: usize) -> Vec<i32> {
        let cluster = self.cluster();
        let zone = cluster.names.known.zone;
        let spreads = |pod: usize| &cluster.spec(cluster.pods[pod].spec).spreads;
        let is_even = |pod: usize| spreads(pod).iter().any(|spread| spread.topology_key == zone);
        let mut kinds: BTreeMap<(usize, Option<Symbol>), u32> = BTreeMap::new();
        let mut sizes = Vec::new();
        let mut berths = vec![Berth::default(); self.nodes.len()];
        for (at, (pod, entry)) in self.pods.iter().zip(&cluster.pods).enumerate() {
            let Some(node) = entry.node else { continue };
            let home = label(&cluster.nodes[node as usize].labels, zone).filter(|_| is_even(at));
            let kind = *kinds.entry((pod.deployment, home)).or_insert_with(|| {
                sizes.push(cluster.spec(entry.spec).requests.size());
                sizes.len() as u32 - 1
            });
            berths[node as usize].add(kind);
        }
        rank(&mut berths.iter_mut().collect::<Vec<_>>(), &sizes);
        let mut costs = vec![0; self.pods.len()];
        for deployment in 0..deployments {
            let own: Vec<usize> = (0..self.pods.len()).filter(|at| self.pods[*at].deployment == deployment).collect();
            let seat = |pod: &usize| {
                let node = cluster.pods[*pod].node? as usize;
                let (entry, rank) = (&cluster.nodes[node], berths[node].rank?);
                let zone = label(&entry.labels, zone).map_or("", |zone| cluster.names.text(zone));
                Some(Seat { node: &entry.name, zone, rank, cost: None })
            };
            let mut seats: Vec<Seat<'_>> = own.iter().filter_map(seat).collect();
            complete(&mut seats, own.first().is_some_and(|pod| is_even(*pod)));
            own.iter().zip(&seats).for_each(|(pod, seat)| costs[*pod] = seat.cost.unwrap_or(0));
        }
        costs
    }

    fn touch(&mut self, node: Option<String>) {
        let Some(name) = node else { return };
        if let Some(node) = self.nodes.iter_mut().find(|node| node.object.metadata.name.as_ref() == Some(&name)) {
            node.last_pod_event = self.now;
        }
    }

    /// The fleet for a decision.
    pub fn fleet<'a>(&self, cluster: &'a Cluster) -> Fleet<'a> {
        let mut pods: Vec<Vec<FleetPod>> = vec![Vec::new(); cluster.nodes.len()];
        for (at, pod) in (0_u32..).zip(&cluster.pods) {
            if let Some(node) = pod.node {
                pods[node as usize].push(FleetPod {
                    pod: at,
                    started: None,
                    ready: true,
                    protection: None,
                    deletion_cost: 0,
                    priority: 0,
                    budgets: Vec::new(),
                });
            }
        }
        let capacity_type = cluster.names.known.capacity_type;
        let nodes = self.nodes.iter().enumerate().map(|(at, node)| FleetNode {
            node: at as u32,
            claim: format!("claim-{}", cluster.nodes[at].name).into(),
            pool: 0,
            price: node.price,
            capacity_type: label(&cluster.nodes[at].labels, capacity_type).unwrap_or(cluster.names.known.on_demand),
            created: node.created,
            initialized: Some(node.created),
            ready: true,
            last_pod_event: Some(node.last_pod_event),
            drifted: None,
            expire_after: None,
            grace: None,
            do_not_disrupt: false,
            leaving: false,
            nominated_until: None,
            pods: std::mem::take(&mut pods[at]),
        });
        Fleet {
            cluster,
            nodes: nodes.collect(),
            pools: vec![self.policy.clone()],
            pod_budgets: Vec::new(),
            settings: self.settings,
        }
    }

    /// Lets seconds pass.
    pub fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// One decision, carried out; pods that moved.
    pub fn step(&mut self, memory: &mut Memory) -> (Decision, Vec<usize>) {
        let cluster = self.cluster();
        let fleet = self.fleet(&cluster);
        let decision = decide(&fleet, self.now, memory, &mut scheduling::Budget::rounds(u64::MAX));
        let mut moved = Vec::new();
        let mut gone: Vec<String> = Vec::new();
        for command in &decision.commands {
            self.carry_out(&cluster, &fleet, command);
            moved.extend(command.moves.iter().map(|(pod, _)| *pod as usize));
            let names = command.remove.iter().map(|at| fleet.nodes[*at as usize].node);
            gone.extend(names.map(|node| cluster.nodes[node as usize].name.to_string()));
        }
        let stranded = self.pods.iter().filter(|pod| pod.node.as_ref().is_some_and(|node| gone.contains(node))).count();
        assert_eq!(stranded, 0, "every pod of a node that goes has another place");
        self.nodes.retain(|node| !node.object.metadata.name.as_ref().is_some_and(|name| gone.contains(name)));
        (decision, moved)
    }

    fn carry_out(&mut self, cluster: &Cluster, fleet: &Fleet<'_>, command: &Command) {
        let problem = Problem::provision(fleet.cluster, self.launch);
        let new = self.add_nodes(&problem, &command.replacements);
        for (pod, to) in &command.moves {
            let name = match to {
                Destination::Running(node) => cluster.nodes[*node as usize].name.to_string(),
                Destination::Replacement(at) => new[*at as usize].clone(),
            };
            let at = *pod as usize;
            self.made += 1;
            self.pods[at].object.metadata.name = Some(format!("moved-{}", self.made));
            self.pods[at].node = Some(name.clone());
            self.touch(Some(name));
        }
    }

    /// Decides until nothing changes any more; decisions that changed something, and pods moved.
    pub fn settle(&mut self, memory: &mut Memory) -> (usize, usize) {
        let (mut decisions, mut moved, mut quiet) = (0, 0, 0);
        while quiet < 3 && decisions < 100 {
            self.wait(15);
            let (decision, pods) = self.step(memory);
            moved += pods.len();
            if decision.commands.is_empty() {
                quiet += 1;
            } else {
                (quiet, decisions) = (0, decisions + 1);
            }
        }
        (decisions, moved)
    }
}

/// The Deployments of a scenario as pods, with the number of their Deployment.
pub fn pods_of(scenario: &Value, all: Vec<Pod>) -> Vec<(usize, Pod)> {
    let mut numbered = Vec::new();
    let mut all = all.into_iter();
    for (at, deployment) in scenario["deployments"].as_array().into_iter().flatten().enumerate() {
        let replicas = deployment["replicas"].as_u64().unwrap_or(0) as usize;
        numbered.extend(all.by_ref().take(replicas).map(|pod| (at, pod)));
    }
    numbered
}

/// The fleet of a cluster that runs, all of it on-demand and of one price.
pub fn fleet_of(cluster: &Cluster) -> Fleet<'_> {
    let nodes = cluster.nodes.clone();
    let mut simulation = Simulation::new(Cluster::default, Vec::new(), 42);
    for node in &nodes {
        let object: Node =
            serde_json::from_value(serde_json::json!({ "metadata": { "name": &*node.name } })).expect("a node");
        simulation.nodes.push(SimNode {
            object,
            price: Price::from_dollars(0.384).unwrap_or_default(),
            created: Timestamp::UNIX_EPOCH,
            last_pod_event: Timestamp::UNIX_EPOCH,
        });
    }
    simulation.fleet(cluster)
}
