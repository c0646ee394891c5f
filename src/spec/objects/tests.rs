//! Files of objects that are right, and what is done with them. What is wrong with others is shown by the snapshots of
//! broken stack files.

use serde_json::json;

use super::*;

fn file(name: &str, text: &str) -> File {
    File { name: name.into(), bytes: text.into(), item: 0 }
}

fn objects(text: &str) -> Vec<Manifest> {
    let (manifests, problems) = read(&[file("a.yaml", text)]);
    let said: Vec<&str> = problems.iter().flat_map(FileProblems::iter).map(|one| one.message.as_str()).collect();
    assert!(said.is_empty(), "{said:?}");
    manifests
}

fn wrong(files: &[File]) -> Vec<String> {
    let (_, problems) = read(files);
    let line = |file: &FileProblems, problem: &Problem| {
        let (line, column) = file.position(problem).unwrap_or_default();
        format!("{}:{line}:{column}: {}", file.name(), problem.message)
    };
    problems.iter().flat_map(|file| file.iter().map(move |problem| line(file, problem))).collect()
}

fn ids(manifests: &[Manifest]) -> Vec<String> {
    manifests.iter().filter_map(|manifest| ObjectId::of(&manifest.object)).map(|id| id.to_string()).collect()
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

---
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: { name: b, creationTimestamp: null }
  spec: { template: { spec: { volumes: [{ name: v, secret: { defaultMode: 0400 } }] } } }
";
    let manifests = objects(text);
    assert_eq!(ids(&manifests), ["Service shop/a", "Deployment default/b"]);
    assert_eq!(manifests.iter().map(|manifest| manifest.line).collect::<Vec<_>>(), [3, 13]);
    assert_eq!(
        manifests[0].object,
        json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "a", "namespace": "shop" } })
    );
    assert_eq!(manifests[1].object.pointer("/spec/template/spec/volumes/0/secret/defaultMode"), Some(&json!(0o400)));
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
    assert_eq!(
        ids(&objects(text)),
        ["Thing default/a", "CustomResourceDefinition things.example.org", "Unknown left-to-the-api-server"]
    );
}

#[test]
fn a_value_that_aws_will_know_may_stand_anywhere_but_in_a_name() {
    let config = |name: &str, value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ host: \"{value}\" }}\n")
    };
    let reference = "${output:database/instance#endpoint}";
    assert_eq!(objects(&config("a", reference))[0].object["data"]["host"], reference);
    let said = wrong(&[file("a.yaml", &config("\"${output:network/vpc#id}\"", "x"))]);
    assert_eq!(said, ["a.yaml:3:19: `${output:network/vpc#id}` cannot be a name"]);
}

#[test]
fn merge_keys_mean_what_other_readers_of_manifests_take_them_for() {
    let text = "\
apiVersion: v1
kind: ConfigMap
metadata: { name: a, labels: &labels { app: a, tier: web } }
data:
  <<: [{ one: \"1\", two: \"1\" }, { two: \"2\", three: \"2\" }]
  one: \"0\"
---
apiVersion: v1
kind: ConfigMap
metadata: { name: b, labels: &labels { app: b } }
data: { <<: *labels }
";
    let manifests = objects(text);
    assert_eq!(manifests[0].object["data"], json!({ "one": "0", "two": "1", "three": "2" }));
    assert_eq!(manifests[1].object["data"], json!({ "app": "b" }));
}

#[test]
fn a_byte_order_mark_and_directives_and_json_are_read() {
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n";
    for before in ["\u{feff}", "%YAML 1.2\n---\n", "# words\n\n--- # more\n", "---\n", "---\n---\n"] {
        assert_eq!(ids(&objects(&format!("{before}{object}"))), ["ConfigMap default/a"], "{before:?}");
    }
    let windows = object.replace('\n', "\r\n");
    assert_eq!(objects(&format!("{windows}---\r\n{}", windows.replace("name: a", "name: b"))).len(), 2);
    let json = r#"{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } }"#;
    assert_eq!(ids(&objects(json)), ["ConfigMap default/a"]);
    assert!(objects("").is_empty() && objects("# nothing\n---\n").is_empty());
}

#[test]
fn an_error_of_syntax_ends_only_its_own_document() {
    let text = "a: [1, 2\n---\napiVersion: v1\nkind: Deploymnt\nmetadata: { name: x }\n---\njust text\n";
    assert_eq!(
        wrong(&[file("a.yaml", text), file("b.yaml", "kind: Service\n")]),
        [
            "a.yaml:2:1: expected a comma or `]` here",
            "a.yaml:4:7: there is no kind `Deploymnt` in `v1`",
            "a.yaml:7:1: this is text, not a Kubernetes object",
            "b.yaml:1:1: the object has no `apiVersion`",
            "b.yaml:1:1: the object has no name",
        ]
    );
}

#[test]
fn an_object_is_the_same_in_every_version_of_its_kind() {
    let scaler = |version: &str| {
        let text = format!("apiVersion: {version}\nkind: HorizontalPodAutoscaler\nmetadata: {{ name: a }}\n");
        file(&format!("{}.yaml", version.replace('/', "-")), &text)
    };
    assert_eq!(
        wrong(&[scaler("autoscaling/v1"), scaler("autoscaling/v2")]),
        ["autoscaling-v2.yaml:3:19: the HorizontalPodAutoscaler default/a is given twice"]
    );
}
