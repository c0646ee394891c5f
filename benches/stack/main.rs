//! Measures what the README claims of `plan`, `apply` and `destroy`, on the local cloud, and prints it
//! beside what Terraform 1.11 with AWS provider 5.100 needed for 60 such resources on the same emulator.

mod critical_path;
#[path = "../../tests/support/halves.rs"]
mod halves;
mod measured;

use std::path::Path;

use sandbox::{Kind, Weather};

use measured::{Bench, Figure, Run};

/// A shop whole: AWS, and what runs in the cluster.
const WHOLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stacks/shop.yaml");

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` asks every bench to run as a test: there is nothing to measure then.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let stack = aws_half_in(folder.path())?;
    let bench = Bench::start()?;
    let mut figures = Vec::new();
    instant_cloud(&bench, &stack, &mut figures)?;
    slow_cloud(&bench, &stack, &mut figures)?;
    start_up(&bench, &mut figures)?;
    whole_stack(&Bench::start_with_kubernetes()?, &mut figures)?;
    measured::print(&figures);
    Ok(())
}

/// The AWS half of the shop as a file in `folder`, with what it names beside it.
fn aws_half_in(folder: &Path) -> anyhow::Result<String> {
    let beside = Path::new(WHOLE).with_extension("");
    std::fs::create_dir(folder.join("shop"))?;
    for entry in std::fs::read_dir(beside)? {
        let path = entry?.path();
        std::fs::copy(&path, folder.join("shop").join(path.file_name().unwrap_or_default()))?;
    }
    let file = folder.join("shop.yaml");
    std::fs::write(&file, halves::aws_half(&std::fs::read_to_string(WHOLE)?))?;
    Ok(file.to_string_lossy().into_owned())
}

/// AWS and the cluster in one plan, on a real control plane.
fn whole_stack(bench: &Bench, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let resources = bench.resources(WHOLE)?;
    let apply = bench.run(&["apply", "--yes", WHOLE])?;
    figures.push(Figure::seconds(&format!("whole, {resources} resources: apply"), &apply, "–", "–", true));
    figures.push(Figure::new("  calls and requests", &calls_and_requests(bench, &apply)?, "–", "–", true));
    let mut plans = Vec::new();
    let (mut requests, mut repeated) = (Vec::new(), 0);
    for _ in 0..3 {
        plans.push(bench.run(&["plan", "--detailed-exitcode", WHOLE])?);
        requests.push(bench.requests()?);
        repeated += bench.repeated_requests()?;
    }
    let slowest = plans.iter().map(|plan| plan.seconds).fold(0.0, f64::max);
    let shown = format!("{slowest:.2} s");
    figures.push(Figure::new("  plan, slowest of 3", &shown, "–", "≤ 1.0 s", slowest <= 1.0));
    let most = requests.iter().copied().max().unwrap_or_default();
    let shown = format!("{most}, {repeated} twice");
    figures.push(Figure::new("  requests to the API server", &shown, "–", "none twice", repeated == 0));
    let empty = plans.iter().filter(|plan| plan.code == 0).count();
    figures.push(Figure::new("  empty", &format!("{empty} of 3"), "–", "3 of 3", empty == 3));
    let again = bench.run(&["apply", "--yes", WHOLE])?;
    figures.push(Figure::seconds("  apply with nothing to do", &again, "–", "as plan", again.seconds <= 1.0));
    let destroy = bench.run(&["destroy", "--yes", WHOLE])?;
    figures.push(Figure::seconds("  destroy", &destroy, "–", "–", true));
    figures.push(Figure::new("  calls and requests", &calls_and_requests(bench, &destroy)?, "–", "–", true));
    let left = left(bench)?;
    figures.push(Figure::new("  left in the emulator", &left.to_string(), "–", "0", left == 0));
    Ok(())
}

fn calls_and_requests(bench: &Bench, run: &Run) -> anyhow::Result<String> {
    Ok(format!("{} + {}", run.calls, bench.requests()?))
}

/// How many things the cloud holds, but for roles that AWS services share in an account and that outlive every stack.
fn left(bench: &Bench) -> anyhow::Result<usize> {
    let mut inventory = bench.cloud.inventory()?;
    inventory.remove("global/iam/service_linked_roles");
    Ok(inventory.values().map(Vec::len).sum())
}

fn instant_cloud(bench: &Bench, stack: &str, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let resources = bench.resources(stack)?;
    println!("stacks/shop.yaml, its AWS half: {resources} resources");
    let allowed = 2 * resources + 60;
    let apply = bench.run(&["apply", "--yes", stack])?;
    figures.push(Figure::seconds("apply from nothing", &apply, "104.6 s", "≤ 5 s", apply.seconds <= 5.0));
    figures.push(Figure::calls("  calls", &apply, "248", &format!("≤ {allowed}"), apply.calls <= allowed));
    let plans = three_plans(bench, stack)?;
    let slowest = slowest(&plans);
    figures.push(Figure::seconds(
        "plan after apply, slowest of 3",
        slowest,
        "9.4 s",
        "≤ 0.6 s",
        slowest.seconds <= 0.6,
    ));
    figures.push(Figure::calls("  calls", slowest, "98", "≤ 45", slowest.calls <= 45));
    let empty = plans.iter().filter(|plan| plan.code == 0).count();
    figures.push(Figure::new("  empty", &format!("{empty} of 3"), "no", "3 of 3", empty == 3));
    let again = bench.run(&["apply", "--yes", stack])?;
    figures.push(Figure::seconds("apply with nothing to do", &again, "–", "as plan", again.seconds <= 0.6));
    figures.push(Figure::new("  mutating calls", &again.mutations.to_string(), "–", "0", again.mutations == 0));
    let destroy = bench.run(&["destroy", "--yes", stack])?;
    figures.push(Figure::seconds("destroy", &destroy, "74.3 s", "≤ 5 s", destroy.seconds <= 5.0));
    figures.push(Figure::calls("  calls", &destroy, "243", &format!("≤ {allowed}"), destroy.calls <= allowed));
    let left = left(bench)?;
    figures.push(Figure::new("  left in the emulator", &left.to_string(), "–", "0", left == 0));
    Ok(())
}

fn three_plans(bench: &Bench, stack: &str) -> anyhow::Result<[Run; 3]> {
    let plan = || bench.run(&["plan", "--detailed-exitcode", stack]);
    Ok([plan()?, plan()?, plan()?])
}

fn slowest(runs: &[Run; 3]) -> &Run {
    let [first, rest @ ..] = runs;
    rest.iter().fold(first, |slowest, run| if run.seconds > slowest.seconds { run } else { slowest })
}

fn slow_cloud(bench: &Bench, stack: &str, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let delays = [(Kind::Cluster, 20.0), (Kind::Nodegroup, 10.0), (Kind::Database, 15.0), (Kind::Nat, 5.0)];
    let mut weather = Weather { latency_ms: 60.0, ..Weather::default() };
    for (kind, seconds) in delays {
        weather = weather.takes(kind, seconds);
    }
    bench.cloud.set_weather(&weather)?;
    let path = critical_path::seconds(&bench.graph(stack)?, 0.06);
    let apply = bench.run(&["apply", "--yes", stack])?;
    let share = apply.seconds / path;
    figures.push(Figure::seconds("apply, slow cloud", &apply, "114.8 s", &format!("critical path {path:.1} s"), true));
    figures.push(Figure::new("  × critical path", &format!("{share:.3}"), "–", "≤ 1.06", share <= 1.06));
    let plans = three_plans(bench, stack)?;
    let slowest = slowest(&plans);
    figures.push(Figure::seconds("plan, 60 ms per call", slowest, "16.4 s", "≤ 1.0 s", slowest.seconds <= 1.0));
    // Calls that wait for one another never overlap; others may happen not to. The least of three is the
    // closest from above.
    let depth = plans.iter().map(|plan| plan.depth).min().unwrap_or_default();
    figures.push(Figure::new("  calls one after the other", &depth.to_string(), "–", "≤ 4", depth <= 4));
    let destroy = bench.run(&["destroy", "--yes", stack])?;
    figures.push(Figure::seconds("destroy, slow cloud", &destroy, "87 s", "–", true));
    Ok(())
}

fn start_up(bench: &Bench, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let mut seconds: Vec<f64> = Vec::new();
    for _ in 0..11 {
        seconds.push(bench.run(&["--help"])?.seconds);
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2] * 1000.0;
    figures.push(Figure::new(
        "`eksup --help`, median of 11",
        &format!("{median:.1} ms"),
        "–",
        "≤ 20 ms",
        median <= 20.0,
    ));
    let megabytes = std::fs::metadata(env!("CARGO_BIN_EXE_eksup"))?.len() as f64 / 1e6;
    figures.push(Figure::new("release binary", &format!("{megabytes:.1} MB"), "–", "≤ 40 MB", megabytes <= 40.0));
    Ok(())
}
