//! The user's own manifests: from files to objects, with everything that is wrong with them at once, each mistake with
//! its file and line. Nothing is asked of a cluster; what only an API server knows is left to it.

mod files;
mod object;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

pub use files::{File, FileError, find};

use super::identity::{ObjectId, ObjectKind};
use super::served::{self, Served};
use crate::spec::Problems;
use crate::spec::document::{self, Node};
use crate::spec::problem::{Problem, Source, quoted};

/// An object that a file asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Which object it is.
    pub id: ObjectId,
    /// The object as it is applied: in its namespace, without what an API server writes.
    pub object: Value,
    /// The file that it stands in.
    pub file: String,
    /// Its line in there, from 1.
    pub line: usize,
}

/// Every object in `files`.
///
/// # Errors
/// Everything that is wrong, file by file.
pub fn read(files: &[File]) -> Result<Vec<Manifest>, Vec<Problems>> {
    let mut sources: Vec<Reading> = files.iter().map(Reading::of).collect();
    let definitions = definitions(&sources);
    let mut manifests = Vec::new();
    let mut first: BTreeMap<String, (usize, Range<usize>)> = BTreeMap::new();
    for number in 0..sources.len() {
        let nodes = std::mem::take(&mut sources[number].nodes);
        for node in &nodes {
            let object = match object::understand(node, &definitions) {
                Ok(object) => object,
                Err(problems) => {
                    sources[number].problems.extend(problems);
                    continue;
                }
            };
            let span = object::heading(node);
            if let Some(twice) =
                first.get(&object.id.key()).map(|place| twice(&object.id, &span, place, number, &sources))
            {
                sources[number].problems.push(twice);
                continue;
            }
            first.insert(object.id.key(), (number, span.clone()));
            let source = &sources[number].source;
            let line = source.position(span.start).0;
            manifests.push(Manifest { id: object.id, object: object.value, file: source.name().to_owned(), line });
        }
    }
    let wrong = sources.into_iter().filter(|reading| !reading.problems.is_empty());
    let wrong: Vec<Problems> = wrong.map(|reading| Problems::new(reading.source, reading.problems)).collect();
    if wrong.is_empty() { Ok(manifests) } else { Err(wrong) }
}

/// A file, and what was found in it.
struct Reading {
    source: Source,
    nodes: Vec<Node>,
    problems: Vec<Problem>,
}

impl Reading {
    fn of(file: &File) -> Self {
        let source = Source::new(file.name.as_str(), file.text.as_str());
        let (documents, problems) = document::parse_documents(&source);
        let nodes = documents.into_iter().flat_map(object::items_of_list).collect();
        Self { source, nodes, problems }
    }
}

/// The kinds that the manifests themselves define.
fn definitions(sources: &[Reading]) -> BTreeMap<ObjectKind, Served> {
    let nodes = sources.iter().flat_map(|reading| &reading.nodes);
    nodes.flat_map(|node| served::defined_by(&node.to_json())).collect()
}

fn twice(
    id: &ObjectId,
    span: &Range<usize>,
    first: &(usize, Range<usize>),
    here: usize,
    sources: &[Reading],
) -> Problem {
    let (file, place) = first;
    let source = &sources[*file].source;
    let message = format!("{id} is given twice");
    if *file == here {
        return Problem::error(span.clone(), message, "keep one of the two").see(place.clone(), "first here");
    }
    let line = source.position(place.start).0;
    let help = format!("keep one of the two; the first stands in {}, line {line}", quoted(source.name()));
    Problem::error(span.clone(), message, help)
}

#[cfg(test)]
mod tests;
