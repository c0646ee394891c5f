//! What the end of a command means to the shell.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Something failed.
    Failed,
    /// There are changes to be made, and the caller asked to be told so.
    Pending,
    /// What was given cannot be used: the command line, the stack file, the credentials.
    BadInput,
    /// The user stopped it.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Pending => 2,
            Exit::BadInput => 3,
            Exit::Interrupted => 130,
        })
    }
}
