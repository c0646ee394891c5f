//! A run on a terminal: what is done scrolls by, what goes on is drawn below it and kept up to date.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use jiff::Timestamp;

use super::board::board;
use super::closing::{self, Commands};
use super::run::Run;
use super::sentences::{not_done_lines, sentence};
use super::style::{Paint, Style, wrap};
use super::wording::harmless;
use super::{Lines, View};
use crate::engine::{Ending, Event, Timed};

const REFRESH: Duration = Duration::from_millis(100);

/// A live display.
pub struct Terminal {
    run: Arc<Mutex<Run>>,
    bar: ProgressBar,
    writer: Box<dyn Write + Send>,
    surface: Arc<dyn Surface>,
    commands: Commands,
}

/// What the display has to know of the terminal and the time, asked again for every picture, so that
/// it follows when the window is resized.
pub trait Surface: Send + Sync {
    /// Lines and columns, and whether it has colours.
    fn look(&self) -> (usize, Style);
    /// The time.
    fn now(&self) -> Timestamp;
}

/// Standard error.
struct StandardError;

impl Surface for StandardError {
    fn look(&self) -> (usize, Style) {
        let (rows, _) = console::Term::stderr().size();
        (usize::from(rows), Style::of_stderr())
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The view for standard error: live on a terminal that can move its cursor, plain lines elsewhere.
pub fn live_or_lines(commands: Commands) -> Box<dyn View + Send> {
    let target = ProgressDrawTarget::stderr();
    if target.is_hidden() || !io::stderr().is_terminal() {
        return Box::new(Lines::new(Box::new(io::stderr()), commands));
    }
    let terminal = Terminal::new(target, Box::new(io::stderr()), Arc::new(StandardError), commands);
    terminal.bar.enable_steady_tick(REFRESH);
    Box::new(terminal)
}

impl Terminal {
    /// Draws on `target` and writes what scrolls by to `writer`, which is the same terminal. Pictures
    /// are drawn when something happens and at every [`View::tick`].
    pub fn new(
        target: ProgressDrawTarget,
        writer: Box<dyn Write + Send>,
        surface: Arc<dyn Surface>,
        commands: Commands,
    ) -> Self {
        let run = Arc::new(Mutex::new(Run::default()));
        let bar = ProgressBar::with_draw_target(None, target);
        let (drawn, around) = (Arc::clone(&run), Arc::clone(&surface));
        let draw = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
            let (rows, style) = around.look();
            let lines = board(&lock(&drawn), around.now(), style, rows.saturating_sub(1));
            let _ = to.write_str(&lines.join("\n"));
        };
        if let Ok(style) = ProgressStyle::with_template("{board}") {
            bar.set_style(style.with_key("board", draw));
        }
        Self { run, bar, writer, surface, commands }
    }

    /// Writes `text` above the board.
    fn scroll(&mut self, text: &str) {
        let writer = &mut self.writer;
        // A terminal that has gone away is no failure of the run.
        self.bar.suspend(|| {
            let _ = writeln!(writer, "{text}").and_then(|()| writer.flush());
        });
    }

    /// What is said of `event` in one piece: the sentence, and after the last one the whole ending.
    fn words(&self, timed: &Timed) -> Option<String> {
        let run = lock(&self.run);
        let (_, style) = self.surface.look();
        match &timed.event {
            // The board says it while it lasts.
            Event::Observing { .. } | Event::Observed { .. } | Event::RunStarted { .. } | Event::Sweeping => None,
            Event::RunFinished { ending, took } => {
                let lines = not_done_lines(&run);
                let text = closing::ended(&run, *ending, *took, &self.commands);
                let paint = match ending {
                    Ending::Done => Paint::Good,
                    Ending::Failed => Paint::Bad,
                    Ending::Stopped => Paint::Change,
                };
                let mut lines: Vec<String> = lines.iter().map(|line| harmless(line)).collect();
                lines.extend(wrap(&text, style.width).iter().map(|line| style.paint(paint, line)));
                Some(lines.join("\n"))
            }
            event => {
                let text = sentence(&run, event, timed.time)?;
                let sign = match event {
                    Event::Failed { .. } => style.paint(Paint::Bad, "✗"),
                    Event::Finished { .. } => style.paint(Paint::Good, "✓"),
                    _ => style.paint(Paint::Change, "!"),
                };
                Some(format!("{sign} {}", harmless(&text).replace('\n', "\n  ")))
            }
        }
    }
}

impl View for Terminal {
    fn take(&mut self, timed: &Timed) {
        lock(&self.run).take(timed);
        match self.words(timed) {
            Some(text) => self.scroll(&text),
            None => self.bar.tick(),
        }
    }

    fn tick(&mut self, _: Timestamp) {
        self.bar.tick();
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
        let _ = self.writer.flush();
    }
}

/// A view must go on where another one panicked: the run is what it was.
fn lock(run: &Mutex<Run>) -> MutexGuard<'_, Run> {
    run.lock().unwrap_or_else(PoisonError::into_inner)
}
