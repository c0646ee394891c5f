//! The webhooks that have a say in an object: it is applied once they answer.

use serde_json::{Value, json};

use super::selector::matches;
use super::{Index, items, pod_template};
use crate::spec::objects::ObjectId;

/// The webhook configurations of the stack that guard `manifest`, or the pods that come of it.
pub fn guarding(manifest: &Value, index: &Index<'_>) -> Vec<usize> {
    let Some(id) = ObjectId::of(manifest) else { return Vec::new() };
    let own = index.plural(manifest).map(|plural| Guarded {
        group: id.kind.group.clone(),
        plural,
        labels: manifest.pointer("/metadata/labels").cloned().unwrap_or_default(),
    });
    let pods = pod_template(manifest).filter(|_| id.kind.kind != "Pod").map(|template| Guarded {
        group: String::new(),
        plural: "pods".to_owned(),
        labels: template.pointer("/metadata/labels").cloned().unwrap_or_default(),
    });
    let guarded: Vec<Guarded> = own.into_iter().chain(pods).collect();
    let namespace = id.namespace.as_deref().map(|name| namespace_labels(name, index));
    let kinds = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
    let configurations = kinds.into_iter().flat_map(|kind| index.all(kind));
    let guarding = configurations.filter(|(_, configuration)| {
        items(configuration, "/webhooks")
            .any(|webhook| guarded.iter().any(|what| guards(webhook, what, namespace.as_ref())))
    });
    guarding.map(|(at, _)| at).collect()
}

/// What a webhook may have a say in.
struct Guarded {
    group: String,
    plural: String,
    labels: Value,
}

fn guards(webhook: &Value, what: &Guarded, namespace: Option<&Value>) -> bool {
    let named = items(webhook, "/rules").any(|rule| {
        lists(rule, "/operations", &["CREATE", "UPDATE"])
            && lists(rule, "/apiGroups", &[&what.group])
            && lists(rule, "/resources", &[&what.plural])
    });
    named
        && matches(webhook.get("objectSelector"), &what.labels)
        && namespace.is_none_or(|labels| matches(webhook.get("namespaceSelector"), labels))
}

fn lists(rule: &Value, pointer: &str, any_of: &[&str]) -> bool {
    items(rule, pointer).filter_map(Value::as_str).any(|item| item == "*" || item == "*/*" || any_of.contains(&item))
}

/// The labels of a namespace, as far as the stack says them, and the one that each has.
fn namespace_labels(name: &str, index: &Index<'_>) -> Value {
    let declared = index.find("Namespace", "", name).map(|at| &index.manifests[at]);
    let mut labels = declared.and_then(|namespace| namespace.pointer("/metadata/labels")).cloned().unwrap_or(json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
    labels
}
