//! A file as a tree with positions: read from YAML; in a stack file, with environment variables put in.

mod build;
mod environment;
mod merge;
mod path;
mod scalar;
mod syntax;

use std::ops::Range;

pub(crate) use build::{parse, parse_documents};
pub(crate) use environment::substitute;
pub(crate) use path::{Path, Step};

/// A place in the text, in bytes.
pub(crate) type Span = Range<usize>;

/// A value of the document and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Where it stands. Of a list or a mapping: where it begins.
    pub(crate) span: Span,
    /// How a number, a boolean or nothing was written: `1.30` and not `1.3`.
    pub(crate) written: Option<String>,
    /// The environment variable that the whole value came from.
    pub(crate) variable: Option<String>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// What could not be read and is reported already.
    Unknown,
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn new(value: Value, span: Span) -> Self {
        Self { value, span, written: None, variable: None }
    }

    /// What it is, for a sentence such as "is a list".
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null | Value::Unknown => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping of keys to values",
        }
    }

    /// The entry with this key, if this is a mapping that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A scalar as it was written.
    pub(crate) fn as_written(&self) -> Option<&str> {
        self.written.as_deref().or(self.text())
    }

    /// The same without positions.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Unknown => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let pair = |entry: &Entry| (entry.key.clone(), entry.node.to_json());
                serde_json::Value::Object(entries.iter().map(pair).collect())
            }
        }
    }

    /// Where a place of the document stands: the value if it is a scalar, its key otherwise; and if there is no
    /// such place, the nearest one above it.
    pub(crate) fn locate(&self, path: &Path) -> Span {
        let mut node = self;
        let mut span = self.heading();
        for step in path.steps() {
            let (next, key_span) = match (&node.value, step) {
                (Value::Map(entries), Step::Key(key)) => match entries.iter().find(|entry| entry.key == *key) {
                    Some(entry) => (&entry.node, Some(entry.key_span.clone())),
                    None => return span,
                },
                (Value::List(items), Step::Index(index)) => match items.get(*index) {
                    Some(item) => (item, None),
                    None => return span,
                },
                _ => return span,
            };
            span = match (&next.value, key_span) {
                (Value::List(_) | Value::Map(_) | Value::Null, Some(key_span)) => key_span,
                _ => next.heading(),
            };
            node = next;
        }
        span
    }

    /// Where the key of a place stands; like [`Node::locate`] if it has none.
    pub(crate) fn locate_key(&self, path: &Path) -> Span {
        let key = path.steps().last().and_then(|step| match step {
            Step::Key(key) => self.find(&path.parent())?.entry(key),
            Step::Index(_) => None,
        });
        key.map_or_else(|| self.locate(path), |entry| entry.key_span.clone())
    }

    /// The value at a place.
    pub(crate) fn find(&self, path: &Path) -> Option<&Self> {
        path.steps().try_fold(self, |node, step| match (&node.value, step) {
            (Value::Map(_), Step::Key(key)) => node.entry(key).map(|entry| &entry.node),
            (Value::List(items), Step::Index(index)) => items.get(*index),
            _ => None,
        })
    }

    /// What to mark for this value: itself, or the first key of a mapping.
    fn heading(&self) -> Span {
        match &self.value {
            Value::Map(entries) if self.span.is_empty() => {
                entries.first().map_or_else(|| self.span.clone(), |entry| entry.key_span.clone())
            }
            Value::List(items) if self.span.is_empty() => {
                items.first().map_or_else(|| self.span.clone(), Self::heading)
            }
            _ => self.span.clone(),
        }
    }
}
