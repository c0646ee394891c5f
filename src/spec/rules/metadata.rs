//! Rules for `metadata`: regions and tags.

use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::Stack;
use crate::spec::problem::quoted;
use crate::spec::structure::known_regions;

/// AWS takes 50 tags on a resource; eksup and Kubernetes need some of them.
const MOST_TAGS: usize = 40;

/// Prefixes of tag keys that others give a meaning to.
const RESERVED_PREFIXES: [&str; 9] = [
    "aws:",
    "eksup.dev/",
    "kubernetes.io/",
    "k8s.io/",
    "karpenter.sh/",
    "karpenter.k8s.aws/",
    "eks:",
    "elbv2.k8s.aws/",
    "ingress.k8s.aws/",
];

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    region_is_known(stack, report);
    tags_are_few(stack, report);
    for (key, value) in &stack.metadata.tags {
        let path = Path::of("metadata.tags").key(key);
        tag_key_fits(key, &path, report);
        tag_value_fits(value, &path, report);
    }
    tag_keys_differ_by_more_than_case(stack, report);
}

fn region_is_known(stack: &Stack, report: &mut Report<'_>) {
    let region = &stack.metadata.region;
    if !known_regions().contains(&region.as_str()) {
        report.add(
            Finding::new(
                Path::of("metadata.region"),
                format!("{} is not among the regions that this eksup knows", quoted(region)),
                "check the name; if AWS has opened the region since, nothing needs to be done",
            )
            .warning(),
        );
    }
}

fn tags_are_few(stack: &Stack, report: &mut Report<'_>) {
    let count = stack.metadata.tags.len();
    if count > MOST_TAGS {
        report.add(
            Finding::of_key(
                Path::of("metadata.tags"),
                format!("there are {count} tags; {MOST_TAGS} is the most"),
                format!("leave out {}", count - MOST_TAGS),
            )
            .because("AWS takes 50 on a resource, and eksup and Kubernetes need up to ten of them"),
        );
    }
}

fn tag_key_fits(key: &str, path: &Path, report: &mut Report<'_>) {
    let lower = key.to_lowercase();
    if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| lower.starts_with(*prefix)) {
        report.add(
            Finding::of_key(
                path.clone(),
                format!("the tag key {} begins with `{prefix}`, which is reserved", quoted(key)),
                "take a key of your own, such as `team` or `example.com/team`",
            )
            .because(reason_of(prefix)),
        );
    } else if lower == "name" {
        report.add(
            Finding::of_key(
                path.clone(),
                format!("the tag key {} is taken", quoted(key)),
                "take another key; the stack's own name is `metadata.name`",
            )
            .because("each resource gets a `Name` of its own, and on IAM roles case makes no difference"),
        );
    } else if key.is_empty() {
        report.add(Finding::of_key(path.clone(), "the key of a tag is empty", "write a key, such as `team`"));
    } else if key.chars().count() > 128 || !key.chars().all(fits_in_a_tag) {
        report.add(
            Finding::of_key(
                path.clone(),
                format!("the tag key {} cannot be used", quoted(key)),
                "use 1 to 128 letters, digits, spaces and `_ . : / = + - @`",
            )
            .because("that is what all AWS services have in common"),
        );
    }
}

fn reason_of(prefix: &str) -> &'static str {
    match prefix {
        "aws:" => "AWS keeps it for itself",
        "eksup.dev/" => "by these tags eksup knows what belongs to a stack",
        _ => "controllers in the cluster act on such tags; eksup writes those that are needed",
    }
}

fn tag_value_fits(value: &str, path: &Path, report: &mut Report<'_>) {
    if value.chars().count() > 256 || !value.chars().all(fits_in_a_tag) {
        report.add(
            Finding::new(
                path.clone(),
                format!("the tag value {} cannot be used", quoted(value)),
                "use up to 256 letters, digits, spaces and `_ . : / = + - @`",
            )
            .because("that is what all AWS services have in common"),
        );
    }
}

fn fits_in_a_tag(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, ' ' | '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
}

fn tag_keys_differ_by_more_than_case(stack: &Stack, report: &mut Report<'_>) {
    let path = Path::of("metadata.tags");
    let mut seen: std::collections::BTreeMap<String, &str> = std::collections::BTreeMap::new();
    for key in stack.metadata.tags.keys() {
        match seen.get(&key.to_lowercase()) {
            Some(other) => report.add(
                Finding::of_key(
                    path.key(key),
                    format!("the tag keys {} and {} differ only in case", quoted(other), quoted(key)),
                    "keep one of the two",
                )
                .because("on IAM roles they are one key, and AWS would refuse the second"),
            ),
            None => {
                seen.insert(key.to_lowercase(), key);
            }
        }
    }
}
