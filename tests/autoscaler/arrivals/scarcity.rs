//! What cannot be had, and instances that never become nodes.

use sandbox::Weather;
use serde_json::{Value, json};

use super::yard::{Yard, bought, fine, on_demand};
use crate::stage::until;

#[test]
fn a_zone_without_capacity_is_gone_round_with_the_same_claim() {
    let (yard, _autoscaler) = Yard::with_pool(&on_demand());
    yard.weather(&Weather { insufficient_capacity: vec!["*/us-east-1a".to_owned()], ..fine() });
    yard.deployment("web", 6, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({}));
    yard.running(6);
    assert!(yard.instances().values().all(|zone| zone == "us-east-1b"), "{:?}", yard.instances());
    assert_eq!(yard.claims().len(), yard.instances().len(), "no claim was given up for it");
}

#[test]
fn without_any_spot_capacity_a_pool_that_may_buys_on_demand_and_one_that_may_not_says_so() {
    let mut both = on_demand();
    both["requirements"][0]["values"] = json!(["spot", "on-demand"]);
    let (yard, _autoscaler) = Yard::with_pool(&both);
    yard.weather(&Weather { insufficient_capacity: vec!["*/*/spot".to_owned()], ..fine() });
    yard.deployment("web", 4, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({}));
    yard.running(4);
    let claims = yard.ready_claims(yard.claims().len());
    assert!(claims.iter().all(|claim| claim["metadata"]["labels"]["karpenter.sh/capacity-type"] == "on-demand"));

    let mut only = bought("spot");
    only["weight"] = json!(10);
    yard.pool("spot", &only);
    let there = json!({ "nodeSelector": { "karpenter.sh/nodepool": "spot" } });
    yard.deployment("spotty", 2, &json!({ "cpu": "1", "memory": "1Gi" }), &there);
    until("the pods are told", || yard.heard("FailedScheduling", "spotty-"));
    assert_eq!(yard.claims().len(), claims.len(), "no claim stays that nothing can be had for");
    yard.weather(&fine());
}

#[test]
fn an_instance_that_never_registers_keeps_its_claim_waiting_and_a_node_that_is_never_ready_says_so() {
    let (yard, _autoscaler) = Yard::with_pool(&on_demand());
    let there = |zone: &str| json!({ "nodeSelector": { "topology.kubernetes.io/zone": zone } });
    let faults = json!([
        { "fault": "never-registers", "match": { "zone": "us-east-1a" } },
        { "fault": "never-ready", "match": { "zone": "us-east-1b" } },
    ]);
    yard.stage.tell("nodes/faults", &faults);
    yard.deployment("lost", 1, &json!({ "cpu": "1", "memory": "1Gi" }), &there("us-east-1a"));
    yard.deployment("late", 1, &json!({ "cpu": "1", "memory": "1Gi" }), &there("us-east-1b"));
    until("a claim says that its node is not ready", || {
        let claims = yard.claims();
        let waits = |claim: &Value, kind: &str, reason: &str| {
            super::yard::condition(claim, kind).is_some_and(|one| one["reason"] == reason)
        };
        (claims.iter().any(|claim| waits(claim, "Initialized", "NodeNotReady"))
            && claims.iter().any(|claim| waits(claim, "Registered", "NodeNotFound")))
        .then_some(())
    });
    assert_eq!(yard.instances().len(), yard.claims().len(), "nothing is bought twice while they wait");
}
