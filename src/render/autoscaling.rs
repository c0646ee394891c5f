//! HorizontalPodAutoscalers as `autoscaling/v2` has them.

use serde_json::{Value, json};

use crate::spec::Autoscaling;

/// The HorizontalPodAutoscaler that an entry of `workloads.autoscaling` asks for; none if its target has no kind that
/// can be scaled.
pub fn horizontal(entry: &Autoscaling) -> Option<Value> {
    let (kind, target) = entry.target()?;
    let behavior = entry.behavior.clone().map_or_else(usual_behavior, Value::Object);
    Some(json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": entry.name(),
            "namespace": entry.namespace,
            "labels": { "app.kubernetes.io/name": target, "app.kubernetes.io/managed-by": "eksup" },
        },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": kind.as_str(), "name": target },
            "minReplicas": entry.min,
            "maxReplicas": entry.max,
            "metrics": metrics(entry),
            "behavior": behavior,
        },
    }))
}

/// CPU, memory, then the others as they are written. The largest number of replicas that one of them asks for counts.
fn metrics(entry: &Autoscaling) -> Vec<Value> {
    let share = |name: &str, share: Option<u32>| {
        share.map(|share| {
            json!({
                "type": "Resource",
                "resource": { "name": name, "target": { "type": "Utilization", "averageUtilization": share } },
            })
        })
    };
    let shares = share("cpu", entry.cpu).into_iter().chain(share("memory", entry.memory));
    shares.chain(entry.metrics.iter().cloned().map(Value::Object)).collect()
}

/// Load comes suddenly and goes slowly: up at once, by the double or four pods every 15 seconds; down by the half or
/// two pods a minute, once five minutes have been calm.
fn usual_behavior() -> Value {
    let policy =
        |kind: &str, value: u32, seconds: u32| json!({ "type": kind, "value": value, "periodSeconds": seconds });
    json!({
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [policy("Percent", 100, 15), policy("Pods", 4, 15)],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "selectPolicy": "Max",
            "policies": [policy("Percent", 50, 60), policy("Pods", 2, 60)],
        },
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

    use super::*;

    fn entry(fields: Value) -> Autoscaling {
        serde_json::from_value(fields).expect("an entry")
    }

    #[test]
    fn an_entry_becomes_what_kubernetes_reads_whole() {
        let entry = entry(json!({
            "target": "statefulset/queue", "namespace": "web", "name": "queue-depth", "min": 2, "max": 9,
            "cpu": 50, "memory": 70,
            "metrics": [{ "type": "External", "external": { "metric": { "name": "depth" },
                          "target": { "type": "AverageValue", "averageValue": "30" } } }],
            "behavior": { "scaleDown": { "selectPolicy": "Disabled" } },
        }));
        let object = horizontal(&entry).expect("an object");
        let read: HorizontalPodAutoscaler = serde_json::from_value(object.clone()).expect("a known shape");
        assert_eq!(serde_json::to_value(read).expect("JSON"), object);
        assert_eq!(
            object["spec"]["scaleTargetRef"],
            json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "queue" })
        );
        assert_eq!(object["spec"]["metrics"].as_array().map(Vec::len), Some(3));
        assert_eq!(object["metadata"]["name"], "queue-depth");
        assert_eq!(object["spec"]["behavior"], json!({ "scaleDown": { "selectPolicy": "Disabled" } }));
    }

    #[test]
    fn without_a_behavior_replicas_come_at_once_and_go_slowly() {
        let object = horizontal(&entry(json!({ "target": "deployment/web", "max": 4, "cpu": 60 }))).expect("an object");
        let behavior = &object["spec"]["behavior"];
        assert_eq!(behavior["scaleUp"]["stabilizationWindowSeconds"], 0);
        assert_eq!(behavior["scaleDown"]["stabilizationWindowSeconds"], 300);
        assert_eq!((&object["spec"]["minReplicas"], &object["metadata"]["namespace"]), (&json!(1), &json!("default")));
    }
}
