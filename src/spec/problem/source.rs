//! The text of a file with its lines: positions, and the excerpt that is shown under a message.

use std::{ops::Range, sync::Arc};

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::Problem;
use super::secrets::{SecretObjects, secret_in_line};
use super::text::harmless;

/// Lines longer than this are shown in part.
const LONGEST_LINE: usize = 160;

/// How much of a long line is shown before the place that is meant.
const LEAD: usize = 60;

/// A file's name and text. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    text: String,
    /// The text as it may be shown; as many bytes as the text.
    shown: String,
    /// The offset of each line's first byte.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(offset, _)| offset + 1)).collect();
        let shown = showable(&text);
        Self(Arc::new(Inner { name: name.into(), text, shown, lines }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// The number of the line that contains the byte at `offset`, from 0.
    pub(crate) fn line_index(&self, offset: usize) -> usize {
        self.0.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The bytes of a line, without its end.
    pub(crate) fn line_range(&self, index: usize) -> Range<usize> {
        let start = self.0.lines.get(index).copied().unwrap_or(self.0.text.len());
        let end = self.0.lines.get(index + 1).copied().unwrap_or(self.0.text.len());
        let line = self.0.text[start..end].trim_end_matches(['\n', '\r']);
        start..start + line.len()
    }

    /// The text of a line, without its end.
    pub(crate) fn line(&self, index: usize) -> &str {
        &self.0.text[self.line_range(index)]
    }

    /// A line as it may be shown.
    pub(crate) fn shown_line(&self, index: usize) -> &str {
        self.0.shown.get(self.line_range(index)).unwrap_or_default()
    }

    /// The line and the column (in characters) of an offset, both from 1.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.boundary(offset);
        let index = self.line_index(offset);
        let start = self.line_range(index).start;
        (index + 1, self.0.text[start..offset].chars().count() + 1)
    }

    /// The part of `span` that lies in its first line and can be shown, cut to whole characters and not empty if it
    /// can be helped.
    pub(crate) fn within_line(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.boundary(span.start);
        let line = self.line_range(self.line_index(start));
        let start = start.min(line.end);
        let longest = start + LONGEST_LINE - LEAD;
        let end = self.boundary(span.end.min(longest).max(start)).min(line.end).max(start);
        let text = self.0.text[start..end].trim_end();
        let end = if text.is_empty() { end } else { start + text.len() };
        // A place at the end of a line or of the file points at the last character before it.
        match start == end && start > line.start && start == line.end {
            true => self.boundary(start - 1)..start,
            false => start..end,
        }
    }

    /// The start of the character that contains the byte at `offset`.
    fn boundary(&self, offset: usize) -> usize {
        self.0.text.floor_char_boundary(offset)
    }

    /// What to show of the lines around a span: whole lines, or a window if its line is very long.
    fn window(&self, span: Range<usize>, around: usize) -> Range<usize> {
        let (first, last) = (self.line_index(span.start), self.line_index(span.end));
        let start = self.line_range(first.saturating_sub(around)).start;
        let end = self.line_range((last + around).min(self.0.lines.len() - 1)).end;
        let too_long = |line: usize| self.line_range(line).len() > LONGEST_LINE;
        let from = first.saturating_sub(around);
        match (from..=last + around).any(too_long) {
            false => start..end.max(span.end),
            true => {
                let line = self.line_range(first);
                let start = self.boundary(span.start.saturating_sub(LEAD)).max(line.start);
                let end = self.boundary(start + LONGEST_LINE).max(span.end.min(line.end));
                start..end.min(line.end).max(start)
            }
        }
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let asked = span.offset()..span.offset().saturating_add(span.len());
        if asked.end > self.0.shown.len() {
            return Err(MietteError::OutOfBounds);
        }
        // Without context, miette asks for the position of the span itself.
        let range = match (before, after) {
            (0, 0) => asked,
            _ => self.window(asked, before.max(after)),
        };
        let (line, column) = self.position(range.start);
        let data = self.0.shown.as_bytes().get(range.clone()).ok_or(MietteError::OutOfBounds)?;
        let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
        Ok(Box::new(MietteSpanContents::new_named(
            self.0.name.clone(),
            data,
            (range.start, range.len()).into(),
            line - 1,
            column - 1,
            lines,
        )))
    }
}

/// What is wrong with bytes that are text only up to `valid`.
pub(crate) fn not_utf8(bytes: &[u8], valid: usize) -> Problem {
    let problem = Problem::error(valid..valid + 1, "the file is not UTF-8 text from here on", "save it as UTF-8");
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => problem.because("it begins like UTF-16"),
        [0x1f, 0x8b, ..] => problem.because("it begins like a gzip archive"),
        _ => problem,
    }
}

/// The text as it may be shown, with as many bytes: `?` for every byte of a character that a terminal would obey,
/// and `*` for the values of secrets.
fn showable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut objects = SecretObjects::of(text);
    for line in text.split_inclusive('\n') {
        let hidden = [secret_in_line(line.trim_end()), objects.hidden_in(line.trim_end())];
        let secret = hidden.into_iter().flatten().min().unwrap_or(line.len());
        for (offset, character) in line.char_indices() {
            let instead = match character {
                '\n' | '\t' | ' ' => None,
                // A carriage return mostly belongs to the end of the line.
                '\r' => Some(' '),
                _ if offset >= secret => Some('*'),
                _ if harmless(character) != character => Some('?'),
                _ => None,
            };
            match instead {
                Some(instead) => shown.extend(std::iter::repeat_n(instead, character.len_utf8())),
                None => shown.push(character),
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_not_bytes() {
        let source = Source::new("f", "a: ü x\r\nb: 1\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(source.text().find('x').unwrap()), (1, 6));
        assert_eq!(source.position(source.text().find('b').unwrap()), (2, 1));
        assert_eq!(source.position(source.text().len()), (3, 1));
        assert_eq!(source.position(9999), (3, 1));
        assert_eq!(source.line(0), "a: ü x");
    }

    #[test]
    fn a_span_over_several_lines_is_cut_to_its_first() {
        let source = Source::new("f", "a:\n  b: 1\n  c: 2\n");
        assert_eq!(source.within_line(&(5..16)), 5..9);
        assert_eq!(source.within_line(&(17..17)), 17..17);
        assert_eq!(source.within_line(&(2..2)), 1..2);
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        let source = Source::new("f", "a: \u{1b}[31m\u{9b}x\u{202e}\n");
        assert_eq!(source.0.shown, "a: ?[31m??x???\n");
        assert_eq!(source.0.shown.len(), source.text().len());
    }

    #[test]
    fn the_value_of_a_secret_is_not_shown() {
        let source = Source::new("f", "password: hünter 2\r\nuser: a\n");
        assert_eq!(source.0.shown, "password: ******* * \nuser: a\n");
        assert_eq!(source.0.shown.len(), source.text().len());
    }
}
