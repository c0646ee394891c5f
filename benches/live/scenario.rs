//! What is asked of an autoscaler: Deployments, the pool that may hold them, and the least that they can cost.

use serde_json::{Value, json};

/// A workload.
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// Its pods.
    pub replicas: u64,
    cpu_m: u64,
    memory_mib: u64,
}

/// Deployments and a pool.
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// The workloads.
    pub deployments: Vec<Deployment>,
    /// The least that the nodes can cost per hour, at launch and after the scale-in, where it is known.
    pub bounds: Option<(f64, f64)>,
    /// The only instance type that is allowed, where there is one.
    instance_type: Option<&'static str>,
}

/// The share of every workload that is left after a scale-in.
const LEFT: f64 = 0.4;

/// Linear programs that may split pods, with the pool below: hourly cost at launch and after the scale-in.
const BOUNDS: [(&str, f64, f64); 4] = [
    ("web-small", 6.822, 2.591),
    ("cpu-heavy", 69.70, 25.55),
    ("memory-heavy", 39.16, 14.30),
    ("skewed", 14.30, 5.761),
];

/// Every scenario, in the order in which they are measured.
pub const NAMES: [&str; 7] =
    ["inflate", "web-small", "cpu-heavy", "memory-heavy", "skewed", "hundred-nodes", "thousand-nodes"];

impl Scenario {
    /// The scenario called `name`.
    ///
    /// # Panics
    /// When there is none, or its file is broken.
    pub fn named(name: &str) -> Self {
        match name {
            "hundred-nodes" => Self::uniform(name, "m5.large", 4, 25, 1500, 2048),
            "handover" => Self::uniform(name, "m5.large", 2, 2, 1500, 2048),
            "thousand-nodes" => Self::uniform(name, "m5.2xlarge", 40, 250, 750, 2048),
            _ => Self::from_file(name),
        }
    }

    fn from_file(name: &str) -> Self {
        let path = format!("{}/benches/data/scenarios/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let read: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let deployments = read["deployments"].as_array().into_iter().flatten().map(|one| Deployment {
            name: one["name"].as_str().unwrap_or_default().to_owned(),
            replicas: number(&one["replicas"]),
            cpu_m: number(&one["cpu_m"]),
            memory_mib: number(&one["memory_mib"]),
        });
        let bounds = BOUNDS.iter().find(|row| row.0 == name).map(|row| (row.1, row.2));
        Self { name: name.to_owned(), deployments: deployments.collect(), bounds, instance_type: None }
    }

    /// Pods of one size on nodes of one type: as many nodes as it takes.
    fn uniform(name: &str, kind: &'static str, count: u64, replicas: u64, cpu_m: u64, memory_mib: u64) -> Self {
        let deployments = (0..count).map(|n| Deployment { name: format!("even-{n}"), replicas, cpu_m, memory_mib });
        Self { name: name.to_owned(), deployments: deployments.collect(), bounds: None, instance_type: Some(kind) }
    }

    /// All pods before the scale-in.
    pub fn pods(&self) -> usize {
        self.deployments.iter().map(|one| one.replicas as usize).sum()
    }

    /// All pods after it.
    pub fn left(&self) -> usize {
        self.deployments.iter().map(|one| one.left() as usize).sum()
    }

    /// On-demand nodes of current generations that may go when they have been still for ten seconds.
    pub fn node_pool(&self) -> Value {
        let within = |key: &str, values: &[&str]| json!({ "key": key, "operator": "In", "values": values });
        let mut requirements = vec![
            within("karpenter.sh/capacity-type", &["on-demand"]),
            within("kubernetes.io/arch", &["amd64"]),
            within("kubernetes.io/os", &["linux"]),
            within("karpenter.k8s.aws/instance-category", &["c", "m", "r"]),
            json!({ "key": "karpenter.k8s.aws/instance-generation", "operator": "Gt", "values": ["4"] }),
        ];
        requirements.extend(self.instance_type.map(|kind| within("node.kubernetes.io/instance-type", &[kind])));
        json!({
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": { "name": "default" },
            "spec": {
                "template": { "spec": {
                    "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                    "requirements": requirements,
                    "expireAfter": "Never",
                } },
                "disruption": {
                    "consolidationPolicy": "WhenEmptyOrUnderutilized",
                    "consolidateAfter": "10s",
                    "budgets": [{ "nodes": "100%" }],
                },
            },
        })
    }
}

impl Deployment {
    /// The replicas that are left after the scale-in: one at least.
    pub fn left(&self) -> u64 {
        ((self.replicas as f64 * LEFT) as u64).max(1)
    }

    /// As Kubernetes has it.
    pub fn manifest(&self) -> Value {
        let labels = json!({ "app": self.name });
        let requests = json!({ "cpu": format!("{}m", self.cpu_m), "memory": format!("{}Mi", self.memory_mib) });
        let container =
            json!({ "name": "app", "image": "registry.example/app:1", "resources": { "requests": requests } });
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": self.name, "namespace": "default" },
            "spec": {
                "replicas": self.replicas,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
            },
        })
    }
}
