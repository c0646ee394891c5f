//! Nodes in capacity reservations.

use aws_sdk_ec2::types::{
    CapacityReservationInstancePlatform, CapacityReservationPreference, CapacityReservationSpecification,
    CapacityReservationTarget, InstanceMatchCriteria,
};
use serde_json::{Value, json};

use super::yard::{CLASSES, Yard, condition, nodes_of};
use crate::stage::until;

const ZONE: &str = "us-east-1a";
const ID: &str = "karpenter.k8s.aws/capacity-reservation-id";

#[test]
fn what_is_reserved_is_used_up_before_anything_is_bought_and_a_reservation_that_is_no_more_selected_is_left() {
    let yard = Yard::new();
    let id = reserve(&yard, 3);
    select(&yard, json!([{ "id": id }]));
    let _autoscaler = yard.autoscaler();
    yard.opens(&reserved_first());
    the_class_shows_it(&yard, &id);
    // One pod fills a machine.
    yard.deployment("web", 5, &json!({ "cpu": "1500m", "memory": "1Gi" }), &json!({}));
    let pods = yard.running(5);
    assert_eq!(nodes_of(&pods).len(), 5);
    let claims = yard.ready_claims(5);
    assert_eq!(paid(&claims, "reserved"), 3);
    assert_eq!(paid(&claims, "on-demand"), 2);
    assert_eq!(left(&yard, &id), 0);
    assert_eq!(yard.ever_launched().len(), 5, "nothing was asked for that there is not");
    for claim in claims.iter().filter(|claim| is_paid(claim, "reserved")) {
        let node = yard.hands.gets(&format!("/api/v1/nodes/{}", claim["status"]["nodeName"].as_str().unwrap_or("?")));
        for labels in [&claim["metadata"]["labels"], &node["metadata"]["labels"]] {
            assert_eq!(labels["karpenter.sh/capacity-type"], "reserved");
            assert_eq!(labels[ID], json!(id));
            assert_eq!(labels["karpenter.k8s.aws/capacity-reservation-type"], "default");
            assert_eq!(labels["topology.kubernetes.io/zone"], ZONE);
        }
    }
    nobody_else_takes_of_what_is_open(&yard);

    select(&yard, json!([]));
    until("nodes of the reservation are not as their class says", || {
        let reason = |claim: &Value| condition(claim, "Drifted").map(|one| one["reason"].clone());
        yard.claims().iter().any(|claim| reason(claim) == Some(json!("CapacityReservationDrift"))).then_some(())
    });
    until("the reservation is left", || (left(&yard, &id) == 3).then_some(()));
    let claims = yard.ready_claims(5);
    assert_eq!(paid(&claims, "on-demand"), 5);
    yard.running(5);
}

/// A node that is bought on demand is no guest in a reservation that is open.
fn nobody_else_takes_of_what_is_open(yard: &Yard) {
    let open = yard.cloud.write.ec2.create_capacity_reservation();
    let open = open.instance_type("m5.large").instance_platform(CapacityReservationInstancePlatform::LinuxUnix);
    let open = yard.runtime.block_on(open.availability_zone(ZONE).instance_count(1).send()).expect("a reservation");
    let open = open.capacity_reservation().and_then(|one| one.capacity_reservation_id()).expect("its id").to_owned();
    yard.deployment(
        "late",
        1,
        &json!({ "cpu": "1500m" }),
        &json!({ "nodeSelector": { "karpenter.sh/capacity-type": "on-demand", "topology.kubernetes.io/zone": ZONE } }),
    );
    yard.running(6);
    assert_eq!(left(yard, &open), 1);
    let cancelled = yard.cloud.write.ec2.cancel_capacity_reservation().capacity_reservation_id(open);
    yard.runtime.block_on(cancelled.send()).expect("it is cancelled");
    yard.hands.deletes("/apis/apps/v1/namespaces/default/deployments/late");
    let there = || yard.claims().into_iter().filter(|claim| is_paid(claim, "on-demand")).collect::<Vec<_>>();
    let pods = yard.running(5);
    let used = nodes_of(&pods);
    let idle = there().into_iter().find(|claim| !used.contains(claim["status"]["nodeName"].as_str().unwrap_or("?")));
    let idle = idle.expect("the node of the pod that is gone");
    yard.hands.deletes(&format!("{}/{}", super::yard::CLAIMS, idle["metadata"]["name"].as_str().unwrap_or("?")));
    yard.ready_claims(5);
}

#[test]
fn pods_run_on_demand_where_a_reservation_turns_out_to_be_full() {
    let yard = Yard::new();
    let id = reserve(&yard, 1);
    select(&yard, json!([{ "id": id }]));
    let autoscaler = yard.autoscaler();
    yard.opens(&reserved_first());
    the_class_shows_it(&yard, &id);
    // Somebody else was quicker, and nobody has told the autoscaler yet.
    launch_into(&yard, &id);
    yard.deployment("web", 2, &json!({ "cpu": "1500m", "memory": "1Gi" }), &json!({}));
    yard.running(2);
    let claims = yard.ready_claims(2);
    assert_eq!(paid(&claims, "on-demand"), 2);
    let said = autoscaler.said();
    assert!(said.contains("ReservationCapacityExceeded"), "it was tried");
    assert!(yard.fleets() >= 2);
}

#[test]
fn pods_of_nodes_that_are_bought_move_into_a_reservation_that_is_found() {
    let yard = Yard::new();
    let _autoscaler = yard.autoscaler();
    let mut spec = reserved_first();
    spec["disruption"] = json!({ "consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "1s",
        "budgets": [{ "nodes": "100%" }] });
    yard.opens(&spec);
    yard.deployment("web", 2, &json!({ "cpu": "1500m", "memory": "1Gi" }), &json!({}));
    yard.running(2);
    assert_eq!(paid(&yard.ready_claims(2), "on-demand"), 2);
    let id = reserve(&yard, 1);
    select(&yard, json!([{ "id": id }]));
    until("one node is exchanged for a reserved one", || {
        let claims = yard.claims();
        (claims.len() == 2 && paid(&claims, "reserved") == 1).then_some(())
    });
    yard.ready_claims(2);
    yard.running(2);
    assert_eq!((left(&yard, &id), yard.ever_launched().len()), (0, 3), "one came, for the one that went");
}

#[test]
fn a_pool_that_buys_on_demand_alone_leaves_reservations_to_others() {
    let yard = Yard::new();
    let id = reserve(&yard, 1);
    select(&yard, json!([{ "tags": { "team": "*" } }]));
    let _autoscaler = yard.autoscaler();
    let mut spec = reserved_first();
    spec["requirements"][0]["values"] = json!(["on-demand"]);
    yard.opens(&spec);
    the_class_shows_it(&yard, &id);
    yard.deployment("web", 1, &json!({ "cpu": "1500m" }), &json!({}));
    yard.running(1);
    assert_eq!(paid(&yard.ready_claims(1), "on-demand"), 1);

    let mut only = reserved_first();
    only["requirements"][0]["values"] = json!(["reserved"]);
    yard.pool("reserved", &only);
    let there = json!({ "nodeSelector": { "karpenter.sh/capacity-type": "reserved" } });
    yard.deployment("batch", 2, &json!({ "cpu": "1500m" }), &there);
    yard.running(2);
    let reason = until("the pod that nothing is left for is told", || yard.heard("FailedScheduling", "batch-"));
    assert!(reason.contains("reserved"), "{reason}");
    assert_eq!(left(&yard, &id), 0);
}

/// A pool of one type that may have reserved instances of it.
fn reserved_first() -> Value {
    json!({ "requirements": [
        { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["reserved", "on-demand"] },
        { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["m5.large"] },
    ] })
}

fn reserve(yard: &Yard, count: i32) -> String {
    use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
    let tag = Tag::builder().key("team").value("web").build();
    let tags = TagSpecification::builder().resource_type(ResourceType::CapacityReservation).tags(tag).build();
    let request = yard.cloud.write.ec2.create_capacity_reservation();
    let request = request.instance_type("m5.large").availability_zone(ZONE).instance_count(count);
    let request = request.instance_platform(CapacityReservationInstancePlatform::LinuxUnix).tag_specifications(tags);
    let request = request.instance_match_criteria(InstanceMatchCriteria::Targeted);
    let made = yard.runtime.block_on(request.send()).expect("a reservation");
    made.capacity_reservation().and_then(|one| one.capacity_reservation_id()).expect("its id").to_owned()
}

fn select(yard: &Yard, terms: Value) {
    let change = json!({ "spec": { "capacityReservationSelectorTerms": terms } });
    yard.hands.changes(&format!("{CLASSES}/default"), "test", &change);
}

fn the_class_shows_it(yard: &Yard, id: &str) {
    let status = until("the class shows the reservation", || {
        let class = yard.hands.gets(&format!("{CLASSES}/default"));
        let found = class["status"]["capacityReservations"].as_array()?.first()?.clone();
        let ready = condition(&class, "CapacityReservationsReady").is_some_and(|one| one["status"] == "True");
        ready.then_some(found)
    });
    assert_eq!((&status["id"], &status["state"]), (&json!(id), &json!("active")));
    assert_eq!((&status["instanceType"], &status["availabilityZone"]), (&json!("m5.large"), &json!(ZONE)));
    let kinds = (&status["reservationType"], &status["instanceMatchCriteria"]);
    assert_eq!(kinds, (&json!("default"), &json!("targeted")));
}

/// How many instances are left, as EC2 says.
fn left(yard: &Yard, id: &str) -> i32 {
    let request = yard.cloud.read.ec2.describe_capacity_reservations().capacity_reservation_ids(id);
    let found = yard.runtime.block_on(request.send()).expect("the reservation");
    found.capacity_reservations()[0].available_instance_count().unwrap_or(-1)
}

/// An instance of nobody's.
fn launch_into(yard: &Yard, id: &str) {
    let images = yard.cloud.read.ec2.describe_images();
    let images = yard.runtime.block_on(images.send()).expect("images");
    let is_amd = |image: &&aws_sdk_ec2::types::Image| {
        image.architecture().is_some_and(|architecture| architecture.as_str() == "x86_64")
    };
    let image = images.images().iter().find(is_amd).and_then(|image| image.image_id()).expect("an image");
    let subnets = yard.cloud.read.ec2.describe_subnets();
    let subnets = yard.runtime.block_on(subnets.send()).expect("subnets");
    let in_zone = |subnet: &&aws_sdk_ec2::types::Subnet| {
        subnet.availability_zone() == Some(ZONE) && subnet.default_for_az() != Some(true)
    };
    let subnet = subnets.subnets().iter().find(in_zone).and_then(|subnet| subnet.subnet_id()).expect("a subnet");
    let target = CapacityReservationTarget::builder().capacity_reservation_id(id).build();
    let only = CapacityReservationSpecification::builder()
        .capacity_reservation_preference(CapacityReservationPreference::CapacityReservationsOnly)
        .capacity_reservation_target(target)
        .build();
    let request = yard.cloud.write.ec2.run_instances().image_id(image).subnet_id(subnet).min_count(1).max_count(1);
    let request = request.instance_type("m5.large".into()).capacity_reservation_specification(only);
    yard.runtime.block_on(request.send()).expect("an instance");
    assert_eq!(left(yard, id), 0);
}

fn is_paid(claim: &Value, how: &str) -> bool {
    claim["metadata"]["labels"]["karpenter.sh/capacity-type"] == how
}

fn paid(claims: &[Value], how: &str) -> usize {
    claims.iter().filter(|claim| is_paid(claim, how)).count()
}
