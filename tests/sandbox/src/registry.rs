//! Clouds that outlive the command that started them: `sandbox up`, `list` and `down`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::cloud::{Access, kubernetes_arguments, log_file, own_image, read_port};
use crate::{Weather, client, install};

/// A cloud that was started with `up`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registered {
    /// What it is called.
    pub name: String,
    /// The process that is the cloud.
    pub pid: u32,
    /// Where it listens.
    pub port: u16,
    /// Where it complains about itself.
    pub log: PathBuf,
}

/// What a cloud says about itself.
#[derive(Deserialize)]
struct About {
    pid: u32,
}

impl Registered {
    /// The way to it.
    #[must_use]
    pub fn access(&self) -> Access {
        Access::at(self.port)
    }

    /// Whether it still runs: the same process answers on the same port.
    #[must_use]
    pub fn is_running(&self) -> bool {
        client::request::<About>(self.port, "GET", "/sandbox/about", "").is_ok_and(|about| about.pid == self.pid)
    }
}

/// Starts a cloud that stays until it is taken down, with Kubernetes or without.
///
/// # Errors
///
/// When one of that name runs already, or it does not start.
pub fn up(name: &str, weather: &Weather, kubernetes: bool) -> Result<Registered> {
    let file = file_of(name)?;
    if let Some(present) = read(&file).filter(Registered::is_running) {
        bail!("`{name}` is up already, on port {}; `sandbox down {name}` ends it", present.port);
    }
    let log = log_file()?;
    let errors = File::create(&log).with_context(|| format!("making `{}`", log.display()))?;
    let mut child = install::python()?
        .command()
        .args(["-m", "cloud", "--detached", "--name", name, "--weather"])
        .arg(serde_json::to_string(weather)?)
        .args(kubernetes_arguments(kubernetes)?)
        .envs(own_image())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        // A Ctrl-C in this terminal is not for it.
        .process_group(0)
        .spawn()
        .context("starting the local cloud")?;
    let port = match child.stdout.take().map(read_port) {
        Some(Ok(port)) => port,
        _ => {
            let _ = child.kill();
            let _ = child.wait();
            let words = fs::read_to_string(&log).unwrap_or_default();
            bail!("the local cloud did not start:\n{words}");
        }
    };
    let registered = Registered { name: name.to_owned(), pid: child.id(), port, log };
    fs::write(&file, serde_json::to_string(&registered)?).with_context(|| format!("writing `{}`", file.display()))?;
    Ok(registered)
}

/// Every cloud that is up. Those that have ended in another way are forgotten.
///
/// # Errors
///
/// When the cache cannot be read.
pub fn list() -> Result<Vec<Registered>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder()?).context("reading the list of clouds")? {
        let path = entry?.path();
        match read(&path) {
            Some(registered) if registered.is_running() => found.push(registered),
            _ => {
                let _ = fs::remove_file(&path);
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Ends a cloud.
///
/// # Errors
///
/// When none of that name is up.
pub fn down(name: &str) -> Result<()> {
    let file = file_of(name)?;
    let Some(registered) = read(&file).filter(Registered::is_running) else {
        let _ = fs::remove_file(&file);
        bail!("no cloud called `{name}` is up");
    };
    registered.access().end()?;
    fs::remove_file(&file).with_context(|| format!("removing `{}`", file.display()))
}

fn read(path: &PathBuf) -> Option<Registered> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

fn folder() -> Result<PathBuf> {
    let folder = install::cache_folder()?.join("running");
    fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
    Ok(folder)
}

fn file_of(name: &str) -> Result<PathBuf> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(allowed) {
        bail!("`{name}` is no name for a cloud: letters, digits, `-` and `_` only");
    }
    Ok(folder()?.join(format!("{name}.json")))
}
