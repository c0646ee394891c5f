//! What a HorizontalPodAutoscaler scales, among the manifests, and whether it says what it requests.

use serde_json::Value as Json;

use crate::spec::model::{Manifest, ScaledKind};

fn text<'a>(object: &'a Json, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Json::as_str)
}

fn namespace(object: &Json) -> &str {
    text(object, "/metadata/namespace").unwrap_or("default")
}

fn of_kind(objects: &[Manifest], kind: ScaledKind) -> impl Iterator<Item = &Manifest> {
    objects.iter().filter(move |manifest| {
        text(&manifest.object, "/kind") == Some(kind.as_str())
            && text(&manifest.object, "/apiVersion").is_some_and(|version| version.starts_with("apps/"))
    })
}

/// The manifest of a workload.
pub(super) fn find<'a>(
    objects: &'a [Manifest],
    kind: ScaledKind,
    in_namespace: &str,
    name: &str,
) -> Option<&'a Manifest> {
    of_kind(objects, kind).find(|manifest| {
        namespace(&manifest.object) == in_namespace && text(&manifest.object, "/metadata/name") == Some(name)
    })
}

/// The namespaces that have a workload of this name.
pub(super) fn namespaces_with(objects: &[Manifest], kind: ScaledKind, name: &str) -> Vec<String> {
    let found = of_kind(objects, kind).filter(|manifest| text(&manifest.object, "/metadata/name") == Some(name));
    found.map(|manifest| namespace(&manifest.object).to_owned()).collect()
}

/// The names of the workloads in a namespace.
pub(super) fn names_in(objects: &[Manifest], kind: ScaledKind, in_namespace: &str) -> Vec<String> {
    let found = of_kind(objects, kind).filter(|manifest| namespace(&manifest.object) == in_namespace);
    found.filter_map(|manifest| text(&manifest.object, "/metadata/name").map(str::to_owned)).collect()
}

/// The containers of a workload that request nothing of `resource`: all that run beside each other, or the one that
/// is asked about. A limit is a request too, and a LimitRange of the namespace fills both in.
pub(super) fn without_requests(
    manifest: &Manifest,
    resource: &str,
    only: Option<&str>,
    objects: &[Manifest],
) -> Vec<String> {
    if is_filled_in(objects, namespace(&manifest.object), resource) {
        return Vec::new();
    }
    let pod = manifest.object.pointer("/spec/template/spec").unwrap_or(&Json::Null);
    // The request of a pod as a whole stands for those of its containers.
    if only.is_none() && requests(pod, resource) {
        return Vec::new();
    }
    let list = |key: &str| pod.get(key).and_then(Json::as_array).into_iter().flatten();
    let sidecars = list("initContainers").filter(|container| text(container, "/restartPolicy") == Some("Always"));
    let named = list("containers").chain(sidecars).filter_map(|container| Some((text(container, "/name")?, container)));
    named
        .filter(|(name, container)| only.is_none_or(|only| only == *name) && !requests(container, resource))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn requests(holder: &Json, resource: &str) -> bool {
    ["requests", "limits"].into_iter().any(|key| {
        let given = holder.get("resources").and_then(|resources| resources.get(key)?.get(resource));
        given.is_some_and(|value| !value.is_null())
    })
}

/// Whether a LimitRange gives containers of the namespace a request.
fn is_filled_in(objects: &[Manifest], of_namespace: &str, resource: &str) -> bool {
    let ranges = objects.iter().filter(|manifest| {
        text(&manifest.object, "/kind") == Some("LimitRange") && namespace(&manifest.object) == of_namespace
    });
    ranges
        .filter_map(|manifest| manifest.object.pointer("/spec/limits")?.as_array())
        .flatten()
        .filter(|limit| text(limit, "/type") == Some("Container"))
        .any(|limit| {
            ["defaultRequest", "default"]
                .into_iter()
                .any(|key| limit.get(key).and_then(|of| of.get(resource)).is_some())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(object: Json) -> Manifest {
        Manifest { item: 0, file: "a.yaml".to_owned(), line: 1, object }
    }

    fn deployment(pod: Json) -> Manifest {
        manifest(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
                         "spec": { "template": { "spec": pod } } }))
    }

    #[test]
    fn every_container_that_runs_beside_the_others_has_to_request() {
        let web = deployment(json!({
            "containers": [
                { "name": "web", "resources": { "requests": { "cpu": "100m" } } },
                { "name": "log", "resources": { "limits": { "cpu": "50m" } } },
                { "name": "agent" },
            ],
            "initContainers": [{ "name": "setup" }, { "name": "mesh", "restartPolicy": "Always" }],
        }));
        assert_eq!(without_requests(&web, "cpu", None, &[]), ["agent", "mesh"]);
        assert_eq!(without_requests(&web, "memory", Some("web"), &[]), ["web"]);
        assert!(without_requests(&web, "cpu", Some("log"), &[]).is_empty());
    }

    #[test]
    fn a_limit_range_of_the_same_namespace_requests_for_all() {
        let web = deployment(json!({ "containers": [{ "name": "web" }] }));
        let range = |namespace: &str| {
            manifest(json!({ "apiVersion": "v1", "kind": "LimitRange",
                             "metadata": { "name": "usual", "namespace": namespace },
                             "spec": { "limits": [{ "type": "Container", "defaultRequest": { "cpu": "100m" } }] } }))
        };
        assert!(without_requests(&web, "cpu", None, &[range("default")]).is_empty());
        assert_eq!(without_requests(&web, "cpu", None, &[range("other")]), ["web"]);
        assert_eq!(without_requests(&web, "memory", None, &[range("default")]), ["web"]);
    }
}
