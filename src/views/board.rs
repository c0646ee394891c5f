//! The live part of the terminal: what is going on now, in a few lines that are drawn again and again.

use std::time::Duration;

use console::measure_text_width;
use jiff::Timestamp;

use super::run::{Activity, Operation, Run};
use super::sentences::doing;
use super::style::{Paint, Style, elide, pad, wrap};
use super::wording::{between, count, elapsed, listed, one_line};
use crate::engine::Stage;
use crate::phases::PHASES;
use crate::plan::{Address, Purpose};

const SPINNER: &[&str] = &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Columns of the bar that shows how far the run is.
const BAR: usize = 20;
/// On a narrower terminal the numbers have to do.
const WIDE_ENOUGH_FOR_A_BAR: usize = 72;
/// Columns of the longest address in the table of what runs.
const WIDEST_ADDRESS: usize = 44;
/// How many operations are named that come next.
const NEXT: usize = 3;
/// The time that a picture of the spinner stays.
const PICTURE: Duration = Duration::from_millis(100);

/// What the board shows of `run` at `now`, in at most `rows` lines; nothing while nothing goes on.
pub fn board(run: &Run, now: Timestamp, style: Style, rows: usize) -> Vec<String> {
    match run.activity {
        Activity::Idle => Vec::new(),
        Activity::Reading => vec![single(run, now, &format!("Reading what there is of `{}`", run.stack), style)],
        Activity::Sweeping => vec![single(run, now, "Searching the account for anything that is left", style)],
        Activity::Working => {
            let header = header(run, now, style);
            let phases = phase_lines(run, style);
            let next = next_line(run, style);
            let room = rows.saturating_sub(1 + phases.len() + next.iter().len() + 1);
            let running = running_lines(run, now, style, room.max(1));
            std::iter::once(header).chain(phases).chain(running).chain(next).take(rows.max(1)).collect()
        }
    }
}

fn single(run: &Run, now: Timestamp, what: &str, style: Style) -> String {
    let lasted = run.since.map(|since| between(since, now)).unwrap_or_default();
    clip(&format!("{} {what}  {}", spinner(lasted, style), elapsed(lasted)), style)
}

fn header(run: &Run, now: Timestamp, style: Style) -> String {
    let lasted = run.began.map(|began| between(began, now)).unwrap_or_default();
    let what = match (run.stopping, run.purpose) {
        (true, _) => "Stopping",
        (_, Some(Purpose::Destroy)) => "Taking down",
        _ => "Applying",
    };
    let round = run.round.as_ref().map(|round| format!(", {}", one_line(round))).unwrap_or_default();
    let total = run.operations.len();
    let done = run.progress.count(Stage::Done);
    let failed = match run.progress.count(Stage::Failed) {
        0 => String::new(),
        failed => format!("  {}", style.paint(Paint::Bad, &format!("{failed} failed"))),
    };
    let title = style.paint(Paint::Heading, &format!("{what} {}{round}", run.stack));
    let bar = if style.width < WIDE_ENOUGH_FOR_A_BAR { String::new() } else { bar(done, total, style) + "  " };
    let line = format!("{} {title}  {bar}{done} of {total}{failed}  {}", spinner(lasted, style), elapsed(lasted));
    clip(&line, style)
}

fn spinner(lasted: Duration, style: Style) -> String {
    let at = usize::try_from(lasted.as_millis() / PICTURE.as_millis()).unwrap_or_default();
    style.paint(Paint::Good, SPINNER[at % SPINNER.len()])
}

fn bar(done: usize, total: usize, style: Style) -> String {
    let full = (BAR * done).checked_div(total).unwrap_or(BAR);
    format!("{}{}", style.paint(Paint::Good, &"━".repeat(full)), style.paint(Paint::Faint, &"╌".repeat(BAR - full)))
}

/// `network 18/18  nat 1/3 …`, in as many lines as it takes.
fn phase_lines(run: &Run, style: Style) -> Vec<String> {
    let mut names: Vec<&str> = PHASES.to_vec();
    for operation in &run.operations {
        if !names.contains(&operation.info.address.phase()) {
            names.push(operation.info.address.phase());
        }
    }
    let mut lines: Vec<(String, usize)> = Vec::new();
    for name in names {
        let Some((text, paint)) = phase(run, name) else { continue };
        let width = measure_text_width(&text);
        let painted = style.paint(paint, &text);
        match lines.last_mut() {
            Some((line, used)) if *used + 2 + width <= style.width => {
                line.push_str(&format!("  {painted}"));
                *used += 2 + width;
            }
            _ => lines.push((format!("  {painted}"), 2 + width)),
        }
    }
    lines.into_iter().map(|(line, _)| clip(&line, style)).collect()
}

fn phase(run: &Run, name: &str) -> Option<(String, Paint)> {
    let stages: Vec<Stage> = run
        .operations
        .iter()
        .filter(|operation| operation.info.address.phase() == name)
        .map(|operation| run.progress.stage(operation.info.number))
        .collect();
    let at = |wanted: &[Stage]| stages.iter().filter(|stage| wanted.contains(stage)).count();
    let done = at(&[Stage::Done]);
    let paint = if at(&[Stage::Failed]) > 0 {
        Paint::Bad
    } else if done == stages.len() {
        Paint::Good
    } else if at(&[Stage::Running, Stage::Waiting]) > 0 {
        Paint::Heading
    } else {
        Paint::Faint
    };
    (!stages.is_empty()).then(|| (format!("{name} {done}/{}", stages.len()), paint))
}

/// What runs, the longest first, each with its own time and what it waits for.
fn running_lines(run: &Run, now: Timestamp, style: Style, room: usize) -> Vec<String> {
    let mut running: Vec<&Operation> = run.under_way().collect();
    running.sort_by_key(|operation| (operation.started, operation.info.number));
    let shown = if running.len() > room { room.saturating_sub(1) } else { running.len() };
    let rest = running.split_off(shown);
    let widest = running.iter().map(|operation| measure_text_width(operation.info.address.as_str())).max();
    let widest = widest.unwrap_or(0).min(WIDEST_ADDRESS).min(style.width / 2);
    let mut lines: Vec<String> = running.iter().map(|operation| running_line(operation, now, style, widest)).collect();
    if !rest.is_empty() {
        lines.push(clip(&format!("    and {} more", rest.len()), style));
    }
    lines
}

fn running_line(operation: &Operation, now: Timestamp, style: Style, widest: usize) -> String {
    let why = match (&operation.why, operation.retries) {
        (None, _) => String::new(),
        (Some(why), 0) => one_line(why),
        (Some(why), retries) => format!("tried {}: {}", count(retries, "time"), one_line(why)),
    };
    let line = format!(
        "    {}  {} {}  {}",
        pad(&elide(&one_line(operation.info.address.as_str()), widest), widest),
        doing(operation.info.verb),
        pad(&elapsed(operation.lasted(now)), 10),
        style.paint(Paint::Faint, &why)
    );
    clip(&line, style)
}

/// What starts next: first what waits only for something that runs.
fn next_line(run: &Run, style: Style) -> Option<String> {
    if run.stopping {
        return None;
    }
    let settled = |number: &usize| !matches!(run.progress.stage(*number), Stage::Pending);
    let mut pending: Vec<&Operation> = run.at(&[Stage::Pending]).collect();
    pending.sort_by_key(|operation| operation.info.needs.iter().filter(|need| !settled(need)).count());
    let addresses: Vec<&Address> = pending.iter().map(|operation| &operation.info.address).collect();
    let text = format!("next: {}", listed(&addresses, NEXT));
    let first = wrap(&text, style.width.saturating_sub(2)).into_iter().next()?;
    let line = if measure_text_width(&text) + 2 <= style.width { text } else { format!("{first} …") };
    (!addresses.is_empty()).then(|| clip(&format!("  {}", style.paint(Paint::Faint, &line)), style))
}

/// `line` in the width of the terminal, so that it never takes two lines.
fn clip(line: &str, style: Style) -> String {
    console::truncate_str(line.trim_end(), style.width, "…").into_owned()
}
