//! A plan as a comment on a pull request: the summary and the marks open, each phase folded.

use super::page::{self, Entry, Phase, Section};
use super::text::{
    Columns, entry_lines, heading, mark_words, nothing_to_do, section_title, summary_line, summary_words,
};
use crate::plan::{Action, Plan};

/// GitHub takes 65,536 characters in a comment; the rest is left to whoever posts it.
const LONGEST: usize = 60_000;
/// Columns in which a comment is read without scrolling.
const WIDTH: usize = 110;

/// `plan` as Markdown, with a line break at the end.
pub fn plan_markdown(plan: &Plan) -> String {
    if plan.is_empty() {
        return format!("### {}\n\n{}\n", heading(plan), nothing_to_do(plan));
    }
    let mut text = format!("### {}\n\n**{}**\n", heading(plan), summary_line(plan));
    text.push_str(&mark_list(plan));
    let sections = page::sections(plan);
    for (number, section) in sections.iter().enumerate() {
        if let Some(title) = section_title(section, number, sections.len()) {
            text.push_str(&format!("\n#### {title}\n"));
        }
        for phase in &section.phases {
            text.push_str(&folded(phase, section, LONGEST.saturating_sub(text.len())));
        }
    }
    text
}

fn mark_list(plan: &Plan) -> String {
    let marks = page::marks(plan);
    if marks.is_empty() {
        return String::new();
    }
    let lines = marks.iter().map(|(mark, addresses)| format!("> - {}\n", escaped(&mark_words(mark, addresses))));
    format!("\n> [!WARNING]\n{}", lines.collect::<String>())
}

/// One phase, folded; without its details where there is no room for them any more.
fn folded(phase: &Phase, section: &Section, room: usize) -> String {
    let summary = format!("<b>{}</b>: {}", phase.name, summary_words(&phase.summary));
    let columns = Columns::of(section);
    let lines: Vec<String> = phase.entries.iter().flat_map(|entry| diff_lines(entry, columns)).collect();
    let body = lines.join("\n");
    let fence = fence_around(&body);
    let whole = format!("\n<details><summary>{summary}</summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>\n");
    if whole.len() <= room {
        return whole;
    }
    format!("\n{summary}; too long to be shown here, `eksup plan` shows it\n")
}

/// The lines of an entry, each with the sign by which a diff is coloured: a change of what stands is
/// `!`, because diffs have no colour for `~`.
fn diff_lines(entry: &Entry, columns: Columns) -> Vec<String> {
    let sign = match entry.action {
        Action::Create => '+',
        Action::Delete => '-',
        Action::Update | Action::Replace => '!',
        Action::Await | Action::Keep => ' ',
    };
    let mut lines = entry_lines(entry, columns, WIDTH);
    for (at, line) in lines.iter_mut().enumerate() {
        let is_mark = line.trim_start().starts_with("! ");
        *line = match at {
            0 => format!("{sign}{line}"),
            _ if is_mark => format!("!{line}"),
            _ => format!(" {line}"),
        };
    }
    lines
}

/// A fence that no line of `body` can close.
fn fence_around(body: &str) -> String {
    let longest = body.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// `text` so that Markdown takes it as it is, backticks aside.
fn escaped(text: &str) -> String {
    text.replace('<', "&lt;").replace('@', "@\u{200b}")
}
