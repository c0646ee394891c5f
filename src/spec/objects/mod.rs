//! Kubernetes objects as files write them: which they are, how an API server calls their kinds, and everything that is
//! wrong with a file of them, each mistake with its line. Nothing is asked of a cluster; what only an API server knows
//! is left to it.

mod files;
mod identity;
mod manifest;
pub mod patience;
pub mod served;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

pub(crate) use files::{NoFiles, expand};
pub use identity::{ObjectId, ObjectKind};

use super::document::{self, Node};
use super::model::Manifest;
use super::problem::{FileProblems, Problem, Source, not_utf8, quoted};
use served::Served;

/// A file with manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Its name in messages.
    pub(crate) name: String,
    /// What it says.
    pub(crate) bytes: Vec<u8>,
    /// The item of `workloads.manifests` that names it.
    pub(crate) item: usize,
}

/// Every object in `files` that can be applied, in their order, and everything that is wrong, file by file.
pub(crate) fn read(files: &[File]) -> (Vec<Manifest>, Vec<FileProblems>) {
    let mut readings: Vec<Reading> = files.iter().map(Reading::of).collect();
    let definitions = definitions(&readings);
    let mut manifests = Vec::new();
    let mut first: HashMap<String, Place> = HashMap::new();
    for (number, file) in files.iter().enumerate() {
        for node in std::mem::take(&mut readings[number].nodes) {
            let object = match manifest::understand(&node, &definitions) {
                Ok(object) => object,
                Err(problems) => {
                    readings[number].problems.extend(problems);
                    continue;
                }
            };
            let place = Place { file: number, span: manifest::heading(&node) };
            if let Some(first) = first.get(&object.id.key()) {
                let twice = twice(&object.id, &place, first, &readings);
                readings[number].problems.push(twice);
                continue;
            }
            let source = &readings[number].source;
            let line = source.position(manifest::start(&node)).0;
            manifests.push(Manifest { item: file.item, file: file.name.clone(), line, object: object.value });
            first.insert(object.id.key(), place);
        }
    }
    let wrong = readings.into_iter().filter(|reading| !reading.problems.is_empty());
    (manifests, wrong.map(|reading| FileProblems::new(reading.source, reading.problems)).collect())
}

/// A file, and what was found in it.
struct Reading {
    source: Source,
    nodes: Vec<Node>,
    problems: Vec<Problem>,
}

/// Where an object stands.
struct Place {
    file: usize,
    span: Range<usize>,
}

impl Reading {
    fn of(file: &File) -> Self {
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => {
                let source = Source::new(file.name.as_str(), text);
                let (documents, problems) = document::parse_documents(&source);
                let nodes = documents.into_iter().flat_map(manifest::items_of_list).collect();
                Self { source, nodes, problems }
            }
            Err(error) => {
                let source = Source::new(file.name.as_str(), String::from_utf8_lossy(&file.bytes));
                Self { source, nodes: Vec::new(), problems: vec![not_utf8(&file.bytes, error.valid_up_to())] }
            }
        }
    }
}

/// The kinds that the manifests themselves define.
fn definitions(readings: &[Reading]) -> BTreeMap<ObjectKind, Served> {
    let nodes = readings.iter().flat_map(|reading| &reading.nodes);
    nodes.filter(|node| manifest::is_definition(node)).flat_map(|node| served::defined_by(&node.to_json())).collect()
}

fn twice(id: &ObjectId, here: &Place, first: &Place, readings: &[Reading]) -> Problem {
    let help = "keep one of the two, or give each a name of its own";
    let problem = Problem::error(here.span.clone(), format!("the {id} is given twice"), help).at("metadata.name");
    if first.file == here.file {
        return problem.see(first.span.clone(), "first here");
    }
    let source = &readings[first.file].source;
    problem.because(format!("the first is in {}, line {}", quoted(source.name()), source.position(first.span.start).0))
}

#[cfg(test)]
mod tests;
