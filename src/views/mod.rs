//! Plans, runs and failures as people and programs read them. Nothing is decided here.
//!
//! - [`plan_text`], [`plan_json`], [`plan_markdown`]: a plan on a terminal, for programs, in a pull request.
//! - [`View`]: what follows a run as it happens. [`Terminal`] is live, [`Lines`] is for logs, [`Json`]
//!   for programs; [`drive`] feeds one of them.
//! - [`report`]: a failure, once: what, why, what to do.
//! - [`closing`]: the last sentence of every command.

mod board;
pub mod closing;
mod json;
mod lines;
mod plan;
mod report;
mod run;
#[cfg(test)]
mod screen;
mod sentences;
mod style;
mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod value;
mod wording;

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

pub use json::Json;
pub use lines::Lines;
pub use plan::{plan_json, plan_markdown, plan_text};
pub use report::report;
pub use style::Style;
pub use terminal::{Terminal, live_or_lines};
pub use wording::{count, elapsed};

use crate::engine::Timed;

/// Something that shows a run as it happens.
pub trait View {
    /// Takes in what happened.
    fn take(&mut self, timed: &Timed);

    /// Called about once a second, so that a view can say that it is still waiting for something.
    fn tick(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// Ends: nothing more will happen.
    fn finish(&mut self);
}

const TICK: Duration = Duration::from_secs(1);

/// Feeds `view` until everyone who could say something has gone, then ends it.
pub async fn drive(mut receiver: UnboundedReceiver<Timed>, mut view: Box<dyn View + Send>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            timed = receiver.recv() => match timed {
                Some(timed) => view.take(&timed),
                None => break,
            },
            _ = ticks.tick() => view.tick(Timestamp::now()),
        }
    }
    view.finish();
}
