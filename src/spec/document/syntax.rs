//! Errors of YAML syntax in words that say what to do. The parser says where it gave up; what the mistake is, the
//! lines around that place tell.

use super::Span;
use super::build::Purpose;
use crate::spec::problem::{Problem, Source, quoted};

/// The message for an error of the YAML parser at `offset`.
pub(super) fn explain(source: &Source, offset: usize, info: &str, opened: Option<Span>, purpose: Purpose) -> Problem {
    let index = source.line_index(offset);
    let near = [Some(index), index.checked_sub(1)].into_iter().flatten();
    let here = offset..offset + 1;
    near.clone()
        .find_map(|line| tab(source, line))
        .or_else(|| placeholder_in_brackets(source, index, purpose))
        .or_else(|| template(source, index, purpose))
        .or_else(|| unclosed_quote(source, offset, info))
        .or_else(|| unclosed_bracket(source, &here, info, opened.as_ref()))
        .or_else(|| near.clone().find_map(|line| no_space_after_colon(source, line)))
        .or_else(|| special_character(source, &here, info))
        .or_else(|| second_colon(source, index, offset, info))
        .or_else(|| misindented(&here, info))
        .unwrap_or_else(|| {
            Problem::error(
                here,
                format!("this is not YAML: {info}"),
                "check the indentation, quotes and brackets of this line and the one before",
            )
        })
}

/// A tab in the indentation.
fn tab(source: &Source, line: usize) -> Option<Problem> {
    let text = source.line(line);
    let indentation = text.len() - text.trim_start_matches([' ', '\t']).len();
    let column = text[..indentation].find('\t')?;
    let start = source.line_range(line).start + column;
    Some(
        Problem::error(start..start + 1, "there is a tab in the indentation of this line", "indent with spaces")
            .because("YAML counts columns, and a tab has no certain width"),
    )
}

/// `{ max: ${env:MAX} }`: the brace after `$` opens a mapping.
fn placeholder_in_brackets(source: &Source, line: usize, purpose: Purpose) -> Option<Problem> {
    let (opening, more) = match purpose {
        Purpose::Stack => ("${env:", "; it may still become a number"),
        Purpose::Manifest => ("${output:", ""),
    };
    let text = source.line(line);
    let column = text.find(opening)?;
    let end = text[column..].find('}').map_or(text.len(), |end| column + end + 1);
    let start = source.line_range(line).start;
    let written = &text[column..end];
    let name = written.trim_start_matches(opening).trim_end_matches('}');
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '/' | '#' | '-' | '.');
    if name.is_empty() || !name.chars().all(fits) {
        return None;
    }
    Some(
        Problem::error(
            start + column..start + end,
            format!("{} needs quotes here", quoted(written)),
            format!("write `\"{written}\"`{more}"),
        )
        .because("inside `{ }` and `[ ]`, a brace without quotes begins a mapping"),
    )
}

/// `{{ … }}` of Helm, Jinja and others.
pub(super) fn template(source: &Source, line: usize, purpose: Purpose) -> Option<Problem> {
    let text = source.line(line);
    let column = text.find("{{")?;
    let end = text[column..].find("}}").map_or(text.len(), |end| column + end + 2);
    let start = source.line_range(line).start;
    let help = match purpose {
        Purpose::Stack => "write the value; `${env:NAME}` takes it from the environment, and quotes make braces text",
        Purpose::Manifest => "write what the template becomes; quotes make braces text",
    };
    Some(
        Problem::error(
            start + column..start + end,
            format!("{} is for a template engine", quoted(&text[column..end])),
            help,
        )
        .because("eksup reads plain YAML and renders no templates"),
    )
}

fn unclosed_quote(source: &Source, offset: usize, info: &str) -> Option<Problem> {
    if !info.contains("quoted scalar") {
        return None;
    }
    let quote = source.text()[offset..].chars().next().filter(|first| matches!(first, '"' | '\''));
    if let Some(quote) = quote.filter(|_| info.contains("end of stream") || info.contains("indentation")) {
        return Some(Problem::error(
            offset..offset + 1,
            format!("the text that begins with this `{quote}` never ends"),
            format!("close it with `{quote}`"),
        ));
    }
    if info.contains("escape") || info.contains("hexadecimal") {
        return Some(
            Problem::error(
                offset..offset + 1,
                "YAML does not know this escape",
                "use single quotes if the backslash is meant literally, or write it twice",
            )
            .because("between double quotes a backslash begins an escape such as `\\n`"),
        );
    }
    if info.contains("trailing content") {
        return Some(Problem::error(
            offset..offset + 1,
            "text goes on after the closing quote",
            "put the quotes around the whole value, or a comma between two values",
        ));
    }
    None
}

fn unclosed_bracket(source: &Source, here: &Span, info: &str, opened: Option<&Span>) -> Option<Problem> {
    if info.contains("misplaced bracket") {
        return Some(Problem::error(
            here.clone(),
            "this bracket closes nothing",
            "remove it, or open the list with `[` or the mapping with `{` before",
        ));
    }
    let about_brackets = ["flow", "placement of ':'", "not allowed in this context", "unexpected eof"];
    if !about_brackets.iter().any(|words| info.contains(words)) {
        return None;
    }
    let opened = opened?.clone();
    let closing = match source.text().get(opened.clone()) {
        Some("[") => "`]`",
        _ => "`}`",
    };
    Some(
        Problem::error(
            here.clone(),
            format!("expected a comma or {closing} here"),
            format!("close the bracket with {closing}, or put a comma between the items"),
        )
        .see(opened, "opened here"),
    )
}

/// `name:shop` instead of `name: shop`.
fn no_space_after_colon(source: &Source, line: usize) -> Option<Problem> {
    let text = source.line(line);
    let trimmed = text.trim_start().trim_start_matches("- ");
    let key: String = trimmed.chars().take_while(char::is_ascii_alphanumeric).collect();
    let rest = trimmed.get(key.len()..)?.strip_prefix(':')?;
    let value = rest.split(" #").next().unwrap_or(rest).trim_end();
    let squeezed = !key.is_empty() && !value.is_empty() && !value.starts_with([' ', ':', '/']);
    if !squeezed {
        return None;
    }
    let column = text.len() - trimmed.len();
    let start = source.line_range(line).start + column;
    Some(
        Problem::error(
            start..start + key.len() + 1,
            format!("there is no space after `{}:`", key),
            format!("write {}", quoted(&format!("{key}: {value}"))),
        )
        .because("without the space, YAML takes the key and the value for one text"),
    )
}

/// A value that begins with a character that YAML keeps for itself.
fn special_character(source: &Source, here: &Span, info: &str) -> Option<Problem> {
    let first = source.text()[here.start.min(source.text().len())..].chars().next()?;
    let kept = info.contains("unexpected character") || info.contains("unknown anchor");
    let alias = info.contains("anchor or alias") || info.contains("unknown anchor");
    match first {
        _ if info.contains("unprintable") => Some(Problem::error(
            here.clone(),
            "there is a character here that cannot be printed",
            "remove it, or write it between double quotes as an escape such as `\\u0000`",
        )),
        '*' | '&' if alias => Some(
            Problem::error(
                here.clone(),
                format!(
                    "`{first}` here begins {}",
                    if first == '*' { "an alias to an anchor that does not exist" } else { "an anchor without a name" }
                ),
                "put quotes around the value if it is text",
            )
            .because("to YAML, `*name` means the value that was marked `&name` before"),
        ),
        _ if kept => Some(
            Problem::error(
                here.clone(),
                format!("a value cannot begin with {}", quoted(&first.to_string())),
                "put quotes around the value",
            )
            .because("YAML keeps this character for itself"),
        ),
        _ => None,
    }
}

/// `description: one: two`.
fn second_colon(source: &Source, line: usize, offset: usize, info: &str) -> Option<Problem> {
    if !info.contains("mapping values are not allowed") {
        return None;
    }
    let start = source.line_range(line).start;
    let before = source.text().get(start..offset)?;
    if before.contains(": ") {
        return Some(Problem::error(
            offset..offset + 1,
            "there is a second `: ` in this line",
            "put quotes around the value if the colon is part of it",
        ));
    }
    Some(Problem::error(
        offset..offset + 1,
        "a key cannot stand here",
        "indent it like the keys beside it; if the line before holds a value, the key must not be deeper than that line",
    ))
}

fn misindented(here: &Span, info: &str) -> Option<Problem> {
    let about_blocks = [
        "block mapping",
        "block collection",
        "block sequence",
        "simple key",
        "indentation",
        "document start",
        "expected node content",
    ];
    if !about_blocks.iter().any(|words| info.contains(words)) {
        return None;
    }
    Some(
        Problem::error(
            here.clone(),
            "this line does not fit the lines before it",
            "give keys of one mapping, and dashes of one list, the same indentation; every key needs a colon and a space",
        )
        .because(format!("YAML says: {info}")),
    )
}
