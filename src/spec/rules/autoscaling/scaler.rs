//! HorizontalPodAutoscalers of either origin in one shape: what they scale, and by which resources.

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, MetricSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::super::manifests::manifest_path;
use super::place;
use crate::spec::document::Path;
use crate::spec::model::{Autoscaling, Manifest, Workloads};

/// A HorizontalPodAutoscaler.
pub(super) struct Scaler<'a> {
    /// Where it stands in the stack file.
    pub(super) place: Path,
    /// Where its namespace stands.
    pub(super) namespace_place: Path,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    /// The kind of what it scales, as Kubernetes writes it.
    pub(super) kind: &'a str,
    pub(super) target_name: &'a str,
    /// The manifest that it comes from, if it is none of the stack file's.
    origin: Option<&'a Manifest>,
    /// The resources that it compares, in the order of the file.
    pub(super) measures: Vec<Measure<'a>>,
}

/// CPU or memory as a HorizontalPodAutoscaler looks at it.
pub(super) struct Measure<'a> {
    /// Where it stands in the stack file.
    pub(super) place: Path,
    /// `cpu`, `memory` or another resource.
    pub(super) resource: &'a str,
    /// Of this container only.
    pub(super) container: Option<&'a str>,
    /// As a share of what is requested, and not as a number.
    pub(super) by_utilization: bool,
}

impl<'a> Scaler<'a> {
    /// Those of the stack file, then those among the manifests.
    pub(super) fn all(workloads: &'a Workloads) -> Vec<Self> {
        let own = workloads.autoscaling.iter().enumerate().filter_map(|(index, entry)| Self::own(index, entry));
        own.chain(workloads.objects().iter().filter_map(Self::of_manifest)).collect()
    }

    fn own(index: usize, entry: &'a Autoscaling) -> Option<Self> {
        let path = place(index);
        let (kind, target_name) = entry.target()?;
        let of = |resource: &'static str, given: Option<u32>| {
            let place = path.key(resource);
            given.map(|_| Measure { place, resource, container: None, by_utilization: true })
        };
        let mut measures: Vec<Measure<'a>> =
            of("cpu", entry.cpu).into_iter().chain(of("memory", entry.memory)).collect();
        for (position, metric) in entry.metrics.iter().enumerate() {
            measures.extend(measure(metric, path.key("metrics").index(position)));
        }
        Some(Self {
            place: path.key("target"),
            namespace_place: path.key("namespace"),
            name: entry.name(),
            namespace: &entry.namespace,
            kind: kind.as_str(),
            target_name,
            origin: None,
            measures,
        })
    }

    fn of_manifest(manifest: &'a Manifest) -> Option<Self> {
        let object = &manifest.object;
        if object["kind"] != "HorizontalPodAutoscaler" {
            return None;
        }
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str);
        let path = manifest_path(manifest.item);
        let metrics = object.pointer("/spec/metrics").and_then(Json::as_array).into_iter().flatten();
        let mut measures: Vec<Measure<'a>> =
            metrics.filter_map(Json::as_object).filter_map(|metric| measure(metric, path.clone())).collect();
        if object.pointer("/spec/targetCPUUtilizationPercentage").is_some() {
            measures.push(Measure { place: path.clone(), resource: "cpu", container: None, by_utilization: true });
        }
        Some(Self {
            place: path.clone(),
            namespace_place: path,
            name: text("/metadata/name")?,
            namespace: text("/metadata/namespace").unwrap_or("default"),
            kind: text("/spec/scaleTargetRef/kind")?,
            target_name: text("/spec/scaleTargetRef/name")?,
            origin: Some(manifest),
            measures,
        })
    }

    /// What it scales, to be compared.
    pub(super) fn target(&self) -> (&str, &str, &str) {
        (self.kind, self.namespace, self.target_name)
    }

    /// What it scales, for a sentence.
    pub(super) fn described_target(&self) -> String {
        let origin = self.origin.map(|manifest| format!(", scaled by `{}:{}`", manifest.file, manifest.line));
        format!("the {} `{}/{}`{}", self.kind, self.namespace, self.target_name, origin.unwrap_or_default())
    }
}

/// What a metric of `autoscaling/v2` compares, if that is a resource of pods.
fn measure(metric: &Map<String, Json>, place: Path) -> Option<Measure<'_>> {
    let (source, container) = match metric.get("type").and_then(Json::as_str)? {
        "Resource" => (metric.get("resource")?, None),
        "ContainerResource" => {
            let source = metric.get("containerResource")?;
            (source, source.get("container").and_then(Json::as_str))
        }
        _ => return None,
    };
    let by_utilization = source.pointer("/target/averageUtilization").is_some();
    Some(Measure { place, resource: source.get("name").and_then(Json::as_str)?, container, by_utilization })
}

/// Whether this is a metric of `autoscaling/v2`; what is wrong with it, if it is not.
pub(super) fn known_metric(metric: &Map<String, Json>) -> Result<(), String> {
    let source = match metric.get("type").and_then(Json::as_str) {
        Some("Resource") => "resource",
        Some("ContainerResource") => "containerResource",
        Some("Pods") => "pods",
        Some("Object") => "object",
        Some("External") => "external",
        Some(other) => return Err(format!("has the type `{other}`, which does not exist")),
        None => return Err("has no `type`".to_owned()),
    };
    if !metric.contains_key(source) {
        return Err(format!("has no `{source}`, which its type wants"));
    }
    known::<MetricSpec>(metric)
}

/// The same for a behavior.
pub(super) fn known_behavior(behavior: &Map<String, Json>) -> Result<(), String> {
    known::<HorizontalPodAutoscalerBehavior>(behavior)
}

/// Whether the type reads the value whole: what it does not know is missing from what it writes.
fn known<T: DeserializeOwned + Serialize>(value: &Map<String, Json>) -> Result<(), String> {
    let value = Json::Object(value.clone());
    let read: T = serde_json::from_value(value.clone()).map_err(|error| format!("cannot be understood: {error}"))?;
    let written = serde_json::to_value(&read).unwrap_or_default();
    match unknown(&value, &written, String::new()) {
        Some(key) => Err(format!("has the key `{key}`, which does not exist")),
        None => Ok(()),
    }
}

/// The first key of `value` that `written` lacks.
fn unknown(value: &Json, written: &Json, at: String) -> Option<String> {
    match (value, written) {
        (Json::Object(fields), Json::Object(known)) => fields.iter().find_map(|(key, field)| {
            let place = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            match known.get(key) {
                Some(known) => unknown(field, known, place),
                None => (!field.is_null()).then_some(place),
            }
        }),
        (Json::Array(items), Json::Array(known)) => items
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(index, (item, known))| unknown(item, known, format!("{at}[{index}]"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Json) -> Map<String, Json> {
        value.as_object().cloned().expect("a mapping")
    }

    #[test]
    fn a_metric_is_read_as_kubernetes_would() {
        let good = map(json!({ "type": "Pods", "pods": { "metric": { "name": "requests" },
                               "target": { "type": "AverageValue", "averageValue": "100" } } }));
        assert_eq!(known_metric(&good), Ok(()));
        let wrong = |value: Json| known_metric(&map(value)).expect_err("not a metric");
        assert!(wrong(json!({ "type": "Pod" })).contains("`Pod`"));
        assert!(wrong(json!({ "type": "Pods", "pod": {} })).contains("`pods`"));
        let misspelt = json!({ "type": "Pods", "pods": { "metric": { "name": "requests", "selektor": {} },
                               "target": { "type": "AverageValue", "averageValue": "100" } } });
        assert!(wrong(misspelt).contains("pods.metric.selektor"));
    }

    #[test]
    fn a_behavior_knows_its_keys() {
        assert_eq!(known_behavior(&map(json!({ "scaleDown": { "stabilizationWindowSeconds": 60 } }))), Ok(()));
        assert!(known_behavior(&map(json!({ "scaledown": {} }))).is_err());
    }
}
