//! The number of pods belongs to whoever scales. Pure.

use serde_json::Value;

use crate::spec::objects::{ObjectId, ObjectKind};

/// `manifests` without the number of replicas wherever one of their autoscalers sets it: two who set one field would
/// undo each other's work.
pub fn without_contested_replicas(mut manifests: Vec<Value>) -> Vec<Value> {
    let targets: Vec<String> = manifests.iter().filter_map(target).collect();
    for manifest in &mut manifests {
        let scaled = ObjectId::of(manifest).is_some_and(|id| targets.contains(&id.key()));
        if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut).filter(|_| scaled) {
            spec.remove("replicas");
        }
    }
    manifests
}

/// The key of what an autoscaler scales.
fn target(manifest: &Value) -> Option<String> {
    let id = ObjectId::of(manifest)?;
    if id.kind.kind != "HorizontalPodAutoscaler" {
        return None;
    }
    let text = |key: &str| manifest.pointer(&format!("/spec/scaleTargetRef/{key}"))?.as_str();
    let kind = ObjectKind::new(text("apiVersion")?, text("kind")?);
    Some(ObjectId { kind, namespace: id.namespace, name: text("name")?.to_owned() }.key())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_has_the_replicas_of_its_target_to_itself() {
        let deployment = |name: &str| {
            json!({ "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "name": name, "namespace": "shop" }, "spec": { "replicas": 2, "paused": false } })
        };
        let autoscaler = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "x", "namespace": "shop" },
            "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "backend" } } });
        let left = without_contested_replicas(vec![deployment("backend"), deployment("frontend"), autoscaler]);
        assert_eq!(left[0]["spec"], json!({ "paused": false }));
        assert_eq!(left[1]["spec"]["replicas"], 2);
    }
}
