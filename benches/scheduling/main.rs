//! What the scheduling core is claimed to reach, re-runnable: `cargo bench --bench scheduling`.
//!
//! Each line stands next to the figures of Karpenter 1.14 for the same input (`data/karpenter.csv`).
//! With a name as argument only the inputs that contain it are run; each input runs in a process of
//! its own, so that its peak memory is its own.

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
    for line in inputs::read("karpenter.csv").lines().skip(1) {
        names.extend(line.split(',').next().map(|name| format!("scenario-{name}")));
    }
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
        throughput(name, &inputs::diverse(count.parse().unwrap_or(0)));
    } else if name == "preferences-4000" {
        throughput(name, &inputs::preferences(4000));
    } else if name == "running-1000" {
        let start = Instant::now();
        let cluster = inputs::running(1000, 10_000, 500);
        let read = start.elapsed();
        throughput(name, &cluster);
        println!("{:24}   (objects made and read in {:.0} ms)", "", read.as_secs_f64() * 1e3);
    } else if let Some(scenario) = name.strip_prefix("scenario-") {
        scenario_line(scenario);
    }
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

fn throughput(name: &str, cluster: &Cluster) {
    let problem = Problem::provision(cluster, no_balance());
    let (time, solution) = timed(&problem, 5);
    let placed = solution.placed();
    let unplaced: usize = solution.unplaced.iter().map(|group| group.pods.len()).sum();
    println!(
        "{name:24} {placed:6} placed {unplaced:4} not, {:8.2} ms, {:9.0} pods/s, {:5} nodes, {:6} on running, {:10.4} $/h, {:.4} of bound, peak {:.1} MB",
        time.as_secs_f64() * 1e3,
        placed as f64 / time.as_secs_f64(),
        solution.nodes.len(),
        solution.existing.iter().map(|(_, pods)| pods.len()).sum::<usize>(),
        solution.cost.dollars(),
        solution.over_bound(),
        peak_mb(),
    );
}

fn scenario_line(name: &str) {
    let table = inputs::read("karpenter.csv");
    let row: Vec<&str> =
        table.lines().find(|line| line.starts_with(&format!("{name},"))).unwrap_or_default().split(',').collect();
    let number = |at: usize| row.get(at).and_then(|cell| cell.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let scenario: serde_json::Value =
        serde_json::from_str(&inputs::read(&format!("scenarios/{name}.json"))).unwrap_or_default();
    let mut cluster = inputs::scenario_cluster(&scenario, &inputs::read("catalogue.csv"));
    let pods = inputs::scenario_pods(&scenario);
    let intake = Instant::now();
    for pod in &pods {
        cluster.add_pod(pod);
    }
    let intake = intake.elapsed();
    let problem = Problem::provision(&cluster, no_balance());
    let (time, first) = timed(&problem, 5);
    let start = on_processor();
    let mut stop = || on_processor().saturating_sub(start) > Duration::from_secs(1);
    let best = solve(&problem, Budget { iterations: u64::MAX, stop: Some(&mut stop) });
    println!(
        "{:16} {:5} pods | first {:7.4} of bound, {:2} nodes, {:7.2} ms (+{:.2} to read; 1/{:.0} of Karpenter's {:.3} s) | 1 s: {:8.4} $/h {:7.4} of bound ({:.4} of own), {:2} nodes, {} rounds | Karpenter {:.3}, {} nodes | peak {:.1} MB",
        name,
        first.placed(),
        first.cost.dollars() / number(5),
        first.nodes.len(),
        time.as_secs_f64() * 1e3,
        intake.as_secs_f64() * 1e3,
        number(4) / time.as_secs_f64(),
        number(4),
        best.cost.dollars(),
        best.cost.dollars() / number(5),
        best.over_bound(),
        best.nodes.len(),
        best.rounds,
        number(6),
        number(2),
        peak_mb(),
    );
}

/// The most memory that this process has held, as the kernel counts it.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}
