//! Our autoscaler beside upstream Karpenter, live on the local cloud: the same pods, pools, prices and delays for both.
//!
//! `cargo bench --bench live` runs everything; `-- --scenario web-small --engine eksup` one row. What was measured is
//! kept in `target/live`, so that a row that is run alone is shown beside what was measured before.

#[allow(dead_code, reason = "handing a fleet over uses the rest")]
mod contender;
mod decisions;
mod field;
mod report;
mod run;
mod scenario;
#[allow(dead_code, reason = "handing a fleet over uses the rest")]
mod watching;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use contender::Engine;
use report::Row;
use run::Patience;
use scenario::{NAMES, Scenario};

#[derive(Parser)]
#[command(about = "Measures autoscalers live on the local cloud")]
struct Arguments {
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    scenario: Vec<String>,
    /// Only these autoscalers.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["karpenter", "eksup"])]
    engine: Vec<Engine>,
    /// Seconds that a cluster at rest is watched; 600 for the ten minutes in which nothing may change.
    #[arg(long, default_value_t = 60.0)]
    still: f64,
    /// Seconds without a change after which a cluster counts as at rest.
    #[arg(long, default_value_t = 60.0)]
    quiet: f64,
    /// The program that is measured as eksup.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_eksup"))]
    eksup: PathBuf,
    /// Measure nothing; show what was measured before.
    #[arg(long)]
    show: bool,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let names: Vec<&str> = match arguments.scenario.as_slice() {
        [] => NAMES.to_vec(),
        chosen => chosen.iter().map(String::as_str).collect(),
    };
    let mut failed = 0;
    for name in names.iter().filter(|_| !arguments.show) {
        for &engine in &arguments.engine {
            eprintln!("{name}: {}", engine.name());
            let scenario = Scenario::named(name);
            let large = scenario.pods() > 5000;
            let patience = Patience {
                running: if large { 1200.0 } else { 300.0 },
                quiet: arguments.quiet,
                rest: if large { 1200.0 } else { 600.0 },
                still: arguments.still,
            };
            match runtime.block_on(run::run(engine, &scenario, patience, &arguments.eksup)) {
                Ok(measured) => report::keep(&Row { scenario: (*name).to_owned(), engine, measured })?,
                Err(error) => {
                    eprintln!("{name}: {}: {error:#}", engine.name());
                    failed += 1;
                }
            }
        }
    }
    let rows = report::kept()?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        println!("{}", report::table(&rows));
    }
    anyhow::ensure!(failed == 0, "{failed} runs failed");
    Ok(())
}
