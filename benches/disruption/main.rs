//! What consolidation is claimed to reach, re-runnable: `cargo bench --bench disruption`.
//!
//! A fleet is launched for a scenario, every Deployment is cut to 40 %, and the fleet settles. Shown are the
//! cost at launch and at rest as a share of the lower bound, the pods that moved of those that were left, and
//! how many decisions it took; beside them what Karpenter 1.14 reaches live on the same pods. Then one full
//! decision for a large cluster. `MISS` marks what is not reached. With a name as argument only the inputs
//! that contain it are run.

#[path = "../scheduling/inputs.rs"]
#[allow(dead_code, reason = "shared with the scheduling bench")]
mod inputs;
#[allow(dead_code, reason = "shared with the tests")]
mod simulation;

use eksup::autoscaler::disruption::{Command, Memory, decide};
use eksup::autoscaler::scheduling::{self, Problem, solve};
use serde_json::{Value, json};
use simulation::{Simulation, pods_of};
use std::time::Instant;

/// Karpenter's figures: cost at rest as a share of the bound, pods moved.
const KARPENTER: [(&str, f64, usize); 4] =
    [("web-small", 1.18, 265), ("cpu-heavy", 1.41, 76), ("memory-heavy", 1.87, 111), ("skewed", 1.27, 120)];

/// The scenarios: those with figures of Karpenter first.
const SCENARIOS: [&str; 9] =
    ["web-small", "cpu-heavy", "memory-heavy", "skewed", "web-large", "trace", "zone-spread", "host-anti", "daemons"];

fn main() {
    let filter: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |name: &str| filter.first().is_none_or(|part| name.contains(part.as_str()));
    if wanted("large") {
        large();
    }
    for name in SCENARIOS.iter().filter(|name| wanted(name)) {
        for seed in 1..=5 {
            scale_in(name, seed, 0.4);
        }
    }
}

/// One full decision for a large cluster in which much stands empty.
fn large() {
    let cluster = inputs::running(1000, 10_000, 0);
    let fleet = simulation::fleet_of(&cluster);
    let now = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(1);
    let start = Instant::now();
    let decision = decide(&fleet, now, &mut Memory::default(), &mut scheduling::Budget::rounds(u64::MAX));
    let seconds = start.elapsed().as_secs_f64();
    let sum = |count: fn(&Command) -> usize| decision.commands.iter().map(count).sum::<usize>();
    println!(
        "{} 1000 nodes, 10000 pods: {seconds:.3} s, {} nodes go, {} come, {} pods move, {} commands",
        if seconds <= 1.0 { "ok  " } else { "MISS" },
        sum(|command| command.remove.len()),
        sum(|command| command.replacements.len()),
        sum(|command| command.moves.len()),
        decision.commands.len()
    );
}

fn on_demand(scenario: &mut Value) {
    scenario["pools"] = json!([{ "name": "default", "capacity_types": ["on-demand"], "arch": ["amd64"],
        "categories": ["c", "m", "r"], "min_generation": 5 }]);
}

fn load(name: &str) -> Value {
    let mut scenario: Value =
        serde_json::from_str(&inputs::read(&format!("scenarios/{name}.json"))).unwrap_or_default();
    on_demand(&mut scenario);
    scenario
}

/// The lower bound for the pods as they are.
fn bound(simulation: &Simulation, base: &dyn Fn() -> eksup::autoscaler::state::cluster::Cluster) -> f64 {
    let mut cluster = base();
    simulation.pods.iter().for_each(|pod| cluster.add_pod(&pod.object));
    solve(&Problem::provision(&cluster, scheduling::Settings::default()), scheduling::Budget::rounds(0)).bound
}

fn scale_in(name: &str, seed: u64, share: f64) {
    let scenario = load(name);
    let catalogue = inputs::read("catalogue.csv");
    let pods = pods_of(&scenario, inputs::scenario_pods(&scenario));
    let base = {
        let scenario = scenario.clone();
        move || inputs::scenario_cluster(&scenario, &catalogue)
    };
    let mut simulation = Simulation::new(base.clone(), pods, seed);
    let least = simulation.provision(300);
    let launched = simulation.cost() / least;
    let nodes = simulation.nodes.len();
    let mut memory = Memory::default();
    let (early, _) = simulation.settle(&mut memory);
    simulation.scale_in(share);
    let left = simulation.pods.len();
    let least = bound(&simulation, &base);
    let start = Instant::now();
    let (decisions, moved) = simulation.settle(&mut memory);
    let seconds = start.elapsed().as_secs_f64();
    let (again, more) = simulation.settle(&mut Memory::default());
    let above = simulation.cost() / least;
    let theirs = KARPENTER.iter().find(|(known, _, _)| *known == name);
    let reached = above <= 1.06 && theirs.is_none_or(|(_, _, moves)| moved * 2 <= *moves) && again == 0;
    println!(
        "{} {name:13} seed {seed}: launch {launched:.3} on {nodes:3} nodes ({early} changes) | at rest {above:.3} on {:3}, {moved:3} of {left:3} pods moved in {decisions} decisions, {seconds:.2} s{} | with no memory {again} more ({more} pods)",
        if reached { "ok  " } else { "MISS" },
        simulation.nodes.len(),
        theirs.map_or(String::new(), |(_, cost, moves)| format!(" (Karpenter {cost:.2}, {moves})")),
    );
}
