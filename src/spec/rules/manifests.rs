//! The manifests that `workloads.manifests` names: found, read, and put into the stack.

use std::collections::HashSet;
use std::path::{Path as FilePath, PathBuf};

use super::{Finding, Report};
use crate::spec::document::{Node, Path};
use crate::spec::model::Stack;
use crate::spec::objects::{self, File, NoFiles};
use crate::spec::problem::{FileProblems, Problem, nearest, quoted};

/// No file is larger: etcd takes objects of 1.5 MiB.
const LARGEST_FILE: u64 = 8 * 1024 * 1024;

/// Where a stack file stands.
pub(crate) struct Place<'a> {
    /// The folder from which the paths in it are seen.
    pub(crate) folder: &'a FilePath,
    /// The name of the file in messages; those of manifests stand beside it.
    pub(crate) stack_file: &'a str,
}

/// Reads the manifests that the stack names into the stack. Gives what is wrong with the names of files, and what is
/// wrong in the files.
pub(crate) fn load_manifests(
    stack: &mut Stack,
    place: &Place<'_>,
    document: &Node,
    damaged: &[Path],
) -> (Vec<Problem>, Vec<FileProblems>) {
    let mut report = Report::new(document, damaged);
    let Some(workloads) = &mut stack.workloads else {
        return (Vec::new(), Vec::new());
    };
    let (files, all) = find(&workloads.manifests, place, &mut report);
    let (manifests, wrong) = objects::read(&files);
    workloads.objects = (all && wrong.is_empty()).then_some(manifests);
    (report.into_problems(), wrong)
}

/// The files that the items name, each once; and whether that is all that they name.
fn find(items: &[String], place: &Place<'_>, report: &mut Report<'_>) -> (Vec<File>, bool) {
    let mut files = Vec::new();
    let mut seen: HashSet<PathBuf> = HashSet::new();
    let mut all = true;
    for (item, pattern) in items.iter().enumerate() {
        let path = manifest_path(item);
        if report.is_damaged(&path) {
            // An example stands there, and not what the user wrote.
            all = false;
            continue;
        }
        let names = objects::expand(place.folder, pattern).unwrap_or_else(|none| {
            all = false;
            report.add(no_files(place.folder, pattern, &none, path.clone()));
            Vec::new()
        });
        for name in names {
            let whole = place.folder.join(&name);
            if !seen.insert(whole.canonicalize().unwrap_or_else(|_| whole.clone())) {
                continue;
            }
            match read(&whole) {
                Ok(bytes) => files.push(File { name: beside(place.stack_file, &name), bytes, item }),
                Err((what, help)) => {
                    all = false;
                    report.add(Finding::new(path.clone(), format!("the manifest {} {what}", quoted(&name)), help));
                }
            }
        }
    }
    (files, all)
}

/// What a file is called in messages: as it is seen from where the stack file is called by its name.
fn beside(stack_file: &str, name: &str) -> String {
    let folder = FilePath::new(stack_file).parent().unwrap_or(FilePath::new(""));
    folder.join(name).display().to_string()
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

/// What a file says, or why it cannot be read and what to do.
fn read(file: &FilePath) -> Result<Vec<u8>, (String, &'static str)> {
    let cannot = |error: std::io::Error| (format!("cannot be read: {error}"), "check its permissions");
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > LARGEST_FILE {
        let help = "split it, or check that it is the right file";
        return Err((format!("has {} MiB, which is too large", size / (1024 * 1024)), help));
    }
    std::fs::read(file).map_err(cannot)
}
