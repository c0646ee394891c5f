//! The number of pods belongs to whoever scales. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::spec::objects::{ObjectId, ObjectKind};

/// A manifest, and how many pods it begins with where an autoscaler has the number afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// The manifest; without a number of replicas where an autoscaler sets it: two who set one field would undo each
    /// other's work.
    pub manifest: Value,
    /// How many pods it begins with, where it no longer says so itself.
    pub first: Option<i64>,
}

/// Leaves the number of replicas to the autoscalers among `manifests`. What one of them scales begins with the number
/// that its manifest says, within the autoscaler's bounds, or with the fewest: never with the one pod of a manifest that
/// says nothing.
pub fn shared_out(manifests: Vec<Value>) -> Vec<Shared> {
    let autoscalers: BTreeMap<String, (i64, i64)> = manifests.iter().filter_map(scales).collect();
    let share = |mut manifest: Value| {
        let bounds = ObjectId::of(&manifest).and_then(|id| autoscalers.get(&id.key()).copied());
        let spec = manifest.get_mut("spec").and_then(Value::as_object_mut);
        let first = bounds.zip(spec).map(|((min, max), spec)| {
            let said = spec.remove("replicas").as_ref().and_then(Value::as_i64);
            said.unwrap_or(min).clamp(min, max.max(min))
        });
        Shared { manifest, first }
    };
    manifests.into_iter().map(share).collect()
}

/// What an autoscaler scales, by its key, and between which numbers.
fn scales(manifest: &Value) -> Option<(String, (i64, i64))> {
    let id = ObjectId::of(manifest)?;
    if id.kind.kind != "HorizontalPodAutoscaler" {
        return None;
    }
    let text = |key: &str| manifest.pointer(&format!("/spec/scaleTargetRef/{key}"))?.as_str();
    let number = |key: &str| manifest.pointer(&format!("/spec/{key}")).and_then(Value::as_i64);
    let kind = ObjectKind::new(text("apiVersion")?, text("kind")?);
    let target = ObjectId { kind, namespace: id.namespace, name: text("name")?.to_owned() };
    let min = number("minReplicas").unwrap_or(1);
    Some((target.key(), (min, number("maxReplicas").unwrap_or(min))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(name: &str, replicas: Option<i64>) -> Value {
        let mut deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": "shop" }, "spec": { "paused": false } });
        if let Some(replicas) = replicas {
            deployment["spec"]["replicas"] = replicas.into();
        }
        deployment
    }

    fn autoscaler(target: &str, min: i64, max: i64) -> Value {
        json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "x", "namespace": "shop" },
            "spec": { "minReplicas": min, "maxReplicas": max,
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target } } })
    }

    #[test]
    fn an_autoscaler_has_the_replicas_of_its_target_to_itself() {
        let left = shared_out(vec![
            deployment("backend", Some(2)),
            deployment("frontend", Some(2)),
            autoscaler("backend", 1, 9),
        ]);
        assert_eq!(left[0].manifest["spec"], json!({ "paused": false }));
        assert_eq!((left[1].manifest["spec"]["replicas"].as_i64(), left[1].first), (Some(2), None));
    }

    #[test]
    fn what_an_autoscaler_scales_begins_within_its_bounds() {
        let first = |said| shared_out(vec![deployment("backend", said), autoscaler("backend", 2, 5)])[0].first;
        assert_eq!(
            [first(None), first(Some(1)), first(Some(4)), first(Some(40))],
            [Some(2), Some(2), Some(4), Some(5)]
        );
    }
}
