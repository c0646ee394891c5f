//! The whole autoscaler: nodes that are taken back by EC2, and classes and pools that are deleted while nodes live.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::interruption::{SECTION, warn};
use crate::arrivals::yard::{CLASSES, CLUSTER, POOLS, Yard, bought, condition, nodes_of};
use crate::stage::until;

#[test]
fn what_ec2_takes_back_is_replaced_first_and_a_class_outlives_its_nodes() {
    let yard = Yard::of(SECTION);
    let _autoscaler = yard.autoscaler_with(&[("INTERRUPTION_QUEUE", CLUSTER)]);
    yard.opens(&bought("spot"));
    yard.deployment("web", 3, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({ "terminationGracePeriodSeconds": 10 }));
    yard.running(3);
    a_warned_node_is_replaced_before_it_drains(&yard);
    a_class_waits_for_its_nodes_and_goes_after_them(&yard);
}

fn a_warned_node_is_replaced_before_it_drains(yard: &Yard) {
    let before = yard.ready_claims(yard.claims().len());
    let launched = yard.ever_launched();
    let old = before.first().expect("a claim").clone();
    let name = old["metadata"]["name"].as_str().expect("its name").to_owned();
    let instance = old["status"]["providerID"].as_str().and_then(|id| id.rsplit_once('/')).expect("its instance").1;
    let known: Vec<&Value> = before.iter().map(|claim| &claim["metadata"]["name"]).collect();

    warn(&yard.runtime, &yard.cloud, instance);
    let going = until("the claim goes", || {
        let claims = yard.claims();
        let claim = claims.iter().find(|claim| claim["metadata"]["name"] == *name)?;
        claim["metadata"]["deletionTimestamp"].is_string().then(|| claim.clone())
    });
    let replacement = yard.claims().into_iter().find(|claim| !known.contains(&&claim["metadata"]["name"]));
    let replacement = replacement.expect("a replacement");
    let ready = condition(&replacement, "Initialized").filter(|one| one["status"] == "True").expect("it has started");
    let time = |value: &Value| -> Timestamp { value.as_str().and_then(|text| text.parse().ok()).expect("a time") };
    assert!(
        time(&ready["lastTransitionTime"]) <= time(&going["metadata"]["deletionTimestamp"]),
        "it had started before the drain began: {ready} {}",
        going["metadata"]
    );
    until("the claim is gone", || yard.claims().iter().all(|claim| claim["metadata"]["name"] != *name).then_some(()));
    let pods = yard.running(3);
    let node = old["status"]["nodeName"].as_str().expect("its node");
    assert!(!nodes_of(&pods).contains(node), "all pods have moved");
    assert_eq!(yard.ready_claims(before.len()).len(), yard.instances().len());
    assert_eq!(yard.ever_launched().len(), launched.len() + 1, "one instance was bought for one that went");
    until("the event", || yard.heard("SpotInterrupted", &name));
}

fn a_class_waits_for_its_nodes_and_goes_after_them(yard: &Yard) {
    let claims = yard.claims();
    let uids =
        |pods: &[Value]| -> BTreeSet<String> { pods.iter().map(|pod| pod["metadata"]["uid"].to_string()).collect() };
    let pods = uids(&yard.running(3));
    let class = format!("{CLASSES}/default");
    yard.hands.deletes(&class);
    let message = until("the class says what it waits for", || yard.heard("WaitingOnNodeClaimTermination", "default"));
    let waits_for = claims[0]["metadata"]["name"].as_str().expect("a name");
    assert!(message.contains(waits_for), "{message}");
    until("the pool says that its class goes", || {
        let pool = yard.hands.gets(&format!("{POOLS}/default"));
        condition(&pool, "NodeClassReady").filter(|one| one["status"] != "True").map(drop)
    });
    assert!(yard.hands.gets(&class)["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(uids(&yard.running(3)), pods, "its nodes live on");
    assert!(yard.claims().iter().all(|claim| claim["metadata"]["deletionTimestamp"].is_null()));

    yard.hands.deletes(&format!("{POOLS}/default"));
    until("the claims are gone", || yard.claims().is_empty().then_some(()));
    assert!(yard.instances().is_empty());
    until("the class is gone", || yard.hands.sees(&class).is_none().then_some(()));
    let left = yard.stage.rig.inventory();
    let made: Vec<_> =
        left.iter().filter(|(kind, _)| kind.contains("launch_template") || kind.contains("profile")).collect();
    assert!(made.is_empty(), "what was made for the class is removed with it: {made:#?}");
}
