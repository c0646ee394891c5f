//! `${env:NAME}` in values: explicit, and never for secrets.

use super::{Node, Path, Span, Value};
use crate::spec::problem::{Problem, holds_secrets, quoted};

/// What opens a substitution.
const OPENING: &str = "${env:";

/// Puts environment variables into every text value. `$${env:NAME}` stands for the letters `${env:NAME}`.
/// Returns the places whose key is wrong.
pub(crate) fn substitute(
    root: &mut Node,
    lookup: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Vec<Path> {
    let mut substitution = Substitution { lookup, problems, damaged: Vec::new() };
    substitution.visit(root, &Path::root(), false);
    substitution.damaged
}

struct Substitution<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a mut Vec<Problem>,
    damaged: Vec<Path>,
}

impl Substitution<'_> {
    fn visit(&mut self, node: &mut Node, path: &Path, secret: bool) {
        let span = node.span.clone();
        match &mut node.value {
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.visit(item, &path.index(index), secret);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let path = path.key(&entry.key);
                    if entry.key.contains(OPENING) {
                        self.problems.push(in_a_key(&entry.key, &entry.key_span).at(&path));
                        self.damaged.push(path.clone());
                    }
                    let secret = secret || holds_secrets(&entry.key);
                    self.visit(&mut entry.node, &path, secret);
                }
            }
            Value::Text(text) if text.contains("${env") => {
                let whole = whole_variable(text).map(str::to_owned);
                match self.expand(text, &span, secret) {
                    Ok(expanded) => {
                        node.value = Value::Text(expanded);
                        node.variable = whole;
                    }
                    Err(problem) => {
                        self.problems.push(problem.at(path));
                        node.value = Value::Unknown;
                    }
                }
            }
            _ => {}
        }
    }

    fn expand(&self, text: &str, span: &Span, secret: bool) -> Result<String, Box<Problem>> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${env") {
            let (before, found) = rest.split_at(start);
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${env");
                rest = &found["${env".len()..];
                continue;
            }
            expanded.push_str(before);
            if found["${env".len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_') {
                // A longer name, such as a shell's `${environment}`.
                expanded.push_str("${env");
                rest = &found["${env".len()..];
                continue;
            }
            let name = found
                .strip_prefix(OPENING)
                .and_then(|inner| inner.split_once('}'))
                .map(|(name, _)| name)
                .filter(|name| is_name(name))
                .ok_or_else(|| Box::new(malformed(found, span)))?;
            expanded.push_str(&self.value(name, span, secret)?);
            rest = &found[OPENING.len() + name.len() + 1..];
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn value(&self, name: &str, span: &Span, secret: bool) -> Result<String, Box<Problem>> {
        if secret || holds_secrets(name) {
            return Err(Box::new(secret_refused(name, secret, span)));
        }
        match (self.lookup)(name) {
            Some(value) if !value.is_empty() => Ok(value),
            found => Err(Box::new(missing(name, found.is_some(), span))),
        }
    }
}

/// The variable's name, if the text is one substitution and nothing else.
fn whole_variable(text: &str) -> Option<&str> {
    text.strip_prefix(OPENING)?.strip_suffix('}').filter(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn missing(name: &str, empty: bool, span: &Span) -> Problem {
    let state = if empty { "is set, but empty" } else { "is not set" };
    Problem::error(
        span.clone(),
        format!("the environment variable `{name}` {state}"),
        format!(
            "set it (`export {name}=…`), or write the value here; `$${{env:{name}}}` stands for these letters themselves"
        ),
    )
}

fn malformed(found: &str, span: &Span) -> Problem {
    let shown = found.find('}').map_or(found, |end| &found[..=end]);
    Problem::error(
        span.clone(),
        format!("{} does not name an environment variable", quoted(shown)),
        "write `${env:NAME}`, where NAME has letters, digits and `_`; there is no syntax for a default",
    )
}

fn secret_refused(name: &str, by_place: bool, span: &Span) -> Problem {
    let message = match by_place {
        true => format!("`${{env:{name}}}` would put a secret into a field of the stack"),
        false => format!("the name of the environment variable `{name}` says that it is a secret"),
    };
    Problem::error(
        span.clone(),
        message,
        "keep secrets in Secrets Manager and let the pod or the instance read them with its role",
    )
    .because("what a stack file says ends up in plans, tags, user data and API calls, where many can read it")
}

fn in_a_key(key: &str, span: &Span) -> Problem {
    Problem::error(
        span.clone(),
        format!("the key {} contains `${{env:…}}`, which is only replaced in values", quoted(key)),
        "write the key out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "TEAM" => Some("web".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut problems = Vec::new();
        let substitution = Substitution { lookup: &lookup, problems: &mut problems, damaged: Vec::new() };
        substitution.expand(text, &(0..1), false).map_err(|problem| problem.message)
    }

    #[test]
    fn variables_are_put_in_and_escapes_are_kept() {
        assert_eq!(expand("${env:TEAM}").as_deref(), Ok("web"));
        assert_eq!(expand("a-${env:TEAM}-${env:TEAM}ü").as_deref(), Ok("a-web-webü"));
        assert_eq!(expand("$${env:TEAM} ${env:TEAM}").as_deref(), Ok("${env:TEAM} web"));
        assert_eq!(expand("$TEAM ${TEAM} ${environment}").as_deref(), Ok("$TEAM ${TEAM} ${environment}"));
    }

    #[test]
    fn what_cannot_be_put_in_is_an_error() {
        for text in
            ["${env:NONE}", "${env:EMPTY}", "${env:}", "${env:A B}", "${env:TEAM", "${env.TEAM}", "${env:TEAM:-x}"]
        {
            assert!(expand(text).is_err(), "{text}");
        }
    }
}
