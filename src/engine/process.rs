//! Which process this is, told so that another run on the same machine can see whether it lives.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

/// A process on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine's name.
    pub host: String,
    /// Tells this boot of the machine from every other one; empty where the system does not say.
    pub boot: String,
    /// The process's number.
    pub pid: u32,
    /// When it started, in the system's own count; empty where the system does not say.
    pub started: String,
}

impl Process {
    /// Whether this machine knows for sure that the process has ended.
    pub fn is_known_to_be_dead(&self) -> bool {
        let boot = boot();
        !boot.is_empty() && boot == self.boot && started(self.pid) != self.started
    }
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} on `{}`", self.pid, self.host)
    }
}

/// This process.
pub fn this() -> Process {
    let pid = std::process::id();
    Process { host: host(), boot: boot(), pid, started: started(pid) }
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "an unnamed machine".into())
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Field 22 of `/proc/PID/stat`, counted behind the command's name, which may hold blanks.
fn started(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace();
    let is_zombie = fields.next() == Some("Z");
    fields.nth(18).filter(|_| !is_zombie).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_never_was_is_dead() {
        assert!(!this().is_known_to_be_dead());
        if !boot().is_empty() {
            assert!(Process { started: "never".into(), ..this() }.is_known_to_be_dead());
        }
    }
}
