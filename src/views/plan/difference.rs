//! What differs inside one field: the changed paths of what is nested, the size of what is long.

use serde_json::{Map, Value};

use crate::plan::is_unknown;
use crate::views::style::elide;
use crate::views::value::{HIDDEN, is_sensitive, shown};
use crate::views::wording::bytes;

/// Texts longer than this are not shown but measured.
const LONG_TEXT: usize = 160;
/// More differences than this inside one field are counted.
const MOST: usize = 8;
/// Columns of a part that comes or goes as a whole.
const PART: usize = 72;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A value that becomes another one.
    Becomes {
        /// The field, and the way inside it.
        path: String,
        /// The value now.
        before: String,
        /// The value afterwards.
        after: String,
    },
    /// Something that is said in words.
    Said {
        /// The field, and the way inside it.
        path: String,
        /// What happens there.
        text: String,
    },
}

/// What differs between `before` and `after`, the two values of `field`.
pub fn differences(field: &str, before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&Place { path: field.to_owned(), key: field }, before, after, &mut found);
    if found.is_empty() {
        found.push(said(field, "the same in another form"));
    }
    if found.len() > MOST {
        let rest = found.len() - (MOST - 2);
        found.truncate(MOST - 2);
        found.push(said(field, format!("and {rest} more differences")));
    }
    found
}

/// Where in a field a value is.
struct Place<'a> {
    path: String,
    key: &'a str,
}

impl<'a> Place<'a> {
    fn inside(&self, key: &'a str) -> Self {
        Self { path: format!("{}.{key}", self.path), key }
    }

    fn item(&self, label: &str) -> Self {
        Self { path: format!("{}[{label}]", self.path), key: self.key }
    }
}

fn compare<'a>(place: &Place<'a>, before: &'a Value, after: &'a Value, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    if is_sensitive(place.key, before) || is_sensitive(place.key, after) {
        found.push(said(&place.path, format!("{HIDDEN} changes")));
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => compare_fields(place, before, after, found),
        (Value::Array(before), Value::Array(after)) => compare_items(place, before, after, found),
        (Value::String(old), Value::String(new)) => compare_texts(place, old, new, found),
        (_, Value::String(new)) if new.len() > LONG_TEXT => {
            found.push(said(&place.path, format!("is set, {}", bytes(new.len()))));
        }
        _ => found.push(Difference::Becomes {
            path: place.path.clone(),
            before: shown(place.key, before),
            after: shown(place.key, after),
        }),
    }
}

fn compare_fields<'a>(
    place: &Place<'a>,
    before: &'a Map<String, Value>,
    after: &'a Map<String, Value>,
    found: &mut Vec<Difference>,
) {
    for (key, old) in before {
        match after.get(key) {
            Some(new) => compare(&place.inside(key), old, new, found),
            None => found.push(part(&place.inside(key), "-", old)),
        }
    }
    for (key, new) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        found.push(part(&place.inside(key), "+", new));
    }
}

/// Lists are compared as sets, their objects by the name that they have.
fn compare_items<'a>(place: &Place<'a>, before: &'a [Value], after: &'a [Value], found: &mut Vec<Difference>) {
    let at = found.len();
    let mut gone: Vec<&Value> = before.iter().filter(|item| !after.contains(item)).collect();
    let mut new: Vec<&Value> = after.iter().filter(|item| !before.contains(item)).collect();
    compare_namesakes(place, &mut gone, &mut new, found);
    if let ([old], [new]) = (gone.as_slice(), new.as_slice())
        && before.len() == after.len()
        && old.is_object()
        && new.is_object()
        && name_of(old) == name_of(new)
    {
        let position = before.iter().position(|item| item == *old).unwrap_or_default();
        return compare(&place.item(&position.to_string()), old, new, found);
    }
    let scalars = gone.iter().chain(&new).all(|item| !item.is_object() && !item.is_array());
    if scalars && !(gone.is_empty() && new.is_empty()) {
        let signed = |sign: &'static str| move |item: &&Value| format!("{sign} {}", shown(place.key, item));
        let parts: Vec<String> = gone.iter().map(signed("-")).chain(new.iter().map(signed("+"))).collect();
        found.push(said(&place.path, parts.join(", ")));
    } else {
        found.extend(gone.iter().map(|item| part(place, "-", item)));
        found.extend(new.iter().map(|item| part(place, "+", item)));
    }
    if found.len() == at {
        found.push(said(&place.path, "in another order"));
    }
}

/// Compares the objects of one name with each other, and takes them out of both lists.
fn compare_namesakes<'a>(
    place: &Place<'a>,
    gone: &mut Vec<&'a Value>,
    new: &mut Vec<&'a Value>,
    found: &mut Vec<Difference>,
) {
    gone.retain(|old| {
        let Some(name) = name_of(old) else { return true };
        let Some(at) = new.iter().position(|candidate| name_of(candidate) == Some(name)) else { return true };
        compare(&place.item(name), old, new.remove(at), found);
        false
    });
}

fn name_of(item: &Value) -> Option<&str> {
    ["Sid", "sid", "name", "key", "id"].iter().find_map(|key| item.get(*key)?.as_str())
}

fn compare_texts(place: &Place, before: &str, after: &str, found: &mut Vec<Difference>) {
    if let (Some(old), Some(new)) = (document(before), document(after)) {
        let mut inside = Vec::new();
        compare(&Place { path: place.path.clone(), key: place.key }, &old, &new, &mut inside);
        found.append(&mut inside);
        return;
    }
    if before.len().max(after.len()) > LONG_TEXT || before.contains('\n') || after.contains('\n') {
        found.push(said(&place.path, sizes(before, after)));
        return;
    }
    let value = |text: &str| shown(place.key, &Value::from(text));
    found.push(Difference::Becomes { path: place.path.clone(), before: value(before), after: value(after) });
}

/// The JSON document that a text holds, if it holds one.
fn document(text: &str) -> Option<Value> {
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

fn sizes(before: &str, after: &str) -> String {
    let unknown = if is_unknown(&Value::from(after)) { ", partly known after apply" } else { "" };
    let same_lines = before.lines().zip(after.lines()).take_while(|(old, new)| old == new).count();
    let lines = before.lines().count().max(after.lines().count());
    let from = if lines > 1 { format!(", differs from line {}", same_lines + 1) } else { String::new() };
    format!("changed, {} → {}{from}{unknown}", bytes(before.len()), bytes(after.len()))
}

fn part(place: &Place, sign: &str, value: &Value) -> Difference {
    said(&place.path, format!("{sign} {}", elide(&shown(place.key, value), PART)))
}

fn said(path: &str, text: impl Into<String>) -> Difference {
    Difference::Said { path: path.to_owned(), text: text.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn lines(before: Value, after: Value) -> Vec<String> {
        let line = |difference| match difference {
            Difference::Becomes { path, before, after } => format!("{path}: {before} → {after}"),
            Difference::Said { path, text } => format!("{path}: {text}"),
        };
        differences("field", &before, &after).into_iter().map(line).collect()
    }

    #[test]
    fn a_scalar_becomes_another_one() {
        assert_eq!(lines(json!(null), json!("gp3")), ["field: none → gp3"]);
        assert_eq!(lines(json!(20), json!(50)), ["field: 20 → 50"]);
    }

    #[test]
    fn a_list_is_compared_as_a_set() {
        assert_eq!(lines(json!(["a", "b"]), json!(["b", "c"])), ["field: - a, + c"]);
        assert_eq!(lines(json!(["a", "b"]), json!(["b", "a"])), ["field: in another order"]);
    }

    #[test]
    fn of_a_policy_only_the_changed_statement_is_shown() {
        let before = json!({ "Version": "2012-10-17", "Statement": [
            { "Sid": "Read", "Effect": "Allow", "Action": ["s3:Get"], "Resource": "*" },
            { "Sid": "Old", "Effect": "Allow", "Action": "ec2:*", "Resource": "*" },
        ] });
        let after = json!({ "Version": "2012-10-17", "Statement": [
            { "Sid": "Read", "Effect": "Allow", "Action": ["s3:Get", "s3:List"], "Resource": "*" },
            { "Effect": "Deny", "Action": "iam:*", "Resource": "${output:network/vpc#id}" },
        ] });
        let expected = [
            "field.Statement[Read].Action: + s3:List",
            "field.Statement: - {Action: ec2:*, Effect: Allow, Resource: *, Sid: Old}",
            "field.Statement: + {Action: iam:*, Effect: Deny, Resource: (kn…fter apply: network/vpc id)}",
        ];
        assert_eq!(lines(before.clone(), after.clone()), expected);
        assert_eq!(lines(json!(before.to_string()), json!(after.to_string())), expected, "as text it is the same");
    }

    #[test]
    fn an_object_without_a_name_is_compared_by_its_place() {
        let before = json!([{ "port": 80, "to": "a" }, { "port": 22, "to": "b" }]);
        let after = json!([{ "port": 80, "to": "a" }, { "port": 22, "to": "c" }]);
        assert_eq!(lines(before, after), ["field[1].to: b → c"]);
    }

    #[test]
    fn a_long_text_is_measured_and_not_shown() {
        let before = format!("#!/bin/sh\n{}", "a".repeat(300));
        let after = format!("#!/bin/sh\n{}", "${output:cluster/cluster#endpoint}".repeat(30));
        assert_eq!(
            lines(json!(before), json!(after)),
            ["field: changed, 310 B → 1.0 kB, differs from line 2, partly known after apply"]
        );
    }

    #[test]
    fn many_differences_are_counted() {
        let object =
            |offset: usize| Value::Object((0..20).map(|at| (format!("k{at:02}"), json!(at + offset))).collect());
        let lines = lines(object(0), object(1));
        assert_eq!(lines.len(), 7);
        assert_eq!(lines[6], "field: and 14 more differences");
    }

    #[test]
    fn a_secret_is_not_shown_however_deep_it_is() {
        let shown = lines(json!({ "a": { "password": "one" } }), json!({ "a": { "password": "two" }, "token": "x" }));
        assert_eq!(shown, ["field.a.password: (sensitive) changes", "field.token: + (sensitive)"]);
    }

    #[test]
    fn values_that_only_look_different_are_said_to_be_the_same() {
        assert_eq!(lines(json!("{\"a\":1}"), json!("{ \"a\": 1 }")), ["field: the same in another form"]);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!("{\"a\": [1]}")),
            Just(json!("${output:network/vpc#id}")),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            let key = prop_oneof![Just("name".to_owned()), Just("password".to_owned()), ".{0,4}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_differs_something_is_said_and_not_too_much(before in any_value(), after in any_value()) {
            let lines = differences("field", &before, &after);
            prop_assert!(!lines.is_empty() && lines.len() <= MOST);
        }
    }
}
