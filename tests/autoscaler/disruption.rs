//! How nodes go because they are not needed, not right, or too old; and how they stay when they must.

use sandbox::Weather;
use serde_json::{Value, json};

use crate::arrivals::yard::{POOLS, Yard, condition, fine, nodes_of, on_demand};
use crate::stage::until;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const DISRUPTED: &str = "karpenter.sh/disrupted";

/// A pool whose nodes are looked at soon.
fn pool(budgets: &Value) -> Value {
    let mut spec = on_demand();
    spec["disruption"] = json!({ "consolidateAfter": "3s", "budgets": budgets });
    spec
}

fn everything() -> Value {
    json!([{ "nodes": "100%" }])
}

fn scale(yard: &Yard, name: &str, replicas: u32) {
    yard.hands.changes(&format!("{DEPLOYMENTS}/{name}"), "somebody", &json!({ "spec": { "replicas": replicas } }));
}

fn policy(yard: &Yard, disruption: &Value) {
    yard.hands.changes(&format!("{POOLS}/default"), "somebody", &json!({ "spec": { "disruption": disruption } }));
}

fn capacity(claims: &[Value]) -> u64 {
    let cpu = |claim: &Value| claim["status"]["capacity"]["cpu"].as_str().and_then(|cpu| cpu.parse::<u64>().ok());
    claims.iter().filter_map(cpu).sum()
}

/// Whether a node is marked as going.
fn is_marked(node: &Value) -> bool {
    node["spec"]["taints"].as_array().into_iter().flatten().any(|taint| taint["key"] == DISRUPTED)
}

fn stays_because(claim: &Value) -> Option<String> {
    claim["metadata"]["annotations"]["eksup.dev/stays-because"].as_str().map(str::to_owned)
}

#[test]
fn after_a_scale_in_the_fleet_shrinks_and_then_rests() {
    let (yard, _autoscaler) = Yard::with_pool(&pool(&everything()));
    for (name, cpu) in [("one", "700m"), ("two", "300m"), ("three", "1500m")] {
        yard.deployment(name, 10, &json!({ "cpu": cpu, "memory": "512Mi" }), &json!({}));
    }
    yard.running(30);
    let before = capacity(&yard.ready_claims(yard.claims().len()));
    ["one", "two", "three"].iter().for_each(|name| scale(&yard, name, 3));
    yard.running(9);
    until("half of the machines are gone", || {
        let claims = yard.claims();
        (capacity(&claims) * 2 <= before && claims.len() == yard.instances().len()).then_some(())
    });
    let pods = yard.running(9);
    let claims = yard.ready_claims(yard.claims().len());
    assert!(nodes_of(&pods).len() <= claims.len());
    until("every claim says why it stays", || {
        yard.claims().iter().all(|claim| stays_because(claim).is_some()).then_some(())
    });
    let names = |claims: &[Value]| -> Vec<Value> { claims.iter().map(|one| one["metadata"]["name"].clone()).collect() };
    let (rest, uids) = (names(&yard.claims()), names(&yard.running(9)));
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert_eq!((names(&yard.claims()), names(&yard.running(9))), (rest, uids), "nothing changes any more");

    scale(&yard, "one", 0);
    scale(&yard, "two", 0);
    scale(&yard, "three", 0);
    until("without pods there are no nodes", || {
        (yard.claims().is_empty() && yard.instances().is_empty()).then_some(())
    });
}

#[test]
fn a_budget_that_allows_no_eviction_keeps_its_node_and_is_named() {
    let (yard, _autoscaler) = Yard::with_pool(&pool(&everything()));
    yard.hands.makes(
        "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
        &json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "never" },
            "spec": { "maxUnavailable": 0, "selector": { "matchLabels": { "app": "kept" } } } }),
    );
    yard.deployment("kept", 1, &json!({ "cpu": "200m" }), &json!({}));
    yard.deployment("large", 1, &json!({ "cpu": "6" }), &json!({}));
    let pods = yard.running(2);
    yard.ready_claims(yard.claims().len());
    scale(&yard, "large", 0);
    let kept = pods.iter().find(|pod| pod["metadata"]["labels"]["app"] == "kept").expect("the pod");
    let node = kept["spec"]["nodeName"].clone();
    until("the claim names the budget", || {
        let claims = yard.claims();
        let claim = claims.iter().find(|claim| claim["status"]["nodeName"] == node)?;
        stays_because(claim).filter(|text| text.contains("default/never"))
    });
    assert!(yard.heard("DisruptionBlocked", "default-").is_some_and(|text| text.contains("default/never")));
    assert_eq!(yard.running(1)[0]["metadata"]["uid"], kept["metadata"]["uid"], "the pod was left alone");
}

#[test]
fn nodes_are_replaced_when_their_pool_changes_and_the_new_one_is_there_first() {
    let (yard, _autoscaler) = Yard::with_pool(&pool(&everything()));
    yard.deployment("web", 2, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({}));
    yard.running(2);
    let old = yard.ready_claims(yard.claims().len());
    let label = json!({ "spec": { "template": { "metadata": { "labels": { "example.com/team": "web" } } } } });
    yard.hands.changes(&format!("{POOLS}/default"), "somebody", &label);
    until("new nodes have the label", || {
        let claims = yard.claims();
        let new = claims.iter().all(|claim| claim["metadata"]["labels"]["example.com/team"] == "web");
        (new && !claims.is_empty()).then_some(())
    });
    yard.running(2);
    let names: Vec<&Value> = old.iter().map(|claim| &claim["metadata"]["name"]).collect();
    assert!(yard.claims().iter().all(|claim| !names.contains(&&claim["metadata"]["name"])));
}

#[test]
fn a_node_whose_replacement_cannot_be_had_goes_back_into_service() {
    let (yard, _autoscaler) = Yard::with_pool(&pool(&everything()));
    yard.deployment("web", 2, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({}));
    let pods = yard.running(2);
    let old = yard.ready_claims(yard.claims().len());
    yard.weather(&Weather { insufficient_capacity: vec!["*/*".to_owned()], ..fine() });
    let label = json!({ "spec": { "template": { "metadata": { "labels": { "example.com/team": "web" } } } } });
    yard.hands.changes(&format!("{POOLS}/default"), "somebody", &label);
    until("the node has drifted", || {
        let claims = yard.claims();
        claims.iter().any(|claim| condition(claim, "Drifted").is_some_and(|one| one["status"] == "True")).then_some(())
    });
    until("a disruption was tried", || yard.heard("DisruptionLaunching", "default-"));
    until("the old nodes are in service", || {
        let nodes = yard.hands.gets("/api/v1/nodes");
        let marked = nodes["items"].as_array().into_iter().flatten().any(is_marked);
        (!marked && yard.claims().len() == old.len()).then_some(())
    });
    let uid = |pods: &[Value]| -> Vec<Value> { pods.iter().map(|pod| pod["metadata"]["uid"].clone()).collect() };
    assert_eq!(uid(&yard.running(2)), uid(&pods), "no pod was moved");
    yard.weather(&fine());
    until("with capacity it is replaced", || {
        let claims = yard.claims();
        claims.iter().all(|claim| claim["metadata"]["labels"]["example.com/team"] == "web").then_some(())
    });
}

#[test]
fn old_nodes_are_replaced_one_after_the_other_within_their_budget() {
    let mut spec = pool(&json!([{ "nodes": "1" }]));
    spec["template"] = Value::Null;
    spec.as_object_mut().expect("a pool").remove("template");
    let (yard, _autoscaler) = Yard::with_pool(&spec);
    let age = json!({ "spec": { "template": { "spec": { "expireAfter": "40s" } } } });
    yard.hands.changes(&format!("{POOLS}/default"), "somebody", &age);
    yard.deployment("web", 2, &json!({ "cpu": "1500m", "memory": "1Gi" }), &json!({}));
    let pods = yard.running(2);
    let old: Vec<Value> = yard.claims().iter().map(|claim| claim["metadata"]["name"].clone()).collect();
    until("all of the first nodes are gone", || {
        let claims = yard.claims();
        let leaving = claims.iter().filter(|claim| claim["metadata"]["deletionTimestamp"].is_string()).count();
        assert!(leaving <= 1, "{leaving} at once");
        claims.iter().all(|claim| !old.contains(&claim["metadata"]["name"])).then_some(())
    });
    assert_eq!(pods.len(), 2);
}

#[test]
fn a_budget_for_one_reason_holds_back_that_reason_alone() {
    let (yard, _autoscaler) =
        Yard::with_pool(&pool(&json!([{ "nodes": "0", "reasons": ["Underutilized"] }, { "nodes": "100%" }])));
    yard.deployment("kept", 1, &json!({ "cpu": "200m" }), &json!({}));
    yard.deployment(
        "large",
        1,
        &json!({ "cpu": "6" }),
        &json!({ "nodeSelector": { "topology.kubernetes.io/zone": "us-east-1b" } }),
    );
    yard.running(2);
    yard.ready_claims(yard.claims().len());
    scale(&yard, "large", 0);
    let pods = yard.running(1);
    let node = &pods[0]["spec"]["nodeName"];
    until("empty nodes go", || yard.claims().iter().all(|claim| claim["status"]["nodeName"] == *node).then_some(()));
    policy(&yard, &json!({ "budgets": [{ "nodes": "0" }] }));
    scale(&yard, "kept", 0);
    until("the claim names the budget", || {
        yard.claims().iter().any(|claim| stays_because(claim).is_some_and(|why| why.contains("budget"))).then_some(())
    });
    assert_eq!(yard.claims().len(), 1);
}
