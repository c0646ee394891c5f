//! The wording that messages share: quoting what the user wrote, lists, and the likely meaning of a typo.

/// The longest piece of the user's own text that a message repeats.
const LONGEST_QUOTE: usize = 60;

/// The longest message, reason or help.
const LONGEST_TEXT: usize = 800;

/// Words as they may be shown: without anything that a terminal would obey but line ends, and not endless.
pub(super) fn presentable(text: &str) -> String {
    let keep = |character| {
        if character == '\n' { character } else { harmless(character) }
    };
    let mut shown: String = text.chars().take(LONGEST_TEXT).map(keep).collect();
    if text.chars().nth(LONGEST_TEXT).is_some() {
        shown.push('…');
    }
    shown
}

/// What the user wrote, in backticks, shortened, and without anything that a terminal would obey.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_QUOTE).map(harmless).collect();
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// A character that changes nothing but the cell it stands in.
pub(crate) fn harmless(character: char) -> char {
    let steers = matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    );
    if character.is_control() || steers { '?' } else { character }
}

/// `a`, `b` and `c`, each in backticks.
pub(crate) fn list<T: AsRef<str>>(items: &[T]) -> String {
    joined(items, "and")
}

/// `a`, `b` or `c`, each in backticks.
pub(crate) fn any_of<T: AsRef<str>>(items: &[T]) -> String {
    joined(items, "or")
}

/// a, b and c, as they are.
pub(crate) fn sentence<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| item.as_ref().to_owned()).collect();
    enumerated(&items, "and")
}

fn joined<T: AsRef<str>>(items: &[T], word: &str) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quoted(item.as_ref())).collect();
    enumerated(&quoted, word)
}

fn enumerated(items: &[String], word: &str) -> String {
    match items.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} {word} {last}", rest.join(", ")),
    }
}

/// The candidate that was probably meant by `text`, if any is close enough.
pub(crate) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(text);
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(same) = candidates.iter().find(|candidate| plain(candidate) == wanted) {
        return Some(same);
    }
    let tolerance = match wanted.chars().count() {
        0..=2 => return None,
        3..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Lower case, without the separators in which naming styles differ; only as much as a name can have.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(|character| !matches!(character, '-' | '_' | ' ' | '.'));
    letters.take(LONGEST_QUOTE).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_names_the_likely_word_and_a_stranger_none() {
        let keys = ["publicSubnets", "privateSubnets", "nat", "cidr"];
        assert_eq!(nearest("publicSubents", keys), Some("publicSubnets"));
        assert_eq!(nearest("private_subnets", keys), Some("privateSubnets"));
        assert_eq!(nearest("natt", keys), Some("nat"));
        assert_eq!(nearest("bastion", keys), None);
        assert_eq!(nearest("x", keys), None);
        assert_eq!(nearest("in", ["NotIn", "In"]), Some("In"));
    }

    #[test]
    fn quoting_disarms_control_characters_and_shortens() {
        assert_eq!(quoted("a\u{1b}[31m\u{202e}b"), "`a?[31m?b`");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 63);
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(list::<&str>(&[]), "nothing");
        assert_eq!(list(&["a"]), "`a`");
        assert_eq!(any_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
