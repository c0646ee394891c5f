//! The published JSON Schema, and what it says about one value.

use std::sync::OnceLock;

use serde_json::Value as Json;

use super::formats;
use crate::spec::document::{Entry, Node, Span, Value};
use crate::spec::model::Stack;

/// The JSON Schema of the stack file, made from its types.
pub(crate) fn published() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = schemars::schema_for!(Stack).to_value();
        forbid_null(&mut schema);
        if let Json::Object(root) = &mut schema {
            root.insert("title".to_owned(), "eksup stack file".into());
        }
        schema
    })
}

/// Optional keys are left out, not set to nothing: takes `null` out of every alternative.
fn forbid_null(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Json::Array(branches)) = object.get_mut("anyOf") {
                branches.retain(|branch| branch.get("type") != Some(&Json::from("null")));
                if let [Json::Object(only)] = branches.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    for (key, value) in only {
                        object.entry(key).or_insert(value);
                    }
                }
            }
            // A default of nothing says no more than that the key may be left out.
            object.retain(|key, value| !(key == "default" && value.is_null()));
            object.values_mut().for_each(forbid_null);
        }
        Json::Array(items) => items.iter_mut().for_each(forbid_null),
        _ => {}
    }
}

/// The fewest and the most items or characters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths {
    pub(super) fewest: Option<usize>,
    pub(super) most: Option<usize>,
}

/// What the schema asks of a value.
#[derive(Debug)]
pub(super) enum Shape<'a> {
    Anything,
    Choice(Vec<&'a str>),
    Boolean,
    Integer {
        minimum: Option<i64>,
        maximum: Option<i64>,
    },
    Text {
        format: Option<&'a str>,
        lengths: Lengths,
    },
    List {
        items: &'a Json,
        lengths: Lengths,
    },
    /// A mapping whose keys are free.
    Texts(&'a Json),
    Object {
        properties: &'a serde_json::Map<String, Json>,
        required: Vec<&'a str>,
    },
    Either(Vec<&'a Json>),
}

impl<'a> Shape<'a> {
    /// What `schema`, a part of `root`, asks for.
    pub(super) fn of(root: &'a Json, schema: &'a Json) -> Self {
        let schema = resolve(root, schema);
        if let Some(choices) = choices(schema) {
            return Self::Choice(choices);
        }
        if let Some(Json::Array(branches)) = schema.get("anyOf") {
            return Self::Either(branches.iter().collect());
        }
        let number = |key: &str| schema.get(key).and_then(Json::as_i64);
        match schema.get("type").and_then(Json::as_str) {
            Some("boolean") => Self::Boolean,
            Some("integer") => Self::Integer { minimum: number("minimum"), maximum: number("maximum") },
            Some("string") => Self::Text {
                format: schema.get("format").and_then(Json::as_str),
                lengths: lengths(schema, "minLength", "maxLength"),
            },
            Some("array") => Self::List {
                items: schema.get("items").unwrap_or(&Json::Null),
                lengths: lengths(schema, "minItems", "maxItems"),
            },
            Some("object") => Self::object(schema),
            _ => Self::Anything,
        }
    }

    fn object(schema: &'a Json) -> Self {
        if let Some(Json::Object(properties)) = schema.get("properties") {
            let required = schema.get("required").and_then(Json::as_array);
            let required = required.into_iter().flatten().filter_map(Json::as_str).collect();
            return Self::Object { properties, required };
        }
        match schema.get("additionalProperties") {
            Some(values @ Json::Object(_)) => Self::Texts(values),
            Some(Json::Bool(true)) => Self::Texts(&Json::Bool(true)),
            _ => {
                // A mapping that has no keys at all, such as one whose keys are all yet to come.
                static NONE: OnceLock<serde_json::Map<String, Json>> = OnceLock::new();
                let properties = NONE.get_or_init(serde_json::Map::new);
                Self::Object { properties, required: Vec::new() }
            }
        }
    }

    /// Whether a value is of the kind that is asked for, whatever else is wrong with it.
    pub(super) fn fits(&self, node: &Node) -> bool {
        match self {
            Self::Anything | Self::Either(_) => true,
            Self::Boolean => matches!(node.value, Value::Bool(_)),
            Self::Integer { .. } => {
                let number = |text: &str| text.parse::<i64>().is_ok();
                matches!(node.value, Value::Number(_)) || (node.variable.is_some() && node.text().is_some_and(number))
            }
            Self::Choice(_) | Self::Text { .. } => matches!(node.value, Value::Text(_)),
            Self::List { .. } => matches!(node.value, Value::List(_)),
            Self::Texts(_) | Self::Object { .. } => matches!(node.value, Value::Map(_)),
        }
    }

    /// What is asked for, for a sentence such as "expected a list".
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Anything | Self::Either(_) => "a value",
            Self::Boolean => "`true` or `false`",
            Self::Integer { .. } => "a whole number",
            Self::Choice(_) | Self::Text { .. } => "text",
            Self::List { .. } => "a list",
            Self::Texts(_) | Self::Object { .. } => "a mapping of keys to values",
        }
    }
}

fn lengths(schema: &Json, fewest: &str, most: &str) -> Lengths {
    let number = |key: &str| schema.get(key).and_then(Json::as_u64).and_then(|number| usize::try_from(number).ok());
    Lengths { fewest: number(fewest), most: number(most) }
}

/// The schema that `$ref` names, if it is one.
pub(super) fn resolve<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let mut schema = schema;
    // Definitions may refer to definitions, though never in a circle.
    for _ in 0..8 {
        let name = schema.get("$ref").and_then(Json::as_str);
        match name.and_then(|name| root.pointer(name.trim_start_matches('#'))) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The words to choose from, if it is a choice.
fn choices(schema: &Json) -> Option<Vec<&str>> {
    if let Some(Json::Array(words)) = schema.get("enum") {
        return words.iter().map(Json::as_str).collect();
    }
    if let Some(word) = schema.get("const") {
        return word.as_str().map(|word| vec![word]);
    }
    let Some(Json::Array(branches)) = schema.get("oneOf") else {
        return None;
    };
    let words = branches.iter().map(choices);
    words.collect::<Option<Vec<_>>>().map(|words| words.into_iter().flatten().collect())
}

/// What the schema says a value is for.
pub(super) fn description<'a>(root: &'a Json, schema: &'a Json) -> Option<&'a str> {
    let own = schema.get("description").or_else(|| resolve(root, schema).get("description"));
    own.and_then(Json::as_str)
}

/// An example of a value that the schema allows.
pub(crate) fn example(root: &Json, schema: &Json, span: &Span) -> Node {
    let value = match Shape::of(root, schema) {
        Shape::Anything => Value::Map(Vec::new()),
        Shape::Boolean => Value::Bool(false),
        Shape::Choice(choices) => Value::Text(choices.first().copied().unwrap_or_default().to_owned()),
        Shape::Integer { minimum, .. } => Value::Number(minimum.unwrap_or(0).into()),
        Shape::Text { format, .. } => {
            let format = format.and_then(formats::find);
            Value::Text(format.map_or("example", |format| format.example).to_owned())
        }
        Shape::List { items, lengths } => {
            let item = || example(root, items, span);
            Value::List((0..lengths.fewest.unwrap_or(0)).map(|_| item()).collect())
        }
        Shape::Texts(_) => Value::Map(Vec::new()),
        Shape::Object { properties, required } => {
            let entry = |name: &str| Entry {
                key: name.to_owned(),
                key_span: span.clone(),
                node: example(root, &properties[name], span),
            };
            let known = required.into_iter().filter(|name| properties.contains_key(*name));
            Value::Map(known.map(entry).collect())
        }
        Shape::Either(branches) => {
            return branches
                .first()
                .map_or_else(|| Node::new(Value::Null, span.clone()), |branch| example(root, branch, span));
        }
    };
    Node::new(value, span.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `format` of a string in the schema.
    fn formats_in(schema: &Json, found: &mut Vec<String>) {
        match schema {
            Json::Object(object) => {
                if object.get("type") == Some(&"string".into())
                    && let Some(Json::String(format)) = object.get("format")
                {
                    found.push(format.clone());
                }
                object.values().for_each(|value| formats_in(value, found));
            }
            Json::Array(items) => items.iter().for_each(|item| formats_in(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_format_in_the_schema_is_checked() {
        let mut found = Vec::new();
        formats_in(published(), &mut found);
        assert!(found.len() > 20);
        for format in found {
            assert!(formats::find(&format).is_some(), "nobody checks the format `{format}`");
        }
    }

    #[test]
    fn the_schema_lets_no_key_be_null() {
        assert!(!published().to_string().contains("\"null\""));
    }

    #[test]
    fn the_example_of_a_whole_stack_is_one() {
        let node = example(published(), published(), &(0..0));
        let stack: Result<Stack, _> = serde_json::from_value(node.to_json());
        assert!(stack.is_ok(), "{stack:?}");
    }
}
