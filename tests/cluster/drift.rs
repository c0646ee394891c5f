//! Fields that others change: ours are drift, theirs are theirs, and the number of pods is whoever's scales.

use serde_json::json;

use crate::stage::{NAMESPACE, Stage, settings};

const WEB: &str = "/apis/apps/v1/namespaces/app/deployments/web";
const SETTINGS: &str = "/api/v1/namespaces/app/configmaps/settings";

/// A namespace, settings of this colour, and pods that `app` tells.
fn manifests(colour: &str, app: &str) -> String {
    let pods = format!(
        r#"---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: web, namespace: app }}
spec:
  replicas: 2
  selector: {{ matchLabels: {{ app: {app} }} }}
  template:
    metadata: {{ labels: {{ app: {app} }} }}
    spec:
      containers: [{{ name: web, image: "registry.example/web:1" }}]
"#
    );
    NAMESPACE.to_owned() + &settings(colour) + &pods
}

#[test]
fn what_others_change_is_drift_where_it_is_ours_and_left_alone_where_it_is_not() {
    let stage = Stage::small(&manifests("blue", "web"));
    stage.apply();
    stage.expect_empty_plan();
    an_edit_of_our_field_is_shown_with_its_path_and_repaired(&stage);
    an_edit_of_another_field_stays(&stage);
    a_controller_that_wants_our_field_is_named_and_not_overruled(&stage);
    a_selector_that_changes_is_a_marked_replacement(&stage);
    stage.destroy();
}

fn an_edit_of_our_field_is_shown_with_its_path_and_repaired(stage: &Stage) {
    let somebody = stage.somebody_in("minimal");
    somebody.changes(SETTINGS, "kubectl-edit", &json!({ "data": { "colour": "red" } }));
    let container = json!([{ "name": "web", "image": "registry.example/web:2" }]);
    somebody.changes(WEB, "kubectl-edit", &json!({ "spec": { "template": { "spec": { "containers": container } } } }));
    let plan = stage.plan();
    for shown in [
        "~ configmap/app/settings",
        "data.colour: red → blue",
        "~ deployment/app/web",
        "spec.template.spec.containers[web].image: registry.example/web:2 → registry.example/web:1",
        "0 to create, 2 to change, 0 to replace, 0 to delete",
    ] {
        assert!(plan.contains(shown), "`{shown}` is not in\n{plan}");
    }
    stage.apply();
    stage.expect_empty_plan();
    assert_eq!(somebody.gets(SETTINGS)["data"]["colour"], "blue");
    assert_eq!(somebody.gets(WEB)["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/web:1");
}

fn an_edit_of_another_field_stays(stage: &Stage) {
    let somebody = stage.somebody_in("minimal");
    let added = json!({ "metadata": { "annotations": { "note": "theirs" } }, "data": { "size": "large" } });
    somebody.changes(SETTINGS, "kubectl-edit", &added);
    somebody.changes(WEB, "kubectl-edit", &json!({ "spec": { "revisionHistoryLimit": 3 } }));
    stage.expect_empty_plan();
    // A change of ours beside theirs leaves theirs as it is.
    stage.write(&manifests("green", "web"));
    stage.apply();
    let settings = somebody.gets(SETTINGS);
    assert_eq!(settings["data"], json!({ "colour": "green", "size": "large" }));
    assert_eq!(settings["metadata"]["annotations"]["note"], "theirs");
    assert_eq!(somebody.gets(WEB)["spec"]["revisionHistoryLimit"], 3);
    stage.expect_empty_plan();
}

fn a_controller_that_wants_our_field_is_named_and_not_overruled(stage: &Stage) {
    let somebody = stage.somebody_in("minimal");
    somebody.changes(SETTINGS, "colour-controller", &json!({ "data": { "colour": "red" } }));
    let refused = stage.rig.eksup(&["plan", stage.path()]).expect(1);
    for word in ["workloads/configmap/app/settings", "`colour-controller` manages", "data.colour"] {
        assert!(refused.stderr.contains(word), "`{word}` is not in\n{}", refused.stderr);
    }
    assert_eq!(somebody.gets(SETTINGS)["data"]["colour"], "red");
    somebody.changes(SETTINGS, "colour-controller", &json!({ "data": { "colour": "green" } }));
    stage.expect_empty_plan();
}

fn a_selector_that_changes_is_a_marked_replacement(stage: &Stage) {
    let somebody = stage.somebody_in("minimal");
    let uid = somebody.gets(WEB)["metadata"]["uid"].clone();
    stage.write(&manifests("green", "site"));
    let plan = stage.plan();
    for shown in [
        "-/+ deployment/app/web",
        "spec.selector.matchLabels.app: web → site  (forces replacement)",
        "because `spec.selector` of a Deployment cannot be changed",
        "! outage: its pods stop",
        "0 to create, 0 to change, 1 to replace, 0 to delete",
    ] {
        assert!(plan.contains(shown), "`{shown}` is not in\n{plan}");
    }
    stage.apply();
    let made = somebody.gets(WEB);
    assert_ne!(made["metadata"]["uid"], uid, "it is another one");
    assert_eq!(made["spec"]["selector"]["matchLabels"]["app"], "site");
    stage.expect_empty_plan();
}
