//! Which object has to wait for which other one of the same stack: a Deployment for its service account and what that
//! may do, an object for the definition of its kind, what a webhook guards for the webhook. Pure.
//!
//! An edge that would close a circle is left out: two webhooks may guard each other's Services, and the API server
//! then takes whichever comes first once the other answers.

mod guards;
mod references;
mod selector;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::spec::objects::ObjectId;
use crate::spec::objects::served;

/// For each of `manifests` the numbers of those that have to stand before it.
pub fn dependencies(manifests: &[Value]) -> Vec<BTreeSet<usize>> {
    let index = Index::new(manifests);
    let mut order = Order::new(manifests.len());
    for (at, manifest) in manifests.iter().enumerate() {
        for need in references::needs(manifest, &index) {
            order.wait(at, need);
        }
    }
    for (at, manifest) in manifests.iter().enumerate() {
        for guard in guards::guarding(manifest, &index) {
            order.wait(at, guard);
        }
    }
    order.needs
}

/// What waits for what, without circles.
struct Order {
    needs: Vec<BTreeSet<usize>>,
}

impl Order {
    fn new(length: usize) -> Self {
        Self { needs: vec![BTreeSet::new(); length] }
    }

    /// Makes `later` wait for `earlier`, unless `earlier` waits for `later` already.
    fn wait(&mut self, later: usize, earlier: usize) {
        if later != earlier && !self.reaches(earlier, later) {
            self.needs[later].insert(earlier);
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            if at == to {
                return true;
            }
            if seen.insert(at) {
                next.extend(&self.needs[at]);
            }
        }
        false
    }
}

/// The manifests by what they are.
struct Index<'a> {
    manifests: &'a [Value],
    /// By group and kind, namespace (empty without one) and name.
    by_name: BTreeMap<(String, String, String), usize>,
}

impl<'a> Index<'a> {
    fn new(manifests: &'a [Value]) -> Self {
        let mut by_name = BTreeMap::new();
        for (at, manifest) in manifests.iter().enumerate() {
            if let Some(id) = ObjectId::of(manifest) {
                by_name.insert((id.kind.group_kind(), id.namespace.unwrap_or_default(), id.name), at);
            }
        }
        Self { manifests, by_name }
    }

    fn find(&self, group_kind: &str, namespace: &str, name: &str) -> Option<usize> {
        self.by_name.get(&(group_kind.to_owned(), namespace.to_owned(), name.to_owned())).copied()
    }

    /// Every object of a kind.
    fn all(&self, kind: &str) -> impl Iterator<Item = (usize, &'a Value)> {
        let manifests = self.manifests.iter().enumerate();
        let kind = kind.to_owned();
        manifests.filter(move |(_, manifest)| text(manifest, "/kind") == kind)
    }

    /// The objects whose pods a Service leads to.
    fn behind_service(&self, namespace: &str, name: &str) -> Vec<usize> {
        let Some(service) = self.find("Service", namespace, name) else { return Vec::new() };
        let Some(wanted) = self.manifests[service].pointer("/spec/selector").and_then(Value::as_object) else {
            return vec![service];
        };
        let workloads = self.manifests.iter().enumerate().filter(|(_, manifest)| {
            let labels = pod_template(manifest).and_then(|template| template.pointer("/metadata/labels"));
            text(manifest, "/metadata/namespace") == namespace
                && !wanted.is_empty()
                && labels.is_some_and(|labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
        });
        workloads.map(|(at, _)| at).chain([service]).collect()
    }

    /// The name in paths of the kind of `manifest`.
    fn plural(&self, manifest: &Value) -> Option<String> {
        let kind = ObjectId::of(manifest)?.kind;
        if let Some(served) = served::built_in(&kind) {
            return Some(served.plural);
        }
        let definitions =
            self.all("CustomResourceDefinition").flat_map(|(_, definition)| served::defined_by(definition));
        definitions.into_iter().find(|(defined, _)| *defined == kind).map(|(_, served)| served.plural)
    }
}

/// The pod template of a workload; of a bare pod, the pod.
pub fn pod_template(manifest: &Value) -> Option<&Value> {
    match text(manifest, "/kind") {
        "Pod" => Some(manifest),
        "CronJob" => manifest.pointer("/spec/jobTemplate/spec/template"),
        "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            manifest.pointer("/spec/template")
        }
        _ => None,
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests;
