//! One run: an autoscaler comes fresh into an empty cluster, pods arrive, most of them leave, and it is watched.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::api::{Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::contender::{self, Contender, Engine, Memory};
use super::decisions::{self, Decisions};
use super::field::Field;
use super::scenario::Scenario;
use super::watching::{Seen, Watching, now, wait};

/// Load does not fall in the moment in which the last pod begins to run; shorter than nodes have to be quiet.
const CALM: std::time::Duration = std::time::Duration::from_secs(6);

/// How long things are waited for, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until all pods run.
    pub running: f64,
    /// Without a change, after which the cluster counts as at rest.
    pub quiet: f64,
    /// Until it is at rest.
    pub rest: f64,
    /// In which nothing may change then.
    pub still: f64,
}

/// What was measured. Times are seconds from the moment in which the Deployments were applied, or cut.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Until the first claim.
    pub first_claim: Option<f64>,
    /// Until the first CreateFleet came in.
    pub first_launch: Option<f64>,
    /// Until every pod was ready.
    pub all_running: Option<f64>,
    /// Pods that were ready when the wait ended, where that was not all.
    pub pods_running: usize,
    /// Nodes once all ran.
    pub nodes: usize,
    /// US dollars per hour once all ran.
    pub cost: f64,
    /// Calls to EC2 until then, by action.
    pub calls: BTreeMap<String, usize>,
    /// Pods that are left after the scale-in.
    pub left: usize,
    /// Until the last change after the scale-in.
    pub rest: Option<f64>,
    /// Nodes at rest.
    pub rest_nodes: usize,
    /// US dollars per hour at rest.
    pub rest_cost: f64,
    /// Pods that had to move.
    pub moved: usize,
    /// Pods that run at rest.
    pub rest_running: usize,
    /// Seconds that it was watched at rest.
    pub still: f64,
    /// Claims made in that time, claims asked to go, pods moved.
    pub restless: (usize, usize, usize),
    /// Memory before the pods came.
    pub idle: Option<Memory>,
    /// Memory at the end.
    pub after: Option<Memory>,
    /// Seconds of CPU in the whole run.
    pub cpu_seconds: f64,
    /// What deciding about consolidation took.
    pub decisions: Decisions,
}

/// Measures one autoscaler with one scenario, on a field of its own.
///
/// # Errors
/// When the field or the autoscaler fails; what is merely slow or dear is measured.
pub async fn run(engine: Engine, scenario: &Scenario, patience: Patience, eksup: &Path) -> Result<Measured> {
    let field = Field::prepare(eksup).await?;
    let contender = contender::install(engine, eksup, &field, &scenario.node_pool()).await?;
    let measured = measure(&field, &contender, scenario, patience).await;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/live");
    std::fs::create_dir_all(&kept)?;
    std::fs::copy(&contender.log, kept.join(format!("{}-{}.log", engine.name(), scenario.name)))?;
    contender.kill().await?;
    measured
}

async fn measure(field: &Field, contender: &Contender, scenario: &Scenario, patience: Patience) -> Result<Measured> {
    let mut measured = Measured::default();
    let watching = Watching::begin(field);
    // What it does at its start is no part of what is measured.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    measured.idle = Some(contender.memory()?);
    scale_out(field, &watching, scenario, patience, &mut measured).await?;
    tokio::time::sleep(CALM).await;
    scale_in(field, &watching, scenario, patience, &mut measured).await?;
    measured.after = Some(contender.memory()?);
    measured.cpu_seconds = contender.cpu_seconds();
    measured.decisions = contender.metrics().await.map(|text| decisions::read(&text)).unwrap_or_default();
    Ok(measured)
}

/// The Deployments come, all at once.
async fn scale_out(
    field: &Field,
    watching: &Watching,
    scenario: &Scenario,
    patience: Patience,
    measured: &mut Measured,
) -> Result<()> {
    field.cloud.clear_calls()?;
    let begun = now();
    let applying = scenario.deployments.iter().map(|one| async move { field.apply(&one.manifest()).await.map(drop) });
    stream::iter(applying).buffer_unordered(8).try_collect::<Vec<()>>().await?;
    let wanted = scenario.pods();
    let all = |seen: &Seen| (seen.running() >= wanted).then(now);
    let running = wait(watching, patience.running, all).await?;
    measured.all_running = running.map(|at| at - begun);
    let seen = watching.seen();
    measured.pods_running = seen.running();
    measured.first_claim = seen.first_claim_after(begun).map(|at| at - begun);
    let calls = field.cloud.calls()?;
    let launch = calls.iter().find(|call| call.name() == "ec2:CreateFleet");
    measured.first_launch = launch.map(|call| call.time - begun);
    for call in calls.iter().filter(|call| call.service == "ec2") {
        *measured.calls.entry(call.action.clone()).or_default() += 1;
    }
    measured.nodes = field.instances()?.len();
    measured.cost = field.cost()?;
    Ok(())
}

/// Most of the pods leave, and the nodes follow until nothing changes any more.
async fn scale_in(
    field: &Field,
    watching: &Watching,
    scenario: &Scenario,
    patience: Patience,
    measured: &mut Measured,
) -> Result<()> {
    let begun = now();
    let api = field.api("apps/v1", "Deployment");
    for one in &scenario.deployments {
        let fewer = json!({ "spec": { "replicas": one.left() } });
        let cut = api.patch(&one.name, &PatchParams::default(), &Patch::Merge(&fewer)).await;
        cut.with_context(|| format!("cutting `{}`", one.name))?;
    }
    let left = scenario.left();
    let quiet = |seen: &Seen| {
        let settled = seen.standing() == left && seen.running() == left;
        let nobody_leaves = !seen.claims.values().any(|claim| claim.leaving.is_some() && claim.gone.is_none());
        (settled && nobody_leaves && now() - seen.changed > patience.quiet).then_some(seen.changed)
    };
    measured.left = left;
    measured.rest = wait(watching, patience.rest, quiet).await?.map(|at| (at - begun).max(0.0));
    let rested = now();
    measured.moved = watching.look(|seen| seen.made_after(begun));
    measured.rest_nodes = field.instances()?.len();
    measured.rest_cost = field.cost()?;
    tokio::time::sleep(std::time::Duration::from_secs_f64(patience.still)).await;
    let seen = watching.seen();
    let (made, left) = seen.claims_changed_after(rested);
    measured.restless = (made, left, seen.made_after(rested));
    measured.rest_running = seen.running();
    measured.still = now() - rested;
    Ok(())
}
