//! From a file to a [`Stack`]: read, parse, substitute, compare with the schema, decode, check.

use std::path::{Path as FilePath, PathBuf};

use super::document::{self, Node, Value};
use super::model::Stack;
use super::problem::{FileProblems, Problem, Problems, Source, not_utf8, quoted};
use super::rules::{self, Place};
use super::structure;

/// The largest file that is read, in bytes.
const LARGEST_FILE: usize = 512 * 1024;

/// The version of the format that this eksup reads.
const API_VERSION: &str = "eksup.dev/v1";

/// A stack that can be built, with what is worth saying about its file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The stack, with every default filled in.
    pub stack: Stack,
    /// The name of the file, as it was given.
    pub source_name: String,
    /// What is worth a thought; may be empty.
    pub warnings: Problems,
}

/// Reads the stack file at `path`, with the variables of this process.
///
/// # Errors
/// Everything that is wrong with the file and the files that it names, at once; warnings are among them.
pub fn read(path: &FilePath) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let unreadable = |problem| Problems::new(Source::new(name.as_str(), ""), vec![problem]);
    let details = std::fs::metadata(path).map_err(|error| unreadable(cannot_read(&name, &error)))?;
    if details.is_dir() {
        let help = format!("name the file, such as `{}`", path.join("stack.yaml").display());
        return Err(unreadable(Problem::of_file(format!("{} is a directory", quoted(&name)), help)));
    }
    if details.len() > LARGEST_FILE as u64 {
        return Err(unreadable(too_large(details.len())));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(cannot_read(&name, &error)))?;
    let folder = path.parent().map_or_else(PathBuf::new, FilePath::to_path_buf);
    parse_bytes(&bytes, &name, |variable| std::env::var(variable).ok(), &folder)
}

/// Reads a stack from the bytes of a file: as [`parse`], but they need not be text.
///
/// # Errors
/// As [`parse`].
pub fn parse_bytes(
    bytes: &[u8],
    name: &str,
    environment: impl Fn(&str) -> Option<String>,
    folder: &FilePath,
) -> Result<Loaded, Problems> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text, name, environment, folder),
        Err(error) => {
            let shown = &bytes[..bytes.len().min(LARGEST_FILE)];
            let source = Source::new(name, String::from_utf8_lossy(shown));
            Err(Problems::new(source, vec![not_utf8(bytes, error.valid_up_to())]))
        }
    }
}

/// Reads a stack from the text of a file called `name` in messages. `environment` looks up variables; files that
/// the stack names are looked for in `folder`.
///
/// # Errors
/// Everything that is wrong with the text and the files that it names, at once; warnings are among them.
pub fn parse(
    text: &str,
    name: &str,
    environment: impl Fn(&str) -> Option<String>,
    folder: &FilePath,
) -> Result<Loaded, Problems> {
    if text.len() > LARGEST_FILE {
        let source = Source::new(name, "");
        return Err(Problems::new(source, vec![too_large(text.len() as u64)]));
    }
    let source = Source::new(name, text);
    let read = understand(&source, &environment, folder);
    let problems = Problems::new(source, read.problems);
    let problems = read.others.into_iter().fold(problems, Problems::with);
    match read.stack {
        Some(stack) if problems.errors() == 0 => Ok(Loaded { stack, source_name: name.to_owned(), warnings: problems }),
        _ => Err(problems),
    }
}

/// What a text is understood as.
#[derive(Default)]
struct Understood {
    /// The stack, if the text is one at all.
    stack: Option<Stack>,
    /// What is wrong with the text.
    problems: Vec<Problem>,
    /// What is wrong with the files that it names.
    others: Vec<FileProblems>,
}

impl Understood {
    fn nothing(problem: Problem) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }
}

/// The steps from text to stack. A document that is no stack at all ends it early.
fn understand(source: &Source, environment: &dyn Fn(&str) -> Option<String>, folder: &FilePath) -> Understood {
    let (mut document, mut problems) = match document::parse(source) {
        Ok(parsed) => parsed,
        Err(problem) => return Understood::nothing(*problem),
    };
    if let Err(problem) = is_a_stack(&document) {
        return Understood::nothing(*problem);
    }
    let mut damaged = document::substitute(&mut document, environment, &mut problems);
    let written = document.clone();
    let findings = structure::check(&mut document);
    problems.extend(findings.problems);
    damaged.extend(findings.damaged);
    let mut stack = match decode(&document) {
        Ok(stack) => stack,
        Err(problem) => {
            problems.push(*problem);
            return Understood { problems, ..Understood::default() };
        }
    };
    problems.extend(rules::load_policies(&mut stack, folder, &written, &damaged));
    let place = Place { folder, stack_file: source.name() };
    let (in_stack, others) = rules::load_manifests(&mut stack, &place, &written, &damaged);
    problems.extend(in_stack);
    problems.extend(rules::check(&stack, &written, &damaged));
    if stack.cluster.is_some() {
        stack.identity.get_or_insert_default();
    }
    Understood { stack: Some(stack), problems, others }
}

/// Whether the document is for eksup at all: of another one, no single key needs to be right.
fn is_a_stack(document: &Node) -> Result<(), Box<Problem>> {
    if !matches!(document.value, Value::Map(_)) {
        return Err(Box::new(Problem::error(
            document.span.clone(),
            format!("the file is {}, not a stack", document.kind()),
            "a stack file is a mapping of keys to values that begins with `apiVersion: eksup.dev/v1`",
        )));
    }
    let Some(entry) = document.entry("apiVersion") else {
        return Ok(());
    };
    match entry.node.text() {
        Some(API_VERSION) | None => Ok(()),
        Some(other) => Err(Box::new(unknown_version(other, &entry.node))),
    }
}

fn unknown_version(version: &str, node: &Node) -> Problem {
    let group = version.split('/').next().unwrap_or(version);
    let problem = Problem::error(
        node.span.clone(),
        format!("{} is not a version of the stack file", quoted(version)),
        format!("write `apiVersion: {API_VERSION}`, the only version there is"),
    )
    .at("apiVersion");
    match group {
        "eksup.dev" => problem.because("this eksup may be older than the file"),
        "eksctl.io" => problem.because("this is a file for eksctl"),
        "karpenter.sh" | "karpenter.k8s.aws" => {
            problem.because("this is an object of Karpenter; in a stack file its spec goes under `autoscaler`")
        }
        _ if version == "v1" || version.contains('/') => problem.because("this seems to be a Kubernetes manifest"),
        _ => problem,
    }
}

/// The typed stack. What has passed the schema can always be decoded: anything else is a mistake in eksup.
fn decode(document: &Node) -> Result<Stack, Box<Problem>> {
    serde_json::from_value(document.to_json()).map_err(|error| {
        Box::new(Problem::error(
            document.span.clone(),
            format!("the stack cannot be understood: {error}"),
            "this is a mistake in eksup: the file passed its schema; please report it",
        ))
    })
}

fn cannot_read(name: &str, error: &std::io::Error) -> Problem {
    match error.kind() {
        std::io::ErrorKind::NotFound => Problem::of_file(
            format!("there is no file {}", quoted(name)),
            "name the stack file, or write one with `eksup init`",
        ),
        _ => {
            Problem::of_file(format!("{} cannot be read: {error}", quoted(name)), "check the file and its permissions")
        }
    }
}

fn too_large(bytes: u64) -> Problem {
    Problem::of_file(
        format!("the file has {} KiB, which is too large for a stack", bytes.div_ceil(1024)),
        format!("check that it is the right file; a stack file has {} KiB at most", LARGEST_FILE / 1024),
    )
}
