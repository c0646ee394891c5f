//! What is left over is found and collected, without a queue.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Tag;
use serde_json::json;

use super::ground::{CLUSTER, Ground, POOL, Standing, claim_path, node_path};
use crate::stage::until;

#[test]
fn claims_without_instances_and_instances_without_claims_are_collected() {
    let ground = Ground::with_nodes(7);
    // EC2 is asked for the health of its instances once a minute: these two are found on the way.
    let (impaired, retiring) = (ground.claimed("impaired", &json!({})), ground.claimed("retiring", &json!({})));
    let protected = json!({ "annotations": { "karpenter.sh/do-not-disrupt": "true" } });
    ground.pod("on-impaired", &impaired, &protected, &json!({}));
    ground.pod("on-retiring", &retiring, &json!({}), &json!({}));
    let fault = |kind: &str, standing: &Standing, seconds: u32| json!({ "fault": kind, "match": { "instance": standing.instance }, "seconds": seconds });
    ground.stage.tell("nodes/faults", &json!([fault("impaired", &impaired, 300), fault("retires", &retiring, 0)]));
    let _controllers = ground.controllers(None);
    an_instance_that_is_terminated_behind_our_back_loses_its_claim(&ground);
    an_instance_without_a_claim_is_ended_with_its_node(&ground);
    a_node_that_is_ill_for_long_is_replaced(&ground);
    ground.expect_gone("impaired", &impaired);
    ground.hears("InstanceUnhealthy", "impaired");
    ground.expect_gone("retiring", &retiring);
    ground.hears("Evicted", "on-retiring");
}

/// Its pods are not waited for: their node is of no use.
fn a_node_that_is_ill_for_long_is_replaced(ground: &Ground) {
    let standing = ground.claimed("ill", &json!({}));
    let protected = json!({ "annotations": { "karpenter.sh/do-not-disrupt": "true" } });
    ground.pod("on-ill", &standing, &protected, &json!({}));
    let path = node_path(&standing.node);
    let mut conditions = ground.hands.gets(&path)["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.push(json!({
        "type": "AcceleratedHardwareReady", "status": "False", "reason": "Test", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "lastHeartbeatTime": "2026-01-01T00:00:00Z",
    }));
    ground.hands.changes(&format!("{path}/status"), "test", &json!({ "status": { "conditions": conditions } }));
    ground.expect_gone("ill", &standing);
}

fn an_instance_that_is_terminated_behind_our_back_loses_its_claim(ground: &Ground) {
    let standing = ground.claimed("betrayed", &json!({}));
    let request = ground.cloud.write.ec2.terminate_instances().instance_ids(&standing.instance);
    ground.runtime.block_on(request.send()).expect("an answer");
    until("the claim is gone", || ground.hands.sees(&claim_path("betrayed")).is_none().then_some(()));
    until("the node is gone", || ground.hands.sees(&node_path(&standing.node)).is_none().then_some(()));
}

fn an_instance_without_a_claim_is_ended_with_its_node(ground: &Ground) {
    let standing = ground.spare();
    let node = json!({ "metadata": { "labels": { "karpenter.sh/nodepool": POOL } } });
    ground.hands.changes(&node_path(&standing.node), "test", &node);
    let tags = BTreeMap::from([
        (format!("kubernetes.io/cluster/{CLUSTER}"), "owned"),
        ("karpenter.sh/nodepool".to_owned(), POOL),
        ("eks:eks-cluster-name".to_owned(), CLUSTER),
        ("karpenter.k8s.aws/ec2nodeclass".to_owned(), POOL),
    ]);
    let mut request = ground.cloud.write.ec2.create_tags().resources(&standing.instance);
    for (key, value) in tags {
        request = request.tags(Tag::builder().key(key).value(value).build());
    }
    ground.runtime.block_on(request.send()).expect("an answer");
    until("the instance is ended", || (ground.state_of(&standing.instance) == "terminated").then_some(()));
    until("the node is gone", || ground.hands.sees(&node_path(&standing.node)).is_none().then_some(()));
}
