//! Decisions about disruption, carried out in a simulated cluster: every pod keeps a place by the rules, as the
//! independent checker reads them; budgets hold; a fleet whose load does not change comes to rest.

#[path = "../benches/scheduling/inputs.rs"]
#[allow(dead_code, reason = "shared with the benches")]
mod inputs;
#[path = "../benches/disruption/simulation.rs"]
#[allow(dead_code, reason = "shared with the benches")]
mod simulation;

use eksup::autoscaler::api::node_pool::ConsolidationPolicy;
use eksup::autoscaler::checker::{self, Input};
use eksup::autoscaler::disruption::{Budget, Decision, Memory, Reason, Stay};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};
use simulation::{Simulation, pods_of};

fn on_demand() -> Value {
    json!([{ "name": "default", "capacity_types": ["on-demand"], "arch": ["amd64"], "categories": ["c", "m", "r"], "min_generation": 5 }])
}

fn scenario(name: &str) -> Value {
    let mut scenario: Value =
        serde_json::from_str(&inputs::read(&format!("scenarios/{name}.json"))).unwrap_or_default();
    scenario["pools"] = on_demand();
    scenario
}

fn simulate(scenario: &Value, seed: u64) -> Simulation {
    let pods = pods_of(scenario, inputs::scenario_pods(scenario));
    let catalogue = inputs::read("catalogue.csv");
    let scenario = scenario.clone();
    let mut simulation = Simulation::new(move || inputs::scenario_cluster(&scenario, &catalogue), pods, seed);
    simulation.provision(20);
    simulation
}

fn budget(nodes: &str) -> Vec<Budget> {
    vec![Budget::read(&serde_json::from_value(json!({ "nodes": nodes })).expect("a budget"))]
}

/// One decision, carried out and judged by the checker.
fn judged_step(simulation: &mut Simulation, memory: &mut Memory) -> Decision {
    simulation.wait(60);
    let (decision, moved) = simulation.step(memory);
    let mut input =
        Input { nodes: simulation.nodes.iter().map(|node| node.object.clone()).collect(), ..Input::default() };
    for (at, pod) in simulation.pods.iter().enumerate() {
        let mut object: Pod = pod.object.clone();
        let node = pod.node.clone().expect("a place");
        if moved.contains(&at) {
            let metadata = &object.metadata;
            let name = format!(
                "{}/{}",
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.name.as_deref().unwrap_or_default()
            );
            input.placement.insert(name, node);
        } else if let Some(spec) = &mut object.spec {
            spec.node_name = Some(node);
        }
        input.pods.push(object);
    }
    let faults = checker::check(&input);
    assert!(faults.is_empty(), "{} faults, first: {}", faults.len(), faults[0]);
    decision
}

/// Decides until nothing changes; then nothing changes any more, with and without memory.
fn comes_to_rest(simulation: &mut Simulation) -> usize {
    let mut memory = Memory::default();
    let mut changes = 0;
    while !judged_step(simulation, &mut memory).commands.is_empty() {
        changes += 1;
        assert!(changes < 60, "it does not come to rest");
    }
    for _ in 0..5 {
        assert!(judged_step(simulation, &mut memory).commands.is_empty(), "it was at rest");
    }
    changes
}

#[test]
fn after_a_scale_in_every_pod_keeps_a_place_by_the_rules() {
    for name in ["web-small", "zone-spread", "host-anti", "daemons", "skewed"] {
        let mut simulation = simulate(&scenario(name), 7);
        let before = simulation.cost();
        simulation.scale_in(0.4);
        comes_to_rest(&mut simulation);
        assert!(simulation.cost() < before * 0.7, "{name}: {} of {before} $/h", simulation.cost());
    }
}

#[test]
fn one_decision_is_enough_when_budgets_allow_it() {
    for seed in 0..4 {
        let mut simulation = simulate(&scenario("cpu-heavy"), seed);
        simulation.scale_in(0.4);
        assert!(comes_to_rest(&mut simulation) <= 1, "seed {seed}");
    }
}

#[test]
fn a_budget_is_never_exceeded_and_more_goes_later() {
    let mut simulation = simulate(&scenario("cpu-heavy"), 3);
    simulation.policy.budgets = budget("2");
    simulation.scale_in(0.4);
    let before = simulation.cost();
    let mut memory = Memory::default();
    let mut steps = 0;
    loop {
        let decision = judged_step(&mut simulation, &mut memory);
        let removed: usize = decision.commands.iter().map(|command| command.remove.len()).sum();
        assert!(removed <= 2, "{removed} nodes at once");
        if removed == 0 {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 2 && simulation.cost() < before, "{steps} steps");
    simulation.policy.budgets = budget("0");
    simulation.scale_in(0.2);
    let decision = judged_step(&mut simulation, &mut Memory::default());
    assert!(decision.commands.is_empty());
    let told = |stay: &Stay| matches!(stay, Stay::Budget { .. });
    assert!(decision.stays.iter().all(|(_, stay)| told(stay)), "{:?}", decision.stays);
}

#[test]
fn when_only_empty_nodes_may_go_no_pod_is_moved() {
    let mut simulation = simulate(&scenario("web-small"), 5);
    simulation.policy.policy = ConsolidationPolicy::WhenEmpty;
    simulation.scale_in(0.4);
    let names: Vec<Option<String>> = simulation.pods.iter().map(|pod| pod.node.clone()).collect();
    let decision = judged_step(&mut simulation, &mut Memory::default());
    assert!(decision.commands.iter().all(|command| command.reason == Reason::Empty && command.moves.is_empty()));
    assert_eq!(names, simulation.pods.iter().map(|pod| pod.node.clone()).collect::<Vec<_>>());
    assert!(!decision.stays.is_empty());
}

#[test]
fn every_node_either_goes_or_is_told_why_it_stays() {
    for name in ["web-small", "memory-heavy"] {
        let mut simulation = simulate(&scenario(name), 11);
        simulation.scale_in(0.5);
        let before = simulation.nodes.len();
        let decision = judged_step(&mut simulation, &mut Memory::default());
        let gone: usize = decision.commands.iter().map(|command| command.remove.len()).sum();
        assert_eq!(gone + decision.stays.len(), before, "{name}");
        assert!(decision.stays.iter().all(|(_, stay)| !stay.to_string().is_empty()));
    }
}

fn deployment() -> impl Strategy<Value = Value> {
    (1..9_u64, 100..4000_u64, 128..12_000_u64, 0..4_u8).prop_map(|(replicas, cpu, memory, kind)| {
        let mut one = json!({ "replicas": replicas, "cpu_m": cpu, "memory_mib": memory });
        match kind {
            0 => one["spread_zone"] = json!(1),
            1 => one["anti_host"] = json!(true),
            _ => {}
        }
        one
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_fleet_that_shrinks_keeps_the_rules_and_comes_to_rest(
        mut deployments in prop::collection::vec(deployment(), 1..10),
        share in 0.1..1.0_f64,
        seed in 0..1000_u64,
        percent in prop::sample::select(vec!["100%", "20%", "1"]),
    ) {
        for (at, one) in deployments.iter_mut().enumerate() {
            one["name"] = json!(format!("w-{at}"));
        }
        let scenario = json!({ "pools": on_demand(), "deployments": deployments });
        let mut simulation = simulate(&scenario, seed);
        simulation.policy.budgets = budget(percent);
        simulation.scale_in(share);
        let before = simulation.cost();
        comes_to_rest(&mut simulation);
        prop_assert!(simulation.cost() <= before + 1e-9);
    }
}
