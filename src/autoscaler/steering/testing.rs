//! A live state for tests, made object by object.

use crate::autoscaler::lifecycle::registration::UNREGISTERED;
use crate::autoscaler::state::live::{DELETION_COST, Kind, Live, OWN_DELETION_COST, Observed, Uid};
use jiff::Timestamp;
use serde_json::{Value, json};

/// So many seconds after the beginning.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap_or_default()
}

/// A live state.
pub struct State {
    pub live: Live,
    version: u32,
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Box<T> {
    Box::new(serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}")))
}

impl State {
    pub fn new() -> Self {
        Self { live: Live::default(), version: 0 }
    }

    /// The id of a pod.
    pub fn uid(&self, name: &str) -> Uid {
        Uid::read(name)
    }

    /// A claim, launched if it has a node.
    pub fn claim(&mut self, name: &str, node: Option<&str>) {
        self.claim_with(name, node.map_or(json!({}), |node| json!({ "providerID": format!("aws:///a/i-{node}") })));
    }

    /// A claim that is launched, with what its node will give to pods.
    pub fn promised_claim(&mut self, name: &str, node: &str, allocatable: &Value) {
        self.claim_with(name, json!({ "providerID": format!("aws:///a/i-{node}"), "allocatable": allocatable }));
    }

    fn claim_with(&mut self, name: &str, status: Value) {
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": name, "uid": name },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } }, "status": status,
        });
        self.live.apply(Observed::Claim(read(claim)), at(0));
    }

    /// A pool whose nodes have to be quiet for so long.
    pub fn pool(&mut self, name: &str, consolidate_after: &str) {
        let pool = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name, "uid": name },
            "spec": { "disruption": { "consolidateAfter": consolidate_after }, "template": { "spec": {
                "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } } } },
        });
        self.live.apply(Observed::Pool(read(pool)), at(0));
    }

    /// A claim of a pool, with an open node of four processors in a zone.
    pub fn member(&mut self, pool: &str, node: &str, zone: &str) {
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": format!("claim-{node}"), "uid": node,
                "labels": { "karpenter.sh/nodepool": pool, "topology.kubernetes.io/zone": zone } },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            "status": { "providerID": format!("aws:///a/i-{node}") },
        });
        self.live.apply(Observed::Claim(read(claim)), at(0));
        self.node(node, "4", true);
    }

    /// A pod of half a processor that runs, and that was told what it costs to let it go: by us, if `own`.
    pub fn costed_pod(&mut self, name: &str, node: &str, cost: i32, own: bool) {
        let cost = cost.to_string();
        let mut annotations = json!({ DELETION_COST: cost });
        if own {
            annotations[OWN_DELETION_COST] = json!(cost);
        }
        self.put_whole(name, json!(node), json!({}), "500m", json!([]), annotations);
    }

    /// A claim that is being deleted.
    pub fn leaving_claim(&mut self, name: &str, node: &str) {
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": name, "uid": name, "deletionTimestamp": at(0).to_string() },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            "status": { "providerID": format!("aws:///a/i-{node}") },
        });
        self.live.apply(Observed::Claim(read(claim)), at(0));
    }

    pub fn remove_claim(&mut self, name: &str) {
        self.live.remove(Kind::Claim, name, at(0));
    }

    /// A node, with the taint that keeps pods away unless it is open.
    pub fn node(&mut self, name: &str, cpu: &str, open: bool) {
        self.node_with(name, &json!({ "cpu": cpu, "pods": "10" }), open);
    }

    /// The same, with all that it gives to pods.
    pub fn node_with(&mut self, name: &str, allocatable: &Value, open: bool) {
        let taints = if open { json!([]) } else { json!([{ "key": UNREGISTERED, "effect": "NoExecute" }]) };
        let node = json!({
            "metadata": { "name": name, "uid": name },
            "spec": { "providerID": format!("aws:///a/i-{name}"), "taints": taints },
            "status": { "allocatable": allocatable, "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        self.live.apply(Observed::Node(read(node)), at(0));
    }

    /// A pod of half a processor, all of them alike.
    pub fn pod(&mut self, name: &str, node: Option<&str>) {
        self.sized_pod(name, node, "500m");
    }

    pub fn sized_pod(&mut self, name: &str, node: Option<&str>, cpu: &str) {
        self.put(name, json!(node), json!({}), cpu);
    }

    /// A pending pod that asks for this.
    pub fn asking_pod(&mut self, name: &str, requests: &Value) {
        let pod = json!({
            "metadata": { "name": name, "namespace": "default", "uid": name },
            "spec": { "containers": [{ "name": "c", "resources": { "requests": requests, "limits": requests } }] },
            "status": { "phase": "Pending" },
        });
        self.live.apply(Observed::Pod(read(pod)), at(0));
    }

    pub fn nominated_pod(&mut self, name: &str, node: &str) {
        self.put(name, Value::Null, json!({ "nominatedNodeName": node }), "500m");
    }

    /// A pod that was bound at a time and has not begun.
    pub fn starting_pod(&mut self, name: &str, node: &str, bound: i64) {
        let condition =
            json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": at(bound).to_string() });
        self.put(name, json!(node), json!({ "conditions": [condition] }), "500m");
    }

    /// A pod that kube-scheduler has found no node for.
    pub fn unschedulable_pod(&mut self, name: &str) {
        let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" });
        self.put(name, Value::Null, json!({ "conditions": [condition] }), "500m");
    }

    /// A pod of half a processor, of a workload that is spread over zones.
    pub fn spread_pod(&mut self, name: &str, node: Option<&str>, told: Option<&str>) {
        let spread = json!([{ "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "web" } } }]);
        let status = told.map_or(json!({}), |told| json!({ "nominatedNodeName": told }));
        self.put_spread(name, json!(node), status, "500m", spread);
    }

    fn put(&mut self, name: &str, node: Value, status: Value, cpu: &str) {
        self.put_spread(name, node, status, cpu, json!([]));
    }

    fn put_spread(&mut self, name: &str, node: Value, status: Value, cpu: &str, spread: Value) {
        self.put_whole(name, node, status, cpu, spread, json!({}));
    }

    fn put_whole(&mut self, name: &str, node: Value, mut status: Value, cpu: &str, spread: Value, annotations: Value) {
        self.version += 1;
        status["phase"] = json!("Pending");
        let pod = json!({
            "metadata": { "name": name, "namespace": "default", "uid": name, "resourceVersion": self.version.to_string(),
                "annotations": annotations,
                "creationTimestamp": at(0).to_string(),
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "w", "controller": true }] },
            "spec": { "nodeName": node, "topologySpreadConstraints": spread, "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] },
            "status": status,
        });
        self.live.apply(Observed::Pod(read(pod)), at(0));
    }

    /// A pod of a daemon set.
    pub fn daemon_pod(&mut self, name: &str, node: &str) {
        let owner =
            json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "a", "controller": true });
        let pod = json!({
            "metadata": { "name": name, "namespace": "default", "uid": name, "ownerReferences": [owner] },
            "spec": { "nodeName": node, "containers": [{ "name": "c" }] },
        });
        self.live.apply(Observed::Pod(read(pod)), at(0));
    }

    /// The replica set that the pods are of.
    pub fn replicas(&mut self, count: u32) {
        self.counted_replicas(count, 0);
    }

    /// The same, all of which have been made.
    pub fn made_replicas(&mut self, count: u32) {
        self.counted_replicas(count, count);
    }

    fn counted_replicas(&mut self, count: u32, made: u32) {
        self.live.finish(Kind::Replicas, at(0));
        let set = json!({
            "metadata": { "name": "web", "namespace": "default", "uid": "w" },
            "spec": { "replicas": count, "selector": {}, "template": { "spec": {
                "containers": [{ "name": "c", "resources": { "requests": { "cpu": "500m" } } }] } } },
            "status": { "replicas": made },
        });
        self.live.apply(Observed::Replicas(read(set)), at(0));
    }

    pub fn remove_pod(&mut self, name: &str) {
        self.live.remove(Kind::Pod, &format!("default/{name}"), at(0));
    }
}
