//! `sandbox run`: a command with a cloud of its own, both ended whatever happens.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use sandbox::{CONFUSING_VARIABLES, Sandbox, Weather};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};

/// Starts a cloud, runs the command in its environment, and returns the command's exit code.
/// Signals go on to the command; the cloud ends when the command has ended.
pub(crate) fn run(weather: &Weather, kubernetes: bool, words: &[OsString]) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("preparing to wait for the command")?;
    let cloud = Sandbox::start_as(weather, kubernetes)?;
    let status = runtime.block_on(run_in(&cloud, words))?;
    Ok(code_of(status))
}

async fn run_in(cloud: &Sandbox, words: &[OsString]) -> Result<ExitStatus> {
    let (program, arguments) = words.split_first().context("no command was given")?;
    let mut command = Command::new(program);
    command.args(arguments).envs(cloud.environment());
    for name in CONFUSING_VARIABLES {
        command.env_remove(name);
    }
    // Before the command: from its first moment on, a signal to this process is one to it.
    let signals = Signals::catch()?;
    let child = command.spawn().with_context(|| format!("running `{}`", program.to_string_lossy()))?;
    wait(child, signals).await
}

/// The signals that would end this process.
struct Signals {
    interrupt: UnixSignal,
    terminate: UnixSignal,
    hangup: UnixSignal,
    quit: UnixSignal,
}

impl Signals {
    fn catch() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }
}

/// Waits for the command to end, and hands it every signal that would have ended this process.
async fn wait(mut child: Child, mut signals: Signals) -> Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status.context("waiting for the command"),
            // A terminal sends Ctrl-C to the command as well; a second one would be too many.
            _ = signals.interrupt.recv() => pass_on_unless_terminal(&child, Signal::INT),
            _ = signals.quit.recv() => pass_on_unless_terminal(&child, Signal::QUIT),
            _ = signals.terminate.recv() => pass_on(&child, Signal::TERM),
            _ = signals.hangup.recv() => pass_on(&child, Signal::HUP),
        }
    }
}

fn pass_on_unless_terminal(child: &Child, signal: Signal) {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        pass_on(child, signal);
    }
}

fn pass_on(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        let _ = kill_process(id, signal);
    }
}

/// The command's exit code; 128 and the signal's number where a signal ended it, as in a shell.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
