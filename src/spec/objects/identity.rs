//! Which object is meant: its kind, its namespace, its name, and the path under which the API server has it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::served::Served;

/// A kind of object in one version of its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKind {
    /// The group, such as `apps`; empty for the oldest kinds.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
}

impl ObjectKind {
    /// From a manifest's `apiVersion` and `kind`.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// `apps/v1`, or `v1` where there is no group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `Deployment.apps`: the kind without its version, as ApplySets list it.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// Where the API server has all objects of the kind: `/apis/apps/v1/deployments`, in one namespace or in all.
    pub fn path(&self, served: &Served, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let namespace = namespace.filter(|_| served.namespaced).map(|name| format!("/namespaces/{name}"));
        format!("{root}/{}{}/{}", self.api_version(), namespace.unwrap_or_default(), served.plural)
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace; none for what belongs to the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectId {
    /// The object that `manifest` describes; nothing where it lacks a kind or a name.
    pub fn of(manifest: &Value) -> Option<Self> {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Self {
            kind: ObjectKind::new(text("/apiVersion")?, text("/kind")?),
            namespace: text("/metadata/namespace").map(str::to_owned),
            name: text("/metadata/name")?.to_owned(),
        })
    }

    /// A text that stands for the object whatever version it is written in: `Deployment.apps/shop/backend`.
    pub fn key(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{namespace}/{}", self.kind.group_kind(), self.name),
            None => format!("{}/{}", self.kind.group_kind(), self.name),
        }
    }

    /// Where the API server has it.
    pub fn path(&self, served: &Served) -> String {
        format!("{}/{}", self.kind.path(served, self.namespace.as_deref()), self.name)
    }
}

/// `Deployment shop/backend`: for sentences.
impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{} {namespace}/{}", self.kind.kind, self.name),
            None => write!(formatter, "{} {}", self.kind.kind, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_has_one_path_and_one_key() {
        let manifest = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": "shop", "name": "backend" } });
        let id = ObjectId::of(&manifest).expect("an id");
        let served = Served { plural: "deployments".into(), namespaced: true };
        assert_eq!(id.path(&served), "/apis/apps/v1/namespaces/shop/deployments/backend");
        assert_eq!(id.key(), "Deployment.apps/shop/backend");
        assert_eq!(id.to_string(), "Deployment shop/backend");
    }

    #[test]
    fn an_object_of_the_cluster_has_no_namespace_in_its_path() {
        let id = ObjectId::of(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }));
        let served = Served { plural: "namespaces".into(), namespaced: false };
        assert_eq!(id.map(|id| id.path(&served)).as_deref(), Some("/api/v1/namespaces/shop"));
    }

    #[test]
    fn what_has_no_name_is_no_object() {
        assert_eq!(ObjectId::of(&json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "" } })), None);
        assert_eq!(ObjectId::of(&json!("text")), None);
    }
}
