//! A terminal in memory, to see what the live view draws on a real one.

use std::fmt;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressDrawTarget, TermLike};
use jiff::Timestamp;

use super::terminal::Surface;
use super::testing::{at, commands};
use super::{Style, Terminal, View};
use crate::engine::Timed;

/// A terminal view on a terminal in memory.
pub struct Screen {
    view: Terminal,
    surface: Arc<Fixed>,
    memory: Memory,
}

impl Screen {
    /// An empty terminal at noon.
    pub fn new(rows: u16, columns: u16) -> Self {
        let memory = Memory(Arc::new(Mutex::new(vt100::Parser::new(side(rows), side(columns), 0))));
        let surface = Arc::new(Fixed::new(rows.into(), columns.into()));
        let target = ProgressDrawTarget::term_like(Box::new(memory.clone()));
        let around: Arc<dyn Surface> = Arc::clone(&surface) as Arc<dyn Surface>;
        Self { view: Terminal::new(target, Box::new(memory.clone()), around, commands()), surface, memory }
    }

    /// Takes in what happens, at its time.
    pub fn take(&mut self, timed: &Timed) {
        let since = timed.time.duration_since(at(0)).as_millis();
        self.surface.milliseconds.store(u64::try_from(since).unwrap_or_default(), Ordering::Relaxed);
        self.view.take(timed);
    }

    /// Lets time go on to `milliseconds` after noon.
    pub fn at(&mut self, milliseconds: u64) {
        self.surface.milliseconds.store(milliseconds, Ordering::Relaxed);
        self.view.tick(at(milliseconds));
    }

    /// Changes the size of the window.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.memory.with(|parser| parser.screen_mut().set_size(side(rows), side(columns)));
        *self.surface.size.lock().unwrap_or_else(PoisonError::into_inner) = (rows.into(), columns.into());
    }

    /// Ends the view.
    pub fn finish(&mut self) {
        self.view.finish();
    }

    /// What stands on the terminal.
    pub fn contents(&self) -> String {
        self.memory.with(|parser| {
            let (_, columns) = parser.screen().size();
            let rows: Vec<String> =
                parser.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
            rows.join("\n").trim_end().to_owned()
        })
    }

    /// The column in which the cursor stands.
    pub fn column(&self) -> u16 {
        self.memory.with(|parser| parser.screen().cursor_position().1)
    }
}

/// A time and a size that tests set.
pub struct Fixed {
    milliseconds: AtomicU64,
    size: Mutex<(usize, usize)>,
}

impl Fixed {
    /// Noon, on a terminal of this size.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { milliseconds: AtomicU64::new(0), size: Mutex::new((rows, columns)) }
    }
}

fn side(length: u16) -> NonZero<u16> {
    NonZero::new(length).unwrap_or(NonZero::<u16>::MIN)
}

impl Surface for Fixed {
    fn look(&self) -> (usize, Style) {
        let (rows, columns) = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        (rows, Style::plain(columns))
    }

    fn now(&self) -> Timestamp {
        at(self.milliseconds.load(Ordering::Relaxed))
    }
}

/// A terminal in memory, which understands what a real one does.
#[derive(Clone)]
struct Memory(Arc<Mutex<vt100::Parser>>);

impl Memory {
    fn with<T>(&self, work: impl FnOnce(&mut vt100::Parser) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, text: &str) -> io::Result<()> {
        self.with(|parser| parser.process(text.as_bytes()));
        Ok(())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Memory")
    }
}

impl Write for Memory {
    /// As a terminal driver does it: a line feed goes to the first column.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(&String::from_utf8_lossy(bytes).replace('\n', "\r\n"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Memory {
    fn width(&self) -> u16 {
        self.with(|parser| parser.screen().size().1.get())
    }

    fn height(&self) -> u16 {
        self.with(|parser| parser.screen().size().0.get())
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.send(&format!("\u{1b}[{n}A")) }
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.send(&format!("\u{1b}[{n}B")) }
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.send(&format!("\u{1b}[{n}C")) }
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.send(&format!("\u{1b}[{n}D")) }
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.send(&format!("{text}\r\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.send(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.send("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
