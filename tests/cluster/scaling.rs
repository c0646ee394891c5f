//! How many pods a workload has belongs to its autoscaler, from its first pod on.

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::example;

const WEB: &str = "/apis/apps/v1/namespaces/app/deployments/web";
const LATE: &str = "/apis/apps/v1/namespaces/app/deployments/late";

/// A Deployment called `name`, with a number of replicas if it says one.
fn deployment(name: &str, replicas: Option<u32>, image: &str) -> String {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "app" },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": { "containers": [{
                "name": name, "image": image, "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } }] } },
        },
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = replicas.into();
    }
    format!("---\n{object}\n")
}

fn manifests(web: &str, late: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: app }}\n{web}{late}")
}

/// The stack whose autoscalers are `targets`, all from 3 to 6 pods.
fn stack(targets: &[&str]) -> String {
    let autoscaling: String = targets
        .iter()
        .map(|name| format!("    - {{ target: deployment/{name}, namespace: app, min: 3, max: 6, cpu: 50 }}\n"))
        .collect();
    format!(
        "{}addons: {{ metricsServer: {{}} }}\nworkloads:\n  manifests: [objects.yaml]\n  autoscaling:\n{autoscaling}",
        example("minimal.yaml")
    )
}

/// Whether the stack says how many pods the Deployment has.
fn is_said_by_the_stack(deployment: &Value) -> bool {
    let records = deployment["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut applied = records.filter(|record| record["manager"] == "eksup" && record["operation"] == "Apply");
    applied.any(|record| record["fieldsV1"]["f:spec"].get("f:replicas").is_some())
}

#[test]
fn the_number_of_pods_belongs_to_the_autoscaler_from_the_first_one_on() {
    let stage = Stage::set(&stack(&["web"]));
    stage.write(&manifests(&deployment("web", None, "web:1"), &deployment("late", Some(4), "late:1")));
    stage.apply();
    stage.expect_empty_plan();
    let somebody = stage.somebody_in("minimal");
    let made = somebody.gets(WEB);
    assert_eq!((&made["spec"]["replicas"], &made["metadata"]["generation"]), (&json!(3), &json!(1)), "from the start");

    // A hand has changed it: that is between it and the autoscaler.
    somebody.changes(&format!("{WEB}/scale"), "kubectl", &json!({ "spec": { "replicas": 5 } }));
    stage.expect_empty_plan();
    stage.write(&manifests(&deployment("web", None, "web:2"), &deployment("late", Some(4), "late:1")));
    let plan = stage.plan();
    assert!(plan.contains("image: web:1 → web:2") && !plan.contains("replicas"), "{plan}");
    stage.apply();
    stage.expect_empty_plan();
    let changed = somebody.gets(WEB);
    assert!(!is_said_by_the_stack(&changed), "{changed:#}");
    assert!(changed["spec"]["replicas"].as_i64() >= Some(3), "{changed:#}");

    // What gets an autoscaler later keeps its pods, and the stack stops to say how many they are.
    assert!(is_said_by_the_stack(&somebody.gets(LATE)));
    stage.rig.stack(&stack(&["web", "late"]));
    let plan = stage.plan();
    assert!(plan.contains("1 to create, 0 to change"), "{plan}");
    stage.apply();
    stage.expect_empty_plan();
    let late = somebody.gets(LATE);
    assert_eq!(late["spec"]["replicas"], 4, "{late:#}");
    stage.destroy();
}
