//! What differs between an object as it stands and as it would be: field by field, with paths that a person can read.
//! Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::plan::FieldChange;

/// What stands in the place of a value that must not be shown. Two different values get different marks.
const HIDDEN: &str = "(sensitive)";
const HIDDEN_OTHER: &str = "(sensitive, another value)";

/// What the API server writes into every object, and what controllers report: no wish of anybody.
const BOOKKEEPING: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The keys by which Kubernetes tells the items of its lists apart, the likeliest first.
const ITEM_KEYS: &[&str] = &[
    "name",
    "mountPath",
    "devicePath",
    "containerPort",
    "port",
    "topologyKey",
    "type",
    "key",
    "ip",
    "host",
    "path",
    "uid",
    "resource",
    "uri",
];

/// The object without what nobody wishes: bookkeeping of the API server, the status, kubectl's copy of the manifest.
pub fn cleaned(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.retain(|key, _| !BOOKKEEPING.contains(&key.as_str()));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

/// The fields in which `after` differs from `before`, two objects as the API server shows them. Values of secrets
/// are hidden.
pub fn changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let (before, after) = (cleaned(before), cleaned(after));
    let secrets = (masked(&before), masked(&after));
    let mut found = Vec::new();
    compare("", &before, &after, &mut found);
    if secrets == (before, after) {
        return found;
    }
    let mut shown = Vec::new();
    compare("", &secrets.0, &secrets.1, &mut shown);
    with_hidden_ones(found, shown)
}

/// Fields that differ only in what is hidden are said to differ all the same.
fn with_hidden_ones(found: Vec<FieldChange>, mut shown: Vec<FieldChange>) -> Vec<FieldChange> {
    let said: BTreeSet<String> = shown.iter().map(|change| change.field.clone()).collect();
    for change in found.into_iter().filter(|change| !said.contains(&change.field)) {
        shown.push(FieldChange { before: HIDDEN.into(), after: HIDDEN_OTHER.into(), ..change });
    }
    shown.sort_by(|one, other| one.field.cmp(&other.field));
    shown
}

/// An object in which no value of a secret is left.
pub fn masked(object: &Value) -> Value {
    let mut object = object.clone();
    if object.get("kind").and_then(Value::as_str) == Some("Secret") {
        for field in ["data", "stringData"] {
            if let Some(Value::Object(entries)) = object.get_mut(field) {
                entries.values_mut().for_each(|value| *value = HIDDEN.into());
            }
        }
    }
    mask_environment(&mut object);
    object
}

/// Hides the values of environment variables whose name speaks of a secret.
fn mask_environment(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask_environment),
        Value::Object(fields) => {
            let secret = fields.get("name").and_then(Value::as_str).is_some_and(speaks_of_secrets);
            if let Some(held) = fields.get_mut("value").filter(|held| secret && held.is_string()) {
                *held = HIDDEN.into();
            }
            fields.values_mut().for_each(mask_environment);
        }
        _ => {}
    }
}

fn speaks_of_secrets(name: &str) -> bool {
    const WORDS: &[&str] =
        &["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY", "API_KEY", "PRIVATE_KEY"];
    let name = name.to_uppercase();
    let only_names_it = ["_NAME", "_ARN", "_ID", "_FILE", "_PATH", "_URL"].iter().any(|end| name.ends_with(end));
    !only_names_it && WORDS.iter().any(|word| name.contains(word))
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<FieldChange>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => compare_fields(path, before, after, found),
        (Value::Array(before), Value::Array(after)) => compare_items(path, before, after, found),
        _ => found.push(FieldChange {
            field: path.to_owned(),
            before: before.clone(),
            after: after.clone(),
            forces_replacement: false,
        }),
    }
}

fn compare_fields(path: &str, before: &Map<String, Value>, after: &Map<String, Value>, found: &mut Vec<FieldChange>) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let side = |fields: &Map<String, Value>| fields.get(key).cloned().unwrap_or(Value::Null);
        compare(&inside(path, key), &side(before), &side(after), found);
    }
}

fn compare_items(path: &str, before: &[Value], after: &[Value], found: &mut Vec<FieldChange>) {
    if let Some(key) = key_of(before, after) {
        let names: BTreeSet<String> = before.iter().chain(after).map(|item| label(item, key)).collect();
        let at = found.len();
        for name in names {
            let side =
                |items: &[Value]| items.iter().find(|item| label(item, key) == name).cloned().unwrap_or_default();
            compare(&format!("{path}[{name}]"), &side(before), &side(after), found);
        }
        if found.len() > at {
            return;
        }
    } else if before.len() == after.len() && before.iter().chain(after).all(Value::is_object) {
        for (at, (before, after)) in before.iter().zip(after).enumerate() {
            compare(&format!("{path}[{at}]"), before, after, found);
        }
        return;
    }
    found.push(FieldChange {
        field: path.to_owned(),
        before: before.into(),
        after: after.into(),
        forces_replacement: false,
    });
}

/// The key that every item of both lists has, and each with another value.
fn key_of(before: &[Value], after: &[Value]) -> Option<&'static str> {
    if before.is_empty() && after.is_empty() {
        return None;
    }
    let is_scalar = |value: &Value| value.is_string() || value.is_number();
    let tells_apart = |items: &[Value], key: &str| {
        let values: BTreeSet<String> = items.iter().map(|item| label(item, key)).collect();
        values.len() == items.len() && items.iter().all(|item| item.get(key).is_some_and(is_scalar))
    };
    ITEM_KEYS.iter().copied().find(|key| tells_apart(before, key) && tells_apart(after, key))
}

fn label(item: &Value, key: &str) -> String {
    match item.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn inside(path: &str, key: &str) -> String {
    let plain = key.chars().all(|character| character.is_ascii_alphanumeric() || character == '_' || character == '-');
    match (path.is_empty(), plain) {
        (true, _) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (false, false) => format!("{path}[{key}]"),
    }
}

/// The fields in which `standing` is not as `wish` says; what `wish` does not name may be anything. Values of secrets
/// are hidden.
pub fn unlike(standing: &Value, wish: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    contrast("", &masked(standing), &masked(wish), &mut found);
    found
}

fn contrast(path: &str, standing: &Value, wish: &Value, found: &mut Vec<FieldChange>) {
    if holds(standing, wish) {
        return;
    }
    match (standing, wish) {
        (Value::Object(standing), Value::Object(wish)) => {
            for (key, wish) in wish {
                contrast(&inside(path, key), standing.get(key).unwrap_or(&Value::Null), wish, found);
            }
        }
        (Value::Array(standing), Value::Array(wish)) if key_of(standing, wish).is_some() => {
            let key = key_of(standing, wish).unwrap_or_default();
            for wish in wish {
                let name = label(wish, key);
                let item = standing.iter().find(|item| label(item, key) == name).unwrap_or(&Value::Null);
                contrast(&format!("{path}[{name}]"), item, wish, found);
            }
        }
        _ => compare(path, standing, wish, found),
    }
}

/// Whether everything that `wish` says is so in `standing`; what `wish` does not name may be anything. Items of lists
/// are found by the key that tells them apart.
pub fn holds(standing: &Value, wish: &Value) -> bool {
    match (standing, wish) {
        (Value::Object(standing), Value::Object(wish)) => wish.iter().all(|(key, wish)| match standing.get(key) {
            Some(standing) => holds(standing, wish),
            None => wish.is_null() || wish.as_object().is_some_and(Map::is_empty),
        }),
        (Value::Array(standing), Value::Array(wish)) => match key_of(standing, wish) {
            Some(key) => wish.iter().all(|wish| {
                standing.iter().any(|standing| label(standing, key) == label(wish, key) && holds(standing, wish))
            }),
            None => {
                standing.len() == wish.len() && standing.iter().zip(wish).all(|(standing, wish)| holds(standing, wish))
            }
        },
        (standing, wish) => standing == wish,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn deployment(image: &str, replicas: u32) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "backend", "resourceVersion": image, "generation": replicas,
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": image } },
            "spec": { "replicas": replicas, "template": { "spec": { "containers": [
                { "name": "sidecar", "image": "envoy" },
                { "name": "app", "image": image, "ports": [{ "containerPort": 80 }] },
            ] } } },
            "status": { "replicas": replicas },
        })
    }

    fn lines(before: &Value, after: &Value) -> Vec<String> {
        let line = |change: FieldChange| format!("{}: {} → {}", change.field, change.before, change.after);
        changes(before, after).into_iter().map(line).collect()
    }

    #[test]
    fn a_changed_image_is_named_by_its_container() {
        assert_eq!(
            lines(&deployment("a:1", 2), &deployment("a:2", 2)),
            [r#"spec.template.spec.containers[app].image: "a:1" → "a:2""#]
        );
    }

    #[test]
    fn what_the_api_server_and_controllers_write_is_no_difference() {
        let mut later = deployment("a:1", 2);
        later["metadata"]["uid"] = json!("x");
        later["metadata"]["managedFields"] = json!([{}]);
        later["status"] = json!({ "readyReplicas": 2 });
        assert!(lines(&deployment("a:1", 2), &later).is_empty());
    }

    #[test]
    fn an_item_that_comes_or_goes_is_shown_as_a_whole() {
        let before = json!({ "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] });
        let after = json!({ "env": [{ "name": "B", "value": "2" }, { "name": "C", "value": "3" }] });
        assert_eq!(
            lines(&before, &after),
            [r#"env[A]: {"name":"A","value":"1"} → null"#, r#"env[C]: null → {"name":"C","value":"3"}"#,]
        );
    }

    #[test]
    fn keys_with_dots_stand_in_brackets() {
        let before = json!({ "metadata": { "labels": { "app.kubernetes.io/name": "a" } } });
        let after = json!({ "metadata": { "labels": { "app.kubernetes.io/name": "b" } } });
        assert_eq!(lines(&before, &after), [r#"metadata.labels[app.kubernetes.io/name]: "a" → "b""#]);
    }

    #[test]
    fn items_without_a_name_are_told_by_their_place() {
        let before = json!({ "rules": [{ "verbs": ["get"] }, { "verbs": ["list"] }] });
        let after = json!({ "rules": [{ "verbs": ["get"] }, { "verbs": ["list", "watch"] }] });
        assert_eq!(lines(&before, &after), [r#"rules[1].verbs: ["list"] → ["list","watch"]"#]);
    }

    #[test]
    fn the_values_of_a_secret_are_never_shown() {
        let secret = |value: &str| json!({ "kind": "Secret", "data": { "password": value }, "type": "Opaque" });
        let lines = lines(&secret("aHVudGVyMg=="), &secret("b3RoZXI="));
        assert_eq!(lines, [r#"data.password: "(sensitive)" → "(sensitive, another value)""#]);
        assert!(!masked(&secret("aHVudGVyMg==")).to_string().contains("aHVu"));
    }

    #[test]
    fn a_password_in_an_environment_variable_is_not_shown() {
        let pod = |value: &str| json!({ "env": [{ "name": "DB_PASSWORD", "value": value }, { "name": "SECRET_NAME", "value": "x" }] });
        let text = lines(&pod("hunter2"), &pod("hunter3")).join("\n");
        assert!(text.contains("env[DB_PASSWORD].value") && !text.contains("hunter"), "{text}");
        assert!(masked(&pod("x"))["env"][1]["value"] == "x", "a name of a secret is none");
    }

    #[test]
    fn a_wish_holds_where_more_stands_than_it_names() {
        let wish = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "a:1" }] } } } });
        assert!(holds(&deployment("a:1", 3), &wish));
        assert!(!holds(&deployment("a:2", 3), &wish));
    }

    #[test]
    fn only_what_the_wish_names_is_unlike() {
        let wish = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "a:2" }] } } } });
        let found: Vec<String> = unlike(&deployment("a:1", 3), &wish).into_iter().map(|change| change.field).collect();
        assert_eq!(found, ["spec.template.spec.containers[app].image"]);
        assert!(unlike(&deployment("a:2", 3), &wish).is_empty());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof![Just("name".to_owned()), Just("port".to_owned()), "[a-c]{1,2}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Without keys that are null: to the API server they are not there.
    fn without_nulls(value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect::<Map<_, _>>()
                .into(),
            Value::Array(items) => items.iter().map(without_nulls).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn something_is_said_exactly_where_something_differs(before in any_value(), after in any_value()) {
            let (before, after) = (json!({ "spec": before }), json!({ "spec": after }));
            let differs = without_nulls(&before) != without_nulls(&after);
            prop_assert_eq!(!changes(&without_nulls(&before), &without_nulls(&after)).is_empty(), differs);
        }

        #[test]
        fn every_wish_holds_in_itself(value in any_value()) {
            prop_assert!(holds(&value, &value));
        }
    }
}
