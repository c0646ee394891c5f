//! What was measured, kept as one file for each run, and shown as a table: Karpenter, eksup, the ratio.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::contender::Engine;
use super::run::Measured;
use super::scenario::{NAMES, Scenario};

/// One run and what came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// The scenario's name.
    pub scenario: String,
    /// Who was measured.
    pub engine: Engine,
    /// What came of it.
    pub measured: Measured,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/live")
}

/// Keeps a row, in the place of an earlier one of the same name.
///
/// # Errors
/// When it cannot be written.
pub fn keep(row: &Row) -> Result<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-{}.json", row.engine.name(), row.scenario));
    std::fs::write(&path, serde_json::to_string_pretty(row)?).with_context(|| path.display().to_string())
}

/// Every row that was kept.
///
/// # Errors
/// When the folder cannot be read; files of another form are passed over.
pub fn kept() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for file in std::fs::read_dir(folder()).into_iter().flatten() {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            rows.extend(serde_json::from_str::<Row>(&std::fs::read_to_string(&path)?));
        }
    }
    Ok(rows)
}

/// One figure of a run.
struct Figure {
    what: &'static str,
    unit: &'static str,
    of: fn(&Measured, &Scenario) -> Option<f64>,
}

const FIGURES: [Figure; 21] = [
    Figure { what: "first claim", unit: "s", of: |m, _| m.first_claim },
    Figure { what: "first CreateFleet", unit: "s", of: |m, _| m.first_launch },
    Figure { what: "all running", unit: "s", of: |m, _| m.all_running },
    Figure { what: "pods running then", unit: "", of: |m, _| Some(m.pods_running as f64) },
    Figure { what: "nodes", unit: "", of: |m, _| Some(m.nodes as f64) },
    Figure { what: "cost", unit: "$/h", of: |m, _| Some(m.cost) },
    Figure { what: "cost / bound", unit: "x", of: |m, s| Some(m.cost / s.bounds?.0) },
    Figure { what: "calls of CreateFleet", unit: "", of: |m, _| Some(fleets(m)) },
    Figure { what: "calls to EC2", unit: "", of: |m, _| Some(m.calls.values().sum::<usize>() as f64) },
    Figure { what: "cut to 40 %: at rest after", unit: "s", of: |m, _| m.rest },
    Figure { what: "nodes at rest", unit: "", of: |m, _| Some(m.rest_nodes as f64) },
    Figure { what: "cost at rest", unit: "$/h", of: |m, _| Some(m.rest_cost) },
    Figure { what: "cost at rest / bound", unit: "x", of: |m, s| Some(m.rest_cost / s.bounds?.1) },
    Figure { what: "pods left", unit: "", of: |m, _| Some(m.left as f64) },
    Figure { what: "pods moved", unit: "", of: |m, _| Some(m.moved as f64) },
    Figure { what: "watched at rest", unit: "s", of: |m, _| Some(m.still) },
    Figure { what: "changes in that time", unit: "", of: |m, _| Some(restless(m)) },
    Figure { what: "memory idle", unit: "MB", of: |m, _| Some(m.idle?.resident) },
    Figure { what: "memory at most", unit: "MB", of: |m, _| Some(m.after?.peak) },
    Figure { what: "CPU", unit: "s", of: |m, _| Some(m.cpu_seconds) },
    Figure { what: "a decision takes, mean", unit: "s", of: |m, _| decision(m) },
];

fn fleets(measured: &Measured) -> f64 {
    measured.calls.get("CreateFleet").copied().unwrap_or_default() as f64
}

fn restless(measured: &Measured) -> f64 {
    let (made, left, moved) = measured.restless;
    (made + left + moved) as f64
}

fn decision(measured: &Measured) -> Option<f64> {
    let decisions = measured.decisions;
    (decisions.count > 0.0).then(|| decisions.seconds / decisions.count)
}

/// The rows as a table, scenario by scenario.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let by_name: BTreeMap<(&str, Engine), &Measured> =
        rows.iter().map(|row| ((row.scenario.as_str(), row.engine), &row.measured)).collect();
    for name in NAMES {
        let (theirs, ours) = (by_name.get(&(name, Engine::Karpenter)), by_name.get(&(name, Engine::Eksup)));
        if theirs.is_none() && ours.is_none() {
            continue;
        }
        let scenario = Scenario::named(name);
        let pods = scenario.pods();
        let _ = writeln!(
            text,
            "\n{:32} {:>10} {:>10} {:>8}",
            format!("{name}, {pods} pods"),
            "Karpenter",
            "eksup",
            "ratio"
        );
        for figure in &FIGURES {
            let of = |run: Option<&&Measured>| run.and_then(|run| (figure.of)(run, &scenario));
            let (theirs, ours) = (of(theirs), of(ours));
            if theirs.is_none() && ours.is_none() {
                continue;
            }
            let what = if figure.unit.is_empty() {
                figure.what.to_owned()
            } else {
                format!("{}, {}", figure.what, figure.unit)
            };
            let ratio = theirs.zip(ours).filter(|pair| pair.0 != 0.0).map(|(theirs, ours)| ours / theirs);
            let _ = writeln!(text, "  {what:30} {:>10} {:>10} {:>8}", shown(theirs), shown(ours), shown(ratio));
        }
    }
    text
}

fn shown(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.fract() == 0.0 => format!("{value:.0}"),
        Some(value) if value.abs() < 10.0 => format!("{value:.3}"),
        Some(value) => format!("{value:.1}"),
    }
}
