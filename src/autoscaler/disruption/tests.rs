//! Decisions about small fleets.

use super::*;
use crate::api::node_pool::{ConsolidationPolicy, DisruptionBudget, DisruptionReason};
use crate::scheduling::Budget as Effort;
use crate::state::catalogue_file::read_catalogue;
use crate::state::cluster::Cluster;
use crate::state::instance_types::Price;
use crate::state::pools::Pool;
use crate::state::requirements::Requirements;
use crate::state::resources::Amounts;
use jiff::SignedDuration;
use serde_json::json;

mod reserved;

const CATALOGUE: &str = "instance_type,vcpu,memory_mib,max_pods,on_demand_usd,spot_a_usd,zones\n\
    m.large,2,8192,29,0.10,0.04,a\nm.xlarge,4,16384,58,0.20,0.08,a\nm.2xlarge,8,32768,58,0.40,0.16,a\n";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

/// A small fleet: each node with its type, and each pod with its node and what it asks for.
struct World {
    cluster: Cluster,
    nodes: Vec<FleetNode>,
    policy: PoolPolicy,
    budgets: Vec<PodBudget>,
}

impl World {
    fn new(nodes: &[(&str, &[&str])]) -> Self {
        let mut cluster = Cluster::default();
        cluster.catalogue = read_catalogue(&mut cluster.names, CATALOGUE, "r").expect("a catalogue");
        let name = cluster.names.strings.intern("default");
        let mut requirements = Requirements::default();
        let on_demand = cluster.names.known.on_demand;
        requirements.add(cluster.names.known.capacity_type, crate::state::requirements::ValueSet::single(on_demand));
        cluster.pools.push(Pool {
            name,
            weight: 0,
            requirements,
            min_values: Vec::new(),
            labels: Box::default(),
            taints: Vec::new(),
            startup_taints: Vec::new(),
            limits: Amounts::default(),
            node_limit: None,
        });
        let mut fleet = Vec::new();
        for (index, (kind, pods)) in (0_u32..).zip(nodes) {
            let (cpu, memory, dollars) = match *kind {
                "m.large" => ("2", "8Gi", 0.10),
                "m.xlarge" => ("4", "16Gi", 0.20),
                _ => ("8", "32Gi", 0.40),
            };
            let amounts = json!({ "cpu": cpu, "memory": memory, "pods": "29" });
            let node = json!({
                "metadata": { "name": format!("n{index}"), "labels": {
                    "karpenter.sh/nodepool": "default", "karpenter.sh/initialized": "true", "topology.kubernetes.io/zone": "ra",
                    "karpenter.sh/capacity-type": "on-demand", "node.kubernetes.io/instance-type": kind } },
                "status": { "allocatable": amounts, "capacity": amounts } });
            cluster.add_node(&serde_json::from_value(node).expect("a node")).expect("readable");
            let first = cluster.pods.len();
            for (number, request) in pods.iter().enumerate() {
                let pod = json!({
                    "metadata": { "name": format!("p{index}-{number}"), "namespace": "d", "ownerReferences": [
                        { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true }] },
                    "spec": { "nodeName": format!("n{index}"), "containers": [{ "name": "c", "resources": { "requests": { "cpu": request } } }] } });
                cluster.add_pod(&serde_json::from_value(pod).expect("a pod"));
            }
            fleet.push(FleetNode {
                node: index,
                claim: format!("c{index}").into(),
                pool: 0,
                price: Price::from_dollars(dollars).unwrap_or_default(),
                capacity_type: on_demand,
                created: at(0),
                initialized: Some(at(10)),
                ready: true,
                last_pod_event: Some(at(20)),
                drifted: None,
                expire_after: None,
                grace: None,
                do_not_disrupt: false,
                leaving: false,
                nominated_until: None,
                pods: (first..cluster.pods.len())
                    .map(|pod| FleetPod {
                        pod: u32::try_from(pod).unwrap_or(u32::MAX),
                        started: Some(at(20)),
                        ready: true,
                        protection: None,
                        deletion_cost: 0,
                        priority: 0,
                        budgets: Vec::new(),
                    })
                    .collect(),
            });
        }
        let policy = PoolPolicy {
            name: "default".into(),
            policy: ConsolidationPolicy::WhenEmptyOrUnderutilized,
            consolidate_after: Some(SignedDuration::from_secs(30)),
            budgets: vec![budget("100%", &[])],
            fixed: false,
        };
        Self { cluster, nodes: fleet, policy, budgets: Vec::new() }
    }

    fn decide_at(&self, now: Timestamp) -> Decision {
        self.decide_with(Settings::default(), now)
    }

    fn decide_with(&self, settings: Settings, now: Timestamp) -> Decision {
        let fleet = Fleet {
            cluster: &self.cluster,
            nodes: self.nodes.clone(),
            pools: vec![self.policy.clone()],
            pod_budgets: self.budgets.clone(),
            settings,
        };
        decide(&fleet, now, &mut Memory::default(), &mut Effort::rounds(u64::MAX))
    }

    fn decide(&self) -> Decision {
        self.decide_at(at(1000))
    }
}

fn budget(nodes: &str, reasons: &[DisruptionReason]) -> Budget {
    let (nodes, reasons) = (nodes.to_owned(), reasons.to_vec());
    Budget::read(&DisruptionBudget { nodes, reasons, schedule: None, duration: None })
}

fn removed(decision: &Decision) -> Vec<u32> {
    let mut all: Vec<u32> = decision.commands.iter().flat_map(|command| command.remove.iter().copied()).collect();
    all.sort_unstable();
    all
}

fn stay(decision: &Decision, node: u32) -> Option<&Stay> {
    decision.stays.iter().find(|(at, _)| *at == node).map(|(_, stay)| stay)
}

#[test]
fn empty_nodes_go_at_once_and_without_a_replacement() {
    let decision = World::new(&[("m.large", &[]), ("m.large", &["1900m"]), ("m.xlarge", &[])]).decide();
    assert_eq!(removed(&decision), [0, 2]);
    assert!(decision.commands.iter().all(|one| one.reason == Reason::Empty && one.replacements.is_empty()));
}

#[test]
fn a_node_whose_pods_fit_elsewhere_goes() {
    let decision = World::new(&[("m.large", &["500m"]), ("m.large", &["500m"])]).decide();
    assert_eq!(decision.commands.len(), 1);
    let command = &decision.commands[0];
    assert_eq!((command.remove.len(), command.replacements.len(), command.moves.len()), (1, 0, 1));
}

#[test]
fn one_large_node_becomes_a_small_one() {
    let decision = World::new(&[("m.2xlarge", &["500m", "500m"])]).decide();
    assert_eq!(removed(&decision), [0]);
    assert_eq!(decision.commands[0].replacements.len(), 1);
    assert!(decision.commands[0].saving.dollars() > 0.29);
}

#[test]
fn a_node_is_left_alone_until_its_pods_have_been_quiet() {
    let world = World::new(&[("m.large", &[])]);
    let decision = world.decide_at(at(49));
    assert_eq!(stay(&decision, 0), Some(&Stay::Unquiet { until: at(50) }));
    assert_eq!(removed(&world.decide_at(at(50))), [0]);
}

#[test]
fn what_forbids_a_node_to_go_is_named() {
    let mut world =
        World::new(&[("m.large", &["100m"]), ("m.large", &["100m"]), ("m.large", &["100m"]), ("m.large", &["100m"])]);
    world.budgets = vec![
        PodBudget { name: "d/none".into(), allowed: 0, unhealthy_always: false },
        PodBudget { name: "d/some".into(), allowed: 1, unhealthy_always: false },
    ];
    world.nodes[0].do_not_disrupt = true;
    world.nodes[1].pods[0].protection = Some(Protection::Always);
    world.nodes[2].pods[0].budgets = vec![0];
    world.nodes[3].pods[0].budgets = vec![0, 1];
    let decision = world.decide();
    assert!(removed(&decision).is_empty());
    assert_eq!(stay(&decision, 0), Some(&Stay::Protected));
    assert!(matches!(stay(&decision, 1), Some(Stay::PodProtected { until: None, .. })));
    assert!(matches!(stay(&decision, 2), Some(Stay::PodBudget { budget, .. }) if &**budget == "d/none"));
    assert!(matches!(stay(&decision, 3), Some(Stay::TwoPodBudgets { .. })));
}

#[test]
fn protection_for_a_time_ends() {
    let mut world = World::new(&[("m.large", &["100m"]), ("m.large", &["100m"])]);
    for node in &mut world.nodes {
        node.pods[0].protection = Some(Protection::For(SignedDuration::from_secs(500)));
    }
    assert!(removed(&world.decide_at(at(519))).is_empty());
    assert_eq!(removed(&world.decide_at(at(520))).len(), 1);
}

#[test]
fn a_pod_that_is_not_ready_is_held_by_no_budget_that_lets_such_pods_go() {
    let mut world = World::new(&[("m.large", &["100m"]), ("m.large", &["1900m"])]);
    world.budgets = vec![PodBudget { name: "d/none".into(), allowed: 0, unhealthy_always: true }];
    world.nodes[0].pods[0].budgets = vec![0];
    world.nodes[1].do_not_disrupt = true;
    assert!(removed(&world.decide()).is_empty());
    world.nodes[0].pods[0].ready = false;
    assert_eq!(removed(&world.decide()), [0]);
}

#[test]
fn budgets_are_counted_by_reason() {
    let mut world = World::new(&[("m.large", &[]), ("m.large", &["500m"]), ("m.large", &["500m"])]);
    world.policy.budgets = vec![budget("0", &[DisruptionReason::Empty]), budget("100%", &[])];
    let decision = world.decide();
    assert!(decision.commands.iter().all(|one| one.reason == Reason::Underutilized), "{decision:?}");
    world.policy.budgets = vec![budget("0", &[DisruptionReason::Underutilized]), budget("100%", &[])];
    let decision = world.decide();
    assert_eq!(removed(&decision), [0]);
}

#[test]
fn a_percentage_is_rounded_up_and_what_is_gone_or_unwell_counts() {
    let mut world = World::new(&[("m.large", &[]), ("m.large", &[]), ("m.large", &[]), ("m.large", &[])]);
    world.policy.budgets = vec![budget("30%", &[])];
    assert_eq!(removed(&world.decide()).len(), 2);
    world.nodes[3].ready = false;
    assert_eq!(removed(&world.decide()).len(), 1);
    world.nodes[2].leaving = true;
    assert!(removed(&world.decide()).is_empty());
    world.policy.budgets = vec![budget("many", &[])];
    assert!(removed(&world.decide()).is_empty(), "what cannot be read lets nothing go");
}

#[test]
fn a_drifted_node_goes_once_its_replacement_is_there() {
    let mut world = World::new(&[("m.large", &["1500m"]), ("m.large", &["1500m"])]);
    world.nodes[1].drifted = Some(("AMIDrift".into(), at(500)));
    let decision = world.decide();
    assert_eq!(removed(&decision), [1]);
    let command = &decision.commands[0];
    assert_eq!((command.reason, command.replacements.len(), command.moves.len()), (Reason::Drifted, 1, 1));
}

#[test]
fn a_drifted_node_that_its_pods_hold_goes_only_with_a_grace_period() {
    let mut world = World::new(&[("m.large", &["1500m"])]);
    world.nodes[0].drifted = Some(("AMIDrift".into(), at(500)));
    world.nodes[0].pods[0].protection = Some(Protection::Always);
    assert!(removed(&world.decide()).is_empty());
    world.nodes[0].grace = Some(SignedDuration::from_hours(1));
    assert_eq!(removed(&world.decide()), [0]);
}

#[test]
fn old_nodes_are_replaced_within_budgets_and_not_all_at_the_same_moment() {
    let mut world = World::new(&[("m.large", &["1500m"]), ("m.large", &["1500m"]), ("m.large", &["1500m"])]);
    for node in &mut world.nodes {
        node.expire_after = Some(SignedDuration::from_hours(100));
    }
    let times: std::collections::BTreeSet<Timestamp> = world.nodes.iter().filter_map(FleetNode::expires).collect();
    assert_eq!(times.len(), 3, "each at its own time");
    assert!(times.iter().all(|time| *time > at(95 * 3600 - 1) && *time <= at(100 * 3600)));
    world.policy.budgets = vec![budget("1", &[])];
    let decision = world.decide_at(at(101 * 3600));
    assert_eq!(removed(&decision).len(), 1);
    assert_eq!(decision.commands[0].reason, Reason::Expired);
    assert_eq!(decision.stays.iter().filter(|(_, stay)| matches!(stay, Stay::Budget { .. })).count(), 2);
}

#[test]
fn a_drifted_node_whose_pods_fit_nowhere_stays() {
    let mut world = World::new(&[("m.2xlarge", &["7"])]);
    world.nodes[0].drifted = Some(("AMIDrift".into(), at(500)));
    world.cluster.pools[0].node_limit = Some(0);
    let decision = world.decide();
    assert!(removed(&decision).is_empty());
    assert!(matches!(stay(&decision, 0), Some(Stay::NoPlace { .. })), "{:?}", decision.stays);
}

#[test]
fn pools_of_a_fixed_size_keep_their_nodes() {
    let mut world = World::new(&[("m.large", &[]), ("m.2xlarge", &["100m"])]);
    world.policy.fixed = true;
    assert!(removed(&world.decide()).is_empty());
}

#[test]
fn pods_that_ask_to_go_first_leave_their_node_as_good_as_empty() {
    let mut world = World::new(&[("m.large", &["1900m"])]);
    assert!(removed(&world.decide()).is_empty());
    world.nodes[0].pods[0].deletion_cost = i32::MIN;
    assert_eq!(world.decide().commands[0].reason, Reason::Empty);
}

#[test]
fn balanced_pools_move_no_pods_for_little() {
    let pods: &[&str] = &["300m"; 12];
    let mut world = World::new(&[("m.xlarge", pods), ("m.2xlarge", pods), ("m.xlarge", pods)]);
    let free = world.decide();
    world.policy.policy = ConsolidationPolicy::Balanced;
    let balanced = world.decide();
    assert!(removed(&balanced).len() <= removed(&free).len());
}

#[test]
fn nothing_is_searched_twice() {
    let world = World::new(&[("m.large", &["1500m"]), ("m.large", &["1500m"])]);
    let fleet = Fleet {
        cluster: &world.cluster,
        nodes: world.nodes.clone(),
        pools: vec![world.policy.clone()],
        pod_budgets: Vec::new(),
        settings: Settings::default(),
    };
    let mut memory = Memory::default();
    let first = decide(&fleet, at(1000), &mut memory, &mut Effort::rounds(u64::MAX));
    let second = decide(&fleet, at(2000), &mut memory, &mut Effort::rounds(u64::MAX));
    assert!(first.searched && !second.searched);
    assert!(first.commands.is_empty());
    assert_eq!(first.stays, second.stays);
}

#[test]
fn a_budget_of_none_forbids_what_it_speaks_of() {
    let now = Timestamp::UNIX_EPOCH;
    assert!(budget("0", &[]).forbids(Reason::Underutilized, now) && budget("0%", &[]).forbids(Reason::Empty, now));
    let drift_only = budget("0", &[DisruptionReason::Drifted]);
    assert!(drift_only.forbids(Reason::Drifted, now) && !drift_only.forbids(Reason::Underutilized, now));
    assert!(!budget("1", &[]).forbids(Reason::Underutilized, now));
}

#[test]
fn nothing_moves_onto_a_node_that_is_to_go_as_soon_as_it_is_quiet() {
    // Two full nodes, and a large one that has just lost most of its pods.
    let mut world = World::new(&[("m.large", &["1800m"]), ("m.large", &["1800m"]), ("m.2xlarge", &["100m"])]);
    world.nodes[2].last_pod_event = Some(at(990));
    let now = at(1000);
    assert_eq!(removed(&world.decide_at(now)), [] as [u32; 0], "it would take the pods of both");
    assert_eq!(stay(&world.decide_at(now), 2), Some(&Stay::Unquiet { until: at(1020) }));
    assert_eq!(removed(&world.decide_at(at(1020))), [2], "its own pod has room elsewhere");
    let settings = Settings { looking_ahead: false, ..Settings::default() };
    assert_eq!(removed(&world.decide_with(settings, now)), [0, 1]);
}
