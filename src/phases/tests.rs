//! What the phases declare, and how it hangs together.

mod objects;
mod platform;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Surroundings, impossible, resources};
use crate::aws::Kinds;
use crate::plan::{Change, Desired, Graph, Observed, OperationKind, State, diff, placeholders, resolve, tear_down};
use crate::spec::Stack;
use crate::spec::objects::ObjectId;

fn surroundings() -> Surroundings {
    Surroundings {
        account: "111122223333".into(),
        partition: "aws".into(),
        zones: ["a", "b", "c"].map(|letter| format!("eu-central-1{letter}")).into(),
        caller: "arn:aws:iam::111122223333:user/someone".into(),
        monitors: false,
    }
}

fn stack(sections: Value) -> Stack {
    let mut document = json!({
        "apiVersion": "eksup.dev/v1",
        "kind": "Stack",
        "metadata": { "name": "shop", "region": "eu-central-1", "tags": { "team": "web" } },
    });
    for (key, value) in sections.as_object().into_iter().flatten() {
        document[key] = value.clone();
    }
    serde_json::from_value(document).expect("a stack of the test")
}

fn declared(sections: Value) -> BTreeMap<String, Desired> {
    let list = resources(&stack(sections), &surroundings());
    let count = list.len();
    let by_address: BTreeMap<String, Desired> =
        list.into_iter().map(|resource| (resource.address.to_string(), resource)).collect();
    assert_eq!(by_address.len(), count, "two resources have one address");
    by_address
}

fn of_kind<'a>(declared: &'a BTreeMap<String, Desired>, kind: &str) -> Vec<&'a str> {
    declared.values().filter(|resource| resource.kind == kind).map(|resource| resource.address.as_str()).collect()
}

/// Everything of `declared` as it would stand, with an id each.
fn standing(declared: &BTreeMap<String, Desired>) -> Vec<Observed> {
    let outputs: BTreeMap<_, _> = declared
        .values()
        .map(|resource| {
            let names = Kinds::get(&resource.kind).map(|kind| kind.facts().outputs).unwrap_or_default();
            // Objects refer to each other by their keys.
            let key = ObjectId::of(&resource.body["manifest"]).filter(|_| resource.kind == "object");
            let of = |name: &&str| {
                let made_up = format!("{}:{name}", resource.address);
                let output = key.as_ref().filter(|_| *name == "id").map_or(made_up, ObjectId::key);
                ((*name).to_owned(), json!(output))
            };
            (resource.address.clone(), names.iter().map(of).collect::<serde_json::Map<_, _>>())
        })
        .collect();
    let observed = |resource: &Desired| Observed {
        address: resource.address.clone(),
        kind: resource.kind.clone(),
        body: Kinds::get(&resource.kind)
            .map(|kind| (kind.facts().canonical)(&resolve(&resource.body, &outputs)))
            .unwrap_or_default(),
        outputs: outputs.get(&resource.address).cloned().unwrap_or_default(),
        tags: resource.tags.clone(),
        state: State::Ready,
    };
    declared.values().map(observed).collect()
}

fn everything() -> Value {
    let allow = json!({ "ruleNumber": 100, "cidr": "0.0.0.0/0", "action": "allow" });
    json!({
        "network": {
            "zones": 3, "nat": "perZone", "endpoints": ["s3", "ecr.api"],
            "networkAcls": { "public": { "ingress": [allow] }, "private": {} },
        },
        "bastion": { "tools": ["kubectl", "git"] },
    })
}

#[test]
fn every_reference_leads_to_an_output_of_a_resource_that_is_declared() {
    let declared = declared(everything());
    for resource in declared.values() {
        for placeholder in placeholders(&resource.body) {
            let target = declared.get(placeholder.address.as_str());
            let facts = target.and_then(|target| Kinds::get(&target.kind)).map(|kind| kind.facts());
            let known = facts.is_some_and(|facts| facts.outputs.contains(&placeholder.output.as_str()));
            assert!(known, "{} refers to {placeholder:?}", resource.address);
        }
        assert!(resource.after.iter().all(|address| declared.contains_key(address.as_str())), "{}", resource.address);
    }
}

#[test]
fn what_stands_as_declared_wants_no_change() {
    let declared = declared(everything());
    let list: Vec<Desired> = declared.values().cloned().collect();
    let changes = diff(&list, &standing(&declared), &Kinds).expect("no problems");
    let pending: Vec<_> = changes.iter().filter(|change| change.action.is_pending()).collect();
    assert!(pending.is_empty(), "{pending:#?}");
}

#[test]
fn it_can_be_taken_down_in_some_order_and_associations_go_by_themselves() {
    let changes = tear_down(&standing(&declared(everything())), &Kinds).expect("nothing is protected");
    let graph = Graph::of(&changes, &Kinds).expect("no cycle");
    let alone: BTreeSet<&str> = graph
        .operations
        .iter()
        .filter(|operation| operation.kind == OperationKind::GoesAlong)
        .map(|operation| changes[operation.change].kind.as_str())
        .collect();
    assert_eq!(alone, BTreeSet::from(["network-acl-association", "route", "route-table-association"]));
}

/// The operations, by address and half, that have to be done before `operation`, directly or not.
fn before(graph: &Graph, changes: &[Change], address: &str, kind: OperationKind) -> BTreeSet<(String, OperationKind)> {
    let name = |at: usize| {
        let operation = &graph.operations[at];
        (changes[operation.change].address.to_string(), operation.kind)
    };
    let start = (0..graph.operations.len()).find(|at| name(*at) == (address.to_owned(), kind));
    let mut open: Vec<usize> = start.into_iter().collect();
    assert!(!open.is_empty(), "there is no such operation");
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        open.extend(graph.operations[at].needs.iter().filter(|need| seen.insert(**need)));
    }
    seen.into_iter().map(name).collect()
}

#[test]
fn a_subnet_with_other_addresses_comes_before_the_old_one_goes() {
    let network = |second: &str| json!({ "zones": 2, "privateSubnets": ["10.0.1.0/24", second], "endpoints": ["sts"] });
    let old = declared(json!({ "network": network("10.0.2.0/24"), "bastion": {} }));
    let new: Vec<Desired> =
        declared(json!({ "network": network("10.0.3.0/24"), "bastion": {} })).into_values().collect();
    let changes = diff(&new, &standing(&old), &Kinds).expect("no problems");
    let graph = Graph::of(&changes, &Kinds).expect("no cycle");
    let subnet = "network/subnet/private/eu-central-1b";
    let earlier = before(&graph, &changes, subnet, OperationKind::Remove);
    assert!(earlier.contains(&(subnet.to_owned(), OperationKind::Make)));
    assert!(earlier.contains(&("network/endpoint/sts".to_owned(), OperationKind::Make)), "{earlier:#?}");
}

#[test]
fn a_vpc_with_other_addresses_takes_everything_in_it_away_first() {
    let stack = |cidr: &str| declared(json!({ "network": { "cidr": cidr, "endpoints": ["sts"] }, "bastion": {} }));
    let new: Vec<Desired> = stack("10.9.0.0/16").into_values().collect();
    let changes = diff(&new, &standing(&stack("10.0.0.0/16")), &Kinds).expect("no problems");
    let graph = Graph::of(&changes, &Kinds).expect("no cycle");
    let earlier = before(&graph, &changes, "network/vpc", OperationKind::Make);
    for address in ["network/subnet/private/eu-central-1a", "nat/gateway/eu-central-1a", "bastion/instance"] {
        assert!(earlier.contains(&(address.to_owned(), OperationKind::Remove)), "{address}: {earlier:#?}");
    }
}

#[test]
fn every_field_of_a_body_has_an_effect() {
    for resource in declared(everything()).values() {
        let facts = Kinds::get(&resource.kind).expect("a kind").facts();
        let fields = resource.body.as_object().into_iter().flatten().map(|(field, _)| field.as_str());
        let decided: BTreeSet<&str> = facts.fields.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields.collect::<BTreeSet<_>>(), decided, "{}", resource.kind);
    }
}

#[test]
fn a_gateway_for_each_zone_has_a_table_for_each_zone() {
    let declared = declared(everything());
    assert_eq!(of_kind(&declared, "nat-gateway").len(), 3);
    let route = &declared["nat/route/private/eu-central-1b"].body;
    assert_eq!(route["target"], "${output:nat/gateway/eu-central-1b#id}");
    assert_eq!(route["routeTable"], "${output:network/route-table/private/eu-central-1b#id}");
}

#[test]
fn one_gateway_serves_every_zone_and_stays_when_the_others_come() {
    let declared = declared(json!({ "network": { "zones": 2 } }));
    assert_eq!(of_kind(&declared, "nat-gateway"), ["nat/gateway/eu-central-1a"]);
    assert_eq!(of_kind(&declared, "route"), ["nat/route/private", "network/route/public"]);
    let association = &declared["network/route-table-association/private/eu-central-1b"];
    assert_eq!(association.body["routeTable"], "${output:network/route-table/private#id}");
    assert!(association.after.contains(&"nat/route/private".into()), "a subnet is led to a table that leads out");
}

#[test]
fn without_public_subnets_nothing_leads_to_the_internet() {
    let endpoints = json!(["s3", "sts", "ssm", "ssmmessages"]);
    let network = json!({ "publicSubnets": [], "nat": "none", "endpoints": endpoints });
    let declared = declared(json!({ "network": network, "bastion": {} }));
    for kind in ["internet-gateway", "nat-gateway", "elastic-ip", "route"] {
        assert!(of_kind(&declared, kind).is_empty(), "{kind}");
    }
    let gateway = &declared["network/endpoint/s3"].body;
    assert_eq!((&gateway["subnets"], &gateway["privateDns"]), (&json!([]), &json!(false)));
    let bastion = &declared["bastion/instance"];
    assert!(bastion.after.contains(&"network/endpoint/ssmmessages".into()));
    assert_eq!(bastion.body["publicAddress"], false);
}

#[test]
fn a_network_of_others_is_tagged_for_a_cluster_and_otherwise_left_alone() {
    let existing = json!({ "vpcId": "vpc-1", "publicSubnetIds": ["subnet-1"], "privateSubnetIds": ["subnet-2"] });
    let network = json!({ "existing": existing });
    assert!(declared(json!({ "network": network })).is_empty());
    let cluster = json!({ "version": "1.35", "addons": [] });
    let with_cluster = declared(json!({
        "network": network, "cluster": cluster, "autoscaler": { "engine": "eksup" },
    }));
    let own = |declared: &BTreeMap<String, Desired>| {
        declared.keys().filter(|address| address.starts_with("network/")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(own(&with_cluster), ["network/borrowed-tags/subnet-1", "network/borrowed-tags/subnet-2"]);
    let tags = |subnet: &str| with_cluster[&format!("network/borrowed-tags/{subnet}")].body["tags"].clone();
    assert_eq!(tags("subnet-1"), json!({ "kubernetes.io/role/elb": "1" }));
    assert_eq!(tags("subnet-2"), json!({ "karpenter.sh/discovery": "shop", "kubernetes.io/role/internal-elb": "1" }));
}

#[test]
fn ssh_comes_in_from_the_named_networks_only_and_ssm_from_nowhere() {
    let network = json!({ "zones": 2 });
    let quiet = declared(json!({ "network": network, "bastion": {} }));
    assert!(of_kind(&quiet, "security-group-rule").is_empty());
    assert_eq!(quiet["bastion/instance"].body["subnet"], "${output:network/subnet/private/eu-central-1a#id}");
    let ssh = json!({ "access": "ssh", "keyName": "ops", "allowFrom": ["203.0.113.0/24"] });
    let open = declared(json!({ "network": network, "bastion": ssh }));
    assert_eq!(of_kind(&open, "security-group-rule"), ["bastion/security-group-rule/ssh/203.0.113.0/24"]);
    let instance = &open["bastion/instance"].body;
    assert_eq!(instance["subnet"], "${output:network/subnet/public/eu-central-1a#id}");
    assert_eq!((&instance["keyName"], &instance["publicAddress"]), (&json!("ops"), &json!(true)));
    assert_eq!(open["bastion/role"].body["managedPolicies"], json!([]));
}

#[test]
fn the_bastion_may_look_the_cluster_up_and_nothing_else() {
    let cluster = json!({ "version": "1.35", "addons": [] });
    let declared = declared(json!({ "network": {}, "cluster": cluster, "bastion": { "tools": ["kubectl"] } }));
    let statement = &declared["bastion/role"].body["inlinePolicies"]["describe-cluster"]["Statement"];
    assert_eq!(statement[0]["Action"], "eks:DescribeCluster");
    assert_eq!(statement[0]["Resource"], "arn:aws:eks:eu-central-1:111122223333:cluster/shop");
    let user_data = declared["bastion/instance"].body["userData"].as_str().unwrap_or_default();
    assert!(user_data.contains("stable-1.35"), "{user_data}");
}

#[test]
fn a_region_without_enough_zones_is_said_before_anything_is_made() {
    let message = |zones: Value| impossible(&stack(json!({ "network": { "zones": zones } })), &surroundings());
    assert_eq!(message(json!(3)), None);
    assert!(message(json!(4)).is_some_and(|text| text.contains("asks for 4 zones") && text.contains("has 3")));
    assert!(message(json!(["eu-central-1a", "eu-central-1x"])).is_some_and(|text| text.contains("`eu-central-1x`")));
}
