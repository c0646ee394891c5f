//! The part of an object that one field manager has applied: what a stack says about it, and nothing that others or
//! defaults have added. Pure.

use serde_json::{Map, Value};

/// The part of `object` that `manager` has applied; nothing where it has applied none of it.
///
/// The API server keeps the record: a tree in which `f:NAME` is a field, `k:{…}` an item of a list by its keys,
/// `v:VALUE` an item of a set, and `.` the thing itself.
pub fn applied_by(object: &Value, manager: &str) -> Option<Value> {
    let records = object.pointer("/metadata/managedFields")?.as_array()?;
    let record = records.iter().find(|record| {
        let is = |key: &str, text: &str| record.get(key).and_then(Value::as_str) == Some(text);
        let whole = record.get("subresource").and_then(Value::as_str).is_none_or(str::is_empty);
        is("manager", manager) && is("operation", "Apply") && whole
    })?;
    let mut part = picked(object, record.get("fieldsV1")?);
    let Some(fields) = part.as_object_mut() else { return Some(part) };
    for key in ["apiVersion", "kind"] {
        fields.extend(object.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        for key in ["name", "namespace"] {
            let value = object.pointer(&format!("/metadata/{key}"));
            metadata.extend(value.map(|value| (key.to_owned(), value.clone())));
        }
    }
    Some(part)
}

fn picked(value: &Value, record: &Value) -> Value {
    let Some(record) = record.as_object().filter(|record| record.keys().any(|key| key != ".")) else {
        return value.clone();
    };
    match value {
        Value::Object(fields) => {
            let kept = record.iter().filter_map(|(key, inner)| {
                let name = key.strip_prefix("f:")?;
                Some((name.to_owned(), picked(fields.get(name)?, inner)))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => {
            let kept = items.iter().enumerate().filter_map(|(at, item)| {
                let inner = record.iter().find(|(key, _)| stands_for(key, at, item))?.1;
                Some(picked(item, inner))
            });
            kept.collect()
        }
        other => other.clone(),
    }
}

/// Whether `key` of a record means `item`, the one at `at`.
fn stands_for(key: &str, at: usize, item: &Value) -> bool {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    match key.split_once(':') {
        Some(("k", keys)) => parsed(keys)
            .as_ref()
            .and_then(Value::as_object)
            .is_some_and(|keys| keys.iter().all(|(key, value)| item.get(key).is_some_and(|held| held == value))),
        Some(("v", value)) => parsed(value).as_ref() == Some(item),
        Some(("i", index)) => index.parse() == Ok(at),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "backend", "namespace": "shop", "labels": { "app": "a", "other": "b" }, "uid": "u",
                "finalizers": ["a/b", "c/d"],
                "managedFields": [
                    { "manager": "eksup", "operation": "Apply", "subresource": "status", "fieldsV1": { "f:status": {} } },
                    { "manager": "eksup", "operation": "Apply", "fieldsV1": {
                        "f:metadata": { "f:labels": { "f:app": {} }, "f:finalizers": { "v:\"a/b\"": {} } },
                        "f:spec": { "f:selector": {}, "f:template": { "f:spec": { "f:containers": {
                            "k:{\"name\":\"app\"}": { ".": {}, "f:name": {}, "f:image": {} },
                        } } } },
                    } },
                    { "manager": "hpa", "operation": "Update", "fieldsV1": { "f:spec": { "f:replicas": {} } } },
                ],
            },
            "spec": {
                "replicas": 7, "selector": { "matchLabels": { "app": "a" } },
                "template": { "spec": { "containers": [
                    { "name": "injected", "image": "x" },
                    { "name": "app", "image": "a:1", "imagePullPolicy": "Always" },
                ], "dnsPolicy": "ClusterFirst" } },
            },
        })
    }

    #[test]
    fn only_what_the_manager_applied_is_its_part() {
        let part = applied_by(&deployment(), "eksup").expect("a part");
        assert_eq!(
            part,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "name": "backend", "namespace": "shop", "labels": { "app": "a" }, "finalizers": ["a/b"] },
                "spec": {
                    "selector": { "matchLabels": { "app": "a" } },
                    "template": { "spec": { "containers": [{ "name": "app", "image": "a:1" }] } },
                },
            })
        );
    }

    #[test]
    fn who_has_applied_nothing_has_no_part() {
        assert_eq!(applied_by(&deployment(), "kubectl"), None);
        assert_eq!(applied_by(&deployment(), "hpa"), None, "an update is no apply");
    }
}
