//! What a user gets to read when something in the cluster does not work.

use serde_json::json;

use crate::stage::{NAMESPACE, Stage, settings};

#[test]
fn what_does_not_work_in_a_cluster_is_said_in_words() {
    let stage = Stage::small(NAMESPACE);
    stage.apply();
    manifests_that_cannot_be_applied_are_refused_all_at_once(&stage);
    an_image_that_cannot_be_pulled(&stage);
    a_webhook_of_the_stack_with_nobody_behind_it(&stage);
    a_strangers_webhook_that_does_not_answer(&stage);
    a_definition_whose_names_are_taken(&stage);
    an_api_with_nobody_behind_it(&stage);
    stage.write(NAMESPACE);
    stage.apply();
    stage.destroy();
}

/// What only the cluster can tell: each with its file and line, and before anything is made.
fn manifests_that_cannot_be_applied_are_refused_all_at_once(stage: &Stage) {
    let wrong = r#"---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: nowhere }
spec: { ports: [{ port: 80 }] }
---
apiVersion: example.com/v1
kind: Gadget
metadata: { name: gadget, namespace: app }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: app }
spec:
  replcas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: "web:1" }] }
"#;
    stage.write(&(NAMESPACE.to_owned() + &settings("blue") + wrong));
    let said = stage.fails_to_apply();
    for words in [
        "3 things in the way",
        "objects.yaml:10: there is no namespace `nowhere`; add a Namespace object",
        "objects.yaml:15: the cluster knows no Gadget in `example.com/v1`, and no manifest defines it",
        "objects.yaml:19: the API server does not take it: spec.replcas: field not declared in schema",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    let somebody = stage.somebody_in("minimal");
    assert_eq!(somebody.sees("/api/v1/namespaces/app/configmaps/settings"), None, "nothing is made");
    stage.write(NAMESPACE);
}

/// It says so while it waits, and fails with the same words once Kubernetes has given up.
fn an_image_that_cannot_be_pulled(stage: &Stage) {
    stage.tell("pods", &json!([{ "namespace": "app", "workload": "deployment/web", "fail": "image" }]));
    stage.write(&format!(
        r#"{NAMESPACE}---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: web, namespace: app }}
spec:
  progressDeadlineSeconds: 3
  selector: {{ matchLabels: {{ app: web }} }}
  template:
    metadata: {{ labels: {{ app: web }} }}
    spec:
      containers: [{{ name: web, image: "registry.example/web:nowhere" }}]
"#
    ));
    let failed = stage.rig.eksup(&["apply", "--yes", "--progress", "json", stage.path()]).expect(1);
    let why = "the image `registry.example/web:nowhere` cannot be pulled";
    for event in ["\"event\":\"waiting\"", "\"event\":\"failed\""] {
        let said = failed.stdout.lines().any(|line| line.contains(event) && line.contains(why));
        assert!(said, "{event} says why:\n{}\n{}", failed.stdout, failed.stderr);
    }
    stage.tell("pods", &json!([]));
}

/// Applies, and expects it to give up because `word` does not come to be.
fn gives_up(stage: &Stage, words: &[&str]) {
    let said = stage.fails_to_apply();
    for word in words.iter().chain(&["nothing has changed for 3 s", "eksup.dev/ready-within"]) {
        assert!(said.contains(word), "`{word}` is not in\n{said}");
    }
}

/// An object that asks for little patience.
fn impatient(mut object: serde_json::Value) -> serde_json::Value {
    object["metadata"]["annotations"] = json!({ "eksup.dev/ready-within": "3s" });
    object
}

/// A webhook that is to agree to every ConfigMap in the namespace of the stack.
fn webhook(bundle: &str) -> serde_json::Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "guard" },
        "webhooks": [{
            "name": "guard.example.org", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
            "clientConfig": { "service": { "namespace": "app", "name": "guard" }, "caBundle": bundle },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "app" } },
            "rules": [{ "operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"] }],
        }],
    })
}

fn document(object: &serde_json::Value) -> String {
    format!("---\n{object}\n")
}

fn service() -> serde_json::Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "guard", "namespace": "app" },
        "spec": { "selector": { "app": "nobody" }, "ports": [{ "port": 443 }] } })
}

fn a_webhook_of_the_stack_with_nobody_behind_it(stage: &Stage) {
    stage.write(&(NAMESPACE.to_owned() + &document(&service()) + &document(&webhook(""))));
    let waits =
        ["\"event\":\"waiting\"", "webhook `guard.example.org` asks Service app/guard", "no pod behind it is ready"];
    stage.apply_until_said(&waits);
    stage.write(&(NAMESPACE.to_owned() + &document(&service()) + &document(&impatient(webhook("")))));
    gives_up(stage, &waits[1..]);
    stage.write(NAMESPACE);
    stage.apply();
    stage.expect_empty_plan();
}

/// Somebody else's webhook: eksup cannot wait for it to come up, but says which one it is and what to do.
fn a_strangers_webhook_that_does_not_answer(stage: &Stage) {
    const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let somebody = stage.somebody_in("minimal");
    somebody.makes("/api/v1/namespaces/app/services", &service());
    somebody.makes(HOOKS, &webhook(""));
    stage.write(&(NAMESPACE.to_owned() + &settings("blue")));
    let said = stage.apply_until_said(&["the webhook `guard.example.org` has to agree and does not answer"]);
    assert!(said.contains("\"event\":\"retrying\"") && said.contains("guard"), "{said}");
    somebody.deletes(&format!("{HOOKS}/guard"));
    stage.apply();
    stage.expect_empty_plan();
    somebody.deletes("/api/v1/namespaces/app/services/guard");
    stage.write(NAMESPACE);
    stage.apply();
}

/// A definition of a kind with the plural `things` in `example.org`.
fn definition(plural: &str, kind: &str) -> serde_json::Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.example.org") },
        "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List") },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } } }],
        },
    })
}

fn a_definition_whose_names_are_taken(stage: &Stage) {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let somebody = stage.somebody_in("minimal");
    somebody.makes(DEFINITIONS, &definition("things", "Thing"));
    crate::stage::until("the first definition", || {
        let conditions = somebody.gets(&format!("{DEFINITIONS}/things.example.org"))["status"]["conditions"].clone();
        conditions.as_array()?.iter().any(|one| one["type"] == "Established" && one["status"] == "True").then_some(())
    });
    stage.write(&(NAMESPACE.to_owned() + &document(&definition("objects", "Thing"))));
    let said = stage.fails_to_apply();
    for word in ["objects.example.org", "its names are taken by another definition", "is already in use"] {
        assert!(said.contains(word), "`{word}` is not in\n{said}");
    }
    somebody.deletes(&format!("{DEFINITIONS}/things.example.org"));
    stage.apply();
    stage.expect_empty_plan();
}

fn an_api_with_nobody_behind_it(stage: &Stage) {
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": "v1.weather.example.org" },
        "spec": { "group": "weather.example.org", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": { "namespace": "app", "name": "guard" } },
    });
    stage.write(&(NAMESPACE.to_owned() + &document(&service()) + &document(&api)));
    stage.apply_until_said(&["\"event\":\"waiting\"", "the API does not answer", "guard"]);
    stage.write(&(NAMESPACE.to_owned() + &document(&service()) + &document(&impatient(api))));
    gives_up(stage, &["the API does not answer", "guard"]);
    stage.write(NAMESPACE);
    stage.apply();
    stage.expect_empty_plan();
}
