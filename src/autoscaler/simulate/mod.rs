//! Which nodes would these NodePools and workloads get, and what would they cost? From Kubernetes
//! manifests and a catalogue of instance types, which is a file or the cloud's own.
//!
//! | file | holds |
//! |---|---|
//! | `manifests` | YAML documents by kind |
//! | `expand` | workloads into pods |
//! | `report` | the answer as data |
//! | `text` | the answer for people |

pub mod expand;
pub mod manifests;
pub mod report;
pub mod text;

use super::api::pool_reading::read_pool;
use super::api::{Fault, validate_class};
use super::scheduling::{Budget, Problem, Settings, solve};
use super::state::catalogue_file::{CatalogueError, read_catalogue};
use super::state::cluster::Cluster;
use super::state::volumes::Volumes;
use manifests::{ManifestError, Manifests};
pub use report::Report;
use thiserror::Error;

/// What to simulate with.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Manifests of NodePools, workloads and, optionally, nodes that exist; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<std::path::PathBuf>,
    /// Instance types and prices from a CSV file, instead of those that AWS sells in the region now
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<std::path::PathBuf>,
    /// Region to ask, or whose zones the letters in the catalogue stand for
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// Rounds of improvement; the same number gives the same answer
    #[arg(long, default_value_t = 2000)]
    pub rounds: u64,
    /// How much more may be paid to keep the replicas of a workload off one machine (0.02 is 2 %)
    #[arg(long, default_value_t = 0.02, value_parser = share)]
    pub balance_share: f64,
    /// Take preferences into account where they cost nothing
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub preferences: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share from 0 to 1 is expected, such as 0.02".to_owned()),
    }
}

/// Why nothing could be simulated.
#[derive(Debug, Error)]
pub enum SimulateError {
    /// A document cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The catalogue cannot be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Pools or classes break their rules.
    #[error("{}", faults.iter().map(|(object, fault)| format!("{object}: {fault}")).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// The object, and what is wrong with it.
        faults: Vec<(String, Fault)>,
    },
    /// A node cannot be read.
    #[error("{0}")]
    Node(String),
}

/// Reads manifests, places their pods, and reports.
///
/// # Errors
/// When a document, a pool, a node or the catalogue cannot be read. Pods that cannot be read are part
/// of the report.
pub fn simulate(documents: &[String], catalogue: &str, arguments: &Arguments) -> Result<Report, SimulateError> {
    let mut cluster = Cluster::default();
    cluster.catalogue = read_catalogue(&mut cluster.names, catalogue, &arguments.region)?;
    simulate_on(cluster, documents, arguments)
}

/// The same on a cluster that already has its catalogue.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_on(mut cluster: Cluster, documents: &[String], arguments: &Arguments) -> Result<Report, SimulateError> {
    let manifests = Manifests::read(documents)?;
    load(&mut cluster, &manifests)?;
    let settings =
        Settings { balance_share: arguments.balance_share, preferences: arguments.preferences, ..Settings::default() };
    let problem = Problem::provision(&cluster, settings);
    let solution = solve(&problem, Budget::rounds(arguments.rounds));
    Ok(Report::new(&problem, &solution))
}

fn load(cluster: &mut Cluster, manifests: &Manifests) -> Result<(), SimulateError> {
    let mut faults = Vec::new();
    for (name, class) in &manifests.classes {
        let found = validate_class::ec2_node_class(class);
        faults.extend(found.into_iter().map(|fault| (format!("EC2NodeClass `{name}`"), fault)));
    }
    for (name, pool) in &manifests.pools {
        match read_pool(&mut cluster.names, name, pool) {
            Ok(pool) => cluster.pools.push(pool),
            Err(found) => faults.extend(found.into_iter().map(|fault| (format!("NodePool `{name}`"), fault))),
        }
    }
    if !faults.is_empty() {
        return Err(SimulateError::Invalid { faults });
    }
    cluster.namespaces.clone_from(&manifests.namespaces);
    if !manifests.claims.is_empty() {
        cluster.volumes =
            Volumes::new(&mut cluster.names, &manifests.claims, &manifests.volumes, &manifests.storage_classes);
    }
    // A claim that is not among the files is taken to exist: manifests often leave storage out.
    cluster.volumes.strict = false;
    for node in &manifests.nodes {
        cluster.add_node(node).map_err(SimulateError::Node)?;
    }
    for daemon in &manifests.daemons {
        cluster.add_daemon(daemon);
    }
    for workload in &manifests.workloads {
        expand::each_pod(workload, |pod| cluster.add_pod(&pod));
    }
    Ok(())
}
