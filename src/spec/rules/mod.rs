//! What the schema cannot say: how the values of a stack have to fit one another, and AWS.
//!
//! One file per section, one function per rule. A rule reads the typed stack and reports at a place of the document.
//! Rules see examples where the user's own value was wrong; what they would say about those is dropped.

mod addons;
mod addresses;
mod autoscaler;
mod autoscaler_settings;
mod autoscaling;
mod bastion;
mod cluster;
mod database;
mod identity;
mod ingresses;
mod literals;
mod manifests;
mod metadata;
mod network;
mod network_acls;
mod node_classes;
mod node_groups;
mod node_pools;
mod reach;
mod reserved;
mod structural;

use super::document::{Node, Path};
use super::model::Stack;
use super::problem::Problem;

pub(crate) use identity::load_policies;
pub(crate) use manifests::{Place, load_manifests};

/// Every rule, over the whole stack.
pub(crate) fn check(stack: &Stack, document: &Node, damaged: &[Path]) -> Vec<Problem> {
    let mut report = Report::new(document, damaged);
    metadata::check(stack, &mut report);
    network::check(stack, &mut report);
    reach::check(stack, &mut report);
    bastion::check(stack, &mut report);
    database::check(stack, &mut report);
    cluster::check(stack, &mut report);
    node_groups::check(stack, &mut report);
    identity::check(stack, &mut report);
    autoscaler::check(stack, &mut report);
    node_pools::check(stack, &mut report);
    addons::check(stack, &mut report);
    autoscaling::check(stack, &mut report);
    ingresses::check(stack, &mut report);
    literals::check(document, &mut report);
    report.problems
}

/// After so many findings the rest is not looked at: nobody reads them.
const MOST_FINDINGS: usize = 500;

/// Where rules report to.
pub(crate) struct Report<'a> {
    document: &'a Node,
    damaged: &'a [Path],
    problems: Vec<Problem>,
}

/// What a rule found.
pub(crate) struct Finding {
    path: Path,
    at_key: bool,
    warning: bool,
    message: String,
    why: Option<String>,
    help: String,
    related: Vec<(Path, String)>,
    concerns: Vec<Path>,
}

impl Finding {
    /// A mistake in the value at a place.
    pub(crate) fn new(path: Path, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            path,
            at_key: false,
            warning: false,
            message: message.into(),
            why: None,
            help: help.into(),
            related: Vec::new(),
            concerns: Vec::new(),
        }
    }

    /// A mistake for which the key stands, and not its value.
    pub(crate) fn of_key(path: Path, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at_key: true, ..Self::new(path, message, help) }
    }

    /// The same as a warning.
    pub(crate) fn warning(self) -> Self {
        Self { warning: true, ..self }
    }

    /// The same with a reason.
    pub(crate) fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    /// The same with another place that belongs to it; it is also a concern.
    pub(crate) fn see(mut self, path: Path, label: impl Into<String>) -> Self {
        self.concerns.push(path.clone());
        self.related.push((path, label.into()));
        self
    }

    /// The same with another place that the rule has read: it holds only if that place is what the user wrote.
    pub(crate) fn given(mut self, path: Path) -> Self {
        self.concerns.push(path);
        self
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(document: &'a Node, damaged: &'a [Path]) -> Self {
        Self { document, damaged, problems: Vec::new() }
    }

    /// Takes what a rule found, unless the rule was misled by an example.
    pub(crate) fn add(&mut self, finding: Finding) {
        let misled = |damaged: &Path| {
            damaged.contains(&finding.path) || finding.concerns.iter().any(|concern| concern.touches(damaged))
        };
        if self.problems.len() >= MOST_FINDINGS || self.damaged.iter().any(misled) {
            return;
        }
        let span = match finding.at_key {
            true => self.document.locate_key(&finding.path),
            false => self.document.locate(&finding.path),
        };
        let mut problem = Problem::error(span, finding.message, finding.help).at(&finding.path);
        problem.why = finding.why;
        for (path, label) in finding.related {
            problem = problem.see(self.document.locate(&path), label);
        }
        self.problems.push(if finding.warning { problem.into_warning() } else { problem });
    }

    /// Whether what stands at a place is not what the user wrote.
    pub(crate) fn is_damaged(&self, path: &Path) -> bool {
        self.damaged.iter().any(|damaged| path.touches(damaged))
    }

    /// Whether the user wrote something at a place.
    pub(crate) fn wrote(&self, path: &Path) -> bool {
        self.document.find(path).is_some()
    }

    /// All that was found.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// The index of each item that repeats an earlier one, with the index of that one.
pub(crate) fn repetitions<T: PartialEq>(items: &[T]) -> Vec<(usize, usize)> {
    let first = |index: usize| items.iter().position(|item| *item == items[index]);
    (0..items.len())
        .filter_map(|index| first(index).filter(|first| *first < index).map(|first| (index, first)))
        .collect()
}

/// Reports every item of a list that repeats an earlier one.
pub(crate) fn refuse_repetitions<T: PartialEq>(
    report: &mut Report<'_>,
    path: &Path,
    items: &[T],
    name: impl Fn(&T) -> String,
) {
    for (index, first) in repetitions(items) {
        report.add(
            Finding::new(
                path.index(index),
                format!("{} is listed twice", super::problem::quoted(&name(&items[index]))),
                "remove one of the two",
            )
            .see(path.index(first), "first here")
            .given(path.index(index)),
        );
    }
}
