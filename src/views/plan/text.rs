//! A plan for people, phase by phase. It says the same with and without colour.

use super::difference::Difference;
use super::page::{self, Detail, Entry, Section};
use crate::plan::{Action, Address, Mark, Plan, Purpose, Summary};
use crate::views::style::{Paint, Style, elide, pad, wrap};
use crate::views::wording::{count, listed, one_line};

/// Columns in front of what is said about a field.
const INDENT: usize = 8;
/// No column of the table gets wider than this; what is longer pushes the rest to the right.
const WIDEST_COLUMN: usize = 40;
/// The room that facts need on the line of their resource.
const NARROWEST_FACTS: usize = 16;

/// `plan` as text, with a line break at the end.
pub fn plan_text(plan: &Plan, style: Style) -> String {
    if plan.is_empty() {
        return format!("{}\n", nothing_to_do(plan));
    }
    let sections = page::sections(plan);
    let mut lines = vec![heading(plan)];
    for (number, section) in sections.iter().enumerate() {
        if let Some(title) = section_title(section, number, sections.len()) {
            lines.push(String::new());
            lines.push(style.paint(Paint::Heading, &title));
        }
        lines.extend(section_lines(section, style));
    }
    lines.push(String::new());
    lines.extend(wrap(&summary_line(plan), style.width).iter().map(|line| style.paint(Paint::Heading, line)));
    lines.extend(mark_list(plan, style));
    lines.push(String::new());
    lines.join("\n")
}

/// `61 to create, 2 to change`, without what does not happen.
pub fn summary_words(summary: &Summary) -> String {
    let parts = [
        (summary.create, "to create"),
        (summary.update, "to change"),
        (summary.replace, "to replace"),
        (summary.delete, "to delete"),
        (summary.wait, "to wait for"),
        (summary.keep, "unchanged"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    said.join(", ")
}

/// What a whole plan amounts to, in one line.
pub fn summary_line(plan: &Plan) -> String {
    let summary = page::tally(plan);
    let wait = if summary.wait > 0 { format!(", {} to wait for", summary.wait) } else { String::new() };
    format!(
        "Plan: {} to create, {} to change, {} to replace, {} to delete{wait}; {} unchanged",
        summary.create, summary.update, summary.replace, summary.delete, summary.keep
    )
}

/// What is said of a plan that does nothing.
pub fn nothing_to_do(plan: &Plan) -> String {
    match plan.purpose {
        Purpose::Apply => {
            let resources = count(page::tally(plan).keep, "resource");
            format!("No changes: the cloud is as the file says ({resources}).")
        }
        Purpose::Destroy => {
            format!("Nothing to delete: there is nothing of stack `{}` in {}.", plan.stack, plan.region)
        }
    }
}

/// What a plan is about, in one line.
pub fn heading(plan: &Plan) -> String {
    let what = match plan.purpose {
        Purpose::Apply => "Plan for",
        Purpose::Destroy => "Plan to take down",
    };
    format!("{what} stack `{}` in {}, account {}", plan.stack, plan.region, plan.account)
}

/// The heading of a round, where there are several.
pub fn section_title(section: &Section, number: usize, of: usize) -> Option<String> {
    match (&section.title, of) {
        (Some(title), 2..) => Some(format!("Round {} of {of}: {title}", number + 1)),
        (None, 2..) => Some(format!("Round {} of {of}", number + 1)),
        (title, _) => title.clone(),
    }
}

/// `! outage: why (address, address)`: a mark, and what it is about.
pub fn mark_words(mark: &Mark, addresses: &[&Address]) -> String {
    format!("{} ({})", one_line(&mark.sentence()), listed(addresses, 6))
}

/// The lines of one resource without colour, for a table whose columns are `columns` wide. The first
/// one has the sigil of what is done.
pub fn entry_lines(entry: &Entry, columns: Columns, width: usize) -> Vec<String> {
    let start =
        format!("{:>5} {}  {}", entry.action.sigil(), pad(&entry.name, columns.name), pad(&entry.kind, columns.kind));
    let mut lines = Vec::new();
    let facts = entry.facts.join(", ");
    let room = width.saturating_sub(console::measure_text_width(&start) + 2);
    if facts.is_empty() {
        lines.push(start.trim_end().to_owned());
    } else if room >= NARROWEST_FACTS || console::measure_text_width(&facts) <= room {
        lines.push(format!("{start}  {}", elide(&facts, room)));
    } else {
        lines.push(start.trim_end().to_owned());
        lines.push(indented(&elide(&facts, width.saturating_sub(INDENT))));
    }
    lines.extend(entry.details.iter().flat_map(|detail| detail_lines(detail, width)));
    lines
}

/// How wide the columns of the table are.
#[derive(Clone, Copy)]
pub struct Columns {
    name: usize,
    kind: usize,
}

impl Columns {
    /// Wide enough for everything in `sections`.
    pub fn of(section: &Section) -> Self {
        let entries = || section.phases.iter().flat_map(|phase| &phase.entries);
        let widest = |of: fn(&Entry) -> &str| {
            entries().map(|entry| console::measure_text_width(of(entry))).max().unwrap_or(0).min(WIDEST_COLUMN)
        };
        Self { name: widest(|entry| &entry.name), kind: widest(|entry| &entry.kind) }
    }
}

fn section_lines(section: &Section, style: Style) -> Vec<String> {
    let columns = Columns::of(section);
    let mut lines = Vec::new();
    for phase in &section.phases {
        lines.push(String::new());
        let counts = style.paint(Paint::Faint, &format!(": {}", summary_words(&phase.summary)));
        lines.push(format!("{}{counts}", style.paint(Paint::Heading, &phase.name)));
        for entry in &phase.entries {
            lines.extend(
                entry_lines(entry, columns, style.width).iter().map(|line| coloured(line, entry.action, style)),
            );
        }
    }
    lines
}

/// Colours the sigil of a first line, and the whole of a mark.
fn coloured(line: &str, action: Action, style: Style) -> String {
    let text = line.trim_start();
    if text.starts_with("! ") {
        return style.paint(Paint::Bad, line);
    }
    let sigil = action.sigil();
    match line.split_once(sigil) {
        Some((blanks, rest)) if blanks.len() < INDENT - 2 && blanks.trim().is_empty() => {
            format!("{blanks}{}{rest}", style.paint(paint_of(action), sigil))
        }
        _ => line.to_owned(),
    }
}

fn paint_of(action: Action) -> Paint {
    match action {
        Action::Create => Paint::Good,
        Action::Update => Paint::Change,
        Action::Replace | Action::Delete => Paint::Bad,
        Action::Await | Action::Keep => Paint::Faint,
    }
}

fn detail_lines(detail: &Detail, width: usize) -> Vec<String> {
    let room = width.saturating_sub(INDENT);
    match detail {
        Detail::Field { difference, forces_replacement } => {
            let remark = if *forces_replacement { "  (forces replacement)" } else { "" };
            field_lines(difference, remark, room)
        }
        Detail::Tags(text) => hanging("tags: ", text, room),
        Detail::Reason(text) => hanging("because ", text, room),
        Detail::Mark(text) => hanging("! ", text, room),
    }
}

fn field_lines(difference: &Difference, remark: &str, room: usize) -> Vec<String> {
    let (path, before, after) = match difference {
        Difference::Said { path, text } => {
            return hanging(&format!("{path}: "), &format!("{text}{remark}"), room);
        }
        Difference::Becomes { path, before, after } => (path, before, after),
    };
    let whole = format!("{path}: {before} → {after}{remark}");
    if console::measure_text_width(&whole) <= room {
        return vec![indented(&whole)];
    }
    let room_for_value = room.saturating_sub(2).max(NARROWEST_FACTS);
    vec![
        indented(&format!("{path}:{remark}")),
        indented(&format!("  {}", elide(before, room_for_value))),
        indented(&format!("→ {}", elide(after, room_for_value))),
    ]
}

/// `text` behind `start`, further lines under its beginning.
fn hanging(start: &str, text: &str, room: usize) -> Vec<String> {
    let margin = console::measure_text_width(start).min(room / 2);
    let lines = wrap(text, room.saturating_sub(margin));
    let first = lines.first().cloned().unwrap_or_default();
    let more = lines.iter().skip(1).map(|line| indented(&format!("{}{line}", " ".repeat(margin))));
    std::iter::once(indented(&format!("{start}{first}"))).chain(more).collect()
}

fn indented(text: &str) -> String {
    format!("{}{text}", " ".repeat(INDENT))
}

/// Every mark again, at the end, where nobody misses it.
fn mark_list(plan: &Plan, style: Style) -> Vec<String> {
    let marks = page::marks(plan);
    if marks.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), "Know before you say yes:".to_owned()];
    for (mark, addresses) in marks {
        let words = mark_words(mark, &addresses);
        let wrapped = wrap(&words, style.width.saturating_sub(4));
        for (at, line) in wrapped.iter().enumerate() {
            let start = if at == 0 { "  ! " } else { "    " };
            lines.push(style.paint(Paint::Bad, &format!("{start}{line}")));
        }
    }
    lines
}
