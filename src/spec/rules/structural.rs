//! Whether a value has the shape that a CustomResourceDefinition asks for: what the API server would refuse, said
//! before anything is made. What does not fit is taken out, so that the rest can still be understood.

use serde_json::{Map, Value as Json};

use crate::spec::document::{Path, Step};
use crate::spec::problem::{any_of, list, nearest, quoted};

/// More unknown keys than this in one place are not those of a spec.
const MOST_KEYS: usize = 100;

/// One thing that does not fit.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// Where.
    pub(super) path: Path,
    /// Whether the key stands for it, and not its value.
    pub(super) at_key: bool,
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: String,
}

/// What does not fit in `value`, which stands at `path` and is `what`, such as "a NodePool"; and `value` without it.
pub(super) fn mend(schema: &Json, value: &mut Json, path: &Path, what: &str) -> Vec<Mismatch> {
    let mut walk = Walk { root: path, what, found: Vec::new() };
    walk.visit(schema, value, path);
    walk.found
}

struct Walk<'a> {
    root: &'a Path,
    what: &'a str,
    found: Vec<Mismatch>,
}

impl Walk<'_> {
    /// Whether the value at `path` can stay.
    fn visit(&mut self, schema: &Json, value: &mut Json, path: &Path) -> bool {
        if schema["x-kubernetes-int-or-string"] == true {
            return value.is_string() || value.is_number() || self.wrong(value, "text or a number", path);
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema, value, path),
            Some("array") => self.list(schema, value, path),
            Some("string") => self.text(schema, value, path),
            Some("integer") => value.is_i64() || value.is_u64() || self.wrong(value, "a whole number", path),
            Some("number") => value.is_number() || self.wrong(value, "a number", path),
            Some("boolean") => value.is_boolean() || self.wrong(value, "`true` or `false`", path),
            _ => true,
        }
    }

    fn object(&mut self, schema: &Json, value: &mut Json, path: &Path) -> bool {
        let Json::Object(fields) = value else { return self.wrong(value, "a mapping of keys to values", path) };
        let mut kept = Map::new();
        let mut unknown = 0;
        for (key, mut field) in std::mem::take(fields) {
            let at = path.key(key.as_str());
            match schema["properties"].get(&key).or_else(|| schema.get("additionalProperties")) {
                Some(Json::Bool(_)) => drop(kept.insert(key, field)),
                Some(schema) => {
                    if self.visit(schema, &mut field, &at) {
                        kept.insert(key, field);
                    }
                }
                None => {
                    unknown += 1;
                    if unknown <= MOST_KEYS {
                        self.unknown(schema, &key, at, path);
                    }
                }
            }
        }
        let whole = self.is_whole(schema, &kept, path);
        *value = Json::Object(kept);
        whole
    }

    fn unknown(&mut self, schema: &Json, key: &str, at: Path, path: &Path) {
        let known: Vec<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let help = match (nearest(key, known.iter().copied()), known.as_slice()) {
            (Some(likely), _) => format!("write `{likely}`"),
            (None, []) => "remove it".to_owned(),
            (None, known) => format!("remove it, or write {}", any_of(known)),
        };
        let holder = self.name_of(path);
        self.say(at, true, format!("{} is not a key of {holder}", quoted(key)), help);
    }

    /// The value at a place, for a sentence.
    fn name_of(&self, path: &Path) -> String {
        let key = path.last_key().map_or_else(|| "it".to_owned(), quoted);
        match path.steps().last() {
            _ if path == self.root => self.what.to_owned(),
            Some(Step::Index(_)) => format!("an item of {key}"),
            _ => key,
        }
    }

    /// Whether an object has every key that it needs. One that was there and did not fit has been said.
    fn is_whole(&mut self, schema: &Json, kept: &Map<String, Json>, path: &Path) -> bool {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
        let missing: Vec<&str> = required.filter(|key| !kept.contains_key(*key)).collect();
        let said = |key: &&str| self.found.iter().any(|found| path.key(*key).contains(&found.path));
        let unsaid: Vec<&str> = missing.iter().copied().filter(|key| !said(key)).collect();
        if !unsaid.is_empty() {
            let message = format!("{} lacks {}", self.name_of(path), list(&unsaid));
            self.say(path.clone(), true, message, format!("add {}", list(&unsaid)));
        }
        missing.is_empty()
    }

    fn list(&mut self, schema: &Json, value: &mut Json, path: &Path) -> bool {
        let Json::Array(items) = value else { return self.wrong(value, "a list", path) };
        let mut whole = true;
        for (at, item) in items.iter_mut().enumerate() {
            whole &= self.visit(&schema["items"], item, &path.index(at));
        }
        whole
    }

    fn text(&mut self, schema: &Json, value: &Json, path: &Path) -> bool {
        let Some(text) = value.as_str() else {
            return self.wrong(value, "text", path);
        };
        let Some(choices) = schema["enum"].as_array() else { return true };
        let choices: Vec<&str> = choices.iter().filter_map(Json::as_str).collect();
        if choices.contains(&text) {
            return true;
        }
        let help = match nearest(text, choices.iter().copied()) {
            Some(likely) => format!("write `{likely}`"),
            None => format!("write {}", any_of(&choices)),
        };
        let name = path.last_key().map_or_else(|| "it".to_owned(), quoted);
        self.say(path.clone(), false, format!("{name} cannot be {}", quoted(text)), help);
        false
    }

    /// Says that a value is of the wrong kind; it cannot stay.
    fn wrong(&mut self, value: &Json, wanted: &str, path: &Path) -> bool {
        let name = path.last_key().map_or_else(|| "it".to_owned(), quoted);
        let (message, help) = match value {
            Json::Null => {
                (format!("{name} has no value"), format!("write {wanted} after the colon, or remove the line"))
            }
            Json::Number(_) | Json::Bool(_) if wanted == "text" => {
                (format!("{} is not text", quoted(&value.to_string())), format!("write `\"{value}\"`"))
            }
            _ => (format!("{name} is not {wanted}"), format!("write {wanted}")),
        };
        self.say(path.clone(), value.is_object() || value.is_array() || value.is_null(), message, help);
        false
    }

    fn say(&mut self, path: Path, at_key: bool, message: String, help: String) {
        self.found.push(Mismatch { path, at_key, message, help });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Json {
        json!({ "type": "object", "required": ["name"], "properties": {
            "name": { "type": "string" },
            "colour": { "type": "string", "enum": ["Red", "Green"] },
            "size": { "type": "integer" },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "limits": { "type": "object", "additionalProperties": { "x-kubernetes-int-or-string": true } },
            "items": { "type": "array", "items": { "type": "object", "properties": { "a": { "type": "boolean" } } } },
        } })
    }

    fn said(mut value: Json) -> (Vec<String>, Json) {
        let found = mend(&schema(), &mut value, &Path::of("spec"), "a thing");
        (found.iter().map(|one| format!("{}: {}", one.path, one.message)).collect(), value)
    }

    #[test]
    fn what_fits_is_left_alone() {
        let value = json!({ "name": "a", "colour": "Red", "size": 3, "labels": { "x": "y" },
                            "limits": { "cpu": 10, "memory": "1Gi" }, "items": [{ "a": true }, {}] });
        assert_eq!(said(value.clone()), (Vec::new(), value));
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_taken_out() {
        let (said, left) =
            said(json!({ "name": "a", "colour": "red", "size": "3", "labels": { "x": 1 }, "limits": null,
                                        "items": [{ "b": 1 }], "nmae": "b" }));
        assert_eq!(
            said,
            [
                "spec.colour: `colour` cannot be `red`",
                "spec.items[0].b: `b` is not a key of an item of `items`",
                "spec.labels.x: `1` is not text",
                "spec.limits: `limits` has no value",
                "spec.nmae: `nmae` is not a key of a thing",
                "spec.size: `size` is not a whole number",
            ]
        );
        assert_eq!(left, json!({ "name": "a", "items": [{}], "labels": {} }));
    }

    #[test]
    fn what_is_needed_and_missing_is_said_once() {
        assert_eq!(said(json!({})).0, ["spec: a thing lacks `name`"]);
        assert_eq!(said(json!({ "name": 3 })).0, ["spec.name: `3` is not text"]);
    }
}
