//! Numbers, times and lists in words.

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;

/// `1 resource`, `2 resources`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {}", plural(noun)) }
}

/// The plural of an English noun that we use.
fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

/// A length of time as people say it: `0.3 s`, `42 s`, `1 min 12 s`, `1 h 4 min`.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if (seconds / 60).is_multiple_of(60) => format!("{} h", seconds / 3_600),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// From `earlier` to `later`; nothing where a clock was turned back.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// `a, b and 3 more`, with at most `most` named.
pub fn listed<T: Display>(items: &[T], most: usize) -> String {
    let named: Vec<String> = items.iter().take(most).map(ToString::to_string).collect();
    match items.len() - named.len() {
        0 => named.join(", "),
        rest => format!("{} and {rest} more", named.join(", ")),
    }
}

/// `number` bytes: `812 B`, `2.1 kB`.
pub fn bytes(number: usize) -> String {
    match number {
        0..1_000 => format!("{number} B"),
        _ => format!("{}.{} kB", number / 1_000, number % 1_000 / 100),
    }
}

/// `text` without anything that a terminal would take as a command: what others wrote is only shown.
pub fn harmless(text: &str) -> String {
    let keep = |character: char| !character.is_control() || character == '\n';
    if text.chars().all(keep) {
        return text.to_owned();
    }
    text.chars()
        .map(|character| if keep(character) { character.to_string() } else { character.escape_default().to_string() })
        .collect()
}

/// `text` in one line and harmless.
pub fn one_line(text: &str) -> String {
    harmless(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_everything_else_is_plural() {
        assert_eq!(count(1, "resource"), "1 resource");
        assert_eq!(count(0, "resource"), "0 resources");
        assert_eq!(count(2, "policy"), "2 policies");
        assert_eq!(count(2, "address"), "2 addresses");
        assert_eq!(count(2, "day"), "2 days");
    }

    #[test]
    fn a_time_has_two_units_at_most() {
        let cases = [
            (340, "0.3 s"),
            (9_990, "9.9 s"),
            (42_700, "42 s"),
            (60_000, "1 min"),
            (72_000, "1 min 12 s"),
            (3_600_000, "1 h"),
            (3_840_000, "1 h 4 min"),
        ];
        for (milliseconds, words) in cases {
            assert_eq!(elapsed(Duration::from_millis(milliseconds)), words);
        }
    }

    #[test]
    fn a_long_list_ends_in_a_number() {
        assert_eq!(listed(&["a", "b", "c"], 3), "a, b, c");
        assert_eq!(listed(&["a", "b", "c"], 2), "a, b and 1 more");
    }

    #[test]
    fn a_text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r"), "a\\u{1b}[2Jb\\r");
        assert_eq!(one_line("a\n  b"), "a b");
    }

    #[test]
    fn a_clock_that_was_turned_back_gives_no_time() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(between(now + Duration::from_secs(5), now), Duration::ZERO);
    }
}
