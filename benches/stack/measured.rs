//! One run of eksup, measured, and the table of all of them.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use sandbox::{Call, Sandbox, Weather};
use serde_json::Value;

/// The binary and the cloud.
pub struct Bench {
    /// The local cloud.
    pub cloud: Sandbox,
    /// Whether its clusters are real.
    kubernetes: bool,
}

/// What one run took.
pub struct Run {
    /// Wall time.
    pub seconds: f64,
    /// The exit code.
    pub code: i32,
    /// All calls.
    pub calls: usize,
    /// Calls that may have changed something.
    pub mutations: usize,
    /// The longest chain of calls of which each began after the one before had ended.
    pub depth: usize,
}

impl Bench {
    /// A bench on a cloud without Kubernetes.
    pub fn start() -> anyhow::Result<Self> {
        Ok(Self { cloud: Sandbox::start(Weather::default())?, kubernetes: false })
    }

    /// A bench on one whose clusters are real.
    pub fn start_with_kubernetes() -> anyhow::Result<Self> {
        Ok(Self { cloud: Sandbox::start_with_kubernetes(Weather::default())?, kubernetes: true })
    }

    /// Runs eksup and measures it. A failure is one of the bench, except that a plan may be pending.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Run> {
        self.cloud.clear_calls()?;
        if self.kubernetes {
            self.cloud.clear_kubernetes_requests()?;
        }
        let began = Instant::now();
        let output = self.command(arguments).output()?;
        let seconds = began.elapsed().as_secs_f64();
        let code = output.status.code().context("eksup was killed")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(code == 0 || code == 2, "`eksup {}` ended with {code}: {said}", arguments.join(" "));
        let calls = self.cloud.calls()?;
        let mutations = calls.iter().filter(|call| call.mutating).count();
        Ok(Run { seconds, code, mutations, depth: depth(&calls), calls: calls.len() })
    }

    /// How many requests the last run has sent to API servers.
    pub fn requests(&self) -> anyhow::Result<usize> {
        let all = self.cloud.kubernetes_requests()?;
        Ok(all.iter().filter(|request| request.user_agent.starts_with("eksup/")).count())
    }

    /// How many of these say again what another has said: the same verb for the same address.
    pub fn repeated_requests(&self) -> anyhow::Result<usize> {
        let all = self.cloud.kubernetes_requests()?;
        let own = all.iter().filter(|request| request.user_agent.starts_with("eksup/"));
        let said: Vec<(&str, &str)> = own.map(|request| (request.verb.as_str(), request.uri.as_str())).collect();
        Ok(said.len() - said.iter().collect::<BTreeSet<_>>().len())
    }

    /// How many resources `stack` has.
    pub fn resources(&self, stack: &str) -> anyhow::Result<usize> {
        Ok(self.graph(stack)?.as_array().map_or(0, Vec::len))
    }

    /// What waits for what in `stack`.
    pub fn graph(&self, stack: &str) -> anyhow::Result<Value> {
        let output = self.command(&["graph", "-o", "json", stack]).output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eksup"));
        command.args(arguments).envs(self.cloud.environment()).stdin(Stdio::null());
        command
    }
}

/// Calls that run side by side overlap; the longest chain that does not is how deep they depend.
fn depth(calls: &[Call]) -> usize {
    let mut spans: Vec<(f64, f64)> = calls.iter().map(|call| (call.time, call.time + call.ms / 1000.0)).collect();
    spans.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut end = f64::NEG_INFINITY;
    let mut depth = 0;
    for (from, to) in spans {
        if from >= end {
            depth += 1;
            end = to;
        }
    }
    depth
}

/// One line of the table.
pub struct Figure {
    what: String,
    eksup: String,
    terraform: String,
    target: String,
    reached: bool,
}

impl Figure {
    /// A line.
    pub fn new(what: &str, eksup: &str, terraform: &str, target: &str, reached: bool) -> Self {
        Self {
            what: what.to_owned(),
            eksup: eksup.to_owned(),
            terraform: terraform.to_owned(),
            target: target.to_owned(),
            reached,
        }
    }

    /// A line about wall time.
    pub fn seconds(what: &str, run: &Run, terraform: &str, target: &str, reached: bool) -> Self {
        Self::new(what, &format!("{:.2} s", run.seconds), terraform, target, reached)
    }

    /// A line about calls.
    pub fn calls(what: &str, run: &Run, terraform: &str, target: &str, reached: bool) -> Self {
        Self::new(what, &run.calls.to_string(), terraform, target, reached)
    }
}

/// Prints the table.
pub fn print(figures: &[Figure]) {
    println!("{:<32} {:>10} {:>10}  {:<22} reached", "", "eksup", "Terraform", "to reach");
    for figure in figures {
        let reached = if figure.reached { "yes" } else { "NO" };
        println!("{:<32} {:>10} {:>10}  {:<22} {reached}", figure.what, figure.eksup, figure.terraform, figure.target);
    }
}
