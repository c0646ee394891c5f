//! Kubernetes objects as YAML, read from our templates and written for people.

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The keys that people look for first, in their order; the others follow by name.
const FIRST: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "image",
    "args",
    "env",
    "type",
    "labels",
    "annotations",
    "spec",
    "roleRef",
];

/// The objects of a template of ours.
///
/// # Panics
/// When the template is not YAML. Nothing that a user writes decides that: values are written into templates as JSON,
/// and the tests render every template.
pub(super) fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("embedded templates are rendered in the tests")
}

/// An object as YAML, with its keys in the order in which people write them.
pub fn write(object: &Value) -> String {
    // Long lines stay whole: a reader may want to search for what is in them.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: 100_000 };
    // Maps of texts to plain values can always be written; what cannot would still be JSON, which is YAML too.
    serde_saphyr::to_string_with_options(&Ordered(object), options).unwrap_or_else(|_| format!("{object:#}\n"))
}

/// A value whose maps are written in the order of `FIRST`.
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut entries: Vec<_> = fields.iter().collect();
                let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
                entries.sort_by_key(|(key, _)| (rank(key), *key));
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Ordered(item))?;
                }
                list.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_begins_with_what_it_is_and_reads_back_the_same() {
        let object = json!({
            "spec": { "text": "yes", "number": "1.0", "lines": "a\nb\n", "empty": {}, "none": [], "long": "x ".repeat(90),
                      "placeholder": "${output:a/b#c}", "list": [{ "b": 1, "name": "n" }, "on", ": ", "- x", "#"] },
            "metadata": { "labels": { "a": "true" }, "name": "x", "namespace": "web" },
            "kind": "Thing",
            "apiVersion": "v1",
        });
        let text = write(&object);
        assert!(text.starts_with("apiVersion: v1\nkind: Thing\nmetadata:\n  name: x\n  namespace: web\n"), "{text}");
        assert_eq!(documents(&text), [object]);
    }
}
