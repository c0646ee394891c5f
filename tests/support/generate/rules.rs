//! Scheduling rules of pods.

use serde_json::{Value, json};

use super::cluster::{NAMESPACES, TIERS, ZONES};
use super::{Features, Random};

/// Values of the label `app`.
pub const APPS: [&str; 5] = ["web", "api", "cache", "batch", "search"];

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Keys that make domains, zones and hosts more often than others.
const TOPOLOGY_KEYS: [&str; 6] = [ZONE, ZONE, HOSTNAME, HOSTNAME, "karpenter.sh/capacity-type", "tier"];

/// Adds some of the rules that are on to a pod spec.
pub fn add(spec: &mut Value, random: &mut Random, features: Features, workload: &str, namespace: &str) {
    if features.taints && random.chance(35) {
        spec["tolerations"] = tolerations(random);
    }
    if features.node_selection && random.chance(15) {
        spec["nodeSelector"] = node_selector(random);
    }
    let affinity = affinity(random, features, workload, namespace);
    if affinity.as_object().is_some_and(|kinds| !kinds.is_empty()) {
        spec["affinity"] = affinity;
    }
    let constraints = spread(random, features, workload);
    if !constraints.is_empty() {
        spec["topologySpreadConstraints"] = json!(constraints);
    }
}

fn tolerations(random: &mut Random) -> Value {
    match random.below(4) {
        0 => json!([{"operator": "Exists"}]),
        1 => json!([{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}]),
        2 => json!([{"key": "dedicated", "operator": "Exists"}]),
        _ => {
            json!([{"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoExecute", "tolerationSeconds": 60}])
        }
    }
}

fn node_selector(random: &mut Random) -> Value {
    match random.below(3) {
        0 => json!({"kubernetes.io/arch": random.pick(&["amd64", "arm64"])}),
        1 => json!({"tier": random.pick(&TIERS)}),
        _ => json!({"karpenter.sh/capacity-type": "on-demand", "kubernetes.io/os": "linux"}),
    }
}

fn node_expression(random: &mut Random) -> Value {
    match random.below(6) {
        0 => json!({"key": ZONE, "operator": "In", "values": random.some(&ZONES[..3])}),
        1 => json!({"key": ZONE, "operator": "NotIn", "values": [random.pick(&ZONES[..3])]}),
        2 => json!({"key": "karpenter.k8s.aws/instance-cpu", "operator": "Gt", "values": ["3"]}),
        3 => json!({"key": "karpenter.k8s.aws/instance-cpu", "operator": "Lt", "values": ["16"]}),
        4 => json!({"key": "tier", "operator": "Exists"}),
        _ => json!({"key": "example.com/reserved", "operator": "DoesNotExist"}),
    }
}

fn node_term(random: &mut Random) -> Value {
    let expressions: Vec<Value> = (0..1 + random.below(2)).map(|_| node_expression(random)).collect();
    json!({"matchExpressions": expressions})
}

fn affinity(random: &mut Random, features: Features, workload: &str, namespace: &str) -> Value {
    let mut affinity = json!({});
    if features.node_selection && random.chance(20) {
        let terms: Vec<Value> = (0..1 + random.below(2)).map(|_| node_term(random)).collect();
        affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({"nodeSelectorTerms": terms});
    }
    if features.pod_affinity && random.chance(12) {
        affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!([pod_term(random, features, workload, namespace)]);
    }
    if features.pod_anti_affinity && random.chance(18) {
        affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!([pod_term(random, features, workload, namespace)]);
    }
    if features.preferences && random.chance(15) {
        let weight = 1 + random.below(100);
        affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
            json!([{"weight": weight, "preference": node_term(random)}]);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        if features.preferences && random.chance(10) {
            let weight = 1 + random.below(100);
            let term = pod_term(random, features, workload, namespace);
            affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"] =
                json!([{"weight": weight, "podAffinityTerm": term}]);
        }
    }
    affinity
}

/// A term about the workload itself more often than about another.
fn pod_term(random: &mut Random, features: Features, workload: &str, namespace: &str) -> Value {
    let mut term = json!({"topologyKey": random.pick(&TOPOLOGY_KEYS), "labelSelector": selector(random, workload)});
    if features.namespaces {
        match random.below(6) {
            0 => term["namespaceSelector"] = json!({}),
            1 => term["namespaceSelector"] = json!({"matchLabels": {"team": random.pick(&NAMESPACES)}}),
            2 => term["namespaces"] = json!([namespace, random.pick(&NAMESPACES)]),
            _ => {}
        }
    }
    match random.below(8) {
        0 => term["matchLabelKeys"] = json!(["pod-template-hash"]),
        1 => term["mismatchLabelKeys"] = json!(["track"]),
        _ => {}
    }
    term
}

fn selector(random: &mut Random, workload: &str) -> Value {
    match random.below(10) {
        0..=6 => json!({"matchLabels": {"workload": workload}}),
        7 => json!({"matchLabels": {"app": random.pick(&APPS)}}),
        8 => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": random.some(&APPS)}]}),
        _ => json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": random.some(&APPS)}]}),
    }
}

fn spread(random: &mut Random, features: Features, workload: &str) -> Vec<Value> {
    let mut constraints: Vec<Value> = Vec::new();
    let mut add = |random: &mut Random, action: &str| {
        let mut constraint = json!({"topologyKey": random.pick(&TOPOLOGY_KEYS), "maxSkew": 1 + random.below(2),
            "whenUnsatisfiable": action, "labelSelector": selector(random, workload)});
        if action == "DoNotSchedule" && random.chance(20) {
            constraint["minDomains"] = json!(1 + random.below(4));
        }
        if random.chance(15) {
            constraint["matchLabelKeys"] = json!(["pod-template-hash"]);
        }
        if random.chance(15) {
            constraint["nodeAffinityPolicy"] = json!(random.pick(&["Honor", "Ignore"]));
        }
        if random.chance(25) {
            constraint["nodeTaintsPolicy"] = json!(random.pick(&["Honor", "Ignore"]));
        }
        // The API allows one constraint of a kind per topology key.
        let same =
            |other: &Value| other["topologyKey"] == constraint["topologyKey"] && other["whenUnsatisfiable"] == action;
        if !constraints.iter().any(same) {
            constraints.push(constraint);
        }
    };
    if features.spread && random.chance(25) {
        add(random, "DoNotSchedule");
        if random.chance(20) {
            add(random, "DoNotSchedule");
        }
    }
    if features.preferences && random.chance(10) {
        add(random, "ScheduleAnyway");
    }
    constraints
}
