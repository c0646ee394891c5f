//! A node has come: it becomes one of ours.
//!
//! Labels, annotations and taints of the claim go onto it, it gets our finalizer and its claim as owner, and the
//! taint goes that kept pods away until now. What to write is decided here and is pure; [`super::nodes`] writes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::{Value, json};

use crate::autoscaler::api::NodeClaim;

/// Keeps pods away until the node is one of ours.
pub const UNREGISTERED: &str = "karpenter.sh/unregistered";
/// Says that a node is one of ours.
pub const REGISTERED: &str = "karpenter.sh/registered";
/// Says that a node has started.
pub const INITIALIZED: &str = "karpenter.sh/initialized";
/// Says that the taints of a node came with its kubelet.
const TAINTS_KEPT: &str = "karpenter.sh/do-not-sync-taints";
/// Holds nodes and claims until they have been drained and their instance is gone.
pub const FINALIZER: &str = "karpenter.sh/termination";
/// Annotations of claims that say nothing about nodes.
const OF_CLAIMS_ONLY: [&str; 2] = [super::claims::PLANNED_FOR, "kubectl.kubernetes.io/last-applied-configuration"];

/// Whether a node has been registered.
pub fn is_registered(node: &Node) -> bool {
    has_label(node, REGISTERED)
}

/// Whether a node carries a label with the value `true`.
pub fn has_label(node: &Node, key: &str) -> bool {
    node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|value| value == "true")
}

/// Whether a node came without the taint that keeps pods away until it is registered.
pub fn came_open(node: &Node) -> bool {
    !is_registered(node) && !taints(node).iter().any(|taint| taint.key == UNREGISTERED)
}

/// The change that registers a node for its claim, and with `initialized` says that it has started as well.
/// `None` when nothing is left to do.
pub fn change(claim: &NodeClaim, node: &Node, initialized: bool) -> Option<Value> {
    let mut metadata = serde_json::Map::new();
    let labels = missing(node.metadata.labels.as_ref(), &labels(claim, node, initialized));
    if !labels.is_empty() {
        metadata.insert("labels".to_owned(), json!(labels));
    }
    let mut annotations = claim.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !OF_CLAIMS_ONLY.contains(&key.as_str()));
    let annotations = missing(node.metadata.annotations.as_ref(), &annotations);
    if !annotations.is_empty() && !is_registered(node) {
        metadata.insert("annotations".to_owned(), json!(annotations));
    }
    let finalizers = node.metadata.finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|own| own == FINALIZER) && node.metadata.deletion_timestamp.is_none() {
        metadata.insert("finalizers".to_owned(), json!([finalizers.as_slice(), &[FINALIZER.to_owned()]].concat()));
    }
    if let Some(owners) = owners(claim, node) {
        metadata.insert("ownerReferences".to_owned(), owners);
    }
    let wanted = wanted_taints(claim, node);
    let mut change = serde_json::Map::new();
    if wanted != taints(node) {
        change.insert("spec".to_owned(), json!({ "taints": wanted }));
    }
    if metadata.is_empty() && change.is_empty() {
        return None;
    }
    // Lists are replaced as a whole: they must be those that were read.
    metadata.insert("resourceVersion".to_owned(), json!(node.metadata.resource_version));
    change.insert("metadata".to_owned(), Value::Object(metadata));
    Some(Value::Object(change))
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

/// Labels of the claim count until the node is registered; what people change on it later is theirs.
fn labels(claim: &NodeClaim, node: &Node, initialized: bool) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if !is_registered(node) {
        labels.extend(claim.metadata.labels.clone().unwrap_or_default());
        labels.insert(REGISTERED.to_owned(), "true".to_owned());
    }
    if initialized {
        labels.insert(INITIALIZED.to_owned(), "true".to_owned());
    }
    labels
}

fn missing(known: Option<&BTreeMap<String, String>>, wanted: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let differs = |(key, value): &(&String, &String)| known.and_then(|known| known.get(*key)) != Some(value);
    wanted.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn owners(claim: &NodeClaim, node: &Node) -> Option<Value> {
    let uid = claim.metadata.uid.as_deref()?;
    let mut owners = node.metadata.owner_references.clone().unwrap_or_default();
    if owners.iter().any(|owner| owner.uid == uid) {
        return None;
    }
    owners.retain(|owner| owner.kind != "NodeClaim");
    let mut owners = serde_json::to_value(owners).ok()?;
    owners.as_array_mut()?.push(json!({
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "name": claim.metadata.name,
        "uid": uid,
        "blockOwnerDeletion": true,
    }));
    Some(owners)
}

/// The taints that a node is to have: its own without the one that waits for us, and those of its claim if its
/// kubelet did not bring them. Start-up taints are added once; whoever takes them away has taken them away.
fn wanted_taints(claim: &NodeClaim, node: &Node) -> Vec<Taint> {
    let mut wanted: Vec<Taint> = taints(node).iter().filter(|taint| taint.key != UNREGISTERED).cloned().collect();
    if is_registered(node) || has_label(node, TAINTS_KEPT) {
        return wanted;
    }
    for taint in claim.spec.taints.iter().chain(&claim.spec.startup_taints) {
        if !wanted.iter().any(|own| own.key == taint.key && own.effect == taint.effect) {
            wanted.push(taint.clone());
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> NodeClaim {
        serde_json::from_value(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": "default-abcde", "uid": "u1",
                "labels": { "karpenter.sh/nodepool": "default", "team": "web" },
                "annotations": { "karpenter.sh/nodepool-hash": "7", "eksup.dev/planned-for": "1,2" } },
            "spec": { "requirements": [], "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                "taints": [{ "key": "team", "value": "web", "effect": "NoSchedule" }],
                "startupTaints": [{ "key": "starting", "effect": "NoSchedule" }] }
        }))
        .expect("a claim")
    }

    fn node(value: Value) -> Node {
        let mut node = json!({ "metadata": { "name": "n", "resourceVersion": "5" },
            "spec": { "taints": [{ "key": UNREGISTERED, "effect": "NoExecute" }, { "key": "own", "effect": "NoSchedule" }] } });
        for (key, value) in value.as_object().into_iter().flatten() {
            node[key] = value.clone();
        }
        serde_json::from_value(node).expect("a node")
    }

    #[test]
    fn a_new_node_gets_what_its_claim_has_and_loses_the_taint_that_waited() {
        let change = change(&claim(), &node(json!({})), false).expect("a change");
        assert_eq!(
            change["metadata"]["labels"],
            json!({ "karpenter.sh/nodepool": "default", "karpenter.sh/registered": "true", "team": "web" })
        );
        assert_eq!(change["metadata"]["annotations"], json!({ "karpenter.sh/nodepool-hash": "7" }));
        assert_eq!(change["metadata"]["finalizers"], json!([FINALIZER]));
        assert_eq!(change["metadata"]["ownerReferences"][0]["uid"], "u1");
        assert_eq!(change["metadata"]["resourceVersion"], "5");
        let taints: Vec<&str> =
            change["spec"]["taints"].as_array().into_iter().flatten().filter_map(|t| t["key"].as_str()).collect();
        assert_eq!(taints, ["own", "team", "starting"]);
    }

    #[test]
    fn taints_that_came_with_the_kubelet_are_not_added_again() {
        let kept = node(json!({ "metadata": { "name": "n", "labels": { TAINTS_KEPT: "true" } } }));
        let change = change(&claim(), &kept, false).expect("a change");
        assert_eq!(change["spec"]["taints"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_registered_node_is_left_alone_but_for_the_sign_that_it_has_started() {
        let own = json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "default-abcde", "uid": "u1" });
        let there = node(json!({
            "metadata": { "name": "n", "resourceVersion": "9", "labels": { REGISTERED: "true", "team": "changed" },
                "finalizers": [FINALIZER], "ownerReferences": [own] },
            "spec": { "taints": [] } }));
        assert_eq!(change(&claim(), &there, false), None);
        let initialized = change(&claim(), &there, true).expect("a change");
        assert_eq!(initialized["metadata"]["labels"], json!({ INITIALIZED: "true" }));
        assert_eq!(initialized.get("spec"), None);
    }

    #[test]
    fn the_taint_that_waits_is_missed_only_on_new_nodes() {
        assert!(!came_open(&node(json!({}))));
        assert!(came_open(&node(json!({ "spec": {} }))));
        assert!(!came_open(&node(json!({ "spec": {}, "metadata": { "labels": { REGISTERED: "true" } } }))));
    }
}
