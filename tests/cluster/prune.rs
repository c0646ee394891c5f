//! What is taken out of the manifests goes; what was never ours stays.

use serde_json::json;

use crate::stage::{NAMESPACE, Stage};

const MAPS: &str = "/api/v1/namespaces/app/configmaps";

fn map(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\n\
         metadata: {{ name: {name}, namespace: app, labels: {{ app: web, tier: front }} }}\ndata: {{ key: value }}\n"
    )
}

/// The last object of a kind.
const SERVICE: &str = "---\napiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: app }\n\
                       spec: { selector: { app: web }, ports: [{ port: 80 }] }\n";

#[test]
fn what_is_taken_out_of_the_manifests_goes_and_what_was_never_ours_stays() {
    let stage = Stage::small(&(NAMESPACE.to_owned() + &map("first") + &map("second") + SERVICE));
    stage.apply();
    let somebody = stage.somebody_in("minimal");
    let labels = somebody.gets(&format!("{MAPS}/first"))["metadata"]["labels"].clone();
    assert!(labels.as_object().is_some_and(|labels| labels.len() > 2), "ours carry marks: {labels}");

    // Theirs: the labels of ours without eksup's.
    let theirs = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "theirs", "labels": { "app": "web", "tier": "front" } } });
    somebody.makes(MAPS, &theirs);
    stage.expect_empty_plan();

    // One goes, one gets another name, and the last of its kind goes.
    stage.write(&(NAMESPACE.to_owned() + &map("renamed")));
    let plan = stage.plan();
    for shown in ["- configmap/app/first", "- configmap/app/second", "+ configmap/app/renamed", "- service/app/web"] {
        assert!(plan.contains(shown), "`{shown}` is not in\n{plan}");
    }
    assert!(plan.contains("1 to create") && plan.contains("3 to delete"), "{plan}");
    assert!(!plan.contains("theirs"), "{plan}");
    stage.apply();
    stage.expect_empty_plan();
    for gone in ["first", "second"] {
        assert_eq!(somebody.sees(&format!("{MAPS}/{gone}")), None, "{gone}");
    }
    assert_eq!(somebody.sees("/api/v1/namespaces/app/services/web"), None);
    somebody.gets(&format!("{MAPS}/renamed"));
    assert_eq!(somebody.gets(&format!("{MAPS}/theirs"))["metadata"]["labels"], theirs["metadata"]["labels"]);

    // A name that is somebody's already is refused before anything is done.
    stage.write(&(NAMESPACE.to_owned() + &map("renamed") + &map("theirs") + &map("third")));
    let refused = stage.rig.eksup(&["apply", "--yes", stage.path()]).expect(1);
    assert!(refused.stderr.contains("it is not this stack's"), "{}", refused.stderr);
    assert_eq!(somebody.sees(&format!("{MAPS}/third")), None, "nothing is made");
    assert_eq!(somebody.gets(&format!("{MAPS}/theirs"))["metadata"]["labels"], theirs["metadata"]["labels"]);

    // The whole section goes; the cluster stays.
    stage.rig.stack(&crate::support::example("minimal.yaml"));
    stage.apply();
    stage.expect_empty_plan();
    assert_eq!(somebody.sees(&format!("{MAPS}/renamed")), None);
    stage.destroy();
}
