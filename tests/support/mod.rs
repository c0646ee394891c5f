//! What the black-box tests share: a local cloud, and the real binary run against it.

#![allow(dead_code, reason = "each test file uses its own part of this")]

mod halves;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use aws_config::{BehaviorVersion, Region};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use eksup::aws::Cloud;
use sandbox::{Sandbox, Weather};
use tempfile::TempDir;

use halves::aws_half;

/// A local cloud and a folder to work in.
pub struct Rig {
    /// The cloud.
    pub cloud: Sandbox,
    folder: TempDir,
}

/// How a run of eksup ended.
pub struct Ran {
    /// The exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

impl Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the exit code is `code`, showing what was said.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Rig {
    /// A cloud with fine weather.
    pub fn start() -> Self {
        Self::start_in(Weather::default())
    }

    /// A cloud with this weather.
    pub fn start_in(weather: Weather) -> Self {
        Self::on(Sandbox::start(weather).expect("a local cloud"))
    }

    /// A cloud with this weather, in which clusters are real.
    pub fn start_with_kubernetes(weather: Weather) -> Self {
        Self::on(Sandbox::start_with_kubernetes(weather).expect("a local cloud with Kubernetes"))
    }

    /// Beside the stack file lies what the example stacks name.
    fn on(cloud: Sandbox) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy_files(&examples().join("shop"), &folder.path().join("shop"));
        Self { cloud, folder }
    }

    /// Writes `text` as a stack file.
    pub fn stack(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("stack.yaml");
        std::fs::write(&path, text).expect("the stack file");
        path
    }

    /// A file in the working folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A run of eksup that has not been started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eksup"));
        command.args(arguments).envs(self.cloud.environment()).stdin(Stdio::null());
        command.env_remove("AWS_PROFILE").env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION");
        command
    }

    /// Runs eksup to its end.
    pub fn eksup(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().expect("eksup runs"))
    }

    /// Starts eksup and lets it run.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("eksup runs")
    }

    /// Applies `stack` and expects that to succeed.
    #[track_caller]
    pub fn apply(&self, stack: &Path) -> Ran {
        self.eksup(&["apply", "--yes", text(stack)]).expect(0)
    }

    /// Destroys `stack` and expects nothing to be left, asked of the cloud itself.
    #[track_caller]
    pub fn destroy(&self, stack: &Path) -> Ran {
        let ran = self.eksup(&["destroy", "--yes", text(stack)]).expect(0);
        assert!(ran.stdout.contains("nothing is left"), "{}", ran.stdout);
        self.expect_nothing_left();
        ran
    }

    /// Expects the plan of `stack` to be empty.
    #[track_caller]
    pub fn expect_empty_plan(&self, stack: &Path) {
        self.eksup(&["plan", "--detailed-exitcode", text(stack)]).expect(0);
    }

    /// Expects the cloud itself to hold nothing.
    #[track_caller]
    pub fn expect_nothing_left(&self) {
        let mut left = self.inventory();
        // Services make these by themselves, once for the account.
        left.retain(|kind, _| !kind.contains("service_linked"));
        assert!(left.is_empty(), "the cloud still has {left:#?}");
    }

    /// Everything that the cloud holds, but for the roles that AWS services share in an account and that
    /// outlive every stack.
    pub fn inventory(&self) -> BTreeMap<String, Vec<String>> {
        let mut inventory = self.cloud.inventory().expect("an inventory");
        inventory.remove("global/iam/service_linked_roles");
        inventory
    }

    /// How many things of each kind the cloud holds: the same for every way of getting there. The lock of a
    /// run that died does not count: it falls away by itself, and an apply with nothing to do changes nothing.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<_, _> = self.inventory().into_iter().map(|(kind, ids)| (kind, ids.len())).collect();
        counts.retain(|kind, _| !kind.contains("/ssm/"));
        counts
    }

    /// The number of calls that may have changed something since the log was cleared.
    pub fn mutations(&self) -> Vec<String> {
        let calls = self.cloud.calls().expect("a log");
        calls.into_iter().filter(|call| call.mutating).map(|call| call.name()).collect()
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        self.cloud.clear_calls().expect("a log");
    }

    /// Changes the weather.
    pub fn weather(&self, weather: &Weather) {
        self.cloud.set_weather(weather).expect("a weather");
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// The AWS half of an example stack.
pub fn example(name: &str) -> String {
    aws_half(&whole_example(name))
}

/// The text of an example stack.
pub fn whole_example(name: &str) -> String {
    std::fs::read_to_string(examples().join(name)).expect("an example stack")
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks")
}

/// Copies what lies in a folder, without folders in it.
fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name");
        std::fs::copy(&path, to.join(name)).expect("a copy");
    }
}

/// The local cloud takes any credentials.
const CREDENTIALS: &str = "[default]\naws_access_key_id = sandbox\naws_secret_access_key = sandbox\n";

/// A connection to a region of the local cloud.
pub async fn connect(cloud: &Sandbox, region: &'static str) -> Cloud {
    let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Credentials, CREDENTIALS).build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region))
        .endpoint_url(cloud.endpoint())
        .profile_files(files)
        .load()
        .await;
    Cloud::with(config).await.expect("a connection to the local cloud")
}
