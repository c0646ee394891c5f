//! From YAML events to the tree, with limits that no honest file meets.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, Tag};

use super::{Entry, Node, Span, Value, merge, scalar, syntax};
use crate::spec::problem::{Problem, Source, quoted};

/// How deep lists and mappings may be nested.
const DEEPEST: usize = 64;

/// How many values a file may have once every alias is put in.
const MOST_NODES: usize = 100_000;

/// What a text is for: what YAML leaves to its readers, and what a mistake is answered with, depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A stack.
    Stack,
    /// Kubernetes objects: as their other readers, eksup takes merge keys.
    Manifest,
}

/// Reads the one YAML document of a stack file.
///
/// # Errors
/// The problems that keep it from being a tree at all: YAML stops at the first error of syntax. Keys that are
/// given twice are reported in the second half of the result, beside a tree that has the first of them.
pub(crate) fn parse(source: &Source) -> Result<(Node, Vec<Problem>), Box<Problem>> {
    let builder = read(source, 0..source.text().len(), Purpose::Stack)?;
    match builder.root {
        Some(node) if !matches!(node.value, Value::Null) => Ok((node, builder.problems)),
        _ => Err(Box::new(empty())),
    }
}

/// Reads every YAML document of a file with manifests; those that are empty are left out. An error of syntax ends only the document
/// that it is in.
pub(crate) fn parse_documents(source: &Source) -> (Vec<Node>, Vec<Problem>) {
    let mut nodes = Vec::new();
    let mut problems = Vec::new();
    for range in documents(source.text()) {
        match read(source, range, Purpose::Manifest) {
            Ok(builder) => {
                nodes.extend(builder.root.filter(|node| !matches!(node.value, Value::Null)));
                problems.extend(builder.problems);
            }
            Err(problem) => problems.push(*problem),
        }
    }
    (nodes, problems)
}

/// Where the documents of a file stand: from one line that begins with `---` to the next. What stands before the
/// first is a document of its own only if it says something; otherwise it may be a directive for that one.
fn documents(text: &str) -> Vec<Span> {
    let mut starts = vec![0];
    let mut offset = 0;
    let mut says_something = false;
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("---");
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            if says_something {
                starts.push(offset);
            }
            says_something = true;
        } else {
            says_something |= !line.trim().is_empty() && !line.starts_with(['#', '%', '\u{feff}']);
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Reads the one document in `range` of the text.
fn read(source: &Source, range: Span, purpose: Purpose) -> Result<Builder<'_>, Box<Problem>> {
    let mut builder = Builder::new(source, range.clone(), purpose);
    let mut events = Parser::new_from_str(source.text().get(range).unwrap_or_default());
    loop {
        match events.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => return Ok(builder),
            Some(Ok((event, marks))) => builder.take(event, marks)?,
            Some(Err(error)) => {
                let offset = builder.offset(error.marker().index());
                let opened = builder.innermost_bracket();
                return Err(Box::new(syntax::explain(source, offset, error.info(), opened, purpose)));
            }
        }
    }
}

/// A list or a mapping that is not complete yet.
struct Frame {
    span: Span,
    anchor: usize,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// Where each key was first given.
        first: HashMap<String, Span>,
        /// The key whose value comes next.
        key: Option<(String, Span)>,
    },
}

struct Builder<'a> {
    source: &'a Source,
    purpose: Purpose,
    /// Where in the text the document stands.
    range: Span,
    /// The byte offset of each character in the document; empty if all characters are one byte.
    offsets: Vec<usize>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn new(source: &'a Source, range: Span, purpose: Purpose) -> Self {
        let text = source.text().get(range.clone()).unwrap_or_default();
        let offsets = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(offset, _)| offset).collect(),
        };
        let (stack, anchors, problems) = (Vec::new(), HashMap::new(), Vec::new());
        Self { source, purpose, range, offsets, stack, anchors, nodes: 0, root: None, problems }
    }

    /// Where in the text the character with this number of the document stands.
    fn offset(&self, index: usize) -> usize {
        let length = self.range.len();
        let inside = match self.offsets.is_empty() {
            true => index.min(length),
            false => self.offsets.get(index).copied().unwrap_or(length),
        };
        self.range.start + inside
    }

    fn span(&self, marks: Marks) -> Span {
        let start = self.offset(marks.start.index());
        start..self.offset(marks.end.index()).max(start)
    }

    /// Where the innermost list or mapping in brackets was opened.
    fn innermost_bracket(&self) -> Option<Span> {
        let opened =
            self.stack.iter().rev().find(|frame| self.source.text()[frame.span.start..].starts_with(['[', '{']))?;
        Some(opened.span.start..opened.span.start + 1)
    }

    fn take(&mut self, event: Event<'_>, marks: Marks) -> Result<(), Box<Problem>> {
        let span = self.span(marks);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => return Err(second_document(span, self.purpose)),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), span)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span)?;
                self.open(span, anchor, FrameKind::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span)?;
                self.open(span, anchor, FrameKind::Map { entries: Vec::new(), first: HashMap::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, span: Span, anchor: usize, kind: FrameKind) -> Result<(), Box<Problem>> {
        if self.stack.len() >= DEEPEST {
            return Err(Box::new(Problem::error(
                span,
                format!("lists and mappings are nested more than {DEEPEST} deep here"),
                "check the indentation and the brackets above this line",
            )));
        }
        if self.expects_key() {
            let line = self.source.line_index(span.start);
            return Err(syntax::template(self.source, line, self.purpose).map_or_else(|| complex_key(span), Box::new));
        }
        self.stack.push(Frame { span, anchor, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Box<Problem>> {
        let Some(Frame { span, anchor, kind }) = self.stack.pop() else {
            return Ok(());
        };
        let value = match kind {
            FrameKind::List(items) => Value::List(items),
            FrameKind::Map { entries, .. } if self.purpose == Purpose::Manifest => Value::Map(merge::merged(entries)?),
            FrameKind::Map { entries, .. } => Value::Map(entries),
        };
        self.complete(Node::new(value, span), anchor)
    }

    /// Whether the next node is the key of a mapping.
    fn expects_key(&self) -> bool {
        let top = self.stack.last().map(|frame| &frame.kind);
        matches!(top, Some(FrameKind::Map { key: None, .. }))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Box<Problem>> {
        let as_text = match tag {
            None => style != ScalarStyle::Plain,
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => true,
            tag => {
                self.refuse_tag(tag, &span)?;
                style != ScalarStyle::Plain
            }
        };
        if self.expects_key() {
            return self.key(text, span);
        }
        let mut node = Node::new(Value::Text(text.to_owned()), span);
        if !as_text {
            node.value = scalar::resolve(text).ok_or_else(|| not_a_number(text, &node.span))?;
            if !matches!(node.value, Value::Text(_)) {
                node.written = Some(text.to_owned());
            }
        }
        self.complete(node, anchor)
    }

    fn key(&mut self, text: &str, span: Span) -> Result<(), Box<Problem>> {
        if text == merge::KEY && self.purpose == Purpose::Stack {
            return Err(merge_key(span));
        }
        if let Some(Frame { kind: FrameKind::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some((text.to_owned(), span));
        }
        Ok(())
    }

    /// Hands a complete node to the list or mapping around it.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Box<Problem>> {
        self.count(1, &node.span)?;
        if anchor > 0 {
            self.count(size(&node), &node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.kind) {
            None => self.root = Some(node),
            Some(FrameKind::List(items)) => items.push(node),
            Some(FrameKind::Map { entries, first, key }) => {
                let Some((key, key_span)) = key.take() else {
                    return Ok(());
                };
                match first.get(&key) {
                    Some(first) => self.problems.push(twice(&key, key_span, first.clone())),
                    None => {
                        first.insert(key.clone(), key_span.clone());
                        entries.push(Entry { key, key_span, node });
                    }
                }
            }
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Box<Problem>> {
        if self.expects_key() {
            return Err(complex_key(span));
        }
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Box::new(Problem::error(
                span,
                "this alias stands inside the value that it refers to",
                "write the value out",
            )));
        };
        let node = node.clone();
        self.count(size(&node), &span)?;
        self.complete(Node { span, ..node }, 0)
    }

    fn count(&mut self, nodes: usize, span: &Span) -> Result<(), Box<Problem>> {
        self.nodes += nodes;
        match self.nodes > MOST_NODES {
            false => Ok(()),
            true => Err(Box::new(Problem::error(
                span.clone(),
                format!("the file has more than {MOST_NODES} values by here, aliases included"),
                "write it without aliases that contain one another",
            ))),
        }
    }

    fn refuse_tag(&self, tag: Option<&Tag>, span: &Span) -> Result<(), Box<Problem>> {
        match tag {
            None => Ok(()),
            Some(tag) => Err(Box::new(
                Problem::error(
                    span.clone(),
                    format!("the YAML tag {} means nothing here", quoted(&tag.to_string())),
                    "write the value without a tag; quotes make it text",
                )
                .because("eksup takes only plain text, numbers, true or false, lists and mappings"),
            )),
        }
    }
}

/// How many values a node has, itself included.
fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum::<usize>(),
        _ => 0,
    }
}

fn empty() -> Problem {
    Problem::of_file(
        "the stack file is empty",
        "the least that a stack file says is\n\n  apiVersion: eksup.dev/v1\n  kind: Stack\n  metadata: { name: shop, region: eu-central-1 }",
    )
}

fn second_document(span: Span, purpose: Purpose) -> Box<Problem> {
    let help = match purpose {
        Purpose::Stack => "put each stack into a file of its own, and remove `---` from the end of this one",
        Purpose::Manifest => "begin each document with a line `---`",
    };
    Box::new(Problem::error(span, "a second YAML document starts here", help))
}

fn complex_key(span: Span) -> Box<Problem> {
    Box::new(
        Problem::error(
            span,
            "a list, a mapping or an alias stands where a key is expected",
            "write a plain key; text that begins with `{`, `[` or `*` needs quotes",
        )
        .because("to YAML, `{` and `[` begin a mapping or a list, and `*` refers to another value"),
    )
}

fn merge_key(span: Span) -> Box<Problem> {
    Box::new(
        Problem::error(
            span,
            "merge keys (`<<`) are not supported",
            "write the keys out; a whole value can be shared with an anchor (`&name`) and an alias (`*name`)",
        )
        .because("they are no part of YAML 1.2, and readers disagree on what they mean"),
    )
}

fn not_a_number(text: &str, span: &Span) -> Box<Problem> {
    Box::new(Problem::error(
        span.clone(),
        format!("{} is not a number that can be kept", quoted(text)),
        "write a finite number, or quotes around it if it is text",
    ))
}

fn twice(key: &str, span: Span, first: Span) -> Problem {
    Problem::error(
        span,
        format!("the key {} is given twice", quoted(key)),
        "keep one of the two, or put what both say under one",
    )
    .see(first, "first here")
}
