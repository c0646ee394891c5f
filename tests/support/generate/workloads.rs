//! Workloads and their pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cluster::{DISK_CLASS, NAMESPACES};
use super::rules;
use super::{Features, Generated, Random, Sizes, object};

/// CPU requests: text and thousandths of a core.
const CPU: [(&str, u64); 6] =
    [("100m", 100), ("0.25", 250), ("500m", 500), ("1", 1000), ("1500m", 1500), ("2e0", 2000)];
/// Memory requests: text and MiB, rounded up.
const MEMORY: [(&str, u64); 6] =
    [("128Mi", 128), ("268435456", 256), ("0.5Gi", 512), ("1Gi", 1024), ("2048Mi", 2048), ("4G", 3815)];

/// Adds running pods where they have room: simple ones, some with anti-affinity that later pods must respect.
pub fn add_running(generated: &mut Generated, random: &mut Random, sizes: Sizes, features: Features) {
    let mut free = room(generated);
    for number in 0..sizes.running {
        let Some((node, zone)) = generated.nodes.get(random.below(generated.nodes.len())).map(place) else { return };
        let ((cpu, cpu_amount), (memory, memory_amount)) = (*random.pick(&CPU), *random.pick(&MEMORY));
        let Some(room) = free.get_mut(&node) else { continue };
        if room.0 < cpu_amount || room.1 < memory_amount || room.2 == 0 {
            continue;
        }
        *room = (room.0 - cpu_amount, room.1 - memory_amount, room.2 - 1);
        let mut spec = json!({"nodeName": node, "containers": [container("app", cpu, memory)]});
        if features.pod_anti_affinity && random.chance(15) {
            let app = random.pick(&rules::APPS);
            let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}});
            spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        }
        let mut metadata = json!({"namespace": namespace(random, features), "name": format!("running-{number}"),
            "labels": {"app": random.pick(&rules::APPS), "zone-hint": zone}});
        if features.disturbances && random.chance(8) {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        generated.pods.push(object(json!({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}})));
    }
}

/// Name and zone of a node.
fn place(node: &k8s_openapi::api::core::v1::Node) -> (String, String) {
    let zone = node.metadata.labels.as_ref().and_then(|labels| labels.get("topology.kubernetes.io/zone"));
    (node.metadata.name.clone().unwrap_or_default(), zone.cloned().unwrap_or_default())
}

/// A rough lower bound of what each node has left: thousandths of a core, MiB, pods.
fn room(generated: &Generated) -> BTreeMap<String, (u64, u64, u64)> {
    let number = |text: &str, suffix: &str| text.trim_end_matches(suffix).parse::<u64>().unwrap_or(0);
    generated
        .nodes
        .iter()
        .map(|node| {
            let amounts = node.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
            let text = |name: &str| amounts.get(name).map_or(String::new(), |quantity| quantity.0.clone());
            let cpu = number(&text("cpu"), "m").saturating_sub(150);
            let memory = number(&text("memory"), "Mi").saturating_sub(192);
            (node.metadata.name.clone().unwrap_or_default(), (cpu, memory, number(&text("pods"), "").saturating_sub(2)))
        })
        .collect()
}

/// Adds pending workloads and the pods that their controllers would make.
pub fn add_pending(generated: &mut Generated, random: &mut Random, sizes: Sizes, features: Features) {
    for number in 0..sizes.workloads {
        let app = random.pick(&rules::APPS);
        let name = format!("{app}-{number}");
        let namespace = namespace(random, features);
        let kind = *random.pick(&["Deployment", "Deployment", "Deployment", "StatefulSet", "Job", "Pod"]);
        let replicas = if kind == "Pod" { 1 } else { 1 + random.below(sizes.replicas) };
        let labels = json!({"app": app, "workload": name, "track": random.pick(&["stable", "canary"])});
        let spec = pod_spec(random, features, &name, namespace);
        let workload = Workload { kind, name: &name, namespace, replicas, labels, spec };
        generated.workloads.push(workload.object(features));
        for replica in 0..replicas {
            workload.add_pod(generated, random, features, replica);
        }
    }
}

struct Workload<'a> {
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
    replicas: usize,
    labels: Value,
    spec: Value,
}

impl Workload<'_> {
    fn has_claims(&self, features: Features) -> bool {
        self.kind == "StatefulSet" && features.volumes
    }

    fn object(&self, features: Features) -> Value {
        let metadata = json!({"namespace": self.namespace, "name": self.name});
        let template = json!({"metadata": {"labels": self.labels}, "spec": self.spec});
        let selector = json!({"matchLabels": {"workload": self.name}});
        let (version, spec) = match self.kind {
            "Pod" => {
                let mut metadata = metadata;
                metadata["labels"] = self.labels.clone();
                return json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.spec});
            }
            "Job" => {
                ("batch/v1", json!({"parallelism": self.replicas, "completions": self.replicas, "template": template}))
            }
            _ => ("apps/v1", json!({"replicas": self.replicas, "selector": selector, "template": template})),
        };
        let mut object = json!({"apiVersion": version, "kind": self.kind, "metadata": metadata, "spec": spec});
        if self.has_claims(features) {
            object["spec"]["serviceName"] = json!(self.name);
            object["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": claim_spec()}]);
        }
        object
    }

    fn add_pod(&self, generated: &mut Generated, random: &mut Random, features: Features, replica: usize) {
        let (name, hash) = match self.kind {
            "Pod" => (self.name.to_owned(), None),
            "StatefulSet" => (format!("{}-{replica}", self.name), None),
            "Job" => (format!("{}-{replica:05}", self.name), None),
            _ => (format!("{}-5d4f8c7b9d-{replica:05}", self.name), Some("5d4f8c7b9d")),
        };
        let mut labels = self.labels.clone();
        if let Some(hash) = hash {
            labels["pod-template-hash"] = json!(hash);
        }
        if self.kind == "StatefulSet" {
            labels["apps.kubernetes.io/pod-index"] = json!(replica.to_string());
        }
        let mut spec = self.spec.clone();
        if self.has_claims(features) {
            let claim = format!("data-{name}");
            let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": claim}});
            match spec["volumes"].as_array_mut() {
                Some(volumes) => volumes.push(volume),
                None => spec["volumes"] = json!([volume]),
            }
            generated.persistent_volume_claims.push(object(json!({
                "metadata": {"namespace": self.namespace, "name": claim}, "spec": claim_spec()})));
        } else if features.volumes && self.namespace == "default" && random.chance(5) {
            let claim = format!("existing-{}", random.below(3));
            spec["volumes"] = json!([{"name": "old", "persistentVolumeClaim": {"claimName": claim}}]);
        }
        generated.pods.push(object(json!({
            "metadata": {"namespace": self.namespace, "name": name, "labels": labels},
            "spec": spec, "status": {"phase": "Pending"}})));
    }
}

fn claim_spec() -> Value {
    json!({"accessModes": ["ReadWriteOnce"], "storageClassName": DISK_CLASS, "resources": {"requests": {"storage": "5Gi"}}})
}

fn namespace(random: &mut Random, features: Features) -> &'static str {
    if features.namespaces && random.chance(40) { random.pick::<&str>(&NAMESPACES) } else { "default" }
}

fn container(name: &str, cpu: &str, memory: &str) -> Value {
    json!({"name": name, "image": "registry.k8s.io/pause:3.10", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
}

/// A pod template's spec with a few of the features that are on.
fn pod_spec(random: &mut Random, features: Features, workload: &str, namespace: &str) -> Value {
    let (cpu, memory) = (random.pick(&CPU).0, random.pick(&MEMORY).0);
    let mut spec = json!({"containers": [container("app", cpu, memory)]});
    if features.composed_requests {
        compose_requests(&mut spec, random);
    }
    if features.extended_resources && random.chance(8) {
        spec["containers"][0]["resources"]["limits"] = json!({"nvidia.com/gpu": "1"});
    }
    if features.host_ports && random.chance(10) {
        let (port, protocol) = (8000 + random.below(3), *random.pick(&["TCP", "UDP"]));
        spec["containers"][0]["ports"] = json!([{"containerPort": port, "hostPort": port, "protocol": protocol}]);
    }
    if features.volumes && random.chance(10) {
        let template = json!({"spec": claim_spec()});
        spec["volumes"] = json!([{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]);
    }
    rules::add(&mut spec, random, features, workload, namespace);
    spec
}

fn compose_requests(spec: &mut Value, random: &mut Random) {
    if random.chance(20) {
        spec["containers"].as_array_mut().expect("containers are a list").push(container("helper", "50m", "64Mi"));
    }
    if random.chance(25) {
        let mut sidecar = container("sidecar", "100m", "100Mi");
        sidecar["restartPolicy"] = json!("Always");
        let init = container("prepare", random.pick(&CPU).0, "256Mi");
        let order = if random.chance(50) { vec![sidecar, init] } else { vec![init, sidecar] };
        spec["initContainers"] = json!(order);
    }
    if random.chance(10) {
        spec["overhead"] = json!({"cpu": "250m", "memory": "120Mi"});
    }
    if random.chance(10) {
        spec["resources"] = json!({"requests": {"cpu": "2500m", "memory": "3Gi"}});
    }
}
