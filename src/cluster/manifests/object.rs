//! One document: which object it is, and what is wrong with it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use crate::cluster::identity::{ObjectId, ObjectKind};
use crate::cluster::served::{self, Served};
use crate::spec::document::{self, Node, Path};
use crate::spec::problem::{Problem, nearest, quoted};

/// Where an object goes that does not say where.
const DEFAULT_NAMESPACE: &str = "default";

/// What only an API server writes; exported objects carry it along.
const NOT_OURS: &[&str] = &["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];

/// An object that a document asks for.
pub struct Understood {
    pub id: ObjectId,
    pub value: Value,
}

/// The object in `node`.
///
/// # Errors
/// Everything that keeps it from being one.
pub fn understand(node: &Node, definitions: &BTreeMap<ObjectKind, Served>) -> Result<Understood, Vec<Problem>> {
    let document::Value::Map(_) = node.value else {
        let message = format!("the document is {}, not a Kubernetes object", node.kind());
        return Err(vec![Problem::error(heading(node), message, "begin it with `apiVersion:` and `kind:`")]);
    };
    let mut problems = Vec::new();
    let api_version = required(node, "apiVersion", "such as `apps/v1`", &mut problems);
    let kind = required(node, "kind", "such as `Deployment`", &mut problems);
    let name = name(node, &mut problems);
    let (Some(api_version), Some(kind), Some(name)) = (api_version, kind, name) else { return Err(problems) };
    let kind = ObjectKind::new(&api_version, &kind);
    if let Some(problem) = wrong_kind(node, &kind) {
        problems.push(problem);
    }
    let known = served::built_in(&kind).or_else(|| definitions.get(&kind).cloned());
    let namespace = namespace(node, &kind, known.as_ref(), &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let id = ObjectId { kind, namespace, name };
    let value = applied(node, &id);
    Ok(Understood { id, value })
}

/// What to mark for a document.
pub fn heading(node: &Node) -> Range<usize> {
    node.entry("kind").map_or_else(|| node.locate(&Path::root()), |entry| entry.key_span.clone())
}

/// The objects of a `List`; of anything else, itself.
pub fn items_of_list(node: Node) -> Vec<Node> {
    let is_list = node.entry("kind").is_some_and(|kind| kind.node.text() == Some("List"));
    match node.entry("items").map(|entry| &entry.node.value) {
        Some(document::Value::List(items)) if is_list => items.clone(),
        _ => vec![node],
    }
}

fn required(node: &Node, key: &str, such_as: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let problem = match node.entry(key) {
        None => Problem::error(heading(node), format!("the object has no `{key}`"), format!("add `{key}:`, {such_as}")),
        Some(entry) => match entry.node.text() {
            Some("") | None => Problem::error(
                entry.key_span.clone(),
                format!("`{key}` is {}", if entry.node.text().is_some() { "empty" } else { entry.node.kind() }),
                format!("write a name, {such_as}"),
            ),
            Some(text) => return Some(text.to_owned()),
        },
    };
    problems.push(problem.at(key));
    None
}

fn name(node: &Node, problems: &mut Vec<Problem>) -> Option<String> {
    let metadata = node.entry("metadata").map(|entry| &entry.node);
    let Some(entry) = metadata.and_then(|metadata| metadata.entry("name")) else {
        let generated = metadata.and_then(|metadata| metadata.entry("generateName"));
        let problem = match generated {
            Some(entry) => Problem::error(
                entry.key_span.clone(),
                "`generateName` would make another object at every apply",
                "write `metadata.name`",
            ),
            None => Problem::error(heading(node), "the object has no name", "add `metadata: { name: … }`"),
        };
        problems.push(problem.at("metadata.name"));
        return None;
    };
    // A name such as `1` is text to Kubernetes, as it is to kubectl only in quotes.
    let fits = |text: &str| !text.is_empty() && text.len() <= 253 && !text.contains(['/', '%', ' ', '$', '{']);
    match entry.node.text() {
        Some(text) if fits(text) => Some(text.to_owned()),
        Some(text) => {
            let help = "write lower-case letters, digits, dashes and dots; a name has to be known before apply";
            problems.push(
                Problem::error(entry.node.span.clone(), format!("{} cannot be a name", quoted(text)), help)
                    .at("metadata.name"),
            );
            None
        }
        None => {
            let message = format!("the name is {}", entry.node.kind());
            problems.push(Problem::error(entry.key_span.clone(), message, "put it into quotes").at("metadata.name"));
            None
        }
    }
}

/// The namespace that the object goes into; none for what belongs to the whole cluster.
fn namespace(node: &Node, kind: &ObjectKind, known: Option<&Served>, problems: &mut Vec<Problem>) -> Option<String> {
    let entry = node.entry("metadata").and_then(|metadata| metadata.node.entry("namespace"));
    let written = entry.and_then(|entry| entry.node.text()).filter(|text| !text.is_empty());
    if let Some(entry) = entry.filter(|_| written.is_some_and(|text| text.contains(['$', '{', '/', ' ']))) {
        let message = format!("{} cannot be a namespace", quoted(written.unwrap_or_default()));
        problems.push(
            Problem::error(entry.node.span.clone(), message, "write its name; it has to be known before apply")
                .at("metadata.namespace"),
        );
    }
    match (known.map(|served| served.namespaced), written, entry) {
        (Some(false), Some(_), Some(entry)) => {
            let message = format!("a {} belongs to the whole cluster and has no namespace", kind.kind);
            problems.push(Problem::error(entry.key_span.clone(), message, "remove the line").at("metadata.namespace"));
            None
        }
        (Some(false), ..) => None,
        (Some(true), None, _) => Some(DEFAULT_NAMESPACE.to_owned()),
        (_, written, _) => written.map(str::to_owned),
    }
}

/// What an object of a group that is part of Kubernetes gets wrong in its `apiVersion` or `kind`.
fn wrong_kind(node: &Node, kind: &ObjectKind) -> Option<Problem> {
    let at = |key: &str| node.entry(key).map_or_else(|| heading(node), |entry| entry.node.span.clone());
    if let Some((known, instead)) = served::removed(kind) {
        let message = format!("Kubernetes has no {} in {} any more", known, kind.api_version());
        return Some(
            Problem::error(at("apiVersion"), message, format!("write `apiVersion: {instead}`")).at("apiVersion"),
        );
    }
    if !served::is_closed_group(&kind.group) || served::built_in(kind).is_some() {
        return None;
    }
    if let Some(version) = served::home_of(&kind.kind) {
        let message = format!("a {} is not in {}", kind.kind, quoted(&kind.api_version()));
        return Some(
            Problem::error(at("apiVersion"), message, format!("write `apiVersion: {version}`")).at("apiVersion"),
        );
    }
    let message = format!("{} has no kind {}", quoted(&kind.api_version()), quoted(&kind.kind));
    let help = match nearest(&kind.kind, served::kinds()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "check the spelling; a kind of your own belongs to a group with a dot in its name".to_owned(),
    };
    Some(Problem::error(at("kind"), message, help).at("kind"))
}

/// The object as it is applied.
fn applied(node: &Node, id: &ObjectId) -> Value {
    let mut value = to_json(node);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !NOT_OURS.contains(&key.as_str()));
        metadata.remove("namespace");
        metadata.extend(id.namespace.iter().map(|namespace| ("namespace".to_owned(), namespace.clone().into())));
    }
    value
}

/// As [`Node::to_json`], but whole numbers that begin with a zero are octal: file modes are written so, and every
/// other reader of manifests takes them so. Keys without a value are left out, as if they were not there.
fn to_json(node: &Node) -> Value {
    match &node.value {
        document::Value::List(items) => items.iter().map(to_json).collect(),
        document::Value::Map(entries) => {
            let pairs = entries.iter().filter(|entry| !matches!(entry.node.value, document::Value::Null));
            Value::Object(pairs.map(|entry| (entry.key.clone(), to_json(&entry.node))).collect())
        }
        document::Value::Number(_) => octal(node.written.as_deref()).map_or_else(|| node.to_json(), Value::from),
        _ => node.to_json(),
    }
}

fn octal(written: Option<&str>) -> Option<u64> {
    let digits = written?.strip_prefix('0')?;
    (!digits.is_empty()).then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}
