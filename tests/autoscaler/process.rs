//! The autoscaler as a process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::stage::until;
use crate::support::Rig;

const REGION: &str = "us-east-1";

/// How much memory a process takes, in MiB.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "they are printed")]
pub struct Memory {
    resident: u64,
    own: u64,
}

/// An autoscaler, as a process; dropping it kills it.
pub struct Autoscaler {
    child: Child,
    log: PathBuf,
    metrics: u16,
    health: u16,
}

impl Autoscaler {
    /// Starts one for a cluster, of the build `program` if there is one, with these settings; `name` is that of its log.
    pub fn start(rig: &Rig, cluster: &str, name: &str, program: Option<&OsStr>, settings: &[(&str, &str)]) -> Self {
        let kubeconfig = rig.file("autoscaler.kubeconfig");
        std::fs::write(&kubeconfig, rig.cloud.kubeconfig(cluster).expect("a kubeconfig")).expect("a file");
        let log = rig.file(&format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).expect("a log");
        let (metrics, health) = (free_port(), free_port());
        let mut command = rig.command(&["autoscaler", "run"]);
        if let Some(program) = program {
            command = another(&command, program);
        }
        command.env("KUBECONFIG", &kubeconfig).env("AWS_REGION", REGION).env("CLUSTER_NAME", cluster);
        command.env("DISABLE_DRY_RUN", "true").env("LOG_LEVEL", "debug");
        command.env("METRICS_PORT", metrics.to_string()).env("HEALTH_PROBE_PORT", health.to_string());
        command.envs(settings.iter().copied());
        command.stdout(output.try_clone().expect("a log")).stderr(Stdio::from(output));
        Self { child: command.spawn().expect("eksup runs"), log, metrics, health }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// Waits until it has been killed by somebody else.
    pub fn is_killed(&mut self) {
        let ended = until("it has been killed", || self.child.try_wait().expect("its state"));
        assert!(!ended.success(), "it was killed: {}", self.said());
    }

    /// Status and body of the answer at `path` of the port for health; `None` while nobody listens.
    pub fn health(&self, path: &str) -> Option<(u16, String)> {
        get(self.health, path)
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn is_ready(&self) {
        until("it is ready", || self.health("/readyz").filter(|(status, _)| *status == 200));
    }

    /// The metric whose line begins with `name`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = get(self.metrics, "/metrics")?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Whether it acts.
    pub fn leads(&self) -> bool {
        self.metric("karpenter_leader") == Some(1.0)
    }

    /// How much memory it takes: resident, and which part of that is its own and not pages of its file; in MiB.
    pub fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) / 1024
        };
        Memory { resident: of("VmRSS:"), own: of("RssAnon:") }
    }

    /// Everything that it counts, as Prometheus reads it.
    pub fn metrics(&self) -> String {
        get(self.metrics, "/metrics").map(|(_, text)| text).unwrap_or_default()
    }

    /// Asks it to end, and waits until it has.
    pub fn ends(mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(asked.success());
        until("it has ended", || self.child.try_wait().expect("its state"))
    }

    /// What it has said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Autoscaler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said();
            let from = said.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
            eprintln!("{} said:\n{}", self.log.display(), &said[from..]);
        }
    }
}

/// The same command of another build.
fn another(command: &Command, program: &OsStr) -> Command {
    let mut other = Command::new(program);
    other.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    other
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
