//! A cluster without nodes, and autoscalers as processes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use eksup::autoscaler::api::definitions::definitions;
use serde_json::{Value, json};

use crate::stage::{Somebody, Stage, until};

const CLUSTER: &str = "post";
const REGION: &str = "us-east-1";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub const POOLS: &str = "/apis/karpenter.sh/v1/nodepools";
pub const CLASSES: &str = "/apis/karpenter.k8s.aws/v1/ec2nodeclasses";
pub const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/karpenter-leader-election";

const STACK: &str = "
apiVersion: eksup.dev/v1
kind: Stack
metadata: { name: post, region: us-east-1 }
network: { cidr: 10.0.0.0/16, zones: [us-east-1a, us-east-1b], nat: none }
cluster: { version: \"1.35\", addons: [vpc-cni, kube-proxy] }
";

/// A cluster without nodes.
pub struct Post {
    /// The cloud.
    pub stage: Stage,
    /// Somebody with all rights.
    pub hands: Somebody,
}

impl Post {
    /// A cluster that knows none of Karpenter's kinds.
    pub fn bare() -> Self {
        let stage = Stage::set(STACK);
        stage.apply();
        let hands = stage.somebody_in(CLUSTER);
        Self { stage, hands }
    }

    /// A cluster that knows Karpenter's kinds.
    pub fn new() -> Self {
        let post = Self::bare();
        post.define();
        post
    }

    /// Makes the definitions.
    pub fn define(&self) {
        self.make_definitions(|_| {});
    }

    /// Makes the definitions without any rule: as somebody's older or laxer ones might be.
    pub fn define_laxly(&self) {
        self.make_definitions(|version| {
            version["schema"] =
                json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
        });
    }

    fn make_definitions(&self, change: impl Fn(&mut Value)) {
        for definition in definitions() {
            let mut definition = serde_json::to_value(definition).expect("a definition");
            definition["spec"]["versions"].as_array_mut().expect("versions").iter_mut().for_each(&change);
            self.hands.makes(DEFINITIONS, &definition);
        }
        for path in ["/apis/karpenter.sh/v1/nodeclaims", POOLS, CLASSES] {
            until("the kinds are served", || self.hands.sees(path));
        }
    }

    /// Makes a pool of the class `default`.
    pub fn pool(&self, name: &str) {
        self.hands.makes(POOLS, &pool(name));
    }

    /// A condition of a pool, once it is there: status and reason.
    #[track_caller]
    pub fn told(&self, pool: &str, kind: &str) -> (String, String) {
        let path = format!("{POOLS}/{pool}");
        until(&format!("the pool `{pool}` has the condition `{kind}`"), || self.condition(&path, kind))
    }

    /// A condition of what stands at `path`: status and reason.
    pub fn condition(&self, path: &str, kind: &str) -> Option<(String, String)> {
        let object = self.hands.sees(path)?;
        let found = object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?;
        Some((found["status"].as_str()?.to_owned(), found["reason"].as_str()?.to_owned()))
    }

    /// Starts an autoscaler.
    pub fn autoscaler(&self, name: &str) -> Autoscaler {
        self.autoscaler_of(None, name)
    }

    /// Starts an autoscaler of another build.
    pub fn autoscaler_of(&self, program: Option<&OsStr>, name: &str) -> Autoscaler {
        let rig = &self.stage.rig;
        let kubeconfig = rig.file("autoscaler.kubeconfig");
        std::fs::write(&kubeconfig, rig.cloud.kubeconfig(CLUSTER).expect("a kubeconfig")).expect("a file");
        let log = rig.file(&format!("{name}.log"));
        let output = File::create(&log).expect("a log");
        let (metrics, health) = (free_port(), free_port());
        let mut command = rig.command(&["autoscaler", "run"]);
        if let Some(program) = program {
            command = another(&command, program);
        }
        command.env("KUBECONFIG", &kubeconfig).env("AWS_REGION", REGION).env("CLUSTER_NAME", CLUSTER);
        command.env("DISABLE_DRY_RUN", "true").env("POD_NAME", name).env("LOG_LEVEL", "debug");
        command.env("METRICS_PORT", metrics.to_string()).env("HEALTH_PROBE_PORT", health.to_string());
        command.stdout(output.try_clone().expect("a log")).stderr(Stdio::from(output));
        Autoscaler { child: command.spawn().expect("eksup runs"), log, metrics, health }
    }

    /// What `eksup autoscaler explain` says, and how it ended.
    pub fn explain(&self, name: &str, more: &[&str]) -> (Option<i32>, String) {
        let kubeconfig = self.stage.rig.file("autoscaler.kubeconfig");
        let mut command = self.stage.rig.command(&["autoscaler", "explain", name]);
        let ran = command.args(more).env("KUBECONFIG", kubeconfig).output().expect("eksup runs");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8_lossy(&said).into_owned())
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

/// A pool of the class `default`.
pub fn pool(name: &str) -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name },
        "spec": { "template": { "spec": { "requirements": [],
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" } } } },
    })
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

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
            let from = said.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
            eprintln!("{} said:\n{}", self.log.display(), &said[from..]);
        }
    }
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
