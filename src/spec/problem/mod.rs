//! What is wrong with a stack file and the files that it names: one [`Problem`] for each mistake, all of them together
//! in [`Problems`].

mod render;
mod secrets;
mod source;
mod text;

use std::{fmt, ops::Range};

use serde::Serialize;

pub use render::Style;
pub(crate) use secrets::holds_secrets;
pub(crate) use source::{Source, not_utf8};
use text::presentable;
pub(crate) use text::{any_of, list, nearest, quoted, sentence};

/// Whether a problem stops eksup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nothing is done before it is gone.
    Error,
    /// Worth a thought, and no more.
    Warning,
}

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops eksup.
    pub severity: Severity,
    /// Where in the document, such as `cluster.nodeGroups[0].min`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, in one line.
    pub message: String,
    /// Why that is so, where it is not obvious.
    pub why: Option<String>,
    /// What to write instead.
    pub help: String,
    /// The bytes of the file that are meant; none if the file could not be read at all.
    pub span: Option<Range<usize>>,
    /// Other places that belong to it, each with a word on why.
    pub related: Vec<(Range<usize>, String)>,
}

impl Problem {
    /// An error at a place, with what is wrong and what to write instead.
    pub(crate) fn error(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: String::new(),
            message: message.into(),
            why: None,
            help: help.into(),
            span: Some(span),
            related: Vec::new(),
        }
    }

    /// An error that concerns the file as a whole.
    pub(crate) fn of_file(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(0..0, message, help) }
    }

    /// The same as a warning.
    pub(crate) fn into_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// The same with its place in the document.
    pub(crate) fn at(self, path: impl fmt::Display) -> Self {
        Self { path: path.to_string(), ..self }
    }

    /// The same with a reason.
    pub(crate) fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    /// Whatever of the user's text got into the words: no terminal obeys it, and nobody has to scroll.
    fn make_presentable(&mut self) {
        let words = [&mut self.path, &mut self.message, &mut self.help];
        let labels = self.related.iter_mut().map(|(_, label)| label);
        for text in words.into_iter().chain(&mut self.why).chain(labels) {
            *text = presentable(text);
        }
    }

    /// The same with another place that belongs to it.
    pub(crate) fn see(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }
}

/// All problems of a stack: of its own file, then of the files that it names.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// Only files that have problems.
    files: Vec<FileProblems>,
}

/// All problems of one file, in the order of their places, with the text they point into.
#[derive(Clone, Debug)]
pub struct FileProblems {
    source: Source,
    list: Vec<Problem>,
    /// How many errors and warnings there were before the list was cut.
    errors: usize,
    warnings: usize,
}

/// More problems than this are counted and not kept: they come from a file that is no stack.
const MOST_KEPT: usize = 200;

/// So many files are named in the last line; more are counted.
const MOST_NAMED: usize = 3;

/// One problem as programs get it. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemRecord {
    /// Whether it stops eksup.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, if it is about a place in the file.
    pub line: Option<usize>,
    /// The column in that line.
    pub column: Option<usize>,
    /// Where in the document, such as `cluster.nodeGroups[0].min`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Why that is so, where it is not obvious.
    pub why: Option<String>,
    /// What to write instead.
    pub help: String,
    /// Other places that belong to it.
    pub related: Vec<RelatedRecord>,
}

/// A place that belongs to a problem, as programs get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelatedRecord {
    /// The line, from 1.
    pub line: usize,
    /// The column in that line, from 1.
    pub column: usize,
    /// Why it belongs to the problem.
    pub label: String,
}

impl FileProblems {
    /// Sorts the problems by their place and drops repetitions.
    pub(crate) fn new(source: Source, mut list: Vec<Problem>) -> Self {
        let place = |problem: &Problem| problem.span.as_ref().map_or(0, |span| span.start);
        list.sort_by(|one, other| {
            (place(one), one.severity, &one.message).cmp(&(place(other), other.severity, &other.message))
        });
        list.dedup_by(|one, other| one.message == other.message && one.span == other.span);
        let errors = list.iter().filter(|problem| problem.severity == Severity::Error).count();
        let warnings = list.len() - errors;
        list.truncate(MOST_KEPT);
        list.iter_mut().for_each(Problem::make_presentable);
        Self { source, list, errors, warnings }
    }

    /// The name of the file, as it was given.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// The problems in the order of their places: the first 200 of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// The line and column of a problem of this file, both from 1; none if it is about the file as a whole.
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        problem.span.as_ref().map(|span| self.source.position(span.start))
    }

    fn record(&self, problem: &Problem) -> ProblemRecord {
        let related = |(span, label): &(Range<usize>, String)| {
            let (line, column) = self.source.position(span.start);
            RelatedRecord { line, column, label: label.clone() }
        };
        let position = self.position(problem);
        ProblemRecord {
            severity: problem.severity,
            file: self.name().to_owned(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            path: problem.path.clone(),
            message: problem.message.clone(),
            why: problem.why.clone(),
            help: problem.help.clone(),
            related: problem.related.iter().map(related).collect(),
        }
    }
}

impl Problems {
    /// Those of the stack file alone.
    pub(crate) fn new(source: Source, list: Vec<Problem>) -> Self {
        Self::default().with(FileProblems::new(source, list))
    }

    /// The same with those of one more file, if it has any.
    pub(crate) fn with(mut self, file: FileProblems) -> Self {
        self.files.extend(Some(file).filter(|file| !file.list.is_empty()));
        self
    }

    /// The files that have problems: the stack file, then those that it names.
    pub fn files(&self) -> impl Iterator<Item = &FileProblems> {
        self.files.iter()
    }

    /// The problems, file by file, in the order of their places: the first 200 of each file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.files().flat_map(FileProblems::iter)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.errors() + self.warnings()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.files().map(|file| file.errors).sum()
    }

    /// How many of them are warnings.
    pub fn warnings(&self) -> usize {
        self.files().map(|file| file.warnings).sum()
    }

    /// The problems for programs, in the same order.
    pub fn records(&self) -> Vec<ProblemRecord> {
        self.files().flat_map(|file| file.iter().map(|problem| file.record(problem))).collect()
    }

    /// One line that says how many errors and warnings there are, and in which files.
    pub fn summary(&self) -> String {
        let count = |number: usize, noun: &str| match number {
            1 => format!("1 {noun}"),
            _ => format!("{number} {noun}s"),
        };
        let counts = match (self.errors(), self.warnings()) {
            (errors, 0) => count(errors, "error"),
            (0, warnings) => count(warnings, "warning"),
            (errors, warnings) => {
                format!("{} and {}", count(errors, "error"), count(warnings, "warning"))
            }
        };
        let names: Vec<String> = self.files().map(|file| format!("`{}`", presentable(file.name()))).collect();
        match names.len() <= MOST_NAMED {
            true => format!("{counts} in {}", sentence(&names)),
            false => format!("{counts} in {} files", names.len()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.summary())
    }
}

impl std::error::Error for Problems {}
