//! The packages that the cloud runs on: pinned, installed once per machine, outside the tree.
//!
//! They go to `$XDG_CACHE_HOME/eksup-sandbox/<hash of the pins>-<python>` (or `~/.cache`). Two
//! processes that come at once do not disturb each other: the second waits for the first.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The oldest Python that moto runs on.
const OLDEST: (u32, u32) = (3, 10);
const CANDIDATES: [&str; 7] =
    ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];

/// A Python that can run the cloud.
#[derive(Debug, Clone)]
pub struct Python {
    executable: PathBuf,
    packages: PathBuf,
}

impl Python {
    /// A command that runs this Python with the cloud and its packages to import from.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        let mut path = OsString::from(&self.packages);
        path.push(":");
        path.push(source_folder());
        command.env("PYTHONPATH", path).env("PYTHONNOUSERSITE", "1");
        for (name, _) in std::env::vars_os() {
            // moto and boto read these, and would be led astray.
            let text = name.to_string_lossy();
            if text.starts_with("AWS_") || text.starts_with("MOTO_") {
                command.env_remove(&name);
            }
        }
        command
    }
}

/// The folder of this crate: the cloud's source lies there.
#[must_use]
pub fn source_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where everything that outlives a run is kept.
///
/// # Errors
///
/// When neither `XDG_CACHE_HOME` nor `HOME` is set, or the folder cannot be made.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let base = match (set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => bail!("neither `XDG_CACHE_HOME` nor `HOME` is set: no place for a cache"),
    };
    let folder = base.join("eksup-sandbox");
    fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
    Ok(folder)
}

/// Finds a Python and installs what the cloud needs, unless that was done before.
///
/// # Errors
///
/// When there is no Python from 3.10 on, or it has no way to install packages.
pub fn python() -> Result<Python> {
    let (executable, version) = find_python()?;
    let pins = source_folder().join("requirements.txt");
    let text = fs::read(&pins).with_context(|| format!("reading `{}`", pins.display()))?;
    let name = format!("{:016x}-py{}.{}", fingerprint(&text), version.0, version.1);
    let wanted = [OsString::from("-r"), pins.into()];
    let packages = install_once(&executable, &name, "the local cloud's packages", &wanted)?;
    Ok(Python { executable, packages })
}

/// Installs packages of PyPI (`name==version`) into a folder of this name in the cache, unless that was
/// done before. `what` is told to whoever waits.
pub(crate) fn packages(name: &str, what: &str, wanted: &[&str]) -> Result<PathBuf> {
    let (executable, _) = find_python()?;
    let wanted: Vec<OsString> = wanted.iter().map(OsString::from).collect();
    install_once(&executable, name, what, &wanted)
}

fn install_once(python: &Path, name: &str, what: &str, wanted: &[OsString]) -> Result<PathBuf> {
    let cache = cache_folder()?;
    let packages = cache.join(name);
    if !packages.is_dir() {
        let lock = File::create(cache.join(format!("{name}.lock"))).context("making a lock file")?;
        lock.lock().context("waiting for another installation")?;
        // Another process may have done it while this one waited.
        if !packages.is_dir() {
            install(python, what, wanted, &packages)?;
        }
    }
    Ok(packages)
}

/// The first Python that is new enough; `SANDBOX_PYTHON` names one that is to be taken.
fn find_python() -> Result<(PathBuf, (u32, u32))> {
    let chosen = std::env::var("SANDBOX_PYTHON").ok();
    let candidates: Vec<&str> = match &chosen {
        Some(path) => vec![path],
        None => CANDIDATES.to_vec(),
    };
    let mut too_old = Vec::new();
    for candidate in candidates {
        match ask_python(candidate) {
            Some((executable, version)) if version >= OLDEST => return Ok((executable, version)),
            Some((executable, version)) => {
                too_old.push(format!("{} is {}.{}", executable.display(), version.0, version.1));
            }
            None => {}
        }
    }
    let (major, minor) = OLDEST;
    if too_old.is_empty() {
        let wanted = chosen.as_deref().unwrap_or("python3");
        bail!("the local cloud needs Python {major}.{minor} or newer, and there is no `{wanted}`");
    }
    bail!(
        "the local cloud needs Python {major}.{minor} or newer ({}); \
         name one with `SANDBOX_PYTHON`",
        too_old.join(", ")
    )
}

fn ask_python(candidate: &str) -> Option<(PathBuf, (u32, u32))> {
    let question = "import sys; print(*sys.version_info[:2], sys.executable)";
    let output = Command::new(candidate)
        .args(["-c", question])
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.trim().splitn(3, ' ');
    let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((PathBuf::from(words.next()?), version))
}

/// Installs into a folder beside `packages`, and moves it there once it is complete.
fn install(python: &Path, what: &str, wanted: &[OsString], packages: &Path) -> Result<()> {
    let unfinished = packages.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).context("removing an installation that was cut off")?;
    }
    note(&format!("installing {what} into {}", packages.display()));
    let installer = installer(python, &unfinished.with_extension("pip"))?;
    let status = Command::new(&installer)
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"])
        .args(["--progress-bar", "on", "--only-binary", ":all:", "--no-deps", "--target"])
        .arg(&unfinished)
        .args(wanted)
        .stdout(std::io::stderr())
        .status()
        .context("running pip")?;
    if !status.success() {
        bail!("pip could not install {what} ({status}); its words are above");
    }
    fs::rename(&unfinished, packages).context("moving the finished installation into place")?;
    let _ = fs::remove_dir_all(unfinished.with_extension("pip"));
    Ok(())
}

/// A Python that has pip: the one given, or a virtual environment of it.
fn installer(python: &Path, environment: &Path) -> Result<PathBuf> {
    let works = |mut command: Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let mut ask = Command::new(python);
    ask.args(["-m", "pip", "--version"]);
    if works(ask) {
        return Ok(python.to_owned());
    }
    let mut make = Command::new(python);
    make.args(["-m", "venv", "--clear"]).arg(environment);
    if works(make) {
        return Ok(environment.join("bin").join("python"));
    }
    bail!(
        "`{}` can install nothing: it has neither pip nor venv; \
         install your distribution's `python3-pip` or `python3-venv`",
        python.display()
    )
}

/// FNV-1a over the pins: names a folder, guards nothing.
pub(crate) fn fingerprint(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A word to whoever waits.
pub(crate) fn note(words: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "sandbox: {words}");
}
