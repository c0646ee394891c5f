//! Which files are meant: single ones, directories, and patterns such as `k8s/*.yaml`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// A file with manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name in messages.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Why files cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing is there.
    #[error("`{0}` names no file; manifests are files that end in `.yaml`, `.yml` or `.json`")]
    Nothing(String),
    /// It is there and cannot be read.
    #[error("`{name}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        name: String,
        /// What the system says.
        why: String,
    },
}

/// The files that `patterns` name below `folder`, each once, in the order of their names. A directory stands for the
/// manifests in it and below it; `*` stands for any part of one name, `**` for directories.
///
/// # Errors
/// Every pattern that names nothing, and every file that cannot be read.
pub fn find(patterns: &[String], folder: &Path) -> Result<Vec<File>, Vec<FileError>> {
    let mut paths = BTreeSet::new();
    let mut errors = Vec::new();
    for pattern in patterns {
        let found = named_by(pattern, folder);
        if found.is_empty() {
            errors.push(FileError::Nothing(pattern.clone()));
        }
        paths.extend(found);
    }
    let mut files = Vec::new();
    for path in paths {
        match read(&path) {
            Ok(text) => files.push(File { name: path.display().to_string(), text }),
            Err(why) => errors.push(FileError::Unreadable { name: path.display().to_string(), why }),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > LARGEST {
        return Err(format!("it has {} KiB, more than the {} that are read", size / 1024, LARGEST / 1024));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn named_by(pattern: &str, folder: &Path) -> Vec<PathBuf> {
    let mut paths = vec![folder.to_path_buf()];
    for component in Path::new(pattern).components() {
        paths = match component {
            Component::Normal(name) => {
                let name = name.to_string_lossy();
                paths.iter().flat_map(|path| step(path, &name)).collect()
            }
            Component::RootDir | Component::Prefix(_) => vec![PathBuf::from(component.as_os_str())],
            Component::ParentDir => paths.iter().map(|path| path.join("..")).collect(),
            Component::CurDir => paths,
        };
    }
    paths.into_iter().flat_map(|path| if path.is_dir() { manifests_below(&path) } else { vec![path] }).collect()
}

/// What `name` leads to from `path`.
fn step(path: &Path, name: &str) -> Vec<PathBuf> {
    if name == "**" {
        return std::iter::once(path.to_path_buf()).chain(directories_below(path)).collect();
    }
    if !name.contains(['*', '?']) {
        let next = path.join(name);
        return if next.exists() { vec![next] } else { Vec::new() };
    }
    entries(path)
        .into_iter()
        .filter(|entry| entry.file_name().is_some_and(|file| fits(name, &file.to_string_lossy())))
        .collect()
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.retain(|entry| entry.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    entries.sort();
    entries
}

fn directories_below(path: &Path) -> Vec<PathBuf> {
    // A link may lead back up: links to directories are not followed.
    let own = entries(path).into_iter().filter(|entry| entry.is_dir() && !entry.is_symlink());
    own.flat_map(|entry| std::iter::once(entry.clone()).chain(directories_below(&entry)).collect::<Vec<_>>()).collect()
}

fn manifests_below(path: &Path) -> Vec<PathBuf> {
    let folders = std::iter::once(path.to_path_buf()).chain(directories_below(path));
    let is_manifest = |file: &PathBuf| {
        file.is_file() && file.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known))
    };
    folders.flat_map(|folder| entries(&folder)).filter(is_manifest).collect()
}

/// Whether `name` is what `pattern` says: `*` is any text, `?` any character.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for symbol in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match symbol {
                '*' => reached[at] || (at > 0 && next[at - 1]),
                '?' => at > 0 && reached[at - 1],
                letter => at > 0 && reached[at - 1] && name[at - 1] == letter,
            };
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_parts_of_a_name() {
        assert!(fits("*.yaml", "a.yaml") && fits("a?c*", "abcd") && fits("*", ""));
        assert!(!fits("*.yaml", "a.yml") && !fits("a?", "a"));
    }

    #[test]
    fn files_directories_and_patterns_name_each_file_once() {
        let folder = tempfile::tempdir().expect("a directory");
        let make = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(path, "a").expect("a file");
        };
        ["k8s/b.yaml", "k8s/a.yml", "k8s/deep/c.json", "k8s/readme.md", "k8s/.hidden.yaml", "one.yaml"]
            .iter()
            .for_each(|name| make(name));
        let names = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            find(&patterns, folder.path()).map(|files| {
                let short = |file: File| file.name.rsplit('/').next().unwrap_or_default().to_owned();
                files.into_iter().map(short).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            names(&["k8s", "k8s/*.yaml", "one.yaml"]).as_deref(),
            Ok(&["a.yml", "b.yaml", "c.json", "one.yaml"].map(String::from)[..])
        );
        assert_eq!(names(&["**/*.json"]).as_deref(), Ok(&["c.json".to_owned()][..]));
        assert_eq!(names(&["nothing/*.yaml"]), Err(vec![FileError::Nothing("nothing/*.yaml".into())]));
    }
}
