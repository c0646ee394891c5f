//! A run for programs: one JSON object to a line, the event as it was said.

use std::io::Write;

use super::View;
use crate::engine::Timed;

/// Writes every event as one line of JSON: `time`, `event`, and what belongs to it.
pub struct Json {
    writer: Box<dyn Write + Send>,
}

impl Json {
    /// Writes to `writer`.
    pub fn new(writer: Box<dyn Write + Send>) -> Self {
        Self { writer }
    }
}

impl View for Json {
    fn take(&mut self, timed: &Timed) {
        if let Ok(line) = serde_json::to_string(timed) {
            // A reader that has gone away is no failure of the run.
            let _ = writeln!(self.writer, "{line}").and_then(|()| self.writer.flush());
        }
    }

    fn finish(&mut self) {
        let _ = self.writer.flush();
    }
}
