//! The set of objects that a stack has in a cluster, as an ApplySet (KEP-3659): a parent object says which kinds there
//! are, a label on each member says that it belongs. So a stack is found again with one request for each kind, and
//! nothing is ever deleted that does not carry the label.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::try_join_all;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::connection::Connection;
use crate::aws::CloudError;
use crate::plan::{RESOURCE, STACK};
use crate::spec::objects::{ObjectId, ObjectKind};

/// Where the parent objects are.
pub const NAMESPACE: &str = "kube-system";
/// What an ApplySet says of who keeps it.
const TOOLING: &str = "eksup/v0.1";
const ID: &str = "applyset.kubernetes.io/id";
/// The label of every member.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
const KEEPER: &str = "applyset.kubernetes.io/tooling";
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// The kinds with the versions in which the stack writes them: ApplySets leave the version open.
const KINDS: &str = "eksup.dev/kinds";

/// What a set consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The kinds of its members.
    pub kinds: BTreeSet<ObjectKind>,
    /// The namespaces of its members.
    pub namespaces: BTreeSet<String>,
}

impl Contents {
    /// What `manifests` need the set to know.
    pub fn of<'a>(manifests: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut contents = Self::default();
        for id in manifests.into_iter().filter_map(ObjectId::of) {
            contents.kinds.insert(id.kind);
            contents.namespaces.extend(id.namespace);
        }
        contents
    }

    /// Both together.
    pub fn with(&self, other: &Self) -> Self {
        Self {
            kinds: self.kinds.union(&other.kinds).cloned().collect(),
            namespaces: self.namespaces.union(&other.namespaces).cloned().collect(),
        }
    }
}

/// The parent object of the stack called `stack`.
pub fn parent_of(stack: &str) -> ObjectId {
    ObjectId {
        kind: ObjectKind::new("v1", "ConfigMap"),
        namespace: Some(NAMESPACE.to_owned()),
        name: format!("eksup-{stack}"),
    }
}

/// The id of the set whose parent is `parent`.
pub fn id_of(parent: &ObjectId) -> String {
    let namespace = parent.namespace.as_deref().unwrap_or_default();
    let text = format!("{}.{namespace}.{}.{}", parent.name, parent.kind.kind, parent.kind.group);
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes())))
}

/// The parent object as it is applied.
pub fn parent_manifest(stack: &str, contents: &Contents) -> Value {
    let parent = parent_of(stack);
    let group_kinds: BTreeSet<String> = contents.kinds.iter().map(ObjectKind::group_kind).collect();
    let kinds: Vec<String> =
        contents.kinds.iter().map(|kind| format!("{}/{}", kind.api_version(), kind.kind)).collect();
    let list = |items: Vec<String>| items.join(",");
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": parent.name,
            "namespace": NAMESPACE,
            "labels": { ID: id_of(&parent), STACK: stack },
            "annotations": {
                KEEPER: TOOLING,
                GROUP_KINDS: list(group_kinds.into_iter().collect()),
                NAMESPACES: list(contents.namespaces.iter().filter(|name| *name != NAMESPACE).cloned().collect()),
                KINDS: list(kinds),
            },
        },
    })
}

/// What a parent object says of its set; nothing where it is not the parent of the stack's set.
pub fn contents_of(parent: &Value, stack: &str) -> Option<Contents> {
    let label = |key: &str| parent.pointer("/metadata/labels")?.get(key)?.as_str();
    if label(ID) != Some(&id_of(&parent_of(stack))) || label(STACK) != Some(stack) {
        return None;
    }
    let listed = |key: &str| -> Vec<String> {
        let text = parent.pointer("/metadata/annotations").and_then(|notes| notes.get(key)?.as_str());
        text.unwrap_or_default().split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let kinds = listed(KINDS)
        .iter()
        .filter_map(|text| text.rsplit_once('/').map(|(version, kind)| ObjectKind::new(version, kind)))
        .collect();
    let namespaces = listed(NAMESPACES).into_iter().chain([NAMESPACE.to_owned()]).collect();
    Some(Contents { kinds, namespaces })
}

/// `manifest` with what says whose it is: the stack, its place in it, and its set.
pub fn marked(manifest: &Value, stack: &str, address: &str) -> Value {
    let mut manifest = manifest.clone();
    let set = id_of(&parent_of(stack));
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        let mut put = |field: &str, key: &str, value: &str| {
            let entries = metadata.entry(field).or_insert_with(|| json!({}));
            if let Some(entries) = entries.as_object_mut() {
                entries.insert(key.to_owned(), value.into());
            }
        };
        put("labels", STACK, stack);
        put("labels", PART_OF, &set);
        put("annotations", RESOURCE, address);
    }
    manifest
}

/// `manifest` without what [`marked`] has put in.
pub fn unmarked(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        for (field, keys) in [("labels", &[STACK, PART_OF][..]), ("annotations", &[RESOURCE][..])] {
            if let Some(entries) = metadata.get_mut(field).and_then(Value::as_object_mut) {
                keys.iter().for_each(|key| drop(entries.remove(*key)));
                if entries.is_empty() {
                    metadata.remove(field);
                }
            }
        }
    }
    manifest
}

/// The address of an object of the stack; nothing where it is not the stack's.
pub fn address_of<'a>(object: &'a Value, stack: &str) -> Option<&'a str> {
    let label = |key: &str| object.pointer("/metadata/labels")?.get(key)?.as_str();
    let ours = label(STACK) == Some(stack) && label(PART_OF) == Some(&id_of(&parent_of(stack)));
    ours.then(|| object.pointer("/metadata/annotations")?.get(RESOURCE)?.as_str())?
}

/// The parent of the stack's set, as it stands.
///
/// # Errors
/// The request failed.
pub async fn parent(connection: &Connection, stack: &str) -> Result<Option<Value>, CloudError> {
    super::objects::look(connection, &parent_of(stack)).await
}

/// Every member of the stack's set, of the kinds that `contents` names: one request for each.
///
/// # Errors
/// A request failed: half a look is no look.
pub async fn members(connection: &Connection, stack: &str, contents: &Contents) -> Result<Vec<Value>, CloudError> {
    let selector = format!("{PART_OF}={}", id_of(&parent_of(stack)));
    let of_kind = |kind: ObjectKind| {
        let selector = &selector;
        async move {
            let Some(served) = connection.served(&kind).await? else { return Ok(Vec::new()) };
            let action = format!("list {}", served.plural);
            let mut found = connection.list(&action, &kind.path(&served, None), selector).await?;
            for object in found.iter_mut().filter_map(Value::as_object_mut) {
                object.insert("apiVersion".to_owned(), kind.api_version().into());
                object.insert("kind".to_owned(), kind.kind.clone().into());
            }
            Ok::<_, CloudError>(found)
        }
    };
    let lists = try_join_all(contents.kinds.iter().cloned().map(of_kind)).await?;
    Ok(lists.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        Contents::of(&[
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a", "namespace": "shop" } }),
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }),
        ])
    }

    #[test]
    fn a_parent_says_what_its_set_consists_of() {
        let parent = parent_manifest("shop", &contents());
        assert_eq!(parent["metadata"]["annotations"][GROUP_KINDS], "Deployment.apps,Namespace");
        assert_eq!(parent["metadata"]["annotations"][NAMESPACES], "shop");
        let read = contents_of(&parent, "shop").expect("contents");
        assert_eq!(read.kinds, contents().kinds);
        assert!(read.namespaces.is_superset(&contents().namespaces));
    }

    #[test]
    fn the_id_of_a_set_is_what_the_proposal_says() {
        let id = id_of(&parent_of("shop"));
        let digest = Sha256::digest(b"eksup-shop.kube-system.ConfigMap.");
        assert_eq!(id, format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(digest)));
        assert!(id.len() <= 63, "it is the value of a label");
    }

    #[test]
    fn the_parent_of_another_set_is_not_ours() {
        let mut parent = parent_manifest("shop", &contents());
        assert_eq!(contents_of(&parent, "other"), None);
        parent["metadata"]["labels"][ID] = "applyset-x-v1".into();
        assert_eq!(contents_of(&parent, "shop"), None);
    }

    #[test]
    fn an_object_is_marked_and_known_again_by_its_marks() {
        let manifest = json!({ "kind": "Service", "metadata": { "name": "a", "labels": { "app": "a" } } });
        let marked = marked(&manifest, "shop", "workloads/service/a");
        assert_eq!(address_of(&marked, "shop"), Some("workloads/service/a"));
        assert_eq!(address_of(&marked, "other"), None);
        assert_eq!(address_of(&manifest, "shop"), None);
        assert_eq!(unmarked(&marked), manifest);
    }
}
