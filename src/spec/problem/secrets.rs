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

/// The lines of a text that hold the data of a Secret of Kubernetes.
pub(super) struct SecretObjects {
    /// Whether each document has a Secret: what is one may be told only by a line after its data. The data of what
    /// stands beside it in the same document, as in a `List`, is hidden too.
    documents: Vec<bool>,
    /// The number of the document that the text has come to.
    document: usize,
    /// The column of the key whose values are hidden, while the text is below it.
    data: Option<usize>,
    /// The column of the keys below that one.
    keys: Option<usize>,
}

impl SecretObjects {
    pub(super) fn of(text: &str) -> Self {
        let mut documents = vec![false];
        for line in text.lines() {
            if begins_document(line) {
                documents.push(false);
            }
            if let Some(last) = documents.last_mut().filter(|_| is_kind_of_secret(line)) {
                *last = true;
            }
        }
        Self { documents, document: 0, data: None, keys: None }
    }

    /// From where on the next line of the text is hidden.
    pub(super) fn hidden_in(&mut self, line: &str) -> Option<usize> {
        self.document += usize::from(begins_document(line));
        let column = line.len() - line.trim_start_matches([' ', '-']).len();
        if self.documents.get(self.document) != Some(&true) || column == line.len() {
            return None;
        }
        if self.data.is_some_and(|data| column > data) {
            let keys = *self.keys.get_or_insert(column);
            let after_key = line.find(':').filter(|_| column == keys).map(|colon| colon + 1);
            return Some(after_key.unwrap_or(column));
        }
        (self.data, self.keys) = (None, None);
        let colon = ["data", "stringData"].into_iter().find_map(|key| colon_after(line, key))?;
        self.data = Some(column);
        Some(colon + 1)
    }
}

fn begins_document(line: &str) -> bool {
    line.starts_with("---")
}

/// Where the colon after a key stands.
fn colon_after(line: &str, key: &str) -> Option<usize> {
    line.match_indices(key).find_map(|(at, _)| {
        let is_whole =
            !line[..at].ends_with(|before: char| before.is_alphanumeric() || matches!(before, '-' | '_' | '.'));
        let rest = &line[at + key.len()..];
        let after = rest.trim_start_matches(['"', '\'', ' ']);
        (is_whole && after.starts_with(':')).then(|| line.len() - after.len())
    })
}

/// Whether a line says `kind: Secret`, in YAML or JSON.
fn is_kind_of_secret(line: &str) -> bool {
    let value = colon_after(line, "kind").map(|colon| line[colon + 1..].trim_start_matches(['"', '\'', ' ']));
    let rest = value.and_then(|value| value.strip_prefix("Secret"));
    rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
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

    #[test]
    fn the_data_of_a_secret_object_is_hidden_whatever_its_keys_are_called() {
        let shown = |text: &str| {
            let mut objects = SecretObjects::of(text);
            let lines = text.lines().map(|line| line[..objects.hidden_in(line).unwrap_or(line.len())].to_owned());
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(
            shown("data:\n  a: eA==\n  b: |\n    c: d\nkind: Secret\nmetadata: { name: x }"),
            "data:\n  a:\n  b:\n    \nkind: Secret\nmetadata: { name: x }"
        );
        assert_eq!(shown("{ kind: Secret, stringData: { a: b } }"), "{ kind: Secret, stringData:");
        assert_eq!(shown("{\n \"kind\": \"Secret\",\n \"data\": {\n  \"a\": \"b\"\n }\n}").matches('b').count(), 0);
        assert_eq!(shown("kind: ConfigMap\ndata: { a: b }"), "kind: ConfigMap\ndata: { a: b }");
        assert_eq!(shown("kind: SecretStore\ndata: { a: b }"), "kind: SecretStore\ndata: { a: b }");
    }
}
