//! Pools and classes from their beginning to their end, while nodes of theirs live.

use serde_json::{Value, json};

use super::yard::{CLAIMS, CLASSES, POOLS, Yard, condition, is_ready, items, nodes_of, on_demand};
use crate::stage::until;

#[test]
fn pools_and_classes_begin_together_and_end_with_their_nodes() {
    let yard = Yard::new();
    let _autoscaler = yard.autoscaler();
    a_pool_waits_for_a_class_of_the_same_second(&yard);
    let class = format!("{CLASSES}/twin");
    yard.deployment(
        "twins",
        2,
        &json!({ "cpu": "500m" }),
        &json!({ "nodeSelector": { "karpenter.sh/nodepool": "twin" } }),
    );
    let pods = yard.running(2);
    let claims = yard.ready_claims(yard.claims().len());
    a_node_is_explained(&yard, &pods, &claims);
    the_class_waits_for_its_claims(&yard, &class);
    the_pool_takes_its_claims_along(&yard);
    until("the class is gone", || yard.hands.sees(&class).is_none().then_some(()));
    assert!(yard.instances().is_empty(), "nothing runs that nobody wants");
}

/// The pool comes first, and names a class that is not there yet.
fn a_pool_waits_for_a_class_of_the_same_second(yard: &Yard) {
    let class = yard.hands.gets(&format!("{CLASSES}/default"));
    yard.pool("twin", &on_demand());
    let mut pool = yard.hands.gets(&format!("{POOLS}/twin"))["spec"].clone();
    pool["template"]["spec"]["nodeClassRef"]["name"] = "twin".into();
    yard.hands.changes(&format!("{POOLS}/twin"), "test", &json!({ "spec": pool }));
    let twin = json!({ "apiVersion": class["apiVersion"], "kind": class["kind"], "metadata": { "name": "twin" },
        "spec": class["spec"] });
    yard.hands.makes(CLASSES, &twin);
    until("the class is ready", || is_ready(&yard.hands.gets(&format!("{CLASSES}/twin"))));
    until("the pool is ready", || {
        let pool = yard.hands.gets(&format!("{POOLS}/twin"));
        let ready = condition(&pool, "NodeClassReady").is_some_and(|one| one["status"] == "True");
        (ready && pool["spec"]["template"]["spec"]["nodeClassRef"]["name"] == "twin").then(|| is_ready(&pool)).flatten()
    });
}

fn a_node_is_explained(yard: &Yard, pods: &[Value], claims: &[Value]) {
    let node = nodes_of(pods).into_iter().next().expect("a node");
    let told = yard.explain(&node);
    assert_eq!((&told["node"], &told["pool"]), (&json!(node), &json!("twin")));
    assert!(told["summary"].as_str().is_some_and(|summary| summary.contains("it stays")), "{told}");
    let conditions = told["conditions"].as_array().expect("conditions");
    assert!(conditions.iter().any(|one| one["kind"] == "Initialized" && one["status"] == "True"), "{told}");
    let claim = claims.iter().find(|claim| claim["status"]["nodeName"] == node.as_str()).expect("its claim");
    let by_claim = yard.explain(claim["metadata"]["name"].as_str().expect("a name"));
    assert_eq!((&by_claim["node"], &by_claim["claim"]), (&told["node"], &told["claim"]), "either name leads there");
}

fn the_class_waits_for_its_claims(yard: &Yard, class: &str) {
    yard.hands.deletes(class);
    let said = until("the class says what it waits for", || yard.heard("WaitingOnNodeClaimTermination", "twin"));
    assert!(said.contains("NodeClaims"), "{said}");
    assert!(yard.hands.gets(class)["metadata"]["deletionTimestamp"].is_string());
    until("the pool is not ready", || {
        let pool = yard.hands.gets(&format!("{POOLS}/twin"));
        condition(&pool, "Ready").filter(|one| one["reason"] == "NodeClassTerminating").map(drop)
    });
    assert!(yard.claims().iter().all(|claim| claim["metadata"]["deletionTimestamp"].is_null()), "the nodes live on");
}

fn the_pool_takes_its_claims_along(yard: &Yard) {
    yard.hands.deletes(&format!("{POOLS}/twin"));
    until("the claims are gone", || items(&yard.hands.gets(CLAIMS)).is_empty().then_some(()));
    until("the pool is gone", || yard.hands.sees(&format!("{POOLS}/twin")).is_none().then_some(()));
    until("the pods wait again", || {
        let pods = yard.pods();
        pods.iter().all(|pod| pod["status"]["phase"] != "Running").then_some(())
    });
}
