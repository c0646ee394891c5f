//! What the scheduling core is claimed to reach, re-runnable: `cargo bench --bench scheduling`.
//!
//! Each line stands next to the figures of Karpenter 1.14 for the same input (`data/karpenter.csv`).
//! With a name as argument only the inputs that contain it are run; each input runs in a process of
//! its own, so that its peak memory is its own: objects, what is read from them, and the search.
//!
//! Times are of one processor, from the pods as read to the plan. `MISS` marks what is not reached: a speed
//! or a share of Karpenter's time, the least number of nodes, a share of the lower bound of the cost.

mod inputs;

use eksup::autoscaler::scheduling::{Budget, Problem, Settings, Solution, solve};
use eksup::autoscaler::state::cluster::Cluster;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    match arguments.as_slice() {
        [one, name] if one == "one" => one_input(name),
        rest => all_inputs(rest.first().map_or("", String::as_str)),
    }
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = [500, 1000, 2000, 5000, 10000, 20000].map(|count| format!("diverse-{count}")).into();
    names.push("preferences-4000".into());
    names.push("running-1000".into());
    names.extend(inputs::scenario_names().iter().map(|name| format!("scenario-{name}")));
    names
}

fn all_inputs(filter: &str) {
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    for name in names().iter().filter(|name| name.contains(filter)) {
        let status = std::process::Command::new(&program).args(["one", name]).status();
        if !status.is_ok_and(|status| status.success()) {
            println!("{name}: failed");
        }
    }
}

fn one_input(name: &str) {
    if let Some(count) = name.strip_prefix("diverse-") {
        let count: usize = count.parse().unwrap_or(0);
        // Pods per second of Karpenter; for sizes that were not measured the most that it reached.
        let theirs = [(500, 141.0), (1000, 226.0), (5000, 212.0), (10_000, 159.0)];
        let theirs = theirs.iter().find(|(size, _)| *size == count).map_or(226.0, |(_, speed)| *speed);
        let (factor, peak_mb) = if count == 10_000 { (500.0, 60.0) } else { (300.0, f64::INFINITY) };
        let goal = Goal { pods_per_second: theirs * factor, nodes: count / 5, peak_mb, ..Goal::default() };
        throughput(name, &inputs::diverse(count), &goal, Some(theirs));
    } else if name == "preferences-4000" {
        let goal = Goal { pods_per_second: 50_000.0, nodes: 21, ..Goal::default() };
        throughput(name, &inputs::preferences(4000), &goal, Some(44.0));
    } else if name == "running-1000" {
        let goal = Goal { milliseconds: 20.0, nodes: 0, peak_mb: 64.0, ..Goal::default() };
        throughput(name, &inputs::running(1000, 10_000, 500), &goal, None);
    } else if let Some(scenario) = name.strip_prefix("scenario-") {
        scenario_line(scenario);
    }
}

/// What a line has to reach.
struct Goal {
    pods_per_second: f64,
    milliseconds: f64,
    nodes: usize,
    peak_mb: f64,
}

impl Default for Goal {
    fn default() -> Self {
        Self { pods_per_second: 0.0, milliseconds: f64::INFINITY, nodes: usize::MAX, peak_mb: f64::INFINITY }
    }
}

fn mark(reached: bool) -> &'static str {
    if reached { "ok  " } else { "MISS" }
}

/// The time that this thread has spent on a processor, which other work on the machine does not
/// lengthen; the time since some point where the kernel does not tell.
fn on_processor() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = counted.and_then(|text| text.split(' ').next().and_then(|field| field.parse().ok()));
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// The mean processor time of a first answer over `runs` runs and at least 0.2 s, and the answer.
fn timed(problem: &Problem<'_>, runs: u32) -> (Duration, Solution) {
    let mut last = solve(problem, Budget::rounds(0));
    let start = on_processor();
    let mut done = 0;
    while done < runs || on_processor().saturating_sub(start) < Duration::from_millis(200) {
        last = solve(problem, Budget::rounds(0));
        done += 1;
    }
    (on_processor().saturating_sub(start) / done, last)
}

fn no_balance() -> Settings {
    Settings { balance_share: 0.0, ..Settings::default() }
}

fn throughput(name: &str, cluster: &Cluster, goal: &Goal, theirs: Option<f64>) {
    let problem = Problem::provision(cluster, no_balance());
    let (time, solution) = timed(&problem, 5);
    let speed = solution.placed() as f64 / time.as_secs_f64();
    let peak = peak_mb();
    let reached = solution.unplaced.is_empty()
        && speed >= goal.pods_per_second
        && time.as_secs_f64() * 1e3 <= goal.milliseconds
        && solution.nodes.len() <= goal.nodes
        && peak <= goal.peak_mb;
    println!(
        "{} {name:17} {:6} pods {:8.2} ms {speed:9.0} pods/s{} | {:4} new nodes, {:4} pods on running ones | peak {peak:5.1} MB | {:.4} of its bound",
        mark(reached),
        solution.placed(),
        time.as_secs_f64() * 1e3,
        theirs.map_or(String::new(), |theirs| format!(" = {:7.0} x Karpenter's {theirs}", speed / theirs)),
        solution.nodes.len(),
        solution.existing.iter().map(|(_, pods)| pods.len()).sum::<usize>(),
        solution.over_bound(),
    );
}

/// A scenario's line of Karpenter's figures: nodes, dollars per hour, seconds, lower bound.
fn karpenter(name: &str) -> Option<[f64; 4]> {
    let table = inputs::read("karpenter.csv");
    let line = table.lines().find(|line| line.starts_with(&format!("{name},")))?;
    let cells: Vec<f64> = line.split(',').skip(2).map(|cell| cell.parse().unwrap_or(f64::NAN)).collect();
    cells.first_chunk().copied()
}

/// Whether pods of a scenario spread over zones or keep off each other's machines.
fn has_terms(scenario: &serde_json::Value) -> bool {
    let deployments = scenario["deployments"].as_array().into_iter().flatten();
    deployments.into_iter().any(|one| one["spread_zone"].is_number() || one["anti_host"] == true)
}

fn scenario_line(name: &str) {
    let scenario: serde_json::Value =
        serde_json::from_str(&inputs::read(&format!("scenarios/{name}.json"))).unwrap_or_default();
    let mut cluster = inputs::scenario_cluster(&scenario, &inputs::read("catalogue.csv"));
    for pod in &inputs::scenario_pods(&scenario) {
        cluster.add_pod(pod);
    }
    let problem = Problem::provision(&cluster, no_balance());
    let (time, first) = timed(&problem, 5);
    let start = on_processor();
    let mut stop = || on_processor().saturating_sub(start) > Duration::from_secs(1);
    let best = solve(&problem, Budget { iterations: u64::MAX, stop: Some(&mut stop) });
    let theirs = karpenter(name);
    let bound = theirs.map_or(best.bound, |[_, _, _, bound]| bound);
    let above = |solution: &Solution| solution.cost.dollars() / bound;
    let slack = if has_terms(&scenario) { 1.05 } else { 1.03 };
    let reached = if problem.pending.len() >= 150 {
        let fast = theirs.is_none_or(|[_, _, seconds, _]| time.as_secs_f64() <= seconds / 50.0);
        above(&first) <= 1.10 && fast && above(&best) <= slack
    } else {
        theirs.is_none_or(|[_, dollars, _, _]| best.cost.dollars() <= dollars + 1e-9)
    };
    println!(
        "{} {name:17} {:6} pods | first {:.4} of the bound, {:3} nodes, {:6.2} ms{} | 1 s: {:.4}, {:3} nodes, {:9.4} $/h{} | peak {:.1} MB",
        mark(reached && first.unplaced.is_empty()),
        first.placed(),
        above(&first),
        first.nodes.len(),
        time.as_secs_f64() * 1e3,
        theirs.map_or(String::new(), |theirs| format!(" = 1/{:.0} of Karpenter's", theirs[2] / time.as_secs_f64())),
        above(&best),
        best.nodes.len(),
        best.cost.dollars(),
        theirs.map_or(String::new(), |theirs| format!(" | Karpenter {:.4}, {} nodes", theirs[1] / bound, theirs[0])),
        peak_mb(),
    );
}

/// The most memory that this process has held, as the kernel counts it.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}
