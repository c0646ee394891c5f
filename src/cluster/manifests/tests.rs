//! Manifests that are right, and every way in which they are not.

use serde_json::json;

use super::*;

fn file(name: &str, text: &str) -> File {
    File { name: name.into(), text: text.into() }
}

fn wrong(files: &[File]) -> String {
    let problems = read(files).expect_err("something is wrong");
    let line = |problems: &Problems, problem: &Problem| {
        let (line, column) = problems.position(problem).unwrap_or_default();
        format!("{}:{line}:{column}: {}; {}", problems.source_name(), problem.message, problem.help)
    };
    let lines: Vec<String> =
        problems.iter().flat_map(|list| list.iter().map(|problem| line(list, problem)).collect::<Vec<_>>()).collect();
    lines.join("\n")
}

#[test]
fn documents_and_lists_become_objects_with_their_lines() {
    let text = "\
# a comment
---
apiVersion: v1
kind: Service
metadata: { name: a, namespace: shop, uid: x }
status: { loadBalancer: {} }
---
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: { name: b, creationTimestamp: null }
  spec: { template: { spec: { volumes: [{ name: v, secret: { defaultMode: 0400 } }] } } }
";
    let manifests = read(&[file("a.yaml", text)]).expect("objects");
    let said: Vec<String> = manifests.iter().map(|found| format!("{} in line {}", found.id, found.line)).collect();
    assert_eq!(said, ["Service shop/a in line 4", "Deployment default/b in line 12"]);
    assert_eq!(
        manifests[0].object,
        json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "a", "namespace": "shop" } })
    );
    assert_eq!(manifests[1].object.pointer("/spec/template/spec/volumes/0/secret/defaultMode"), Some(&json!(0o400)));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_file_and_line() {
    let first = "\
apiVersion: v1
kind: Deployment
metadata: { name: backend }
---
apiVersion: apps/v1
kind: Deploymnt
metadata: { name: x }
---
kind: Service
metadata: { generateName: a- }
---
apiVersion: autoscaling/v2beta2
kind: HorizontalPodAutoscaler
metadata: { name: h }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: r, namespace: shop }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: twice }
---
a: [1, 2
";
    let second = "\
apiVersion: v1
kind: ConfigMap
metadata: { name: twice }
---
just text
";
    insta::assert_snapshot!(wrong(&[file("a.yaml", first), file("b.yaml", second)]));
}

#[test]
fn an_object_of_a_kind_that_the_files_define_goes_where_the_definition_says() {
    let text = "\
apiVersion: example.org/v1
kind: Thing
metadata: { name: a }
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: things.example.org }
spec:
  group: example.org
  scope: Namespaced
  names: { kind: Thing, plural: things }
  versions: [{ name: v1, served: true, storage: true }]
---
apiVersion: other.example.org/v1
kind: Unknown
metadata: { name: left-to-the-api-server }
";
    let manifests = read(&[file("a.yaml", text)]).expect("objects");
    let names: Vec<String> = manifests.iter().map(|manifest| manifest.id.to_string()).collect();
    assert_eq!(
        names,
        ["Thing default/a", "CustomResourceDefinition things.example.org", "Unknown left-to-the-api-server"]
    );
}

#[test]
fn a_value_that_aws_will_know_may_stand_anywhere_but_in_a_name() {
    let config = |name: &str, value: &str| {
        file(
            "a.yaml",
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ host: \"{value}\" }}\n"),
        )
    };
    let reference = "${output:database/instance#endpoint}";
    let manifests = read(&[config("a", reference)]).expect("objects");
    assert_eq!(manifests[0].object["data"]["host"], reference);
    assert!(wrong(&[config("\"${output:network/vpc#id}\"", "x")]).contains("cannot be a name"));
}
