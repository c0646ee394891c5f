//! Formats of Kubernetes names and labels.

use super::{Complaint, made_of};
use crate::spec::model::ScaledKind;
use crate::spec::problem::nearest;

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

/// An image's name: a registry and a path, and no tag.
pub(super) fn image_name(text: &str) -> Result<(), Complaint> {
    let help = "write the registry and the path, such as `public.ecr.aws/eks/aws-load-balancer-controller`";
    let path = text.rsplit('/').next().unwrap_or(text);
    if let Some((_, tag)) = path.split_once([':', '@']) {
        return Err(Complaint::new("which has a tag", "write it without the tag, and the tag as `version`")
            .because(format!("`version` is the tag, here `{tag}`")));
    }
    let allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, '.' | '-' | '_' | '/' | ':')
    };
    let whole = text.split('/').all(|part| !part.is_empty());
    match made_of(text, allowed) && whole && text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(Complaint::new("which is not the name of an image", help)),
    }
}

/// An image's tag: what follows the colon.
pub(super) fn image_tag(text: &str) -> Result<(), Complaint> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    match made_of(text, allowed) && text.len() <= 128 && !text.starts_with(['.', '-']) {
        true => Ok(()),
        false => Err(Complaint::new("which is not the tag of an image", "write a version such as `0.1.0`")),
    }
}

/// Digits, with a point among them at most.
fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    made_of(whole, |digit| digit.is_ascii_digit()) && made_of(fraction, |digit| digit.is_ascii_digit())
}

pub(super) fn cpu_quantity(text: &str) -> Result<(), Complaint> {
    let number = text.strip_suffix('m').unwrap_or(text);
    match is_decimal(number) && text.len() <= 12 {
        true => Ok(()),
        false => Err(Complaint::new(
            "which is no amount of CPU",
            "write thousandths of a CPU such as `100m`, or whole ones such as `\"2\"`",
        )),
    }
}

pub(super) fn memory_quantity(text: &str) -> Result<(), Complaint> {
    let number = ["Ki", "Mi", "Gi", "Ti", "k", "M", "G", "T"].iter().find_map(|unit| text.strip_suffix(unit));
    match number.is_some_and(is_decimal) && text.len() <= 16 {
        true => Ok(()),
        false => Err(match text.strip_suffix('m') {
            Some(number) if is_decimal(number) => {
                Complaint::new("which is thousandths of a byte", format!("write `{number}Mi`"))
            }
            _ => Complaint::new("which is no amount of memory", "write a size such as `128Mi` or `2Gi`"),
        }),
    }
}

pub(super) fn scale_target(text: &str) -> Result<(), Complaint> {
    let kinds = ScaledKind::ALL.map(ScaledKind::word);
    let Some((kind, name)) = text.split_once('/') else {
        let help = if is_dns_subdomain(text) { text } else { "backend" };
        return Err(Complaint::new("which lacks the kind", format!("write `deployment/{help}`")));
    };
    if !is_dns_subdomain(name) {
        return Err(Complaint::new("which names no workload", "write `deployment/<name>`"));
    }
    if ScaledKind::of(kind).is_some() {
        return Ok(());
    }
    let short = match kind.to_lowercase().as_str() {
        "deploy" | "deployments" => Some("deployment"),
        "sts" | "statefulsets" => Some("statefulset"),
        lower => kinds.into_iter().find(|known| *known == lower),
    };
    let help = match short.or_else(|| nearest(kind, kinds)) {
        Some(known) => format!("write `{known}/{name}`"),
        None => "write `deployment/<name>` or `statefulset/<name>`".to_owned(),
    };
    Err(Complaint::new("whose kind cannot be scaled", help).because("eksup scales Deployments and StatefulSets"))
}
