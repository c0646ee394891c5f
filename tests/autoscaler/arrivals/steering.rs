//! Every pod on the node that it was meant for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::yard::{PLANNED_FOR, Yard, on_demand};

#[test]
fn a_tight_plan_over_nodes_of_several_sizes_comes_true() {
    let (yard, _autoscaler) = Yard::with_pool(&on_demand());
    yard.deployment("large", 4, &json!({ "cpu": "3700m", "memory": "6Gi" }), &json!({}));
    yard.deployment("middle", 6, &json!({ "cpu": "900m", "memory": "3Gi" }), &json!({}));
    yard.deployment("small", 40, &json!({ "cpu": "120m", "memory": "200Mi" }), &json!({}));
    let pods = yard.running(50);
    let claims = yard.ready_claims(yard.claims().len());
    let mut meant: BTreeMap<String, Value> = BTreeMap::new();
    for claim in &claims {
        let planned = claim["metadata"]["annotations"][PLANNED_FOR].as_str().unwrap_or_default();
        meant.extend(planned.split(',').map(|pod| (pod.to_owned(), claim["status"]["nodeName"].clone())));
    }
    let strays: Vec<&Value> = pods
        .iter()
        .filter(|pod| {
            let short: String = pod["metadata"]["uid"].as_str().unwrap_or_default().chars().take(8).collect();
            meant.get(&short).is_some_and(|node| *node != pod["spec"]["nodeName"])
        })
        .map(|pod| &pod["metadata"]["name"])
        .collect();
    assert!(strays.is_empty(), "not where they were meant to be: {strays:?}");
}

#[test]
fn spread_workloads_keep_their_balance_and_find_their_nodes() {
    let (yard, _autoscaler) = Yard::with_pool(&on_demand());
    for (name, cpu) in [("one", "700m"), ("two", "300m"), ("three", "1500m")] {
        let spread = json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": name } } }] });
        yard.deployment(name, 10, &json!({ "cpu": cpu, "memory": "512Mi" }), &spread);
    }
    let pods = yard.running(30);
    let claims = yard.ready_claims(yard.claims().len());
    assert_eq!(claims.len(), yard.instances().len());
    let zone_of: BTreeMap<&str, &str> = claims
        .iter()
        .filter_map(|claim| {
            let zone = claim["metadata"]["labels"]["topology.kubernetes.io/zone"].as_str()?;
            Some((claim["status"]["nodeName"].as_str()?, zone))
        })
        .collect();
    for name in ["one", "two", "three"] {
        let mut by_zone: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == name) {
            *by_zone.entry(zone_of[pod["spec"]["nodeName"].as_str().unwrap_or_default()]).or_default() += 1;
        }
        assert_eq!(by_zone.values().copied().collect::<Vec<_>>(), [5, 5], "{name}");
    }
}
