//! Formats of Kubernetes names and labels.

use super::{Complaint, made_of};

/// A DNS label: lower-case letters, digits and dashes, no dash at the ends, 63 characters at most.
fn is_dns_label(text: &str) -> bool {
    let end = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    text.len() <= 63
        && made_of(text, |character| end(character) || character == '-')
        && text.starts_with(end)
        && text.ends_with(end)
}

/// DNS labels with dots between them, 253 characters at most.
fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

pub(super) fn namespace(text: &str) -> Result<(), Complaint> {
    match is_dns_label(text) {
        true => Ok(()),
        false => Err(Complaint::new(
            "which cannot name a namespace",
            "use up to 63 lower-case letters, digits and dashes, with no dash at the ends",
        )),
    }
}

pub(super) fn namespace_pattern(text: &str) -> Result<(), Complaint> {
    let allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, '-' | '*')
    };
    match text.len() <= 63 && made_of(text, allowed) && !text.starts_with('-') {
        true => Ok(()),
        false => Err(Complaint::new(
            "which names no namespaces",
            "write the name of a namespace; `*` stands for any characters, as in `team-*`",
        )),
    }
}

pub(super) fn object_name(text: &str) -> Result<(), Complaint> {
    match is_dns_subdomain(text) {
        true => Ok(()),
        false => Err(Complaint::new(
            "which cannot name a Kubernetes object",
            "use lower-case letters, digits, dashes and dots, with a letter or digit at both ends",
        )),
    }
}

/// The part of a label after the slash, or its value: 63 characters, with letters or digits at the ends.
fn is_label_name(text: &str) -> bool {
    let end = |character: char| character.is_ascii_alphanumeric();
    text.len() <= 63
        && made_of(text, |character| end(character) || matches!(character, '-' | '_' | '.'))
        && text.starts_with(end)
        && text.ends_with(end)
}

pub(super) fn label_key(text: &str) -> Result<(), Complaint> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    match prefix.is_none_or(is_dns_subdomain) && is_label_name(name) {
        true => Ok(()),
        false => Err(Complaint::new(
            "which cannot be the key of a label or taint",
            "use up to 63 letters, digits, `-`, `_` and `.`; a domain and a slash may stand before it: `example.com/team`",
        )),
    }
}

pub(super) fn label_value(text: &str) -> Result<(), Complaint> {
    match text.is_empty() || is_label_name(text) {
        true => Ok(()),
        false => Err(Complaint::new(
            "which cannot be the value of a label or taint",
            "use up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        )),
    }
}
