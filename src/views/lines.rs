//! A run as plain lines, for logs: what is done, what fails, and now and then what takes its time.

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::View;
use super::closing::{self, Commands};
use super::run::{Operation, Run};
use super::sentences::{not_done_lines, sentence, still};
use super::wording::{between, harmless};
use crate::engine::{Event, Timed};

/// How long an operation may take before anything is said of it.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// The longest silence about an operation.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);
/// Tries that are worth a word: so many, or for so long.
const MANY_TRIES: usize = 3;
const LONG_TRYING: Duration = Duration::from_secs(5);

/// Writes one line for everything that a reader of a log wants to know.
pub struct Lines {
    writer: Box<dyn Write + Send>,
    zone: TimeZone,
    commands: Commands,
    run: Run,
    words: Vec<LastWord>,
}

/// What was last said of an operation that takes its time.
#[derive(Debug, Clone, Default)]
struct LastWord {
    at: Option<Timestamp>,
    why: Option<String>,
    of_trying: bool,
}

impl Lines {
    /// Writes to `writer`, with the times of this machine's zone.
    pub fn new(writer: Box<dyn Write + Send>, commands: Commands) -> Self {
        Self::in_zone(writer, commands, TimeZone::system())
    }

    /// Writes to `writer`, with the times of `zone`.
    pub fn in_zone(writer: Box<dyn Write + Send>, commands: Commands, zone: TimeZone) -> Self {
        Self { writer, zone, commands, run: Run::default(), words: Vec::new() }
    }

    fn say(&mut self, time: Timestamp, text: &str) {
        let clock = time.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        for (number, line) in harmless(text).lines().enumerate() {
            let start = if number == 0 { clock.as_str() } else { "        " };
            // A reader that has gone away is no failure of the run.
            let _ = writeln!(self.writer, "{start} {line}");
        }
        let _ = self.writer.flush();
    }

    /// Says of operation `number` that it goes on, if it is time to.
    fn say_still(&mut self, number: usize, now: Timestamp) {
        let (Some(operation), Some(word)) = (self.run.operation(number), self.words.get_mut(number)) else { return };
        if !word.is_due(operation, now) {
            return;
        }
        *word = LastWord { at: Some(now), why: operation.why.clone(), of_trying: operation.retries > 0 };
        let text = still(operation, now);
        self.say(now, &text);
    }

    fn say_ending(&mut self, time: Timestamp) {
        let Some((ending, took)) = self.run.ended else { return };
        for line in not_done_lines(&self.run) {
            self.say(time, &line);
        }
        let text = closing::ended(&self.run, ending, took, &self.commands);
        self.say(time, &text);
    }
}

impl LastWord {
    /// Whether it is time for another word: first after a while, then at growing intervals; sooner when
    /// the reason has changed, or when a call is tried again and again.
    fn is_due(&self, operation: &Operation, now: Timestamp) -> bool {
        let lasted = operation.lasted(now);
        let drags = operation.retries >= MANY_TRIES
            || operation.retrying_since.is_some_and(|since| between(since, now) > LONG_TRYING);
        let Some(at) = self.at else { return lasted >= FIRST_WORD || drags };
        let silence = between(at, now);
        let before = lasted.saturating_sub(silence);
        silence >= before.clamp(FIRST_WORD, LONGEST_SILENCE)
            || (operation.why != self.why && operation.retries == 0 && silence >= FIRST_WORD)
            || (drags && !self.of_trying)
    }
}

impl View for Lines {
    fn take(&mut self, timed: &Timed) {
        self.run.take(timed);
        let Timed { time, event } = timed;
        if let Event::RunStarted { operations, .. } = event {
            self.words = vec![LastWord::default(); operations.len()];
        }
        if let Some(text) = sentence(&self.run, event, *time) {
            self.say(*time, &text);
        }
        match event {
            Event::Waiting { number, .. } | Event::Retrying { number, .. } => self.say_still(*number, *time),
            Event::RunFinished { .. } => self.say_ending(*time),
            _ => {}
        }
    }

    fn tick(&mut self, now: Timestamp) {
        let running: Vec<usize> = self.run.under_way().map(|operation| operation.info.number).collect();
        for number in running {
            self.say_still(number, now);
        }
    }

    fn finish(&mut self) {
        let _ = self.writer.flush();
    }
}
