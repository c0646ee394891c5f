//! The manifests that `workloads.manifests` names: found, read, and put into the stack.

use std::path::Path as FilePath;

use serde_json::Value as Json;

use super::{Finding, Report};
use crate::spec::document::{Node, Path};
use crate::spec::files::{self, NoFiles};
use crate::spec::model::{Manifest, Stack};
use crate::spec::problem::{Problem, nearest, quoted};

/// No file is larger: etcd takes objects of 1.5 MiB.
const LARGEST_FILE: u64 = 8 * 1024 * 1024;

/// Reads the manifests that the stack names, relative to `folder`, into the stack.
pub(crate) fn load_manifests(stack: &mut Stack, folder: &FilePath, document: &Node, damaged: &[Path]) -> Vec<Problem> {
    let mut report = Report::new(document, damaged);
    let Some(workloads) = &mut stack.workloads else {
        return Vec::new();
    };
    let mut objects = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut whole = true;
    for (item, pattern) in workloads.manifests.iter().enumerate() {
        let path = manifest_path(item);
        let found = match files::expand(folder, pattern) {
            Ok(found) => found,
            Err(none) => {
                whole = false;
                report.add(no_files(folder, pattern, &none, path));
                continue;
            }
        };
        // A file that two patterns reach is read once.
        for file in found.into_iter().filter(|file| !seen.contains(file)).collect::<Vec<_>>() {
            match read(folder, &file, item) {
                Ok(read) => objects.extend(read),
                Err((what, help)) => {
                    whole = false;
                    report.add(Finding::new(path.clone(), format!("the manifest {} {what}", quoted(&file)), help));
                }
            }
            seen.push(file);
        }
    }
    refuse_duplicates(&objects, &mut report);
    workloads.objects = whole.then_some(objects);
    report.into_problems()
}

/// The place of an item of `workloads.manifests`.
pub(super) fn manifest_path(item: usize) -> Path {
    Path::of("workloads.manifests").index(item)
}

fn no_files(folder: &FilePath, pattern: &str, none: &NoFiles, path: Path) -> Finding {
    let quoted = quoted(pattern);
    match none {
        NoFiles::Missing => {
            let siblings = siblings(folder, pattern);
            let help = match nearest(pattern, siblings.iter().map(String::as_str)) {
                Some(likely) => format!("write `{likely}`"),
                None => "write the path as it is seen from the stack file's own folder".to_owned(),
            };
            Finding::new(path, format!("there is no file or folder {quoted}"), help)
        }
        NoFiles::Empty => Finding::new(
            path,
            format!("{quoted} means no manifests"),
            "name files that end in `.yaml`, `.yml` or `.json`, or remove the line",
        )
        .because("patterns are seen from the stack file's own folder, and `*` does not reach into folders; `**` does"),
        NoFiles::TooMany => {
            Finding::new(path, format!("{quoted} means more than 1000 files"), "name the folder with the manifests")
        }
        NoFiles::Unreadable(reason) => {
            Finding::new(path, format!("{quoted} cannot be read: {reason}"), "check the path and its permissions")
        }
    }
}

/// What stands beside a file that is not there.
fn siblings(folder: &FilePath, name: &str) -> Vec<String> {
    let base = name.trim_end_matches('/').rsplit_once('/').map(|(base, _)| base);
    let entries = std::fs::read_dir(folder.join(base.unwrap_or(".")));
    let names = entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.map(|name| base.map_or_else(|| name.clone(), |base| format!("{base}/{name}"))).collect()
}

/// The objects of one file, or what is wrong with it and what to do.
fn read(folder: &FilePath, file: &str, item: usize) -> Result<Vec<Manifest>, (String, String)> {
    let place = folder.join(file);
    let cannot = |error: std::io::Error| (format!("cannot be read: {error}"), "check its permissions".to_owned());
    let details = std::fs::metadata(&place).map_err(cannot)?;
    if details.len() > LARGEST_FILE {
        let help = "split it, or check that it is the right file";
        return Err((format!("has {} MiB, which is too large", details.len() / (1024 * 1024)), help.to_owned()));
    }
    let bytes = std::fs::read(&place).map_err(cannot)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| ("is not UTF-8 text".to_owned(), "save it as UTF-8, or name another file".to_owned()))?;
    parse(&text, file, item)
}

fn parse(text: &str, file: &str, item: usize) -> Result<Vec<Manifest>, (String, String)> {
    let documents: Vec<Json> = serde_saphyr::from_multiple(text).map_err(|error| {
        let reason = error.to_string();
        let first = reason.lines().next().unwrap_or(&reason).trim_start_matches("error: ").to_owned();
        (format!("is not valid YAML: {first}"), "correct the file".to_owned())
    })?;
    let lines = beginnings(text);
    let lines = if lines.len() == documents.len() { lines } else { vec![1; documents.len()] };
    let mut objects = Vec::new();
    for (document, line) in documents.into_iter().zip(lines) {
        for object in flattened(document) {
            if !object.is_object() || object["kind"].as_str().is_none() || object["apiVersion"].as_str().is_none() {
                let what = format!("has no `apiVersion` and `kind` in the document at line {line}");
                return Err((
                    what,
                    "a manifest names the kind of its object: `apiVersion: v1`, `kind: Service`".into(),
                ));
            }
            if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
                let what = format!("has no `metadata.name` in the document at line {line}");
                return Err((what, "every object has a name; `generateName` would make another one each time".into()));
            }
            objects.push(Manifest { item, file: file.to_owned(), line, object });
        }
    }
    Ok(objects)
}

/// A document's objects: itself, the items of a `List`, or none where there is nothing but comments.
fn flattened(document: Json) -> Vec<Json> {
    match document {
        Json::Null => Vec::new(),
        Json::Object(mut list) if list.get("kind").is_some_and(|kind| kind == "List") => match list.remove("items") {
            Some(Json::Array(items)) => items,
            _ => Vec::new(),
        },
        other => vec![other],
    }
}

/// The line at which each document has its first words, from 1.
fn beginnings(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut waiting = true;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line == "---" || line.starts_with("--- ") {
            waiting = true;
        } else if waiting && !line.trim_start().is_empty() && !line.trim_start().starts_with('#') {
            found.push(index + 1);
            waiting = false;
        }
    }
    found
}

/// What an object is called among all others: group, kind, namespace, name.
fn identity(object: &Json) -> (String, String, String, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let group = text("/apiVersion");
    let group = group.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
    (group, text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

fn refuse_duplicates(objects: &[Manifest], report: &mut Report<'_>) {
    let identities: Vec<_> = objects.iter().map(|manifest| identity(&manifest.object)).collect();
    for (index, first) in super::repetitions(&identities) {
        let (second, first) = (&objects[index], &objects[first]);
        let (_, kind, _, name) = &identities[index];
        report.add(
            Finding::new(
                manifest_path(second.item),
                format!("{kind} {} is there twice: `{}:{}`", quoted(name), second.file, second.line),
                "remove one of the two, or give each a name of its own",
            )
            .see(manifest_path(first.item), format!("first in `{}:{}`", first.file, first.line)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# first\n---\napiVersion: v1\nkind: Service\nmetadata: { name: a }\n---\n\n# more\napiVersion: v1\nkind: List\nitems: [{ apiVersion: v1, kind: Secret, metadata: { name: b } }]\n";

    #[test]
    fn documents_know_their_lines_and_lists_are_taken_apart() {
        let objects = parse(TWO, "a.yaml", 0).expect("two objects");
        let found: Vec<_> = objects.iter().map(|one| (one.object["kind"].as_str(), one.line)).collect();
        assert_eq!(found, [(Some("Service"), 3), (Some("Secret"), 9)]);
    }

    #[test]
    fn a_document_that_is_no_object_is_refused_with_its_line() {
        let (what, _) = parse("apiVersion: v1\nkind: Service\n", "a.yaml", 0).expect_err("no name");
        assert!(what.contains("`metadata.name`") && what.contains("line 1"), "{what}");
        let (what, _) = parse("---\nhello: world\n", "a.yaml", 0).expect_err("no kind");
        assert!(what.contains("`apiVersion`") && what.contains("line 2"), "{what}");
    }
}
