//! Who is measured: eksup's own autoscaler, and upstream Karpenter, each as a process with the same settings.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::field::{CLUSTER, Field, until};

/// An autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Upstream Karpenter for AWS, of the version that the local cloud pins.
    Karpenter,
    /// eksup's own.
    Eksup,
}

/// The module that upstream Karpenter is built from.
const MODULE: &str = "github.com/aws/karpenter-provider-aws";

impl Engine {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Karpenter => "karpenter",
            Self::Eksup => "eksup",
        }
    }

    /// The definitions of its kinds.
    ///
    /// # Errors
    /// When upstream's cannot be read.
    pub fn definitions(self) -> Result<Vec<CustomResourceDefinition>> {
        match self {
            Self::Eksup => Ok(eksup::autoscaler::api::definitions::definitions().to_vec()),
            Self::Karpenter => {
                let folder = sandbox::go::module_folder("karpenter", MODULE)?.join("pkg/apis/crds");
                let files = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
                files
                    .map(|file| {
                        let path = file?.path();
                        let text = std::fs::read_to_string(&path)?;
                        serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
                    })
                    .collect()
            }
        }
    }

    /// Its program and what follows it.
    fn command(self, eksup: &Path) -> Result<Command> {
        match self {
            Self::Karpenter => Ok(Command::new(sandbox::go::program("karpenter")?)),
            Self::Eksup => {
                let mut command = Command::new(eksup);
                command.args(["autoscaler", "run"]);
                Ok(command)
            }
        }
    }
}

/// An autoscaler that runs.
pub struct Contender {
    child: Child,
    metrics_port: u16,
    /// What it has written.
    pub log: PathBuf,
}

/// What the kernel says about a process's memory, in MB.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// Now.
    pub resident: f64,
    /// The most so far.
    pub peak: f64,
}

impl Contender {
    /// Starts an autoscaler on the field and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends, or does not become ready.
    pub async fn start(engine: Engine, eksup: &Path, field: &Field) -> Result<Self> {
        let (health_port, metrics_port) = (free_port()?, free_port()?);
        let log = field.file(&format!("{}-{health_port}.log", engine.name()));
        let output = File::create(&log)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let child = engine
            .command(eksup)?
            .envs(field.environment())
            .env("KUBECONFIG", field.kubeconfig())
            .env("CLUSTER_NAME", CLUSTER)
            .env("DISABLE_DRY_RUN", "true")
            .env("DISABLE_LEADER_ELECTION", "true")
            .env("CPU_REQUESTS", (cores * 1000).to_string())
            .env("HEALTH_PROBE_PORT", health_port.to_string())
            .env("METRICS_PORT", metrics_port.to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", engine.name()))?;
        let mut started = Self { child, metrics_port, log };
        let begun = tokio::time::Instant::now();
        while get(health_port, "/readyz").await.is_err() {
            if let Some(status) = started.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", engine.name(), started.last_words());
            }
            if begun.elapsed() > Duration::from_secs(90) {
                bail!("{} did not become ready:\n{}", engine.name(), started.last_words());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(started)
    }

    /// The last of what it has written.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = text.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
        text[from..].to_owned()
    }

    /// Its memory.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<Memory> {
        let id = self.child.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).context("it has ended")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
        };
        let (resident, peak) = (field("VmRSS:"), field("VmHWM:"));
        Ok(Memory { resident: resident.context("no VmRSS")?, peak: peak.context("no VmHWM")? })
    }

    /// Seconds of CPU that it has used.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = self.child.id().and_then(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok());
        let after = stat.as_deref().and_then(|stat| stat.rsplit_once(") ")).map_or("", |parts| parts.1);
        let ticks = after.split(' ').skip(11).take(2).filter_map(|cell| cell.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }

    /// What it says about itself to Prometheus.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        get(self.metrics_port, "/metrics").await
    }

    /// Ends it as a pod is ended, and waits for that.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(id) = self.child.id() {
            Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.context("it did not end within 30 s of SIGTERM")??;
        Ok(())
    }

    /// Ends it as a machine that fails.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The body of an answer with status 200.
async fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => bail!("{path}: {}", answer.lines().next().unwrap_or_default()),
    }
}

/// Installs an autoscaler's kinds, starts it, and makes the objects that let it launch nodes.
///
/// # Errors
/// When any of that fails.
pub async fn install(engine: Engine, eksup: &Path, field: &Field, pool: &serde_json::Value) -> Result<Contender> {
    field.define(engine.definitions()?).await?;
    let contender = Contender::start(engine, eksup, field).await?;
    let made = async {
        field.apply(&field.node_class().await?).await?;
        field.ready("karpenter.k8s.aws/v1", "EC2NodeClass", "default").await?;
        field.apply(pool).await?;
        field.ready("karpenter.sh/v1", "NodePool", "default").await
    };
    made.await.with_context(|| contender.last_words())?;
    Ok(contender)
}

/// Waits until nothing is left that the autoscaler has launched.
///
/// # Errors
/// When something stays.
pub async fn gone(field: &Field) -> Result<()> {
    until("no instance is left", Duration::from_secs(180), || async { Ok(field.instances()?.is_empty().then_some(())) })
        .await
}
