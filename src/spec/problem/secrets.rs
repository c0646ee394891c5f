//! Which names speak of secrets: their values are neither taken from the environment nor shown in messages.

use strsim::damerau_levenshtein;

/// ARNs and names of keys and secrets are not secrets.
const HARMLESS: [&str; 4] = ["secretsKey", "kmsKeyId", "keyName", "kmsKeyID"];

const SECRET: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "token",
    "credential",
    "credentials",
    "apikey",
    "privatekey",
    "accesskey",
];

const PAIRS: [(&str, &str); 5] =
    [("api", "key"), ("private", "key"), ("access", "key"), ("license", "key"), ("signing", "key")];

/// Whether a key or a variable with this name is about something secret, told from the words in it.
pub(crate) fn holds_secrets(name: &str) -> bool {
    if HARMLESS.contains(&name) {
        return false;
    }
    let words = words(name);
    let one = |word: &String| SECRET.contains(&word.as_str()) || is_password_misspelt(word);
    let two = |pair: &[String]| PAIRS.contains(&(pair[0].as_str(), pair[1].as_str()));
    words.iter().any(one) || words.windows(2).any(two)
}

fn is_password_misspelt(word: &str) -> bool {
    (6..=10).contains(&word.len()) && damerau_levenshtein(word, "password") <= 2
}

/// The words of a camelCase, snake_case or kebab-case name, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut after_lower = false;
    for character in name.chars() {
        if !character.is_alphanumeric() {
            words.push(String::new());
            after_lower = false;
            continue;
        }
        if words.is_empty() || (after_lower && character.is_uppercase()) {
            words.push(String::new());
        }
        after_lower = character.is_lowercase() || character.is_ascii_digit();
        if let Some(word) = words.last_mut() {
            word.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Where the values of secrets stand in a line of YAML: after the colon of a key that speaks of one, to the end.
pub(super) fn secret_in_line(line: &str) -> Option<usize> {
    line.match_indices(':').find_map(|(colon, _)| {
        let before = line[..colon].trim_end_matches(['"', '\'', ' ']);
        let is_name = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
        let key = before.rsplit(|character| !is_name(character)).next().unwrap_or_default();
        let value = &line[colon + 1..];
        let start = colon + 1 + (value.len() - value.trim_start().len());
        (holds_secrets(key) && start < line.len()).then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_speak_of_secrets_are_known_in_every_spelling() {
        for name in
            ["password", "dbPassword", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "apiKey", "github-token", "pasword"]
        {
            assert!(holds_secrets(name), "{name}");
        }
        for name in ["secretsKey", "keyName", "TEAM", "tokenizer", "key", "CLUSTER_VERSION", "passage"] {
            assert!(!holds_secrets(name), "{name}");
        }
    }

    #[test]
    fn the_value_of_a_secret_is_found_in_its_line() {
        assert_eq!(secret_in_line("  password: hunter2"), Some(12));
        assert_eq!(secret_in_line("{ name: a, \"apiToken\" : x }"), Some(24));
        assert_eq!(secret_in_line("  password:"), None);
        assert_eq!(secret_in_line("  secretsKey: arn:aws:kms"), None);
        assert_eq!(secret_in_line("nothing"), None);
    }
}
