//! Starting a cloud, talking to it, ending it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::IgnoredAny;

use crate::{Call, Kill, KubernetesRequest, Weather, client, go, install};

/// Variables that would lead a program that is to use the cloud elsewhere; to be removed.
pub const CONFUSING_VARIABLES: [&str; 6] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A way to a running cloud, whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    port: u16,
}

impl Access {
    /// The cloud that listens on this port of the loopback interface.
    #[must_use]
    pub fn at(port: u16) -> Self {
        Self { port }
    }

    /// What goes into `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Variables with which eksup, aws and every SDK use this cloud and nothing else. The region
    /// is left to the caller. [`CONFUSING_VARIABLES`] should be removed besides.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.endpoint().as_str()),
            ("AWS_ACCESS_KEY_ID", "sandbox"),
            ("AWS_SECRET_ACCESS_KEY", "sandbox"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    /// Changes the weather, as a whole; counting for `kill_at` begins anew.
    ///
    /// # Errors
    ///
    /// When the cloud is gone or does not know such a weather.
    pub fn set_weather(&self, weather: &Weather) -> Result<()> {
        let body = serde_json::to_string(weather)?;
        client::request::<IgnoredAny>(self.port, "PUT", "/sandbox/weather", &body).map(drop)
    }

    /// Makes the cloud a new one: nothing in it, fine weather, an empty log.
    ///
    /// # Errors
    ///
    /// When the cloud is gone.
    pub fn reset(&self) -> Result<()> {
        client::request::<IgnoredAny>(self.port, "POST", "/sandbox/reset", "").map(drop)
    }

    /// Every call since the last reset or [`Access::clear_calls`], oldest first.
    ///
    /// # Errors
    ///
    /// When the cloud is gone.
    pub fn calls(&self) -> Result<Vec<Call>> {
        client::request(self.port, "GET", "/sandbox/calls", "")
    }

    /// Forgets the calls so far.
    ///
    /// # Errors
    ///
    /// When the cloud is gone.
    pub fn clear_calls(&self) -> Result<()> {
        client::request::<IgnoredAny>(self.port, "DELETE", "/sandbox/calls", "").map(drop)
    }

    /// Everything that exists beyond what a new account has: ids by `region/service/kind`,
    /// read from the state of every service rather than through its API. Roles that services make
    /// for themselves and keep are in it, under `global/iam/service_linked_roles`.
    ///
    /// # Errors
    ///
    /// When the cloud is gone.
    pub fn inventory(&self) -> Result<BTreeMap<String, Vec<String>>> {
        client::request(self.port, "GET", "/sandbox/inventory", "")
    }

    /// Lets time pass in the cloud without waiting for it: what takes `seconds` is done.
    ///
    /// # Errors
    ///
    /// When the cloud is gone.
    pub fn forward(&self, seconds: f64) -> Result<()> {
        let body = serde_json::json!({ "forward": seconds }).to_string();
        client::request::<IgnoredAny>(self.port, "POST", "/sandbox/time", &body).map(drop)
    }

    /// Every request to the API servers of the clusters since the last reset or
    /// [`Access::clear_kubernetes_requests`], oldest first. Empty without Kubernetes.
    ///
    /// # Errors
    ///
    /// When the cloud is gone, or was started without Kubernetes.
    pub fn kubernetes_requests(&self) -> Result<Vec<KubernetesRequest>> {
        client::request(self.port, "GET", "/sandbox/kubernetes/requests", "")
    }

    /// Forgets the requests to API servers so far, and who was killed at them.
    ///
    /// # Errors
    ///
    /// When the cloud is gone, or was started without Kubernetes.
    pub fn clear_kubernetes_requests(&self) -> Result<()> {
        client::request::<IgnoredAny>(self.port, "DELETE", "/sandbox/kubernetes/requests", "").map(drop)
    }

    /// The callers that were killed at the door of an API server (`kubernetes.kill_at`).
    ///
    /// # Errors
    ///
    /// When the cloud is gone, or was started without Kubernetes.
    pub fn kubernetes_kills(&self) -> Result<Vec<Kill>> {
        client::request(self.port, "GET", "/sandbox/kubernetes/kills", "")
    }

    /// A kubeconfig (JSON) with all rights for a cluster, whose requests are not logged: for a test
    /// that looks at what others have done.
    ///
    /// # Errors
    ///
    /// When the cloud is gone or has no control plane for such a cluster.
    pub fn kubeconfig(&self, cluster: &str) -> Result<String> {
        let path = format!("/sandbox/kubernetes/kubeconfig?cluster={cluster}");
        client::request::<serde_json::Value>(self.port, "GET", &path, "").map(|config| config.to_string())
    }

    /// What the components of a cluster's control plane have written so far, by name.
    ///
    /// # Errors
    ///
    /// When the cloud is gone or has no control plane for such a cluster.
    pub fn kubernetes_logs(&self, cluster: &str) -> Result<BTreeMap<String, String>> {
        client::request(self.port, "GET", &format!("/sandbox/kubernetes/logs?cluster={cluster}"), "")
    }

    /// Asks one of the paths under `/sandbox/` that have no method of their own here: `ask("PUT", "pods", rules)`.
    ///
    /// # Errors
    ///
    /// When the cloud is gone, or refuses what it is asked.
    pub fn ask(&self, method: &str, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        client::request(self.port, method, &format!("/sandbox/{path}"), &body)
    }

    /// Ends the cloud.
    ///
    /// # Errors
    ///
    /// When it is gone already.
    pub fn end(&self) -> Result<()> {
        client::request::<IgnoredAny>(self.port, "POST", "/sandbox/end", "").map(drop)
    }
}

/// The variable by which a cloud knows the processes that were started for it.
const MARKER: &str = "EKSUP_SANDBOX_RUN";

/// A cloud of one's own. It ends when this is dropped, and when this process ends, however it does;
/// every process that was started with [`Sandbox::environment`] ends with it.
///
/// All of [`Access`] can be called on it.
#[derive(Debug)]
pub struct Sandbox {
    access: Access,
    child: Child,
    // The cloud lives for as long as its standard input is open.
    lifeline: Option<ChildStdin>,
    log: PathBuf,
    marker: String,
}

impl std::ops::Deref for Sandbox {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

impl Sandbox {
    /// Starts a cloud with this weather on a free port; installs what it needs on first use.
    ///
    /// # Errors
    ///
    /// When there is no Python for it, its packages cannot be installed, or it does not start.
    pub fn start(weather: Weather) -> Result<Self> {
        Self::start_as(&weather, false)
    }

    /// Starts a cloud whose EKS clusters have a real control plane; builds it on first use, which takes
    /// minutes.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::start`]; besides, when the control plane cannot be built, or this machine does not
    /// allow namespaces.
    pub fn start_with_kubernetes(weather: Weather) -> Result<Self> {
        Self::start_as(&weather, true)
    }

    /// Starts a cloud, with Kubernetes or without.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::start`] and [`Sandbox::start_with_kubernetes`].
    pub fn start_as(weather: &Weather, kubernetes: bool) -> Result<Self> {
        let mut command = install::python()?.command();
        let log = log_file()?;
        let errors = File::create(&log).with_context(|| format!("making `{}`", log.display()))?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let marker = format!("{}-{number}", std::process::id());
        let mut child = command
            .args(["-m", "cloud", "--with-parent", &format!("{MARKER}={marker}"), "--weather"])
            .arg(serde_json::to_string(weather)?)
            .args(kubernetes_arguments(kubernetes)?)
            .envs(own_image())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("starting the local cloud")?;
        let lifeline = child.stdin.take();
        let port = match child.stdout.take().map(read_port) {
            Some(Ok(port)) => port,
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                let words = fs::read_to_string(&log).unwrap_or_default();
                bail!("the local cloud did not start:\n{words}");
            }
        };
        let access = Access::at(port);
        Ok(Self { access, child, lifeline, log, marker })
    }

    /// The variables of [`Access::environment`], and one that marks a process as started for this
    /// cloud: it and what it starts end with the cloud at the latest.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment = self.access.environment();
        environment.push((MARKER.to_owned(), self.marker.clone()));
        environment
    }

    /// The way to this cloud, to be passed around.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// The process id of the cloud.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Where the cloud complains about itself.
    #[must_use]
    pub fn log(&self) -> &std::path::Path {
        &self.log
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(mut lifeline) = self.lifeline.take() {
            let _ = lifeline.write_all(b"bye\n");
        }
        // It goes by itself; should it be stuck, it is made to go.
        let patience = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > patience {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if fs::metadata(&self.log).is_ok_and(|log| log.len() == 0) {
            let _ = fs::remove_file(&self.log);
        }
    }
}

/// The variable that says what runs in a pod whose image is eksup's own.
const OWN_IMAGE: &str = "EKSUP_SANDBOX_IMAGE_eksup";

/// Pods of eksup's own image run the eksup that was built beside this program, or else the one of the checkout; unless
/// the caller says something else.
pub(crate) fn own_image() -> Option<(&'static str, PathBuf)> {
    if std::env::var_os(OWN_IMAGE).is_some() {
        return None;
    }
    let here = std::env::current_exe().unwrap_or_default();
    let beside = here.ancestors().skip(1).take(2).map(|folder| folder.join("eksup"));
    let checkout = install::source_folder().join("../../target/debug/eksup");
    let found = beside.chain([checkout]).find(|path| path.is_file())?;
    Some((OWN_IMAGE, found.canonicalize().unwrap_or(found)))
}

/// What tells the cloud where the programs of its Kubernetes half are; nothing when it is to have none.
pub(crate) fn kubernetes_arguments(wanted: bool) -> Result<Vec<String>> {
    if !wanted {
        return Ok(Vec::new());
    }
    Ok(vec!["--kubernetes".to_owned(), serde_json::to_string(&go::build_all()?)?])
}

/// Reads the line in which the cloud says on which port it listens.
pub(crate) fn read_port(output: ChildStdout) -> Result<u16> {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    line.trim()
        .strip_prefix("ready ")
        .context("the local cloud said something else than its port")?
        .parse()
        .context("the local cloud said something else than its port")
}

/// A new file for what a cloud complains about.
pub(crate) fn log_file() -> Result<PathBuf> {
    let folder = install::cache_folder()?.join("logs");
    fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    Ok(folder.join(format!("{}-{number}.log", std::process::id())))
}
