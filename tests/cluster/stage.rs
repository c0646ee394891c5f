//! A cloud with a small stack whose manifests the test writes, and somebody else's hands in its cluster.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eksup::cluster::connection::{Connection, Detour};
use http::Method;
use sandbox::Weather;
use serde_json::Value;

use crate::support::{Rig, example, text};

/// Clouds that are up at once, however many tests run: each has a control plane of its own.
const AT_ONCE: usize = 2;
/// The longest that anything is waited for; no test needs a tenth of it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The namespace of the small stack.
pub const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: app }\n";

/// A document with a ConfigMap in it.
pub fn settings(colour: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: settings, namespace: app }}\ndata: {{ colour: {colour} }}\n"
    )
}

static UP: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// One of the places for clouds; free again when it is dropped.
struct Place;

impl Place {
    fn take() -> Self {
        let up = UP.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut up = UP.1.wait_while(up, |up| *up >= AT_ONCE).unwrap_or_else(PoisonError::into_inner);
        *up += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *UP.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        UP.1.notify_one();
    }
}

/// A cloud with Kubernetes, and a stack file.
pub struct Stage {
    /// The cloud and the working folder.
    pub rig: Rig,
    /// The stack file.
    pub stack: PathBuf,
    _place: Place,
}

impl Stage {
    /// A cloud, and the stack file `stack`, of which nothing stands.
    pub fn set(stack: &str) -> Self {
        let place = Place::take();
        let rig = Rig::start_with_kubernetes(Weather::default());
        let stack = rig.stack(stack);
        Self { rig, stack, _place: place }
    }

    /// The smallest example with `manifests` as its workloads; nothing stands.
    pub fn small(manifests: &str) -> Self {
        let stage = Self::set(&Self::with_manifests());
        stage.write(manifests);
        stage
    }

    /// The smallest example with the manifests of the test.
    pub fn with_manifests() -> String {
        format!("{}workloads:\n  manifests: [objects.yaml]\n", example("minimal.yaml"))
    }

    /// Writes the manifests of the small stack.
    pub fn write(&self, manifests: &str) {
        std::fs::write(self.rig.file("objects.yaml"), manifests).expect("the manifests");
    }

    /// The stack file as an argument.
    pub fn path(&self) -> &str {
        text(&self.stack)
    }

    /// Applies the stack.
    #[track_caller]
    pub fn apply(&self) {
        self.rig.apply(&self.stack);
    }

    /// What the plan of the stack says.
    #[track_caller]
    pub fn plan(&self) -> String {
        self.rig.eksup(&["plan", self.path()]).expect(0).stdout
    }

    /// Expects the plan of the stack to be empty.
    #[track_caller]
    pub fn expect_empty_plan(&self) {
        self.rig.expect_empty_plan(&self.stack);
    }

    /// Destroys the stack and expects nothing to be left.
    #[track_caller]
    pub fn destroy(&self) -> String {
        self.rig.destroy(&self.stack).stdout
    }

    /// Applies the stack, expects that to fail, and gives all that was said: in one line, as a sentence may be broken into
    /// several.
    #[track_caller]
    pub fn fails_to_apply(&self) -> String {
        let failed = self.rig.eksup(&["apply", "--yes", self.path()]).expect(1);
        format!("{} {}", failed.stdout, failed.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Applies the stack until the run says something with every one of `words` in a line, and then stops it as a
    /// user does; gives that line.
    #[track_caller]
    pub fn apply_until_said(&self, words: &[&str]) -> String {
        let mut run = self.rig.command(&["apply", "--yes", "--progress", "json", self.path()]);
        let mut run = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("eksup runs");
        let begun = Instant::now();
        let mut heard = String::new();
        let mut found = None;
        for line in BufReader::new(run.stdout.take().expect("its output")).lines() {
            let line = line.expect("a line of text");
            heard.push_str(&line);
            heard.push('\n');
            if found.is_none() && words.iter().all(|word| line.contains(word)) {
                found = Some(line);
                stop(run.id());
            }
            assert!(begun.elapsed() < PATIENCE, "it never said {words:?}:\n{heard}");
        }
        run.wait().expect("its end");
        found.unwrap_or_else(|| panic!("it never said {words:?}:\n{heard}"))
    }

    /// Somebody with all rights in the cluster called `name`, whose requests are not in the log.
    pub fn somebody_in(&self, name: &str) -> Somebody {
        let file = self.rig.file("somebody.kubeconfig");
        std::fs::write(&file, self.rig.cloud.kubeconfig(name).expect("a kubeconfig")).expect("a file");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let detour = Detour { file: Some(file), context: None };
        let connection = runtime.block_on(Connection::by_kubeconfig(&detour, name)).expect("a connection");
        Somebody { runtime, connection }
    }

    /// Tells the local cloud something about its nodes and pods.
    pub fn tell(&self, path: &str, body: &Value) {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.rig.cloud.port())).expect("the cloud");
        let length = body.len();
        write!(
            stream,
            "PUT /sandbox/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.lines().next().is_some_and(|line| line.contains(" 200 ")), "{answer}");
    }
}

/// Ends the run `id` as Ctrl-C does.
fn stop(id: u32) {
    let ended = Command::new("kill").args(["-INT", &id.to_string()]).status().expect("kill runs");
    assert!(ended.success());
}

/// Looks until `look` finds something.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Somebody other than eksup, in a cluster.
pub struct Somebody {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
}

impl Somebody {
    /// What stands at `path`.
    pub fn sees(&self, path: &str) -> Option<Value> {
        self.runtime.block_on(self.connection.look("look", path)).expect("an answer")
    }

    /// What stands at `path`, and has to.
    #[track_caller]
    pub fn gets(&self, path: &str) -> Value {
        self.sees(path).unwrap_or_else(|| panic!("nothing stands at {path}"))
    }

    /// Changes what stands at `path`, in the name of the field manager `manager`.
    #[track_caller]
    pub fn changes(&self, path: &str, manager: &str, change: &Value) {
        let path = format!("{path}?fieldManager={manager}");
        self.sends(Method::PATCH, &path, Some(change), "application/merge-patch+json");
    }

    /// What the API server has against a change of what stands at `path`; nothing is changed.
    pub fn tries(&self, path: &str, change: &Value) -> Option<String> {
        let path = format!("{path}?dryRun=All");
        let sending = self.connection.send(Method::PATCH, &path, Some(change), "application/merge-patch+json");
        self.runtime.block_on(sending).err().map(|error| error.to_string())
    }

    /// Makes `object` in the list at `path`.
    #[track_caller]
    pub fn makes(&self, path: &str, object: &Value) {
        self.sends(Method::POST, path, Some(object), "application/json");
    }

    /// Deletes what stands at `path`.
    #[track_caller]
    pub fn deletes(&self, path: &str) {
        self.sends(Method::DELETE, path, None, "");
    }

    #[track_caller]
    fn sends(&self, method: Method, path: &str, body: Option<&Value>, content: &'static str) {
        let sent = self.runtime.block_on(self.connection.send(method, path, body, content));
        sent.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}
