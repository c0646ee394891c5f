//! What a command prints for whoever asked: the one place that writes to standard output.

use std::fmt::Display;
use std::io::{Write, stdout};

/// Prints `text` and ends the line.
pub fn line(text: impl Display) {
    write(format_args!("{text:#}\n"));
}

/// Prints `text` as it is.
pub fn text(text: impl Display) {
    write(text);
}

/// A reader that has gone away (`eksup graph | head`) wants no more: that is no failure of the command.
fn write(text: impl Display) {
    let mut out = stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}
