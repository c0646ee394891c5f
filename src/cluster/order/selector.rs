//! Whether labels are picked by a selector.

use serde_json::Value;

use super::{items, text};

/// Whether `selector` picks `labels`; one that is not there or empty picks everything.
pub fn matches(selector: Option<&Value>, labels: &Value) -> bool {
    let Some(selector) = selector else { return true };
    let pairs = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let pairs_hold = pairs.into_iter().all(|(key, value)| labels.get(key) == Some(value));
    pairs_hold && items(selector, "/matchExpressions").all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &Value) -> bool {
    let label = labels.get(text(expression, "/key"));
    let is_listed = || items(expression, "/values").any(|value| Some(value) == label);
    match text(expression, "/operator") {
        "In" => label.is_some() && is_listed(),
        "NotIn" => label.is_none() || !is_listed(),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        _ => true,
    }
}
