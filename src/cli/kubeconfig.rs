//! `eksup kubeconfig`: the way into the stack's cluster for kubectl and others.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::arguments::StackFile;
use super::session::{Ended, complain, connect, explain, read_stack};
use super::{Exit, output};
use crate::aws::{Kind, Reads, cluster};
use crate::cluster::kubeconfig::{Entry, merge};
use crate::engine::Failure;

/// The arguments of `eksup kubeconfig`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    stack: StackFile,
    /// The file to write into; `-` prints the entry alone. Without it: the first of `KUBECONFIG`, or `~/.kube/config`.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the context, the cluster and the user are called; the cluster's ARN without it.
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// Make it the current context.
    #[arg(long)]
    set_current: bool,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Ended {
    let stack = read_stack(&arguments.stack.path)?;
    let cloud = connect(&stack.metadata.region).await?;
    let reads = Reads::new(cloud, &stack.metadata.name);
    let found = cluster::Cluster::find(&reads).await.map_err(|error| explain(&Failure::Cloud(error)))?;
    let Some(entry) = found.first().and_then(|found| entry(&found.outputs, &stack.metadata.region, &arguments)) else {
        complain(
            &format!("the stack `{}` has no cluster that answers yet", stack.metadata.name),
            Some("`eksup apply` makes it"),
        );
        return Err(Exit::Failed);
    };
    if arguments.file.as_deref() == Some(Path::new("-")) {
        output::text(merged("", &entry, true, Path::new("-"))?);
        return Ok(Exit::Done);
    }
    let file = arguments.file.clone().or_else(usual_file).ok_or_else(|| {
        complain("there is no home directory to find `.kube/config` in", Some("name the file with `--file`"));
        Exit::BadInput
    })?;
    put(&file, &entry, arguments.set_current)?;
    eprintln!("`{}` leads to cluster `{}` as context `{}`", file.display(), entry.cluster, entry.name);
    Ok(Exit::Done)
}

fn entry(outputs: &cluster::Outputs, region: &str, arguments: &Arguments) -> Option<Entry> {
    Some(Entry {
        name: arguments.alias.clone().unwrap_or_else(|| outputs.arn.clone()),
        cluster: outputs.name.clone(),
        region: region.to_owned(),
        endpoint: outputs.endpoint.clone()?,
        certificate_authority: outputs.certificate_authority.clone()?,
        profile: std::env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty()),
    })
}

/// Where kubectl looks first.
fn usual_file() -> Option<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let first = std::env::split_paths(&listed).find(|path| !path.as_os_str().is_empty());
    first.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config")))
}

fn merged(existing: &str, entry: &Entry, make_current: bool, file: &Path) -> Ended<String> {
    merge(existing, entry, make_current).map_err(|error| {
        complain(
            &format!("`{}` is left as it is: {error}", file.display()),
            Some("mend the file, or write into another one with `--file`"),
        );
        Exit::Failed
    })
}

/// Writes beside the file and moves it into place, so that a run that is cut off leaves the old one.
fn put(file: &Path, entry: &Entry, make_current: bool) -> Ended<()> {
    let failed = |error: std::io::Error| {
        complain(&format!("`{}` cannot be written: {error}", file.display()), None);
        Exit::Failed
    };
    // A link is followed: what it leads to is replaced, not the link.
    let file = &std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    let existing = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let text = merged(&existing, entry, make_current, file)?;
    if text == existing {
        return Ok(());
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let beside = file.with_extension(format!("eksup-{}", std::process::id()));
    let result = write_private(&beside, &text).and_then(|()| std::fs::rename(&beside, file));
    if result.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    result.map_err(failed)
}

/// A file that only its owner may read: others' entries may hold credentials.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
