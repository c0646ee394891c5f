//! A cluster with a few nodes that have claims, and the controllers that take them away.

use std::sync::Arc;
use std::time::Duration;

use eksup::autoscaler::api::definitions::definitions;
use eksup::autoscaler::cloud::{CloudSettings, ClusterFacts, Ec2};
use eksup::autoscaler::lifecycle::{collector, repairer};
use eksup::autoscaler::runtime::{Context, Events, Flags, Metrics, ServerVersion, Settings, Shared, watches};
use eksup::autoscaler::state::live::Live;
use eksup::autoscaler::{interruption, termination};
use eksup::aws::Cloud;
use eksup::cluster::connection::{Connection, Detour};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::stage::{Somebody, Stage, until};
use crate::support::{connect, example};

/// The cluster and the region of the example.
pub const CLUSTER: &str = "minimal";
const REGION: &str = "eu-central-1";
/// The pool and the class that claims belong to.
pub const POOL: &str = "ground";
const CLAIMS: &str = "/apis/karpenter.sh/v1/nodeclaims";

/// A node that is there.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name.
    pub node: String,
    /// Its instance.
    pub instance: String,
    provider_id: String,
    labels: Value,
}

/// A cluster with nodes.
pub struct Ground {
    /// The cloud.
    pub stage: Stage,
    /// Somebody with all rights.
    pub hands: Somebody,
    /// Clients of AWS.
    pub cloud: Cloud,
    /// For what is asked of AWS.
    pub runtime: Runtime,
    spare: std::cell::RefCell<Vec<Standing>>,
}

impl Ground {
    /// A cluster with so many nodes.
    pub fn with_nodes(count: usize) -> Self {
        Self::with(count, "")
    }

    /// A cluster with so many nodes, and these sections in its stack file.
    pub fn with(count: usize, sections: &str) -> Self {
        let stack = example("minimal.yaml").replace("min: 2, max: 3", &format!("min: {count}, max: {count}"));
        let stage = Stage::set(&format!("{stack}{sections}"));
        stage.apply();
        let hands = stage.somebody_in(CLUSTER);
        for definition in definitions() {
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            hands.makes(path, &serde_json::to_value(definition).expect("a definition"));
        }
        let runtime = Runtime::new().expect("a runtime");
        let cloud = runtime.block_on(connect(&stage.rig.cloud, REGION));
        until("claims are served", || hands.sees(CLAIMS));
        let spare = until("the nodes are ready", || nodes(&hands, count));
        Self { stage, hands, cloud, runtime, spare: std::cell::RefCell::new(spare) }
    }

    /// A node that no test has used yet, without a claim.
    pub fn spare(&self) -> Standing {
        self.spare.borrow_mut().pop().expect("a node that is left")
    }

    /// Gives a node that nobody has used yet a claim of this name; `spec` is merged into its spec.
    pub fn claimed(&self, name: &str, spec: &Value) -> Standing {
        let standing = self.spare();
        self.claim(name, &standing, spec);
        standing
    }

    /// Gives a node a claim.
    pub fn claim(&self, name: &str, standing: &Standing, spec: &Value) {
        let label = |key: &str| standing.labels[key].clone();
        let mut claim = json!({
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodeClaim",
            "metadata": { "name": name, "finalizers": ["karpenter.sh/termination"], "labels": {
                "karpenter.sh/nodepool": POOL,
                "karpenter.sh/capacity-type": "spot",
                "node.kubernetes.io/instance-type": label("node.kubernetes.io/instance-type"),
                "topology.kubernetes.io/zone": label("topology.kubernetes.io/zone"),
            } },
            "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": POOL },
                "requirements": [{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"] }],
                "expireAfter": "Never",
            },
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            claim["spec"][key] = value.clone();
        }
        self.hands.makes(CLAIMS, &claim);
        let is = |kind: &str| {
            let time = "2026-01-01T00:00:00Z";
            json!({ "type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": time })
        };
        let status = json!({ "status": {
            "providerID": standing.provider_id,
            "nodeName": standing.node,
            "conditions": [is("Launched"), is("Registered"), is("Initialized"), is("Ready")],
        } });
        self.hands.changes(&format!("{CLAIMS}/{name}/status"), "test", &status);
        let node = json!({ "metadata": {
            "finalizers": ["karpenter.sh/termination"],
            "labels": { "karpenter.sh/nodepool": POOL, "karpenter.sh/registered": "true", "karpenter.sh/initialized": "true" },
        } });
        self.hands.changes(&node_path(&standing.node), "test", &node);
    }

    /// Makes a pod on a node; `spec` and `metadata` are merged into its own.
    pub fn pod(&self, name: &str, standing: &Standing, metadata: &Value, spec: &Value) {
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": name } },
            "spec": {
                "nodeName": standing.node,
                "terminationGracePeriodSeconds": 5,
                "containers": [{ "name": "a", "image": "registry.example/a:1" }],
            },
        });
        for (part, more) in [("metadata", metadata), ("spec", spec)] {
            for (key, value) in more.as_object().into_iter().flatten() {
                pod[part][key] = value.clone();
            }
        }
        self.hands.makes("/api/v1/namespaces/default/pods", &pod);
        until("the pod runs", || (self.hands.gets(&pod_path(name))["status"]["phase"] == "Running").then_some(()));
    }

    /// Starts the controllers.
    pub fn controllers(&self, queue: Option<&str>) -> Controllers {
        Controllers::start(self, queue)
    }

    /// Whether the claim, its node and its instance are gone.
    #[track_caller]
    pub fn expect_gone(&self, claim: &str, standing: &Standing) {
        until(&format!("the claim {claim} is gone"), || self.hands.sees(&claim_path(claim)).is_none().then_some(()));
        assert!(self.hands.sees(&node_path(&standing.node)).is_none(), "the node is gone with its claim");
        assert_eq!(self.state_of(&standing.instance), "terminated");
    }

    /// What EC2 says of an instance.
    pub fn state_of(&self, instance: &str) -> String {
        let request = self.cloud.read.ec2.describe_instances().instance_ids(instance);
        let answer = self.runtime.block_on(request.send()).expect("an answer");
        let state = answer.reservations().iter().flat_map(|one| one.instances()).next().and_then(|one| one.state());
        state.and_then(|state| state.name()).map(|name| name.as_str().to_owned()).unwrap_or_default()
    }

    /// The message of a condition of a claim, once `fits`.
    #[track_caller]
    pub fn condition(&self, claim: &str, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(&format!("the condition {kind} of {claim}"), || {
            let claim = self.hands.gets(&claim_path(claim));
            let found = claim["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind)?.clone();
            fits(&found).then_some(found)
        })
    }

    /// Waits until somebody has said an event with this reason about an object.
    #[track_caller]
    pub fn hears(&self, reason: &str, about: &str) {
        until(&format!("the event {reason} about {about}"), || self.heard(reason, about).then_some(()));
    }

    fn heard(&self, reason: &str, about: &str) -> bool {
        let events = self.hands.gets("/api/v1/namespaces/default/events");
        let events = events["items"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| event["reason"] == reason && event["involvedObject"]["name"] == about)
    }
}

/// Where a claim is.
pub fn claim_path(name: &str) -> String {
    format!("{CLAIMS}/{name}")
}

/// Where a node is.
pub fn node_path(name: &str) -> String {
    format!("/api/v1/nodes/{name}")
}

/// Where a pod is.
pub fn pod_path(name: &str) -> String {
    format!("/api/v1/namespaces/default/pods/{name}")
}

/// The nodes that are ready, if they are `count`.
fn nodes(hands: &Somebody, count: usize) -> Option<Vec<Standing>> {
    let list = hands.gets("/api/v1/nodes");
    let ready = |node: &&Value| {
        node["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
    };
    let all: Vec<Standing> = list["items"].as_array()?.iter().filter(ready).filter_map(standing).collect();
    (all.len() == count).then_some(all)
}

fn standing(node: &Value) -> Option<Standing> {
    let provider_id = node["spec"]["providerID"].as_str()?.to_owned();
    Some(Standing {
        node: node["metadata"]["name"].as_str()?.to_owned(),
        instance: provider_id.rsplit_once('/')?.1.to_owned(),
        provider_id,
        labels: node["metadata"]["labels"].clone(),
    })
}

/// The controllers, in a runtime of their own; dropping it ends them between two instructions, as a kill does.
pub struct Controllers {
    runtime: Option<Runtime>,
    /// What they count.
    pub metrics: Arc<Metrics>,
}

impl Controllers {
    fn start(ground: &Ground, queue: Option<&str>) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let metrics = Arc::new(Metrics::new());
        let kubeconfig = ground.stage.rig.file("controllers.kubeconfig");
        std::fs::write(&kubeconfig, ground.stage.rig.cloud.kubeconfig(CLUSTER).expect("a kubeconfig")).expect("a file");
        let flags = Flags {
            cluster_name: Some(CLUSTER.to_owned()),
            interruption_queue: queue.map(str::to_owned),
            feature_gates: "NodeRepair=true".to_owned(),
            ..defaults()
        };
        let settings = Settings::read(&flags).expect("settings");
        runtime.block_on(async {
            let detour = Detour { file: Some(kubeconfig), context: None };
            let connection = Connection::by_kubeconfig(&detour, CLUSTER).await.expect("a connection");
            let client = connection.client();
            let cloud = connect(&ground.stage.rig.cloud, REGION).await;
            let facts = ClusterFacts { name: CLUSTER.to_owned(), ..ClusterFacts::default() };
            let live = Shared::<Live>::default();
            let stop = CancellationToken::new();
            watches::start(&client, &live, &stop, &TaskTracker::new());
            let context = Context {
                events: Events::new(client.clone(), Arc::clone(&metrics)),
                client,
                settings: Arc::new(settings),
                live,
                cloud: Arc::new(Ec2::new(cloud, facts, CloudSettings::default())),
                instances: Default::default(),
                plan: Default::default(),
                market: Default::default(),
                reserved: Default::default(),
                launches: Default::default(),
                metrics: Arc::clone(&metrics),
                version: ServerVersion { minor: 35 },
            };
            tokio::spawn(termination::run(context.clone(), stop.clone()));
            tokio::spawn(interruption::run(context.clone(), stop.clone()));
            tokio::spawn(repairer::run(context.clone(), stop.clone()));
            tokio::spawn(collector::run(context.clone(), stop));
        });
        Self { runtime: Some(runtime), metrics }
    }

    /// The value of a line of the metrics.
    pub fn figure(&self, line: &str) -> f64 {
        let text = self.metrics.text();
        let found = text.lines().find_map(|own| own.strip_prefix(line));
        found.and_then(|rest| rest.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(10));
        }
    }
}

/// The settings that nobody has set.
fn defaults() -> Flags {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }
    <Line as clap::Parser>::parse_from(["test"]).flags
}

/// What this process holds in memory, in MiB.
pub fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}
