//! Where the machines of nodes are: on hardware of their own, in a placement group.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Instance, PlacementStrategy};
use serde_json::{Value, json};

use super::yard::{CLASSES, Yard, condition};
use crate::stage::until;

const TENANCY: &str = "karpenter.k8s.aws/instance-tenancy";

#[test]
fn machines_are_where_pods_and_classes_ask_for_them() {
    let (yard, _autoscaler) = Yard::with_pool(&one_type());
    let machine = json!({ "cpu": "1500m" });
    yard.deployment("shared", 1, &machine, &json!({}));
    yard.deployment("alone", 1, &machine, &json!({ "nodeSelector": { TENANCY: "dedicated" } }));
    yard.running(2);
    let claims = yard.ready_claims(2);
    let label = |claim: &Value| claim["metadata"]["labels"][TENANCY].as_str().unwrap_or("?").to_owned();
    assert_eq!(claims.iter().map(label).collect::<BTreeSet<_>>(), tenancies(&["dedicated", "default"]));
    for claim in &claims {
        let node = yard.hands.gets(&format!("/api/v1/nodes/{}", claim["status"]["nodeName"].as_str().unwrap_or("?")));
        assert_eq!(node["metadata"]["labels"][TENANCY], json!(label(claim)));
        let instance = machine_of(&yard, claim);
        let placement = instance.placement().expect("a placement");
        assert_eq!(placement.tenancy().map(|tenancy| tenancy.as_str().to_owned()), Some(label(claim)));
        assert_eq!(placement.group_id(), None);
    }

    let group = place_together(&yard);
    until("nodes are not as their class says", || {
        yard.claims().iter().any(|claim| condition(claim, "Drifted").is_some()).then_some(())
    });
    until("all machines are in the group", || {
        let claims = yard.claims();
        let inside = |claim: &Value| {
            let labelled = claim["metadata"]["labels"]["karpenter.k8s.aws/placement-group-id"] == json!(group);
            labelled && condition(claim, "Ready").is_some_and(|one| one["status"] == "True")
        };
        (claims.len() == 2 && claims.iter().all(inside)).then_some(())
    });
    for claim in yard.claims() {
        let instance = machine_of(&yard, &claim);
        assert_eq!(instance.placement().and_then(|placement| placement.group_id()), Some(&*group));
    }
    yard.running(2);
}

/// A pool of one type, whose nodes are exchanged one after the other: the pod that may be anywhere could take the other
/// one's place if both moved at once.
fn one_type() -> Value {
    json!({ "disruption": { "consolidateAfter": "Never", "budgets": [{ "nodes": "1" }] }, "requirements": [
        { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
        { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["m5.large"] },
    ] })
}

fn tenancies(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn machine_of(yard: &Yard, claim: &Value) -> Instance {
    let id = claim["status"]["providerID"].as_str().and_then(|id| id.rsplit('/').next()).expect("an instance");
    let request = yard.cloud.read.ec2.describe_instances().instance_ids(id);
    let found = yard.runtime.block_on(request.send()).expect("the instance");
    found.reservations()[0].instances()[0].clone()
}

/// Makes a placement group, and has the class put its nodes there; its id.
fn place_together(yard: &Yard) -> String {
    let request = yard.cloud.write.ec2.create_placement_group().group_name("near");
    let made = yard.runtime.block_on(request.strategy(PlacementStrategy::Cluster).send()).expect("a group");
    let id = made.placement_group().and_then(|group| group.group_id()).expect("its id").to_owned();
    let change = json!({ "spec": { "placementGroupSelector": { "name": "near" } } });
    yard.hands.changes(&format!("{CLASSES}/default"), "test", &change);
    id
}
