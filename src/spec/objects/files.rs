//! Which files a pattern of the stack file means: a file, or the manifests that a folder or `*`, `?` and `**` reach.

use std::path::{Path, PathBuf};

/// The endings of files that may hold manifests.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// How deep `**` goes.
const DEEPEST: usize = 16;

/// After so many files a pattern is taken for a mistake.
const MOST_FILES: usize = 1000;

/// Why a pattern means no files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoFiles {
    /// There is no such file or folder.
    Missing,
    /// The folder, or what the pattern reaches, has no manifests.
    Empty,
    /// More than anybody has meant.
    TooMany,
    /// The system said so.
    Unreadable(String),
}

/// The files that `pattern` means, seen from `folder`, sorted; each as it is written from there.
///
/// # Errors
/// When there are none, or too many.
pub(crate) fn expand(folder: &Path, pattern: &str) -> Result<Vec<String>, NoFiles> {
    let mut found = match is_pattern(pattern) {
        true => manifests_matching(folder, pattern)?,
        false => named(folder, pattern)?,
    };
    found.sort();
    found.dedup();
    match found.len() {
        0 => Err(NoFiles::Empty),
        count if count > MOST_FILES => Err(NoFiles::TooMany),
        _ => Ok(found),
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

fn may_hold_manifests(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && ENDINGS.contains(&ending))
}

/// A file as it is named, or the manifests of a folder and of those below.
fn named(folder: &Path, name: &str) -> Result<Vec<String>, NoFiles> {
    let place = folder.join(name);
    let details = std::fs::metadata(&place).map_err(|error| unreadable(&error))?;
    if !details.is_dir() {
        return Ok(vec![name.to_owned()]);
    }
    manifests_matching(folder, &format!("{}/**/*", name.trim_end_matches('/')))
}

/// Every manifest that a pattern reaches: what else stands beside them is passed over.
fn manifests_matching(folder: &Path, pattern: &str) -> Result<Vec<String>, NoFiles> {
    let mut found = matching(folder, pattern)?;
    found.retain(|file| may_hold_manifests(file.rsplit('/').next().unwrap_or(file)));
    Ok(found)
}

/// Every file that a pattern reaches. Segments are matched one by one; `**` is any number of folders.
fn matching(folder: &Path, pattern: &str) -> Result<Vec<String>, NoFiles> {
    let (root, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", pattern),
    };
    let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
    let mut found = Vec::new();
    walk(folder, root.to_owned(), &segments, 0, &mut found)?;
    Ok(found)
}

fn walk(
    folder: &Path,
    reached: String,
    segments: &[&str],
    depth: usize,
    found: &mut Vec<String>,
) -> Result<(), NoFiles> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(()) };
    if depth > DEEPEST || found.len() > MOST_FILES {
        return Ok(());
    }
    let below = |name: &str| format!("{reached}{name}");
    if *segment == "**" {
        walk(folder, reached.clone(), rest, depth, found)?;
        for Entry { name, is_folder, is_link } in entries(&place(folder, &reached))? {
            // A link may lead back up.
            if is_folder && !is_link && !name.starts_with('.') {
                walk(folder, format!("{}/", below(&name)), segments, depth + 1, found)?;
            }
        }
        return Ok(());
    }
    if !is_pattern(segment) && !rest.is_empty() {
        let next = format!("{}/", below(segment));
        return match place(folder, &next).is_dir() {
            true => walk(folder, next, rest, depth, found),
            false => Ok(()),
        };
    }
    for Entry { name, is_folder, .. } in entries(&place(folder, &reached))? {
        let hidden = name.starts_with('.') && !segment.starts_with('.');
        if hidden || !matches(segment, &name) {
            continue;
        }
        match rest.is_empty() {
            true if !is_folder => found.push(below(&name)),
            false if is_folder => walk(folder, format!("{}/", below(&name)), rest, depth + 1, found)?,
            _ => {}
        }
    }
    Ok(())
}

fn place(folder: &Path, reached: &str) -> PathBuf {
    match reached.is_empty() && folder.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => folder.join(reached),
    }
}

/// What stands in a folder.
struct Entry {
    name: String,
    /// A link counts as what it leads to; one that leads nowhere, as a file.
    is_folder: bool,
    is_link: bool,
}

/// Everything in a folder, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<Entry>, NoFiles> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(&error))? {
        let entry = entry.map_err(|error| unreadable(&error))?;
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push(Entry { name, is_folder: entry.path().is_dir(), is_link });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn unreadable(error: &std::io::Error) -> NoFiles {
    match error.kind() {
        std::io::ErrorKind::NotFound => NoFiles::Missing,
        _ => NoFiles::Unreadable(error.to_string()),
    }
}

/// Whether a name fits a segment with `*` and `?`.
fn matches(segment: &str, name: &str) -> bool {
    let (segment, name): (Vec<char>, Vec<char>) = (segment.chars().collect(), name.chars().collect());
    let (mut at, mut to) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while to < name.len() {
        match segment.get(at) {
            Some('*') => {
                star = Some((at, to));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[to] => {
                at += 1;
                to += 1;
            }
            _ => match star {
                Some((star_at, star_to)) => {
                    star = Some((star_at, star_to + 1));
                    (at, to) = (star_at + 1, star_to + 1);
                }
                None => return false,
            },
        }
    }
    segment[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        folder
    }

    #[test]
    fn stars_and_question_marks_stand_for_letters() {
        for (segment, name) in [("*.yaml", "a.yaml"), ("a*c", "abbc"), ("?.yml", "b.yml"), ("*", ""), ("a**b", "ab")] {
            assert!(matches(segment, name), "{segment} {name}");
        }
        for (segment, name) in [("*.yaml", "a.yml"), ("?", ""), ("a*c", "ab"), ("", "a")] {
            assert!(!matches(segment, name), "{segment} {name}");
        }
    }

    #[test]
    fn a_folder_means_its_manifests_and_those_below() {
        let folder =
            folder(&["k8s/b.yaml", "k8s/a.yml", "k8s/c.json", "k8s/README.md", "k8s/deep/d.yaml", "k8s/.x/e.yaml"]);
        let found = expand(folder.path(), "k8s").unwrap_or_default();
        assert_eq!(found, ["k8s/a.yml", "k8s/b.yaml", "k8s/c.json", "k8s/deep/d.yaml"]);
        assert_eq!(expand(folder.path(), "k8s/"), Ok(found));
    }

    #[test]
    fn a_pattern_reaches_as_deep_as_it_says() {
        let folder = folder(&["k8s/a.yaml", "k8s/x/b.yaml", "k8s/x/y/c.yaml", "k8s/.hidden/d.yaml", "other/e.yaml"]);
        let of = |pattern: &str| expand(folder.path(), pattern).unwrap_or_default();
        assert_eq!(of("k8s/*.yaml"), ["k8s/a.yaml"]);
        assert_eq!(of("*/*.yaml"), ["k8s/a.yaml", "other/e.yaml"]);
        assert_eq!(of("k8s/**/*.yaml"), ["k8s/a.yaml", "k8s/x/b.yaml", "k8s/x/y/c.yaml"]);
        assert_eq!(of("./k8s/?.yaml"), ["k8s/a.yaml"]);
        assert_eq!(of("**/b.yaml"), ["k8s/x/b.yaml"]);
    }

    #[test]
    fn a_pattern_passes_over_what_is_no_manifest_and_a_name_does_not() {
        let folder = folder(&["k8s/a.yaml", "k8s/README.md", "k8s/.hidden.yaml"]);
        assert_eq!(expand(folder.path(), "k8s/*").unwrap_or_default(), ["k8s/a.yaml"]);
        assert_eq!(expand(folder.path(), "k8s/README.md").unwrap_or_default(), ["k8s/README.md"]);
    }

    #[test]
    fn a_link_to_a_folder_above_is_not_followed_for_ever() {
        let folder = folder(&["k8s/a.yaml"]);
        for name in ["one", "two", "three"] {
            std::os::unix::fs::symlink(folder.path(), folder.path().join("k8s").join(name)).expect("a link");
        }
        assert_eq!(expand(folder.path(), "k8s").unwrap_or_default(), ["k8s/a.yaml"]);
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_empty() {
        let folder = folder(&["k8s/notes.txt"]);
        assert_eq!(expand(folder.path(), "missing.yaml"), Err(NoFiles::Missing));
        assert_eq!(expand(folder.path(), "k8s"), Err(NoFiles::Empty));
        assert_eq!(expand(folder.path(), "k8s/*.yaml"), Err(NoFiles::Empty));
        assert_eq!(expand(folder.path(), "nowhere/*.yaml"), Err(NoFiles::Empty));
    }
}
