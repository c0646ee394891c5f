//! The benchmark inputs as clusters: `data/diverse-*.csv`, `data/scenarios/*.json`, and clusters of
//! any size made up here.

use eksup::autoscaler::state::catalogue_file::read_catalogue;
use eksup::autoscaler::state::cluster::Cluster;
use eksup::autoscaler::state::instance_types::{Catalogue, InstanceType, Offering, Price};
use eksup::autoscaler::state::names::{Names, keys};
use eksup::autoscaler::state::pod_spec::{Effect, Taint};
use eksup::autoscaler::state::pools::Pool;
use eksup::autoscaler::state::requirements::{Requirements, ValueSet};
use eksup::autoscaler::state::resources::{Amounts, CPU, MEMORY, PODS};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub fn data(name: &str) -> PathBuf {
    let beside =
        std::env::var("BENCH_DATA").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/benches/data").into());
    Path::new(&beside).join(name)
}

pub fn read(name: &str) -> String {
    std::fs::read_to_string(data(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The scenarios that there are, by name.
pub fn scenario_names() -> Vec<String> {
    let folder = std::fs::read_dir(data("scenarios")).unwrap_or_else(|error| panic!("{error}"));
    let mut names: Vec<String> =
        folder.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

fn requirement(names: &mut Names, all: &mut Requirements, key: &str, operator: &str, values: &[&str]) {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    let set =
        ValueSet::from_operator(&mut names.strings, key, operator, &values).unwrap_or_else(|error| panic!("{error}"));
    let key = names.key(key);
    all.add(key, set);
}

fn bare_pool(names: &mut Names, name: &str) -> Pool {
    Pool {
        name: names.strings.intern(name),
        weight: 0,
        requirements: Requirements::default(),
        min_values: Vec::new(),
        labels: Box::default(),
        taints: Vec::new(),
        startup_taints: Vec::new(),
        limits: Amounts::default(),
        node_limit: None,
    }
}

// ---- the upstream scheduling benchmark ------------------------------------------------------------

/// The 400 made-up types of the upstream benchmark.
pub fn made_up_catalogue(names: &mut Names) -> Catalogue {
    let mut catalogue = Catalogue::default();
    let (zone_key, arch, os) = (names.key(keys::INSTANCE_TYPE), names.key(keys::ARCH), names.key(keys::OS));
    let _ = zone_key;
    for i in 0..400_i64 {
        let name = format!("fake-it-{i}");
        let (cpu, memory) = (i + 1, (2 * (i + 1)) << 30);
        let mut capacity = Amounts::default();
        capacity.set(CPU, cpu * 1000);
        capacity.set(MEMORY, memory);
        capacity.set(PODS, 10 * cpu);
        let mut allocatable = capacity.clone();
        allocatable.set(CPU, cpu * 1000 - 100);
        allocatable.set(MEMORY, memory - (10 << 20));
        let price = Price::from_dollars(0.1 * cpu as f64 + 0.1 * memory as f64 / 1e9).unwrap_or_default();
        let mut labels = vec![
            (names.key(keys::INSTANCE_TYPE), names.strings.intern(&name)),
            (arch, names.strings.intern("amd64")),
            (os, names.strings.intern("linux")),
        ];
        labels.sort_unstable();
        let mut offerings = Vec::new();
        for (capacity_type, zones) in [("spot", 2), ("on-demand", 3)] {
            for zone in 1..=zones {
                offerings.push(Offering {
                    zone: names.strings.intern(&format!("test-zone-{zone}")),
                    capacity_type: names.strings.intern(capacity_type),
                    price,
                    available: true,
                    labels: Box::default(),
                });
            }
        }
        let name = names.strings.intern(&name);
        catalogue.add(InstanceType { name, labels: labels.into(), capacity, allocatable, offerings });
    }
    catalogue
}

pub fn diverse_pods(csv: &str, mut each: impl FnMut(Pod)) {
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [index, kind, own, selector, cpu, memory] = cells[..] else {
            continue;
        };
        let (key, value) = own.split_once('=').unwrap_or(("", ""));
        let (selector_key, selector_value) = selector.split_once('=').unwrap_or(("", ""));
        let selects = json!({ "matchLabels": { selector_key: selector_value } });
        let term = |key: &str| json!({ "requiredDuringSchedulingIgnoredDuringExecution": [{ "labelSelector": selects, "topologyKey": key }] });
        let spread = |key: &str| json!([{ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selects }]);
        let mut spec = json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": format!("{cpu}m"), "memory": format!("{memory}Mi") } } }] });
        match kind {
            "spread-zone" => spec["topologySpreadConstraints"] = spread(keys::ZONE),
            "spread-hostname" => spec["topologySpreadConstraints"] = spread(keys::HOSTNAME),
            "affinity-zone" => spec["affinity"] = json!({ "podAffinity": term(keys::ZONE) }),
            "antiaffinity-hostname" => spec["affinity"] = json!({ "podAntiAffinity": term(keys::HOSTNAME) }),
            _ => {}
        }
        each(object(
            json!({ "metadata": { "name": format!("pod-{index}"), "namespace": "default", "labels": { key: value } }, "spec": spec }),
        ));
    }
}

pub fn made_up_cluster() -> Cluster {
    let mut cluster = Cluster::default();
    cluster.catalogue = made_up_catalogue(&mut cluster.names);
    let pool = bare_pool(&mut cluster.names, "default");
    cluster.pools.push(pool);
    cluster
}

pub fn diverse(count: usize) -> Cluster {
    let mut cluster = made_up_cluster();
    diverse_pods(&read(&format!("diverse-{count}.csv")), |pod| cluster.add_pod(&pod));
    cluster
}

pub fn preference_pod(index: usize) -> Pod {
    let selects = json!({ "matchLabels": { "app": "nginx" } });
    let near = |weight: i32, key: &str| json!({ "weight": weight, "podAffinityTerm": { "labelSelector": selects, "topologyKey": key } });
    object(json!({
        "metadata": { "name": format!("pod-{index}"), "namespace": "default", "labels": { "app": "nginx" } },
        "spec": {
            "containers": [{ "name": "c", "resources": { "requests": { "cpu": "100m", "memory": "4096Mi" } } }],
            "affinity": {
                "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 10, "preference": {
                    "matchExpressions": [{ "key": keys::ZONE, "operator": "In", "values": ["test-zone-1"] }] } }] },
                "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [near(10, keys::ZONE), near(1, keys::HOSTNAME)] }
            }
        }
    }))
}

pub fn preferences(count: usize) -> Cluster {
    let mut cluster = made_up_cluster();
    for index in 0..count {
        cluster.add_pod(&preference_pod(index));
    }
    cluster
}

// ---- scenarios on the real catalogue --------------------------------------------------------------

pub const REGION: &str = "us-east-1";

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn scenario_pool(names: &mut Names, value: &Value) -> Pool {
    const PREFIX: &str = "karpenter.k8s.aws/instance-";
    let mut pool = bare_pool(names, value["name"].as_str().unwrap_or("default"));
    pool.weight = value["weight"].as_i64().unwrap_or(0) as i32;
    let mut all = Requirements::default();
    requirement(names, &mut all, keys::CAPACITY_TYPE, "In", &texts(&value["capacity_types"]));
    requirement(names, &mut all, keys::ARCH, "In", &texts(&value["arch"]));
    requirement(names, &mut all, &format!("{PREFIX}category"), "In", &texts(&value["categories"]));
    let generation = value["min_generation"].as_i64().unwrap_or(0).to_string();
    requirement(names, &mut all, &format!("{PREFIX}generation"), "Gte", &[&generation]);
    requirement(names, &mut all, &format!("{PREFIX}hypervisor"), "NotIn", &[""]);
    pool.requirements = all;
    if let Some(taint) = value["taint"].as_str() {
        pool.taints.push(Taint {
            key: names.strings.intern(taint),
            value: names.strings.intern(""),
            effect: Effect::NoSchedule,
        });
    }
    pool
}

fn scenario_spec(value: &Value) -> Value {
    let mut requests = json!({ "cpu": format!("{}m", value["cpu_m"]), "memory": format!("{}Mi", value["memory_mib"]) });
    if value["gpus"].is_number() {
        requests["nvidia.com/gpu"] = json!(value["gpus"].to_string());
    }
    let mut spec = json!({ "containers": [{ "name": "c", "resources": { "requests": requests } }] });
    let selects = json!({ "matchLabels": { "app": value["name"] } });
    if let Some(skew) = value["spread_zone"].as_i64() {
        spec["topologySpreadConstraints"] = json!([{ "maxSkew": skew, "topologyKey": keys::ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selects }]);
    }
    if value["anti_host"] == json!(true) {
        spec["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "labelSelector": selects, "topologyKey": keys::HOSTNAME }] } });
    }
    let mut selector = serde_json::Map::new();
    if value["arch"].is_string() {
        selector.insert(keys::ARCH.into(), value["arch"].clone());
    }
    if value["pool"].is_string() {
        selector.insert(keys::NODE_POOL.into(), value["pool"].clone());
    }
    spec["nodeSelector"] = Value::Object(selector);
    if value["tolerate"].is_string() {
        spec["tolerations"] = json!([{ "key": value["tolerate"], "operator": "Exists", "effect": "NoSchedule" }]);
    }
    spec
}

pub fn scenario_cluster(scenario: &Value, catalogue: &str) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.catalogue = read_catalogue(&mut cluster.names, catalogue, REGION).unwrap_or_else(|error| panic!("{error}"));
    for pool in scenario["pools"].as_array().into_iter().flatten() {
        let pool = scenario_pool(&mut cluster.names, pool);
        cluster.pools.push(pool);
    }
    for daemon in scenario["daemons"].as_array().into_iter().flatten() {
        let name = daemon["name"].as_str().unwrap_or_default();
        cluster.add_daemon(&object(json!({ "metadata": { "name": name }, "spec": { "selector": {}, "template": { "spec": scenario_spec(daemon) } } })));
    }
    cluster
}

pub fn scenario_pods(scenario: &Value) -> Vec<Pod> {
    let mut pods = Vec::new();
    for deployment in scenario["deployments"].as_array().into_iter().flatten() {
        let name = deployment["name"].as_str().unwrap_or_default();
        let spec = scenario_spec(deployment);
        for replica in 0..deployment["replicas"].as_u64().unwrap_or(0) {
            pods.push(object(json!({
                "metadata": { "name": format!("{name}-{replica}"), "namespace": "default", "labels": { "app": name },
                    "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": true }] },
                "spec": spec })));
        }
    }
    pods
}

// ---- a large running cluster ----------------------------------------------------------------------

/// `nodes` running nodes with `bound` pods of 200 workloads on them, and `pending` pods more.
pub fn running(nodes: usize, bound: usize, pending: usize) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.catalogue =
        read_catalogue(&mut cluster.names, &read("catalogue.csv"), REGION).unwrap_or_else(|error| panic!("{error}"));
    let mut pool = bare_pool(&mut cluster.names, "default");
    let mut all = Requirements::default();
    requirement(&mut cluster.names, &mut all, keys::CAPACITY_TYPE, "In", &["on-demand"]);
    requirement(&mut cluster.names, &mut all, keys::ARCH, "In", &["amd64"]);
    pool.requirements = all;
    cluster.pools.push(pool);
    for index in 0..nodes {
        let zone = ["a", "b", "c"][index % 3];
        let node: Node = object(json!({
            "metadata": { "name": format!("node-{index}"), "labels": {
                keys::ZONE: format!("{REGION}{zone}"), keys::ARCH: "amd64", keys::OS: "linux", keys::NODE_POOL: "default",
                "karpenter.sh/initialized": "true", keys::CAPACITY_TYPE: "on-demand", keys::INSTANCE_TYPE: "m5.2xlarge" } },
            "status": { "allocatable": { "cpu": "7910m", "memory": "28Gi", "pods": "58" }, "capacity": { "cpu": "8", "memory": "32Gi", "pods": "58" } } }));
        cluster.add_node(&node).unwrap_or_else(|error| panic!("{error}"));
    }
    for index in 0..bound + pending {
        let workload = (index * 7 + index / 13) % 200;
        let mut spec = scenario_spec(
            &json!({ "name": format!("w-{workload}"), "cpu_m": 250 + 50 * (workload % 11), "memory_mib": 256 << (workload % 4) }),
        );
        let selects = json!({ "matchLabels": { "app": format!("w-{workload}") } });
        if workload % 5 == 0 {
            spec["topologySpreadConstraints"] = json!([{ "maxSkew": 5, "topologyKey": keys::ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selects }]);
        } else if workload % 5 == 1 {
            spec["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
                { "labelSelector": selects, "topologyKey": keys::HOSTNAME }] } });
        }
        if index < bound {
            spec["nodeName"] = json!(format!("node-{}", index % nodes));
        }
        cluster.add_pod(&object(json!({
            "metadata": { "name": format!("p-{index}"), "namespace": "default", "labels": { "app": format!("w-{workload}") } }, "spec": spec })));
    }
    cluster
}
