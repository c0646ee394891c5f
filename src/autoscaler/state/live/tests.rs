//! Behaviour of the live state.

use super::*;
use crate::api::labels::RESERVATION_ID;
use crate::state::instance_types::{Catalogue, InstanceType, Offering, Price};
use crate::state::resources::{Amounts, CPU, MEMORY, PODS};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

mod generated;

pub(super) fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

pub(super) fn observed(value: &Value) -> Observed {
    match value["kind"].as_str().unwrap_or_default() {
        "Pod" => Observed::Pod(read(value)),
        "Node" => Observed::Node(read(value)),
        "NodeClaim" => Observed::Claim(read(value)),
        "NodePool" => Observed::Pool(read(value)),
        "EC2NodeClass" => Observed::Class(read(value)),
        "DaemonSet" => Observed::Daemon(read(value)),
        "PodDisruptionBudget" => Observed::Budget(read(value)),
        "Namespace" => Observed::Namespace(read(value)),
        "PersistentVolume" => Observed::Volume(read(value)),
        "PersistentVolumeClaim" => Observed::VolumeClaim(read(value)),
        "StorageClass" => Observed::StorageClass(read(value)),
        "CSINode" => Observed::CsiNode(read(value)),
        "VolumeAttachment" => Observed::Attachment(read(value)),
        "ReplicaSet" => Observed::Replicas(read(value)),
        other => panic!("no kind `{other}`"),
    }
}

fn apply(live: &mut Live, value: Value) -> bool {
    live.apply(observed(&value), Timestamp::UNIX_EPOCH)
}

fn pod(name: &str, node: Option<&str>) -> Value {
    json!({ "kind": "Pod", "metadata": { "name": name, "namespace": "shop", "uid": name, "labels": { "app": "web" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": true }] },
        "spec": { "nodeName": node, "containers": [{ "name": "main", "resources": { "requests": { "cpu": "500m" } } }] } })
}

fn node(name: &str, labels: Value) -> Value {
    json!({ "kind": "Node", "metadata": { "name": name, "labels": labels },
        "spec": { "providerID": format!("aws:///a/i-{name}") },
        "status": { "capacity": { "cpu": "2", "memory": "4Gi", "pods": "10" },
            "allocatable": { "cpu": "1900m", "memory": "3Gi", "pods": "10" } } })
}

fn claim(name: &str, status: Value) -> Value {
    json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": { "name": name, "labels": { "karpenter.sh/nodepool": "default" } },
        "spec": { "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
            "startupTaints": [{ "key": "wait", "effect": "NoSchedule" }],
            "taints": [{ "key": "team", "value": "a", "effect": "NoSchedule" }],
            "resources": { "requests": { "cpu": "1" } },
            "requirements": [{ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["large", "xlarge"] },
                { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"] }] },
        "status": status })
}

fn pool(ready: bool) -> [Value; 2] {
    [
        json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "default" }, "spec": { "template": {
            "spec": { "requirements": [], "startupTaints": [{ "key": "agent", "effect": "NoSchedule" }],
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" } } } } }),
        json!({ "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": { "name": "default" },
            "spec": { "subnetSelectorTerms": [], "securityGroupSelectorTerms": [], "amiSelectorTerms": [], "role": "r" },
            "status": { "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" }, "reason": "r",
                "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" }] } }),
    ]
}

fn catalogue(live: &mut Live) -> Catalogue {
    live.with_names(|names| {
        let mut catalogue = Catalogue::default();
        for (name, cpu, cents) in [("large", 2000, 10), ("xlarge", 4000, 15)] {
            let amounts = |cpu: i64| Amounts::from_iter([(CPU, cpu), (MEMORY, 4 << 30), (PODS, 20)]);
            let key = names.known.instance_type;
            let offerings = [("spot", cents), ("on-demand", 3 * cents)].map(|(kind, cents)| Offering {
                zone: names.strings.intern("zone-a"),
                capacity_type: names.strings.intern(kind),
                price: Price(cents),
                available: true,
                labels: Labels::default(),
            });
            let name = names.strings.intern(name);
            let (capacity, allocatable) = (amounts(cpu), amounts(cpu - 100));
            let labels = vec![(key, name)].into();
            catalogue.add(InstanceType { name, labels, capacity, allocatable, offerings: offerings.into() });
        }
        catalogue
    })
}

#[test]
fn pods_are_found_by_node_name_id_and_workload() {
    let mut live = Live::default();
    apply(&mut live, node("n1", json!({})));
    assert!(apply(&mut live, pod("a", None)) && apply(&mut live, pod("b", Some("n1"))));
    assert!(!apply(&mut live, pod("b", Some("n1"))), "nothing has changed");
    let on = |live: &Live, node: &str| live.pods_on(node).map(|pod| pod.own_name().to_owned()).collect::<Vec<_>>();
    assert_eq!(on(&live, "n1"), ["b"]);
    apply(&mut live, pod("a", Some("n1")));
    assert_eq!(on(&live, "n1").len(), 2);
    let workload = live.pod_named("shop/a").and_then(|pod| pod.workload).expect("a workload");
    assert_eq!(live.pods_of(workload).count(), 2);
    assert!(live.remove(Kind::Pod, "shop/b", Timestamp::UNIX_EPOCH));
    assert_eq!((on(&live, "n1"), live.pods().count()), (vec!["a".to_owned()], 1));
}

#[test]
fn a_pod_of_the_same_name_takes_the_place_of_the_old_one() {
    let mut live = Live::default();
    apply(&mut live, pod("a", None));
    let mut again = pod("a", None);
    again["metadata"]["uid"] = "other".into();
    apply(&mut live, again);
    assert_eq!(live.pods().count(), 1);
    assert_eq!(live.pod_named("shop/a").map(|pod| pod.uid), Some(Uid::read("other")));
    assert!(live.pod(Uid::read("a")).is_none());
}

#[test]
fn what_is_not_told_again_is_gone() {
    let mut live = Live::default();
    live.begin(Kind::Pod);
    apply(&mut live, pod("a", None));
    apply(&mut live, pod("b", None));
    assert!(!live.finish(Kind::Pod, Timestamp::UNIX_EPOCH) && live.synced(Kind::Pod) && !live.all_synced());
    live.begin(Kind::Pod);
    apply(&mut live, pod("b", None));
    assert!(live.finish(Kind::Pod, Timestamp::UNIX_EPOCH));
    assert_eq!(live.pods().map(LivePod::own_name).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_claim_on_its_way_stands_as_the_least_machine_that_it_may_become() {
    let mut live = Live::default();
    let catalogue = catalogue(&mut live);
    apply(&mut live, claim("default-a", json!({})));
    let snapshot = live.snapshot(&catalogue, Timestamp::UNIX_EPOCH);
    let (node, names) = (&snapshot.cluster.nodes[0], &snapshot.cluster.names);
    assert_eq!((&*node.name, node.allocatable.get(CPU), node.schedulable), ("default-a", 1900, true));
    let value = |key: &str| label(&node.labels, names.strings.find(key)?).map(|value| names.text(value));
    assert_eq!(value("karpenter.sh/capacity-type"), Some("spot"));
    assert_eq!(value("node.kubernetes.io/instance-type"), Some("large"));
    assert_eq!(value("topology.kubernetes.io/zone"), Some("zone-a"));
    assert_eq!(value("kubernetes.io/hostname"), Some("default-a"));
    assert_eq!(node.taints.iter().map(|taint| names.text(taint.key)).collect::<Vec<_>>(), ["team"]);
    assert_eq!(snapshot.members[0], Member { node: None, claim: Some("default-a".into()), leaving: false });
}

#[test]
fn a_claim_of_a_reservation_stands_as_the_whole_machine_that_is_reserved() {
    let mut live = Live::default();
    let mut catalogue = catalogue(&mut live);
    live.with_names(|names| {
        let label = (names.key(RESERVATION_ID), names.strings.intern("cr-1"));
        let reserved = Offering { available: false, ..catalogue.types[1].offerings[0].clone() };
        let capacity_type = names.known.reserved;
        catalogue.types[1].offerings.push(Offering { capacity_type, labels: vec![label].into(), ..reserved });
    });
    let allocatable = |live: &mut Live| {
        let snapshot = live.snapshot(&catalogue, Timestamp::UNIX_EPOCH);
        snapshot.cluster.nodes[0].allocatable.get(CPU)
    };
    let mut pinned = claim("default-a", json!({}));
    pinned["spec"]["requirements"] = json!([
        { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["reserved"] },
        { "key": RESERVATION_ID, "operator": "In", "values": ["cr-1"] },
    ]);
    apply(&mut live, pinned.clone());
    assert_eq!(allocatable(&mut live), 3900);
    pinned["spec"]["requirements"].as_array_mut().expect("a list").truncate(1);
    apply(&mut live, pinned);
    assert_eq!(allocatable(&mut live), 1000, "which one nobody has said: it has what it was asked for");
}

#[test]
fn a_claim_that_is_launched_stands_as_its_status_says_and_becomes_its_node() {
    let mut live = Live::default();
    let catalogue = catalogue(&mut live);
    let status =
        json!({ "providerID": "aws:///a/i-n1", "allocatable": { "cpu": "3900m" }, "capacity": { "cpu": "4" } });
    apply(&mut live, claim("default-a", status));
    let before = live.snapshot(&catalogue, Timestamp::UNIX_EPOCH);
    assert_eq!(before.cluster.nodes[0].allocatable.get(CPU), 3900);
    let mut starting = node("n1", json!({}));
    starting["spec"]["taints"] = json!([{ "key": "wait", "effect": "NoSchedule" }, { "key": "karpenter.sh/unregistered", "effect": "NoExecute" }]);
    apply(&mut live, starting);
    let after = live.snapshot(&catalogue, Timestamp::UNIX_EPOCH);
    assert_eq!(after.cluster.nodes.len(), 1);
    let (node, names) = (&after.cluster.nodes[0], &after.cluster.names);
    assert_eq!((&*node.name, node.initialized), ("n1", false));
    assert_eq!(
        node.taints.iter().map(|taint| names.text(taint.key)).collect::<Vec<_>>(),
        ["team"],
        "those that go do not count"
    );
    assert!(label(&node.labels, names.known.node_pool).is_some(), "it has its claim's labels before it has registered");
    assert_eq!(live.usage("default"), (Amounts::from_iter([(CPU, 2000), (MEMORY, 4 << 30), (PODS, 10)]), 1));
}

#[test]
fn what_leaves_takes_no_pods() {
    let mut live = Live::default();
    let catalogue = Catalogue::default();
    let mut leaving = claim("default-a", json!({ "providerID": "aws:///a/i-n1" }));
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    apply(&mut live, leaving);
    apply(&mut live, node("n1", json!({})));
    let mut tainted = node("n2", json!({}));
    tainted["spec"]["taints"] = json!([{ "key": "karpenter.sh/disrupted", "effect": "NoSchedule" }]);
    apply(&mut live, tainted);
    apply(&mut live, node("n3", json!({})));
    let snapshot = live.snapshot(&catalogue, Timestamp::UNIX_EPOCH);
    let schedulable: Vec<bool> = snapshot.cluster.nodes.iter().map(|node| node.schedulable).collect();
    assert_eq!(schedulable, [false, false, true]);
    assert_eq!(snapshot.members.iter().map(|member| member.leaving).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn only_pools_whose_class_is_ready_are_bought_from() {
    for (ready, pools) in [(false, 0), (true, 1)] {
        let mut live = Live::default();
        pool(ready).into_iter().for_each(|object| {
            apply(&mut live, object);
        });
        assert_eq!(live.cluster(&Catalogue::default(), Timestamp::UNIX_EPOCH).pools.len(), pools);
    }
}

#[test]
fn a_pod_is_read_again_when_its_volume_comes() {
    let mut live = Live::default();
    let mut with_volume = pod("a", None);
    with_volume["spec"]["volumes"] = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }]);
    apply(&mut live, with_volume);
    apply(&mut live, json!({ "kind": "Namespace", "metadata": { "name": "shop" } }));
    let snapshot = live.snapshot(&Catalogue::default(), Timestamp::UNIX_EPOCH);
    assert!(
        snapshot.cluster.unreadable[0].reason.contains("`shop/data` does not exist"),
        "{:?}",
        snapshot.cluster.unreadable
    );
    apply(
        &mut live,
        json!({ "kind": "PersistentVolume", "metadata": { "name": "pv-1" }, "spec": { "csi": { "driver": "ebs", "volumeHandle": "v" },
        "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
            { "key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-b"] }] }] } } } }),
    );
    apply(
        &mut live,
        json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "namespace": "shop" },
        "spec": { "volumeName": "pv-1" }, "status": { "phase": "Bound" } }),
    );
    let snapshot = live.snapshot(&Catalogue::default(), Timestamp::UNIX_EPOCH);
    let cluster = &snapshot.cluster;
    assert!(cluster.unreadable.is_empty());
    let spec = cluster.spec(cluster.pods[0].spec);
    let zones = spec.node_terms[0].get(cluster.names.known.zone).and_then(|set| set.listed()).expect("a zone");
    assert_eq!(cluster.names.text(zones[0]), "zone-b");
    let pod = live.pod_named("shop/a").expect("the pod");
    assert_eq!(live.volumes_of(pod), ["pv-1"]);
}

#[test]
fn a_pod_that_runs_counts_however_strange_it_is() {
    let mut live = Live::default();
    apply(&mut live, node("n1", json!({})));
    let mut strange = pod("a", Some("n1"));
    strange["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "many".into();
    apply(&mut live, strange.clone());
    strange["metadata"]["name"] = "b".into();
    strange["metadata"]["uid"] = "b".into();
    strange["spec"]["nodeName"] = Value::Null;
    apply(&mut live, strange);
    let cluster = live.cluster(&Catalogue::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(cluster.pods.len(), 1);
    assert_eq!(cluster.spec(cluster.pods[0].spec).requests.get(PODS), 1);
    assert_eq!(cluster.unreadable.iter().map(|pod| pod.pod.as_str()).collect::<Vec<_>>(), ["shop/b"]);
}

#[test]
fn a_pod_with_resource_claims_is_left_alone_until_it_has_found_its_devices() {
    let mut live = Live::default();
    apply(&mut live, node("n1", json!({})));
    for (name, on) in [("waits", None), ("runs", Some("n1"))] {
        let mut with_claim = pod(name, on);
        with_claim["spec"]["resourceClaims"] = json!([{ "name": "gpu", "resourceClaimTemplateName": "gpu" }]);
        apply(&mut live, with_claim);
    }
    let cluster = live.cluster(&Catalogue::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(cluster.pods.iter().map(|pod| &*pod.name).collect::<Vec<_>>(), ["shop/runs"]);
    assert!(cluster.spec(cluster.pods[0].spec).requests.get(CPU) > 0, "what it asks for counts");
    assert_eq!(cluster.unreadable[0].pod, "shop/waits");
    assert!(cluster.unreadable[0].reason.contains("`gpu`"), "{:?}", cluster.unreadable);
}

#[test]
fn what_cannot_be_used_is_named_and_stops_nothing() {
    let mut live = Live::default();
    let mut broken = node("n1", json!({}));
    broken["status"]["capacity"]["cpu"] = "two".into();
    assert!(apply(&mut live, broken.clone()), "whoever says so has to be told");
    assert!(!apply(&mut live, broken));
    apply(&mut live, node("n2", json!({})));
    let told: Vec<_> = live.quarantined().map(|(kind, name, _)| (kind, name.to_owned())).collect();
    assert_eq!((told, live.nodes().count()), (vec![(Kind::Node, "n1".to_owned())], 1));
    apply(&mut live, node("n1", json!({})));
    assert_eq!((live.quarantined().count(), live.nodes().count()), (0, 2));
}

#[test]
fn an_object_that_becomes_unreadable_stays_as_it_was_known() {
    let mut live = Live::default();
    apply(&mut live, claim("default-a", json!({})));
    live.begin(Kind::Claim);
    let unreadable = Observed::Unreadable { kind: Kind::Claim, name: "default-a".into(), reason: "no spec".into() };
    assert!(live.apply(unreadable, Timestamp::UNIX_EPOCH));
    live.finish(Kind::Claim, Timestamp::UNIX_EPOCH);
    assert_eq!((live.claims().count(), live.quarantined().count()), (1, 1));
}

#[test]
fn a_watch_that_lags_does_not_take_back_what_was_written() {
    let mut live = Live::default();
    let with = |version: &str, id: &str| {
        let mut claim = claim("default-a", json!({ "providerID": id }));
        claim["metadata"]["resourceVersion"] = version.into();
        claim
    };
    apply(&mut live, with("7", "aws:///a/i-1"));
    assert!(!apply(&mut live, with("5", "")));
    assert!(live.claim_of_provider("aws:///a/i-1").is_some());
    assert!(apply(&mut live, with("8", "aws:///a/i-2")));
    assert!(live.claim_of_provider("aws:///a/i-1").is_none() && live.claim_of_provider("aws:///a/i-2").is_some());
}

#[test]
fn an_answer_that_lags_behind_the_watch_takes_nothing_back_from_pods_and_nodes() {
    let mut live = Live::default();
    let mut at = |mut value: Value, version: &str| {
        value["metadata"]["resourceVersion"] = version.into();
        apply(&mut live, value)
    };
    let ready = |status: &str| {
        let mut node = node("n1", json!({}));
        node["status"]["conditions"] = json!([{ "type": "Ready", "status": status }]);
        node
    };
    assert!(at(ready("True"), "9") && at(pod("p", Some("n1")), "9"));
    assert!(!at(ready("False"), "8") && !at(pod("p", None), "8"), "they are older");
    assert!(live.node("n1").is_some_and(|node| node.ready()));
    assert_eq!(live.pods_on("n1").count(), 1);
}

#[test]
fn budgets_speak_of_the_pods_of_their_namespace() {
    let mut live = Live::default();
    let budget = |name: &str, namespace: &str, selector: Value| {
        json!({ "kind": "PodDisruptionBudget", "metadata": { "name": name, "namespace": namespace },
            "spec": { "selector": selector }, "status": { "disruptionsAllowed": 1, "currentHealthy": 1, "desiredHealthy": 0, "expectedPods": 1 } })
    };
    apply(&mut live, pod("a", None));
    apply(&mut live, budget("web", "shop", json!({ "matchLabels": { "app": "web" } })));
    apply(&mut live, budget("all", "shop", json!({})));
    apply(&mut live, budget("none", "shop", Value::Null));
    apply(&mut live, budget("other", "shop2", json!({})));
    let pod = live.pod_named("shop/a").expect("the pod");
    assert_eq!(live.budgets_of(pod).map(|budget| &*budget.name).collect::<Vec<_>>(), ["shop/all", "shop/web"]);
}

#[test]
fn pods_that_come_and_go_are_remembered_daemons_apart() {
    let mut live = Live::default();
    let at = |second| Timestamp::from_second(second).expect("a time");
    apply(&mut live, node("n1", json!({})));
    live.apply(observed(&pod("a", Some("n1"))), at(10));
    assert_eq!(live.last_pod_event("n1"), Some(at(10)));
    let mut daemon = pod("d", Some("n1"));
    daemon["metadata"]["ownerReferences"][0]["kind"] = "DaemonSet".into();
    live.apply(observed(&daemon), at(20));
    live.apply(observed(&pod("a", Some("n1"))), at(30));
    assert_eq!(live.last_pod_event("n1"), Some(at(10)));
    live.remove(Kind::Pod, "shop/a", at(40));
    assert_eq!(live.last_pod_event("n1"), Some(at(40)));
    live.apply(observed(&pod("b", Some("n1"))), at(50));
    let mut leaving = pod("b", Some("n1"));
    leaving["metadata"]["deletionTimestamp"] = at(90).to_string().into();
    live.apply(observed(&leaving), at(60));
    live.remove(Kind::Pod, "shop/b", at(90));
    assert_eq!(live.last_pod_event("n1"), Some(at(60)), "it went when it began to leave");
}

#[test]
fn it_is_known_when_kube_scheduler_last_found_no_node_for_a_pod() {
    let mut live = Live::default();
    let at = |second| Timestamp::from_second(second).expect("a time");
    live.apply(observed(&pod("a", None)), at(10));
    assert_eq!(live.last_refusal(), None, "it has not looked at it yet");
    let refused = |version: &str, nominated: Option<&str>| {
        let mut pod = pod("a", None);
        pod["metadata"]["resourceVersion"] = version.into();
        pod["status"] = json!({ "nominatedNodeName": nominated,
            "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }] });
        observed(&pod)
    };
    live.apply(refused("1", None), at(20));
    live.apply(refused("2", Some("n1")), at(30));
    assert_eq!(live.last_refusal(), Some(at(20)), "to tell it something is no refusal");
    live.apply(refused("3", None), at(40));
    assert_eq!(live.last_refusal(), Some(at(40)), "what it was told was taken back");
}

#[test]
fn a_catalogue_of_other_names_is_taken_over() {
    let mut other = Live::default();
    apply(&mut other, pod("shifts-symbols", None));
    let foreign = catalogue(&mut other);
    let mut live = Live::default();
    let own = live.adopt(&foreign, other.names());
    live.sweep();
    assert_eq!(own.types.len(), 2);
    assert_eq!(live.text(own.types[1].name), "xlarge");
    assert_eq!(live.text(own.types[1].offerings[0].capacity_type), "spot");
}
