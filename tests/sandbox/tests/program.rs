//! The program: clouds by hand, and commands that have one of their own.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use support::{get, is_alive, until};

fn sandbox() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sandbox"))
}

fn run(arguments: &[&str]) -> Result<Output> {
    sandbox().args(arguments).stdin(Stdio::null()).output().context("running sandbox")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn run_passes_the_exit_code_on() -> Result<()> {
    assert_eq!(run(&["run", "--", "sh", "-c", "exit 7"])?.status.code(), Some(7));
    assert_eq!(run(&["run", "--", "true"])?.status.code(), Some(0));
    assert_eq!(run(&["run", "--", "sh", "-c", "kill -TERM $$"])?.status.code(), Some(143));
    Ok(())
}

#[test]
fn run_says_which_command_there_is_not() -> Result<()> {
    let output = run(&["run", "--", "no-such-command"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no-such-command"));
    Ok(())
}

#[test]
fn run_gives_the_command_an_environment_of_its_own() -> Result<()> {
    let output = sandbox()
        .args(["run", "--set", "latency_ms=1", "--", "env"])
        .env("AWS_PROFILE", "production")
        .env("AWS_SESSION_TOKEN", "token")
        .output()?;
    let environment = text(&output.stdout);
    assert!(environment.contains("AWS_ENDPOINT_URL=http://127.0.0.1:"), "{environment}");
    assert!(!environment.contains("AWS_PROFILE"));
    assert!(!environment.contains("AWS_SESSION_TOKEN"));
    Ok(())
}

#[test]
fn a_weather_that_does_not_exist_is_refused_before_anything_starts() -> Result<()> {
    let output = run(&["run", "--set", "rain=1", "--", "true"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("rain"), "{}", text(&output.stderr));
    Ok(())
}

/// `sandbox run` with a command that stays, the cloud's process and the command's.
struct Running {
    run: Child,
    cloud: u32,
    command: u32,
}

fn start_running() -> Result<Running> {
    let script = "echo $AWS_ENDPOINT_URL $$; exec sleep 1000";
    let mut run =
        sandbox().args(["run", "--", "sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(run.stdout.take().context("no output")?).read_line(&mut line)?;
    let (endpoint, pid) = line.trim().split_once(' ').context("no endpoint")?;
    let port = endpoint.rsplit(':').next().context("no port")?.parse()?;
    let about: serde_json::Value = serde_json::from_str(&get(port, "/sandbox/about")?.1)?;
    let cloud = about["pid"].as_u64().context("no process id")?;
    Ok(Running { run, cloud: u32::try_from(cloud)?, command: pid.parse()? })
}

fn send(child: &Child, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("no process id")?;
    Ok(kill_process(pid, signal)?)
}

#[test]
fn a_signal_reaches_the_command_and_ends_the_cloud() -> Result<()> {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut running = start_running()?;
        send(&running.run, signal)?;
        assert_eq!(running.run.wait()?.code(), Some(code));
        until("the cloud is gone", || !is_alive(running.cloud))?;
        until("the command is gone", || !is_alive(running.command))?;
    }
    Ok(())
}

#[test]
fn nothing_survives_a_run_that_is_killed() -> Result<()> {
    let mut running = start_running()?;
    running.run.kill()?;
    running.run.wait()?;
    until("the cloud is gone", || !is_alive(running.cloud))?;
    until("the command is gone", || !is_alive(running.command))
}

#[test]
fn what_a_command_leaves_running_ends_with_its_cloud() -> Result<()> {
    let script = "sleep 1000 >/dev/null 2>&1 & echo $!";
    let output = run(&["run", "--", "sh", "-c", script])?;
    let pid = text(&output.stdout).trim().parse()?;
    until("what was left running is gone", || !is_alive(pid))
}

/// A cache of its own for the list of clouds, with the packages of the real one.
fn cache(name: &str) -> Result<std::path::PathBuf> {
    let real = sandbox::install::cache_folder()?;
    sandbox::install::python()?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    let own = folder.join("eksup-sandbox");
    std::fs::create_dir_all(&own)?;
    for entry in std::fs::read_dir(real)? {
        let path = entry?.path();
        let file = path.file_name().context("no name")?;
        if file != "running" && file != "logs" {
            std::os::unix::fs::symlink(&path, own.join(file))?;
        }
    }
    Ok(folder)
}

#[test]
fn clouds_go_up_side_by_side_and_come_down_one_by_one() -> Result<()> {
    let cache = cache("up-and-down")?;
    let call = |arguments: &[&str]| -> Result<Output> {
        let output = sandbox().args(arguments).env("XDG_CACHE_HOME", &cache).output()?;
        Ok(output)
    };
    for name in ["one", "two"] {
        let output = call(&["up", name])?;
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("export AWS_ENDPOINT_URL=http://127.0.0.1:"));
    }
    assert_eq!(call(&["up", "one"])?.status.code(), Some(1), "there is one of that name");
    assert_eq!(text(&call(&["list"])?.stdout).lines().count(), 2);
    assert!(call(&["weather", "one", "--set", "latency_ms=5"])?.status.success());
    assert!(call(&["down", "one"])?.status.success());
    let listed = text(&call(&["list"])?.stdout);
    assert!(listed.starts_with("two\t") && listed.lines().count() == 1, "{listed}");
    assert!(call(&["down", "two"])?.status.success());
    assert_eq!(text(&call(&["list"])?.stdout), "");
    assert_eq!(call(&["down", "two"])?.status.code(), Some(1), "it is down already");
    Ok(())
}
