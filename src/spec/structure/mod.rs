//! Whether the document has the shape of a stack: every key known, every needed key there, every value of the right
//! kind. The shape is the JSON Schema that the types themselves publish, so the two cannot differ.
//!
//! What is wrong is reported and then replaced by an example of something right, and its place is remembered as
//! damaged: so the rest of the file can still be understood, and all mistakes be reported at once.

mod choices;
mod formats;
mod keys;
mod schema;
mod values;

use std::collections::HashSet;

use serde_json::Value as Json;

use super::document::{Entry, Node, Path, Span, Step, Value};
use super::problem::{Problem, quoted};
pub(crate) use formats::{FORMATS, check_format, known_regions};
use schema::Shape;
pub(crate) use schema::{example, published};

/// After so many problems nobody reads what unknown keys might have meant.
const MOST_EXPLAINED: usize = 500;

/// What the walk found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<Problem>,
    /// Places whose value is not the user's, because that one was wrong or missing.
    pub(crate) damaged: Vec<Path>,
}

/// Compares the document with the published schema, and mends it where it is wrong.
pub(crate) fn check(root: &mut Node) -> Findings {
    let schema = published();
    let mut walk = Walk { schema, findings: Findings::default() };
    walk.visit(root, schema, &Path::root(), None);
    walk.findings
}

struct Walk<'a> {
    schema: &'a Json,
    findings: Findings,
}

impl<'a> Walk<'a> {
    /// Checks one value. `key` is where its key stands, if it has one.
    fn visit(&mut self, node: &mut Node, schema: &'a Json, path: &Path, key: Option<&Span>) {
        let shape = Shape::of(self.schema, schema);
        if matches!(node.value, Value::Unknown) {
            return self.mend(node, schema, path);
        }
        if matches!(node.value, Value::Null) && !matches!(shape, Shape::Anything) {
            let span = key.cloned().unwrap_or_else(|| node.span.clone());
            self.findings.problems.push(values::nothing(self.schema, schema, path, span));
            return self.mend(node, schema, path);
        }
        let verdict = match shape {
            Shape::Anything => Ok(()),
            Shape::Choice(choices) => choices::check(node, &choices, path),
            Shape::Boolean => values::boolean(node, path),
            Shape::Integer { minimum, maximum } => values::integer(node, minimum, maximum, path),
            Shape::Text { format, lengths } => values::text(node, format, lengths, path),
            Shape::List { items, lengths } => {
                return self.list(node, schema, items, lengths, path, key);
            }
            Shape::Texts(values) => return self.map_of(node, schema, values, path, key),
            Shape::Object { properties, required } => {
                return self.object(node, schema, properties, &required, path, key);
            }
            Shape::Either(branches) => return self.either(node, schema, &branches, path, key),
        };
        if let Err(problem) = verdict {
            self.report(*problem, node, path);
            self.mend(node, schema, path);
        }
    }

    /// Reports a wrong value, and says so if it came from the environment.
    fn report(&mut self, problem: Problem, node: &Node, path: &Path) {
        let mut problem = problem.at(path);
        if let Some(name) = node.text().and_then(shell_variable) {
            problem.help = format!("write `${{env:{name}}}`, if the environment variable is meant");
        }
        if let Some(variable) = &node.variable {
            let origin = format!("the value comes from the environment variable `{variable}`");
            problem.why = Some(match problem.why {
                Some(why) => format!("{why}; {origin}"),
                None => origin,
            });
        }
        self.findings.problems.push(problem);
    }

    /// Replaces a value by an example of what belongs there.
    fn mend(&mut self, node: &mut Node, schema: &Json, path: &Path) {
        self.findings.damaged.push(path.clone());
        *node = Node { span: node.span.clone(), ..example(self.schema, schema, &node.span) };
    }

    fn either(&mut self, node: &mut Node, schema: &Json, branches: &[&'a Json], path: &Path, key: Option<&Span>) {
        let fitting = branches.iter().find(|branch| Shape::of(self.schema, branch).fits(node));
        match fitting {
            Some(branch) => self.visit(node, branch, path, key),
            None => {
                let problem = values::wrong_kind_of_either(self.schema, branches, node, path, key);
                self.report(problem, node, path);
                self.mend(node, schema, path);
            }
        }
    }

    fn list(
        &mut self,
        node: &mut Node,
        schema: &Json,
        items: &'a Json,
        lengths: schema::Lengths,
        path: &Path,
        key: Option<&Span>,
    ) {
        let Value::List(members) = &mut node.value else {
            let problem = values::not_a_list(node, path);
            self.report(problem, node, path);
            return self.mend(node, schema, path);
        };
        for (index, member) in members.iter_mut().enumerate() {
            self.visit(member, items, &path.index(index), None);
        }
        let span = key.unwrap_or(&node.span);
        if let Some(problem) = values::length_of_list(members.len(), lengths, span, path) {
            self.report(problem, node, path);
            self.mend(node, schema, path);
        }
    }

    fn map_of(&mut self, node: &mut Node, schema: &Json, values: &'a Json, path: &Path, key: Option<&Span>) {
        let Value::Map(entries) = &mut node.value else {
            let problem = values::not_a_mapping(node, path, &[], key);
            self.report(problem, node, path);
            return self.mend(node, schema, path);
        };
        for Entry { key, key_span, node } in entries {
            self.visit(node, values, &path.key(key.as_str()), Some(key_span));
        }
    }

    fn object(
        &mut self,
        node: &mut Node,
        schema: &Json,
        properties: &'a serde_json::Map<String, Json>,
        required: &[&'a str],
        path: &Path,
        key: Option<&Span>,
    ) {
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let heading = key.cloned().or_else(|| heading(node)).unwrap_or_else(|| node.span.clone());
        let Value::Map(entries) = &mut node.value else {
            let problem = values::not_a_mapping(node, path, &names, key);
            self.report(problem, node, path);
            return self.mend(node, schema, path);
        };
        let given: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let mut meant = Vec::new();
        entries.retain_mut(|Entry { key, key_span, node }| match properties.get(key.as_str()) {
            Some(property) => {
                self.visit(node, property, &path.key(key.as_str()), Some(key_span));
                true
            }
            None => {
                let many = self.findings.problems.len() > MOST_EXPLAINED;
                let (problem, likely) = match many {
                    true => (keys::unexplained(path, key, key_span), None),
                    false => keys::unknown(path, key, key_span, &names, &given),
                };
                self.findings.problems.push(problem.at(path.key(key.as_str())));
                if let Some(likely) = likely.filter(|name| properties.contains_key(*name)) {
                    meant.push(likely.to_owned());
                }
                false
            }
        });
        // A key that was meant but misspelt is not missing: one mistake gets one message.
        self.findings.damaged.extend(meant.iter().map(|name| path.key(name.as_str())));
        let missing = required.iter().filter(|name| !given.contains(**name));
        let missing: Vec<&str> = missing.copied().collect();
        let unexplained: Vec<&str> =
            missing.iter().filter(|name| !meant.iter().any(|key| key == *name)).copied().collect();
        if !unexplained.is_empty() {
            let problem = keys::missing(self.schema, properties, path, &unexplained, heading);
            self.findings.problems.push(problem.at(path));
        }
        let span = node.span.clone();
        if let Value::Map(entries) = &mut node.value {
            for name in missing {
                self.findings.damaged.push(path.key(name));
                let node = example(self.schema, &properties[name], &span);
                entries.push(Entry { key: name.to_owned(), key_span: span.clone(), node });
            }
        }
    }
}

/// The name in `$NAME` or `${NAME}`.
fn shell_variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// Where a mapping's first key stands.
fn heading(node: &Node) -> Option<Span> {
    match &node.value {
        Value::Map(entries) => entries.first().map(|entry| entry.key_span.clone()),
        _ => None,
    }
}

/// What the mappings in a list are, for a sentence.
const MEMBERS: &[(&str, &str)] = &[
    ("nodeGroups", "a node group"),
    ("access", "an access entry"),
    ("addons", "an add-on"),
    ("serviceAccounts", "a service account"),
    ("nodePools", "a NodePool"),
    ("nodeClasses", "an EC2NodeClass"),
    ("taints", "a taint"),
    ("ingress", "a rule"),
    ("egress", "a rule"),
    ("autoscaling", "an autoscaling entry"),
];

/// The name of a mapping for a sentence such as "… is not a key of …".
pub(crate) fn holder_of(path: &Path) -> String {
    let member = |key: &str| MEMBERS.iter().find(|(list, _)| *list == key).map(|(_, name)| *name);
    match path.steps().last() {
        Some(Step::Index(_)) => path.last_key().and_then(member).map_or_else(|| name_of(path), str::to_owned),
        _ => name_of(path),
    }
}

/// The name of a place for a sentence: its key in backticks, an item of a list, or the file.
pub(crate) fn name_of(path: &Path) -> String {
    match (path.last_key(), path.steps().last()) {
        (Some(key), Some(Step::Index(_))) => format!("an item of {}", quoted(key)),
        (Some(key), _) => quoted(key),
        (None, _) => "the stack file".to_owned(),
    }
}
