//! Whether one value is of the right kind, and the message if it is not.

use serde_json::Value as Json;

use super::formats;
use super::name_of;
use super::schema::{Lengths, Shape, description};
use crate::spec::document::{Node, Path, Span, Value};
use crate::spec::problem::{Problem, any_of, list, quoted};

pub(super) type Verdict = Result<(), Box<Problem>>;

/// A key without a value.
pub(super) fn nothing(root: &Json, schema: &Json, path: &Path, span: Span) -> Problem {
    let name = name_of(path);
    let problem = match Shape::of(root, schema) {
        Shape::Object { required, .. } if required.is_empty() => Problem::error(
            span,
            format!("{name} has no value"),
            format!("write `{}: {{}}` to take it with its defaults, or remove the line", bare(path)),
        ),
        Shape::List { .. } => Problem::error(
            span,
            format!("{name} has no value"),
            format!("write `{}: []` for an empty list, or remove the line", bare(path)),
        ),
        Shape::Choice(choices) => Problem::error(
            span,
            format!("{name} has no value"),
            format!("write {} after the colon, or remove the line", any_of(&choices)),
        ),
        shape => Problem::error(
            span,
            format!("{name} has no value"),
            format!("write {} after the colon, or remove the line", shape.name()),
        ),
    };
    let problem = match description(root, schema).filter(|_| !path.is_root()) {
        Some(description) => problem.because(format!("{name} is for: {}", first_sentence(description))),
        None => problem,
    };
    problem.at(path)
}

pub(super) fn boolean(node: &mut Node, path: &Path) -> Verdict {
    if matches!(node.value, Value::Bool(_)) {
        return Ok(());
    }
    let word = node.as_written().map(str::to_lowercase);
    let meant = match word.as_deref() {
        Some("true" | "yes" | "on" | "y" | "1" | "enabled") => Some(true),
        Some("false" | "no" | "off" | "n" | "0" | "disabled" | "none") => Some(false),
        _ => None,
    };
    if let (Some(_), Some("true" | "false"), Some(meant)) = (&node.variable, word.as_deref(), meant) {
        node.value = Value::Bool(meant);
        return Ok(());
    }
    let found = node.as_written().map_or_else(|| node.kind().to_owned(), quoted);
    let help = match meant {
        Some(meant) => format!("write `{}: {meant}`, without quotes", bare(path)),
        None => "write `true` or `false`".to_owned(),
    };
    Err(Box::new(Problem::error(node.span.clone(), format!("{} is {found}, not true or false", name_of(path)), help)))
}

pub(super) fn integer(node: &mut Node, minimum: Option<i64>, maximum: Option<i64>, path: &Path) -> Verdict {
    let name = name_of(path);
    let number = match (&node.value, &node.variable) {
        (Value::Number(number), _) => number.as_i64(),
        (Value::Text(text), Some(_)) => text.trim().parse().ok(),
        _ => None,
    };
    let Some(number) = number else {
        let written = node.as_written().map_or_else(|| node.kind().to_owned(), quoted);
        let digits = node.as_written().and_then(|text| text.trim().parse::<i64>().ok());
        let help = match digits {
            Some(number) => format!("write `{}: {number}`, without quotes", bare(path)),
            None => range_help("write a whole number", minimum, maximum),
        };
        return Err(Box::new(Problem::error(
            node.span.clone(),
            format!("{name} is {written}, not a whole number"),
            help,
        )));
    };
    if minimum.is_some_and(|minimum| number < minimum) || maximum.is_some_and(|maximum| number > maximum) {
        let direction = if minimum.is_some_and(|minimum| number < minimum) { "small" } else { "large" };
        return Err(Box::new(Problem::error(
            node.span.clone(),
            format!("{name} is {number}, which is too {direction}"),
            range_help("write a number", minimum, maximum),
        )));
    }
    node.value = Value::Number(number.into());
    Ok(())
}

fn range_help(start: &str, minimum: Option<i64>, maximum: Option<i64>) -> String {
    match (minimum, maximum) {
        (Some(minimum), Some(maximum)) => format!("{start} from {minimum} to {maximum}"),
        (Some(minimum), None) => format!("{start}, {minimum} or more"),
        (None, Some(maximum)) => format!("{start}, {maximum} or less"),
        (None, None) => start.to_owned(),
    }
}

pub(super) fn text(node: &Node, format: Option<&str>, lengths: Lengths, path: &Path) -> Verdict {
    let Value::Text(text) = &node.value else {
        return Err(Box::new(not_text(node, format, path)));
    };
    let count = text.chars().count();
    if lengths.fewest.is_some_and(|fewest| count < fewest) {
        return Err(Box::new(Problem::error(
            node.span.clone(),
            format!("{} is empty", name_of(path)),
            "write a value, or remove the line",
        )));
    }
    if let Some(most) = lengths.most.filter(|most| count > *most) {
        return Err(Box::new(Problem::error(
            node.span.clone(),
            format!("{} has {count} characters, which is too long", name_of(path)),
            format!("use {most} characters or fewer"),
        )));
    }
    let Some(format) = format.and_then(formats::find) else {
        return Ok(());
    };
    (format.check)(text).map_err(|complaint| Box::new(of_format(node, text, complaint, path)))
}

fn not_text(node: &Node, format: Option<&str>, path: &Path) -> Problem {
    let name = name_of(path);
    let known = format.and_then(formats::find);
    let Some(written) = node.as_written() else {
        let help = match (&node.value, known) {
            (Value::List(items), _) if items.len() == 1 => "write the value without brackets or dash".to_owned(),
            (_, Some(format)) => format!("write one value, such as `{}`", format.example),
            (_, None) => "write one value; quotes make anything text".to_owned(),
        };
        let message = format!("{name} is {}, not text", node.kind());
        return Problem::error(node.span.clone(), message, help);
    };
    if format == Some("size") {
        return Problem::error(
            node.span.clone(),
            format!("{name} is {}, which lacks its unit", quoted(written)),
            format!("write `{written}Gi`, if GiB are meant"),
        );
    }
    // What quotes would not make right either needs the other message.
    if let Some(complaint) = known.and_then(|format| (format.check)(written).err()) {
        return of_format(node, written, complaint, path);
    }
    let read = match &node.value {
        Value::Number(number) => format!("as the number {number}"),
        Value::Bool(value) => format!("as {value}, and not as text"),
        _ => "as nothing".to_owned(),
    };
    Problem::error(
        node.span.clone(),
        format!("{name} needs quotes around {}", quoted(written)),
        format!("write `\"{written}\"`"),
    )
    .because(format!("without them, YAML reads {} {read}", quoted(written)))
}

/// The message for a text that has not its format.
fn of_format(node: &Node, text: &str, complaint: formats::Complaint, path: &Path) -> Problem {
    let shown = if text.is_empty() { "empty".to_owned() } else { quoted(text) };
    let message = format!("{} is {shown}, {}", name_of(path), complaint.what);
    let problem = Problem::error(node.span.clone(), message, complaint.help);
    match complaint.why {
        Some(why) => problem.because(why),
        None => problem,
    }
}

pub(super) fn not_a_list(node: &Node, path: &Path) -> Problem {
    let help = match node.as_written() {
        Some(text) if !text.is_empty() => {
            let items: Vec<&str> = text.split(',').map(str::trim).collect();
            format!("write `{}: [{}]`", bare(path), items.join(", "))
        }
        _ => "write a list: `[one, two]`, or one item to a line after `- `".to_owned(),
    };
    Problem::error(node.span.clone(), format!("{} is {}, not a list", name_of(path), node.kind()), help)
}

pub(super) fn length_of_list(count: usize, lengths: Lengths, span: &Span, path: &Path) -> Option<Problem> {
    let name = name_of(path);
    if lengths.fewest.is_some_and(|fewest| count < fewest) {
        return Some(Problem::error(
            span.clone(),
            format!("{name} is an empty list"),
            "write at least one item, or remove the key if it is optional",
        ));
    }
    let most = lengths.most.filter(|most| count > *most)?;
    Some(Problem::error(
        span.clone(),
        format!("{name} has {count} items, which is too many"),
        format!("list {most} or fewer"),
    ))
}

pub(super) fn not_a_mapping(node: &Node, path: &Path, keys: &[&str], key: Option<&Span>) -> Problem {
    let name = name_of(path);
    let span = match &node.value {
        Value::List(_) => key.cloned().unwrap_or_else(|| node.span.clone()),
        _ => node.span.clone(),
    };
    let help = match (path.is_root(), keys.is_empty()) {
        (true, _) => "begin with `apiVersion: eksup.dev/v1`".to_owned(),
        (false, true) => format!("write `{}: {{}}`", bare(path)),
        (false, false) => format!("write its keys under it: {}", list(keys)),
    };
    Problem::error(span, format!("{name} is {}, not a mapping of keys to values", node.kind()), help)
}

pub(super) fn wrong_kind_of_either(
    root: &Json,
    branches: &[&Json],
    node: &Node,
    path: &Path,
    key: Option<&Span>,
) -> Problem {
    let names: Vec<&str> = branches.iter().map(|branch| Shape::of(root, branch).name()).collect();
    let found = node.as_written().map_or_else(|| node.kind().to_owned(), quoted);
    let span = match &node.value {
        Value::List(_) | Value::Map(_) => key.cloned().unwrap_or_else(|| node.span.clone()),
        _ => node.span.clone(),
    };
    let digits = node.text().filter(|text| text.parse::<u32>().is_ok());
    let help = match digits {
        Some(digits) => format!("write `{}: {digits}`, without quotes", bare(path)),
        None => format!("write {}", names.join(" or ")),
    };
    Problem::error(span, format!("{} is {found}, neither {}", name_of(path), names.join(" nor ")), help)
}

/// The last key of a path, for a line to write.
pub(super) fn bare(path: &Path) -> &str {
    path.last_key().unwrap_or("stack")
}

/// The first sentence of a description, as a part of another: without its full stop and its capital.
pub(super) fn first_sentence(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    let end = text.find(". ").unwrap_or(text.len());
    let sentence = text[..end].trim_end_matches('.');
    let mut letters = sentence.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() && !second.is_ascii_digit() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => sentence.to_owned(),
    }
}
