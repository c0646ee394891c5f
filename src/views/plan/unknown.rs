//! A resource's body split into what is known now and what only apply will know, in the shape that
//! Terraform's plans have.

use serde_json::{Map, Value};

use crate::plan::is_unknown;
use crate::views::value::{HIDDEN, is_sensitive};

/// A value in three parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// What is known; a field that is not is left out, an item of a list is null.
    pub known: Value,
    /// `true` at every place that is known after apply.
    pub unknown: Value,
    /// `true` at every place that is kept back.
    pub sensitive: Value,
}

/// Splits `value`, which is called `key`.
pub fn split(key: &str, value: &Value) -> Split {
    match value {
        _ if is_sensitive(key, value) => {
            Split { known: HIDDEN.into(), unknown: Value::Bool(false), sensitive: Value::Bool(true) }
        }
        Value::Object(fields) if !fields.keys().any(|key| is_unknown(&Value::from(key.as_str()))) => {
            split_fields(fields)
        }
        Value::Array(items) => split_items(key, items),
        _ if is_unknown(value) => {
            Split { known: Value::Null, unknown: Value::Bool(true), sensitive: Value::Bool(false) }
        }
        _ => Split { known: value.clone(), unknown: Value::Bool(false), sensitive: Value::Bool(false) },
    }
}

fn split_fields(fields: &Map<String, Value>) -> Split {
    let (mut known, mut unknown, mut sensitive) = (Map::new(), Map::new(), Map::new());
    for (key, value) in fields {
        let parts = split(key, value);
        if parts.unknown != Value::Bool(true) {
            known.insert(key.clone(), parts.known);
        }
        keep(&mut unknown, key, parts.unknown);
        keep(&mut sensitive, key, parts.sensitive);
    }
    Split { known: known.into(), unknown: unknown.into(), sensitive: sensitive.into() }
}

fn split_items(key: &str, items: &[Value]) -> Split {
    let parts: Vec<Split> = items.iter().map(|item| split(key, item)).collect();
    let marks = |of: fn(&Split) -> &Value| {
        if parts.iter().any(|part| says_something(of(part))) {
            parts.iter().map(|part| of(part).clone()).collect()
        } else {
            Value::Bool(false)
        }
    };
    let (unknown, sensitive) = (marks(|part| &part.unknown), marks(|part| &part.sensitive));
    Split { known: parts.into_iter().map(|part| part.known).collect(), unknown, sensitive }
}

fn keep(marks: &mut Map<String, Value>, key: &str, mark: Value) {
    if says_something(&mark) {
        marks.insert(key.to_owned(), mark);
    }
}

fn says_something(mark: &Value) -> bool {
    match mark {
        Value::Object(fields) => !fields.is_empty(),
        mark => *mark != Value::Bool(false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_is_left_out_and_marked() {
        let body = json!({
            "cidr": "10.0.0.0/16",
            "vpc": "${output:network/vpc#id}",
            "subnets": ["subnet-1", "${output:network/subnet#id}"],
            "nested": { "plain": 1, "arn": "a:${output:x/y#arn}" },
            "trust": { "${output:cluster/cluster#issuer}:sub": "x" },
        });
        let parts = split("", &body);
        assert_eq!(
            parts.known,
            json!({ "cidr": "10.0.0.0/16", "subnets": ["subnet-1", null], "nested": { "plain": 1 } })
        );
        assert_eq!(
            parts.unknown,
            json!({ "vpc": true, "subnets": [false, true], "nested": { "arn": true }, "trust": true })
        );
        assert_eq!(parts.sensitive, json!({}));
    }

    #[test]
    fn what_is_kept_back_is_marked() {
        let parts = split("", &json!({ "user": "admin", "password": "hunter2" }));
        assert_eq!(parts.known, json!({ "user": "admin", "password": "(sensitive)" }));
        assert_eq!(parts.sensitive, json!({ "password": true }));
    }
}
