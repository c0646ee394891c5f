//! One value of a resource as people read it.

use serde_json::Value;

use super::wording::one_line;
use crate::plan::placeholders;

/// What stands in the place of a value that must not be shown.
pub const HIDDEN: &str = "(sensitive)";

/// `value` in one line. `key` is the name that it has, by which secrets are recognised.
pub fn shown(key: &str, value: &Value) -> String {
    if is_sensitive(key, value) {
        return HIDDEN.to_owned();
    }
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.trim().is_empty() => format!("{text:?}"),
        Value::String(text) => one_line(&with_unknowns_named(text)),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(key, item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, item)| format!("{}: {}", one_line(&with_unknowns_named(key)), shown(key, item)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// `text` with every reference to what is not known yet in words.
pub fn with_unknowns_named(text: &str) -> String {
    let mut named = text.to_owned();
    for unknown in placeholders(&Value::String(text.to_owned())) {
        let written = format!("${{output:{}#{}}}", unknown.address, unknown.output);
        named = named.replace(&written, &format!("(known after apply: {} {})", unknown.address, unknown.output));
    }
    named
}

/// Whether a value called `key` is to be kept to ourselves. There should be none: passwords live in
/// Secrets Manager. Names, ids and ARNs of secrets are none; neither are switches.
pub fn is_sensitive(key: &str, value: &Value) -> bool {
    const SECRETS: &[&str] = &["password", "passwords", "passphrase", "secret", "secrets", "token", "tokens"];
    const ABOUT: &[&str] = &["arn", "arns", "name", "names", "id", "ids"];
    // A switch of the instance metadata service; which key encrypts a cluster's secrets.
    const KNOWN_GOOD: &[&str] = &["httpTokens", "secretsKey"];
    if KNOWN_GOOD.contains(&key) {
        return false;
    }
    let words = words(key);
    let ends_in = |list: &[&str]| words.last().is_some_and(|word| list.contains(&word.as_str()));
    match value {
        Value::String(text) if text.is_empty() || text.starts_with("arn:") || text.starts_with("${output:") => false,
        Value::String(_) | Value::Number(_) => {
            words.iter().any(|word| SECRETS.contains(&word.as_str())) && !ends_in(ABOUT)
        }
        Value::Object(fields) => !fields.is_empty() && ends_in(SECRETS),
        Value::Null | Value::Bool(_) | Value::Array(_) => false,
    }
}

/// The words of `camelCase`, `PascalCase`, `snake_case`, `kebab-case` and `SCREAMING_CASE`, lower-case.
fn words(key: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut after_lower = false;
    for character in key.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character.is_alphanumeric()) {
            word.extend(character.to_lowercase());
        }
        after_lower = character.is_lowercase() || character.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_yet_is_named() {
        let value = json!(["${output:network/vpc#id}", "arn:${output:cluster/role#name}/*"]);
        assert_eq!(
            shown("x", &value),
            "[(known after apply: network/vpc id), arn:(known after apply: cluster/role name)/*]"
        );
    }

    #[test]
    fn a_nested_value_takes_one_line() {
        assert_eq!(shown("x", &json!({ "a": [1, true, null], "b": "two\nlines", "c": "" })), {
            r#"{a: [1, true, none], b: two lines, c: ""}"#
        });
    }

    #[test]
    fn secrets_are_hidden_and_what_only_names_them_is_not() {
        for key in ["masterUserPassword", "password", "client_token", "SECRET_KEY", "secretString", "dbPasswordValue"] {
            assert_eq!(shown(key, &json!("hunter2")), HIDDEN, "{key}");
            assert_eq!(shown("outer", &json!({ key: "hunter2" })), format!("{{{key}: (sensitive)}}"));
        }
        for key in
            ["secretArn", "secretName", "tokenIds", "httpTokens", "secretsKey", "keyName", "tokenizer", "secretary"]
        {
            assert_eq!(shown(key, &json!("x")), "x", "{key}");
        }
        assert_eq!(shown("manageMasterUserPassword", &json!(true)), "true");
        assert_eq!(shown("dbSecret", &json!({ "value": "hunter2" })), HIDDEN);
        assert_eq!(shown("secret", &json!("arn:aws:secretsmanager:x")), "arn:aws:secretsmanager:x");
    }
}
