//! One document: which object it is, and what is wrong with it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::patience::{READY_WITHIN, patience_in};
use super::served::{self, Served};
use super::{ObjectId, ObjectKind};
use crate::spec::document::{self, Entry, Node, Path};
use crate::spec::problem::{Problem, nearest, quoted};
use crate::spec::structure;

/// Where an object goes that does not say where.
const DEFAULT_NAMESPACE: &str = "default";

/// What only an API server writes; exported objects carry it along.
const NOT_OURS: &[&str] = &["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];

/// An object that a document asks for.
#[derive(Debug)]
pub(super) struct Understood {
    /// Which object it is.
    pub(super) id: ObjectId,
    /// The object as it is applied: in its namespace, without what an API server writes.
    pub(super) value: Value,
}

/// The object in `node`.
///
/// # Errors
/// Everything that keeps it from being one.
pub(super) fn understand(node: &Node, definitions: &BTreeMap<ObjectKind, Served>) -> Result<Understood, Vec<Problem>> {
    if let Some(problem) = no_object(node) {
        return Err(vec![problem]);
    }
    let mut problems = Vec::new();
    let api_version = required(node, "apiVersion", "such as `apps/v1`", &mut problems);
    let kind = required(node, "kind", "such as `Deployment`", &mut problems);
    let kind = api_version.zip(kind).map(|(api_version, kind)| ObjectKind::new(&api_version, &kind));
    if let Some(problem) = kind.as_ref().and_then(|kind| wrong_kind(node, kind)) {
        problems.push(problem);
    }
    let name = name(node, kind.as_ref(), &mut problems);
    let (Some(kind), Some(name)) = (kind, name) else { return Err(problems) };
    let known = served::built_in(&kind).or_else(|| definitions.get(&kind).cloned());
    let namespace = namespace(node, &kind, known.as_ref(), &mut problems);
    problems.extend(wrong_patience(node));
    if !problems.is_empty() {
        return Err(problems);
    }
    let id = ObjectId { kind, namespace, name };
    let value = applied(node, &id);
    Ok(Understood { id, value })
}

/// What to mark for an object: its name, or what else tells it from others.
pub(super) fn heading(node: &Node) -> Range<usize> {
    let name = metadata(node).and_then(|metadata| metadata.node.entry("name")).map(|name| &name.node);
    let text = name.filter(|name| name.text().is_some()).map(|name| name.span.clone());
    text.or_else(|| node.entry("kind").map(|entry| entry.key_span.clone()))
        .unwrap_or_else(|| node.locate(&Path::root()))
}

/// Where an object begins.
pub(super) fn start(node: &Node) -> usize {
    node.locate(&Path::root()).start
}

/// The objects of a `List`; of anything else, itself.
pub(super) fn items_of_list(node: Node) -> Vec<Node> {
    match node.entry("items").map(|entry| &entry.node.value) {
        Some(document::Value::List(items)) if is(&node, "List") => {
            items.iter().cloned().flat_map(items_of_list).collect()
        }
        _ => vec![node],
    }
}

/// Whether it defines a kind.
pub(super) fn is_definition(node: &Node) -> bool {
    is(node, "CustomResourceDefinition")
}

fn is(node: &Node, kind: &str) -> bool {
    text(node, "kind") == Some(kind)
}

fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.entry(key).and_then(|entry| entry.node.text())
}

fn metadata(node: &Node) -> Option<&Entry> {
    node.entry("metadata")
}

/// What a document is that is no object at all: of it, no single key needs to be right.
fn no_object(node: &Node) -> Option<Problem> {
    let help = "begin it with `apiVersion:` and `kind:`, or name only files with objects in `workloads.manifests`";
    let document::Value::Map(_) = node.value else {
        let message = format!("this is {}, not a Kubernetes object", node.kind());
        return Some(Problem::error(start(node)..start(node) + 1, message, help));
    };
    let group = text(node, "apiVersion").and_then(|version| version.split_once('/')).map(|(group, _)| group);
    let of_a_tool = match group {
        Some("kustomize.config.k8s.io") => Some("is for kustomize"),
        Some("eksup.dev") => Some("is a stack file"),
        Some("eksctl.io") => Some("is for eksctl"),
        _ => None,
    };
    if let (Some(what), Some(entry)) = (of_a_tool, node.entry("apiVersion")) {
        let message = format!("this {what}, not a Kubernetes object");
        let help = "name only files with objects in `workloads.manifests`";
        return Some(Problem::error(entry.node.span.clone(), message, help).at("apiVersion"));
    }
    if node.entry("apiVersion").is_none() && node.entry("kind").is_none() {
        let message = "this is not a Kubernetes object: it has no `apiVersion` and no `kind`";
        return Some(Problem::error(node.locate(&Path::root()), message, help));
    }
    is(node, "List").then(|| {
        Problem::error(node.locate(&Path::root().key("kind")), "the List has no list of `items`", "add `items:`")
            .at("items")
    })
}

fn required(node: &Node, key: &str, such_as: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let problem = match node.entry(key) {
        None => {
            let first = node.locate(&Path::root());
            Problem::error(first, format!("the object has no `{key}`"), format!("add `{key}:`, {such_as}"))
        }
        Some(Entry { key_span, node, .. }) => {
            let message = match (&node.value, node.text()) {
                (_, Some("")) | (document::Value::Null, _) => format!("`{key}` has no value"),
                (_, Some(text)) => return Some(text.to_owned()),
                _ => format!("`{key}` is {}, not text", node.kind()),
            };
            Problem::error(key_span.clone(), message, format!("write it as text, {such_as}"))
        }
    };
    problems.push(problem.at(key));
    None
}

fn name(node: &Node, kind: Option<&ObjectKind>, problems: &mut Vec<Problem>) -> Option<String> {
    let metadata = metadata(node);
    let Some(entry) = metadata.and_then(|metadata| metadata.node.entry("name")) else {
        let generated = metadata.and_then(|metadata| metadata.node.entry("generateName"));
        let problem = match (generated, metadata) {
            (Some(entry), _) => Problem::error(
                entry.key_span.clone(),
                "`generateName` would make another object at every apply",
                "write `name` instead, with a name of your own",
            ),
            (None, Some(metadata)) => {
                Problem::error(metadata.key_span.clone(), "the object has no name", "add `name` to `metadata`")
            }
            (None, None) => Problem::error(heading(node), "the object has no name", "add `metadata: { name: … }`"),
        };
        problems.push(problem.at("metadata.name"));
        return None;
    };
    let problem = match entry.node.text() {
        Some(text) if text.contains("${") => placeholder(entry),
        Some(text) => match wrong_name(text, kind) {
            None => return Some(text.to_owned()),
            Some(help) => Problem::error(entry.node.span.clone(), format!("{} cannot be a name", quoted(text)), help),
        },
        // What looks like a number is none to Kubernetes, which takes only text.
        None => match entry.node.as_written().filter(|_| !matches!(entry.node.value, document::Value::Null)) {
            Some(written) => {
                let message = format!("the name {} is {}, not text", quoted(written), entry.node.kind());
                Problem::error(entry.node.span.clone(), message, format!("write `\"{written}\"`"))
            }
            None => {
                let message = format!("the name is {}, not text", entry.node.kind());
                Problem::error(entry.key_span.clone(), message, "write a name")
            }
        },
    };
    problems.push(problem.at("metadata.name"));
    None
}

/// What to write instead of a name that no API server takes.
fn wrong_name(name: &str, kind: Option<&ObjectKind>) -> Option<String> {
    // Roles and their bindings, and kinds of others, may be called almost anything.
    let strict = kind.is_some_and(|kind| kind.group != served::ROLES && served::is_closed_group(&kind.group));
    let fits = !name.is_empty() && name.len() <= 253 && !name.contains(['/', '%', ' ']);
    let help = "use lower-case letters, digits, dashes and dots, with a letter or digit at both ends";
    (!fits || strict && structure::check_format("object-name", name).is_err()).then(|| help.to_owned())
}

/// The namespace that the object goes into; none for what belongs to the whole cluster.
fn namespace(node: &Node, kind: &ObjectKind, known: Option<&Served>, problems: &mut Vec<Problem>) -> Option<String> {
    let entry = metadata(node).and_then(|metadata| metadata.node.entry("namespace"));
    let entry = entry.filter(|entry| !matches!(entry.node.value, document::Value::Null));
    let entry = entry.filter(|entry| entry.node.text() != Some(""));
    let namespaced = known.map(|served| served.namespaced);
    let Some(entry) = entry else {
        return (namespaced == Some(true)).then(|| DEFAULT_NAMESPACE.to_owned());
    };
    let written = entry.node.as_written().unwrap_or_default();
    let problem = if namespaced == Some(false) {
        let message = format!("a {} belongs to the whole cluster and has no namespace", kind.kind);
        Problem::error(entry.key_span.clone(), message, format!("remove `namespace: {written}`"))
    } else if written.contains("${") {
        placeholder(entry)
    } else if entry.node.text().is_none() || structure::check_format("namespace", written).is_err() {
        let message = match entry.node.text() {
            Some(text) => format!("{} cannot be a namespace", quoted(text)),
            None => format!("the namespace is {}, not text", entry.node.kind()),
        };
        let help = "use up to 63 lower-case letters, digits and dashes; quotes make a number text";
        Problem::error(entry.node.span.clone(), message, help)
    } else {
        return Some(written.to_owned());
    };
    problems.push(problem.at("metadata.namespace"));
    None
}

/// What is wrong with the time that the object asks for.
fn wrong_patience(node: &Node) -> Option<Problem> {
    let annotations = metadata(node)?.node.entry("annotations")?;
    let entry = annotations.node.entry(READY_WITHIN)?;
    let written = entry.node.as_written().unwrap_or_default();
    entry.node.text().and_then(patience_in).is_none().then(|| {
        let message = format!("{} is no time in which an object can become ready", quoted(written));
        let help = format!("write a time as `{READY_WITHIN}: 30m`");
        Problem::error(entry.node.span.clone(), message, help).at("metadata.annotations")
    })
}

/// `${output:…}` where it cannot stand.
fn placeholder(entry: &Entry) -> Problem {
    let written = entry.node.text().unwrap_or_default();
    Problem::error(entry.node.span.clone(), format!("{} cannot be a {}", quoted(written), entry.key), "write it out")
        .because("which object it is has to be known before anything is made")
}

/// What an object of a group that is part of Kubernetes gets wrong in its `apiVersion` or `kind`.
fn wrong_kind(node: &Node, kind: &ObjectKind) -> Option<Problem> {
    let at = |key: &str| node.entry(key).map_or_else(|| heading(node), |entry| entry.node.span.clone());
    let version = quoted(&kind.api_version());
    if let Some(removed) = served::removed(kind) {
        let message = format!("Kubernetes has no {} in {version} any more", removed.kind);
        let help = match removed.instead {
            Some(instead) => format!("write `apiVersion: {instead}`, and its fields as that version has them"),
            None => "remove the object; Kubernetes has nothing in its place".to_owned(),
        };
        return Some(Problem::error(at("apiVersion"), message, help).at("apiVersion"));
    }
    if !served::is_closed_group(&kind.group) || served::built_in(kind).is_some() {
        return None;
    }
    if let Some(home) = served::home_of(&kind.kind) {
        let message = format!("there is no {} in {version}", kind.kind);
        return Some(Problem::error(at("apiVersion"), message, format!("write `apiVersion: {home}`")).at("apiVersion"));
    }
    let message = format!("there is no kind {} in {version}", quoted(&kind.kind));
    let help = match nearest(&kind.kind, served::kinds()) {
        Some(name) => format!("write `kind: {name}`"),
        None => {
            "check the spelling; a kind that is not part of Kubernetes has a group with a dot in its name".to_owned()
        }
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
