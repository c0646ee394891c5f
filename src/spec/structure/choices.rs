//! Values that are one of a few words, and the words that people write instead.

use super::name_of;
use super::values::{Verdict, bare};
use crate::spec::document::{Node, Path};
use crate::spec::problem::{Problem, any_of, list, nearest, quoted};

/// One of a few words.
pub(super) fn check(node: &Node, choices: &[&str], path: &Path) -> Verdict {
    let name = name_of(path);
    let Some(text) = node.as_written() else {
        return Err(Box::new(Problem::error(
            node.span.clone(),
            format!("{name} is {}, not one of the words {}", node.kind(), any_of(choices)),
            format!("write `{}: {}`", bare(path), choices.first().unwrap_or(&"")),
        )));
    };
    if node.text().is_some() && choices.contains(&text) {
        return Ok(());
    }
    if let Some((why, help)) = special_choice(path, text) {
        let problem = Problem::error(node.span.clone(), format!("{name} cannot be {}", quoted(text)), help);
        return Err(Box::new(problem.because(why)));
    }
    let likely = nearest(text, choices.iter().copied()).or_else(|| begins_with(text, choices));
    let help = match (likely, choices) {
        (Some(likely), [_]) => format!("write `{likely}`"),
        (Some(likely), _) => format!("write `{likely}`, if that is meant; the choices are {}", list(choices)),
        (None, [only]) => format!("write `{only}`"),
        (None, _) => format!("write {}", any_of(choices)),
    };
    Err(Box::new(Problem::error(node.span.clone(), format!("{name} cannot be {}", quoted(text)), help)))
}

/// The only choice that begins with the text, or that the text begins with, whatever the case.
fn begins_with<'a>(text: &str, choices: &[&'a str]) -> Option<&'a str> {
    let text = text.to_lowercase();
    let alike = |choice: &str| {
        let choice = choice.to_lowercase();
        text.len() > 2 && (choice.starts_with(&text) || text.starts_with(&choice))
    };
    let mut fitting = choices.iter().filter(|choice| alike(choice));
    fitting.next().copied().filter(|_| fitting.next().is_none())
}

/// Words that mean something elsewhere: why they cannot stand here, and what to write.
fn special_choice(path: &Path, text: &str) -> Option<(&'static str, &'static str)> {
    match (path.pattern().as_str(), text.to_lowercase().as_str()) {
        ("autoscaler.engine", "clusterautoscaler" | "cluster-autoscaler") => Some((
            "this version of eksup does not install the Cluster Autoscaler",
            "write `eksup`, `karpenter` or `none`",
        )),
        ("autoscaler.engine" | "network.nat", "false" | "off" | "no") => {
            Some(("this key takes a word, not a switch", "write `none`"))
        }
        ("database.engine", "aurora" | "aurora-mysql" | "aurora-postgresql") => Some((
            "Aurora databases are clusters with an API of their own, which eksup does not make",
            "write `mariadb`, `mysql` or `postgres`",
        )),
        ("database.engine", "postgresql" | "pg" | "psql") => {
            Some(("RDS calls the engine `postgres`", "write `postgres`"))
        }
        ("bastion.tools[]", "psql") => Some(("the tool is named after the package", "write `postgresql`")),
        ("bastion.tools[]", "aws" | "awscli" | "aws-cli") => {
            Some(("the AWS CLI is part of Amazon Linux", "remove it from the list"))
        }
        ("cluster.access[].policy", policy) if policy.contains("amazoneks") => Some((
            "policies are named without `AmazonEKS` and `Policy` here",
            "write `clusterAdmin`, `admin`, `adminView`, `edit` or `view`",
        )),
        ("cluster.access[].policy", "system:masters" | "cluster-admin") => {
            Some(("access entries know EKS access policies, not Kubernetes groups", "write `clusterAdmin`"))
        }
        ("cluster.nodeGroups[].amiType", "al2_x86_64" | "al2_arm_64") => Some((
            "there are no Amazon Linux 2 images for Kubernetes 1.33 and later",
            "write `AL2023_x86_64_STANDARD` or `AL2023_ARM_64_STANDARD`, or leave `amiType` out",
        )),
        _ => None,
    }
}
