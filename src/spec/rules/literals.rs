//! `${NAME}` in values: what other tools replace, and eksup does not.

use super::{Finding, Report};
use crate::spec::document::{Node, Path, Value};
use crate::spec::problem::quoted;

/// Places whose text belongs to others, who may well have variables of their own.
const VERBATIM: [&str; 5] = [
    "autoscaler.nodePools[].spec",
    "autoscaler.nodeClasses[].spec",
    "cluster.addons[].configuration",
    "workloads.autoscaling[].metrics",
    "workloads.autoscaling[].behavior",
];

pub(super) fn check(document: &Node, report: &mut Report<'_>) {
    visit(document, &Path::root(), report);
}

fn visit(node: &Node, path: &Path, report: &mut Report<'_>) {
    match &node.value {
        _ if VERBATIM.contains(&path.pattern().as_str()) => {}
        Value::Map(entries) => {
            entries.iter().for_each(|entry| visit(&entry.node, &path.key(&entry.key), report));
        }
        Value::List(items) => {
            items.iter().enumerate().for_each(|(index, item)| visit(item, &path.index(index), report));
        }
        Value::Text(text) => {
            if let Some(name) = variable_in(text) {
                report.add(
                    Finding::new(
                        path.clone(),
                        format!("{} stands for these letters themselves", quoted(&format!("${{{name}}}"))),
                        format!("write `${{env:{name}}}`, if the environment variable is meant"),
                    )
                    .because("eksup replaces only what says `env:`")
                    .warning(),
                );
            }
        }
        _ => {}
    }
}

/// The name in the first `${NAME}`.
fn variable_in(text: &str) -> Option<&str> {
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).find(is_name)
}
