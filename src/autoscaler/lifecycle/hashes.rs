//! Hashes of what makes a node of a pool and class what it is, to see later whether it still is. Pure.
//!
//! A pool's covers its template without requirements; a class's covers everything but what is selected, which is
//! compared by what was found. Lists count as sets, and what is zero or empty counts as not there, so that a
//! field that is new or written out changes nothing.

use crate::autoscaler::api::{EC2NodeClassSpec, NodePoolSpec};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The version of these hashes. Where another stands, hashes are stamped anew and nothing has drifted.
pub const VERSION: &str = "eksup-v1";
/// On pools, claims and nodes.
pub const POOL_HASH: &str = "karpenter.sh/nodepool-hash";
/// On pools, claims and nodes.
pub const POOL_HASH_VERSION: &str = "karpenter.sh/nodepool-hash-version";
/// On classes, claims and nodes.
pub const CLASS_HASH: &str = "karpenter.k8s.aws/ec2nodeclass-hash";
/// On classes, claims and nodes.
pub const CLASS_HASH_VERSION: &str = "karpenter.k8s.aws/ec2nodeclass-hash-version";

/// What of a class is selected, and not part of its hash.
const SELECTED: [&str; 5] = [
    "subnetSelectorTerms",
    "securityGroupSelectorTerms",
    "amiSelectorTerms",
    "capacityReservationSelectorTerms",
    "ipPrefixCount",
];

/// The hash of a pool.
pub fn pool(spec: &NodePoolSpec) -> String {
    hash_without(&spec.template, |template| {
        if let Some(Value::Object(spec)) = template.get_mut("spec") {
            spec.remove("requirements");
        }
    })
}

/// The hash of a class.
pub fn class(spec: &EC2NodeClassSpec) -> String {
    hash_without(spec, |spec| {
        if let Value::Object(fields) = spec {
            SELECTED.iter().for_each(|field| {
                fields.remove(*field);
            });
        }
    })
}

fn hash_without(of: &impl Serialize, leave_out: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::to_value(of).unwrap_or_default();
    leave_out(&mut value);
    let digest = Sha256::digest(plain(value).unwrap_or_default().to_string().as_bytes());
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number.to_string()
}

/// Without what is zero or empty, with lists in one order; `None` when nothing is left.
fn plain(value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().filter_map(plain).collect();
            list.sort_by_cached_key(ToString::to_string);
            (!list.is_empty()).then_some(Value::Array(list))
        }
        Value::Object(fields) => {
            // Sorted here, whatever order the map keeps.
            let sorted: std::collections::BTreeMap<String, Value> =
                fields.into_iter().filter_map(|(key, value)| Some((key, plain(value)?))).collect();
            (!sorted.is_empty()).then(|| sorted.into_iter().collect())
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pool_of(template: Value) -> String {
        let spec: NodePoolSpec = serde_json::from_value(json!({ "template": template })).expect("a pool");
        pool(&spec)
    }

    fn template(spec: Value) -> Value {
        let mut whole = json!({
            "requirements": [{ "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] }],
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
        });
        for (key, value) in spec.as_object().expect("fields") {
            whole[key] = value.clone();
        }
        json!({ "metadata": { "labels": { "team": "web" } }, "spec": whole })
    }

    #[test]
    fn requirements_order_and_empty_fields_do_not_count() {
        let taints = json!([{ "key": "a", "effect": "NoSchedule" }, { "key": "b", "effect": "NoSchedule" }]);
        let turned =
            json!([{ "key": "b", "effect": "NoSchedule", "value": "" }, { "key": "a", "effect": "NoSchedule" }]);
        let one = pool_of(template(json!({ "taints": taints })));
        assert_eq!(one, pool_of(template(json!({ "taints": turned, "startupTaints": [] }))));
        assert_eq!(one, pool_of(template(json!({ "taints": taints, "requirements": [] }))));
        assert_ne!(one, pool_of(template(json!({}))));
        assert_ne!(one, pool_of(template(json!({ "taints": taints, "expireAfter": "24h" }))));
    }

    #[test]
    fn selectors_of_a_class_do_not_count_and_the_rest_does() {
        let class_of = |fields: Value| {
            let mut whole = json!({
                "subnetSelectorTerms": [{ "id": "subnet-1" }],
                "securityGroupSelectorTerms": [{ "id": "sg-1" }],
                "amiSelectorTerms": [{ "alias": "al2023@latest" }],
                "role": "nodes",
            });
            for (key, value) in fields.as_object().expect("fields") {
                whole[key] = value.clone();
            }
            class(&serde_json::from_value(whole).expect("a class"))
        };
        let one = class_of(json!({}));
        assert_eq!(one, class_of(json!({ "subnetSelectorTerms": [{ "id": "subnet-2" }] })));
        assert_eq!(one, class_of(json!({ "tags": {}, "detailedMonitoring": false })));
        assert_ne!(one, class_of(json!({ "tags": { "team": "web" } })));
        assert_ne!(one, class_of(json!({ "userData": "#!/bin/sh" })));
    }

    #[test]
    fn hashes_stay_the_same_from_version_to_version() {
        assert_eq!(pool_of(template(json!({}))), "2392160313080819828");
    }
}
