//! How wide the output is and whether it has colours, decided once and handed down. Colour is an aid
//! only: every output says the same without it.

use console::{Term, measure_text_width};

/// The width of output that no terminal shows.
const UNBOUND_WIDTH: usize = 120;
/// Narrower than this, lines wrap by themselves.
const NARROWEST: usize = 40;

/// How output is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns that a line should keep to.
    pub width: usize,
    /// Whether escape sequences for colours are written.
    pub colour: bool,
}

/// What a piece of text is, from which its colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Something new, or something that went well.
    Good,
    /// Something that changes.
    Change,
    /// Something that goes, or went wrong.
    Bad,
    /// A heading.
    Heading,
    /// Something of less weight.
    Faint,
}

impl Style {
    /// Without colours, `width` columns wide.
    pub fn plain(width: usize) -> Self {
        Self { width: width.max(NARROWEST), colour: false }
    }

    /// As standard output wants it.
    pub fn of_stdout() -> Self {
        Self::of(&Term::stdout(), console::colors_enabled())
    }

    /// As standard error wants it.
    pub fn of_stderr() -> Self {
        Self::of(&Term::stderr(), console::colors_enabled_stderr())
    }

    fn of(term: &Term, colour: bool) -> Self {
        let width = term.is_term().then(|| term.size_checked()).flatten().map(|(_, columns)| usize::from(columns));
        Self { colour, ..Self::plain(width.unwrap_or(UNBOUND_WIDTH)) }
    }

    /// `text` in the colour of `paint`.
    pub fn paint(self, paint: Paint, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Change => "33",
            Paint::Bad => "31",
            Paint::Heading => "1",
            Paint::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// `text` in at most `width` columns: the middle gives way, because ids and ARNs differ at the end.
pub fn elide(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let tail = room * 2 / 5;
    let head: String = take_columns(text.chars(), room - tail);
    let tail: String = take_columns(text.chars().rev(), tail).chars().rev().collect();
    format!("{head}…{tail}")
}

fn take_columns(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut taken = String::new();
    for character in characters {
        taken.push(character);
        if measure_text_width(&taken) > columns {
            taken.pop();
            break;
        }
    }
    taken
}

/// `text` with blanks behind it, up to `width` columns.
pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(measure_text_width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// `text` in lines of at most `width` columns, broken between words; a word that is longer stands alone.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_keeps_its_beginning_and_its_end() {
        let arn = "arn:aws:iam::111122223333:role/eksup/shop/ap-northeast-2/node";
        let elided = elide(arn, 30);
        assert_eq!(measure_text_width(&elided), 30);
        assert!(elided.starts_with("arn:aws:iam") && elided.ends_with("2/node"), "{elided}");
        assert_eq!(elide("short", 30), "short");
    }

    #[test]
    fn no_width_is_too_small_to_elide_to() {
        for width in 0..4 {
            assert!(measure_text_width(&elide("a long text", width)) <= width.max(1));
        }
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(pad("서울", 6), "서울  ");
        assert!(measure_text_width(&elide("서울서울서울", 6)) <= 6);
    }

    #[test]
    fn a_word_longer_than_the_line_is_not_cut() {
        assert_eq!(wrap("it is averylongword indeed", 8), ["it is", "averylongword", "indeed"]);
    }

    #[test]
    fn without_colour_no_escape_sequence_is_written() {
        assert_eq!(Style::plain(80).paint(Paint::Bad, "gone"), "gone");
        assert_eq!(Style { width: 80, colour: true }.paint(Paint::Bad, "gone"), "\u{1b}[31mgone\u{1b}[0m");
    }

    proptest::proptest! {
        #[test]
        fn a_text_is_never_wider_than_asked(text in ".{0,60}", width in 1_usize..50) {
            let text = crate::views::wording::one_line(&text);
            proptest::prop_assert!(measure_text_width(&elide(&text, width)) <= width);
        }
    }
}
