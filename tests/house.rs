//! The rules of the house that the compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Rooms that decide and ask nobody: no client, no clock, no task, no process.
const PURE: &[&str] = &["plan", "phases", "autoscaler/state", "autoscaler/scheduling", "autoscaler/disruption"];

const FOREIGN: &[&str] =
    &["aws_sdk", "kube::Client", "async ", ".await", "Instant", "SystemTime", "Timestamp::now", "std::env", "std::fs"];

#[test]
fn the_rooms_that_decide_ask_nobody() {
    for file in PURE.iter().flat_map(|room| sources(&source_folder().join(room))) {
        let text = product_code(&file);
        for word in FOREIGN {
            assert!(!text.contains(word), "`{}` names `{word}`", file.display());
        }
    }
}

#[test]
fn only_the_command_line_and_the_views_print() {
    for file in sources(&source_folder()) {
        let place = file.strip_prefix(source_folder()).expect("a source file");
        if place.starts_with("cli") || place.starts_with("views") {
            continue;
        }
        let text = product_code(&file);
        for word in ["println!", "print!(", "eprint!(", "eprintln!"] {
            assert!(!text.contains(word), "`{}` prints", place.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for file in sources(&source_folder()) {
        let text = fs::read_to_string(&file).expect("a source file");
        assert!(text.starts_with("//!"), "`{}` does not begin with `//!`", file.display());
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_eksup"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("eksup runs");
    drop(child.stdout.take());
    let ran = child.wait_with_output().expect("eksup ends");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The file without its tests and comments.
fn product_code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file");
    let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every Rust file below `folder`, but those that are tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !path.components().any(|part| part.as_os_str() == "tests"))
        .filter(|path| path.file_name().is_none_or(|name| name != "tests.rs"))
        .collect()
}
