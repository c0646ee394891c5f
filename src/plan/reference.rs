//! Typed references from one resource to another's output. They are the dependency graph.
//!
//! In a resource's body a reference is the text `${output:ADDRESS#NAME}`, alone or inside a longer
//! text (a policy document, user data). One scanner finds them, one resolver fills them in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::Address;

const OPEN: &str = "${output:";
const CLOSE: char = '}';

/// A value that is known now, or that another resource will have once it exists.
///
/// `T` says what the value is (`VpcId`, `RoleArn`), so that a subnet cannot be handed a role.
pub struct Reference<T> {
    text: String,
    of: PhantomData<fn() -> T>,
}

impl<T> Reference<T> {
    /// A value that is known already.
    pub fn known(text: impl Into<String>) -> Self {
        Self { text: text.into(), of: PhantomData }
    }

    /// Output `name` of the resource at `address`.
    pub fn output(address: &Address, name: &str) -> Self {
        Self::known(format!("{OPEN}{address}#{name}{CLOSE}"))
    }

    /// The value, or its placeholder while it is not known.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<T> Clone for Reference<T> {
    fn clone(&self) -> Self {
        Self::known(self.text.clone())
    }
}

impl<T> fmt::Debug for Reference<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

impl<T> fmt::Display for Reference<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<T> PartialEq for Reference<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Reference<T> {}

impl<T> PartialOrd for Reference<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Reference<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl<T> Serialize for Reference<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, T> Deserialize<'de> for Reference<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::known)
    }
}

/// One `${output:…}` inside a body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placeholder {
    /// The resource that has the output.
    pub address: Address,
    /// The output's name.
    pub output: String,
}

/// Every placeholder in `value`, however deep, each once.
pub fn placeholders(value: &Value) -> BTreeSet<Placeholder> {
    let mut found = BTreeSet::new();
    visit_strings(value, &mut |text| {
        for piece in pieces(text) {
            if let Piece::Output(placeholder) = piece {
                found.insert(placeholder);
            }
        }
    });
    found
}

/// The outputs of every resource that has some, by address.
pub type Outputs = BTreeMap<Address, Map<String, Value>>;

/// `value` with every placeholder filled in that `outputs` knows; the others stay as they are.
pub fn resolve(value: &Value, outputs: &Outputs) -> Value {
    match value {
        Value::String(text) => Value::String(resolve_text(text, outputs)),
        Value::Array(items) => items.iter().map(|item| resolve(item, outputs)).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(key, item)| (resolve_text(key, outputs), resolve(item, outputs))).collect(),
        ),
        other => other.clone(),
    }
}

/// Whether `value` still has a placeholder in it, so that it is known only after apply.
pub fn is_unknown(value: &Value) -> bool {
    !placeholders(value).is_empty()
}

fn resolve_text(text: &str, outputs: &Outputs) -> String {
    pieces(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Literal(literal) => literal.to_owned(),
            Piece::Output(placeholder) => output_text(&placeholder, outputs)
                .unwrap_or_else(|| format!("{OPEN}{}#{}{CLOSE}", placeholder.address, placeholder.output)),
        })
        .collect()
}

fn output_text(placeholder: &Placeholder, outputs: &Outputs) -> Option<String> {
    match outputs.get(&placeholder.address)?.get(&placeholder.output)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

enum Piece<'a> {
    Literal(&'a str),
    Output(Placeholder),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        let inner = &rest[start + OPEN.len()..];
        let parsed = inner.split_once(CLOSE).and_then(|(body, after)| {
            let (address, output) = body.split_once('#')?;
            Some((Placeholder { address: Address::new(address), output: output.to_owned() }, after))
        });
        let Some((placeholder, after)) = parsed else { break };
        if start > 0 {
            pieces.push(Piece::Literal(&rest[..start]));
        }
        pieces.push(Piece::Output(placeholder));
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    pieces
}

/// Calls `visitor` with every string in `value`, keys of objects included.
pub fn visit_strings(value: &Value, visitor: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visitor(text),
        Value::Array(items) => items.iter().for_each(|item| visit_strings(item, visitor)),
        Value::Object(fields) => fields.iter().for_each(|(key, item)| {
            visitor(key);
            visit_strings(item, visitor);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outputs() -> Outputs {
        let vpc = json!({ "id": "vpc-1" });
        BTreeMap::from([(Address::from("network/vpc"), vpc.as_object().cloned().unwrap_or_default())])
    }

    #[test]
    fn a_placeholder_inside_a_text_is_found_and_filled_in() {
        let body = json!({ "policy": "arn:${output:network/vpc#id}/*", "plain": "${aws:username}" });
        assert_eq!(placeholders(&body).len(), 1);
        assert_eq!(resolve(&body, &outputs()), json!({ "policy": "arn:vpc-1/*", "plain": "${aws:username}" }));
    }

    #[test]
    fn a_key_of_an_object_is_filled_in_too() {
        let body = json!({ "${output:network/vpc#id}:sub": 1 });
        assert_eq!(resolve(&body, &outputs()), json!({ "vpc-1:sub": 1 }));
    }

    #[test]
    fn an_output_that_is_not_known_stays_a_placeholder() {
        let body = json!("${output:network/subnet#id}");
        assert!(is_unknown(&resolve(&body, &outputs())));
    }

    #[test]
    fn text_that_only_looks_like_a_placeholder_stays_text() {
        for text in ["${output:", "${output:x}", "${output:}", "$", ""] {
            assert_eq!(resolve(&json!(text), &outputs()), json!(text));
        }
    }
}
