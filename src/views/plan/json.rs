//! A plan for programs: the plan's own document, with what it amounts to and every change in the
//! shape that readers of Terraform's plans know.

use serde_json::{Map, Value, json};

use super::page;
use super::unknown::split;
use crate::aws::Kinds;
use crate::plan::{Action, Change, Desired, FieldChange, Mark, Plan, Registry, ReplaceOrder, State};
use crate::views::value::{HIDDEN, is_sensitive};

/// The version of Terraform's plan format whose `resource_changes` these are.
const TERRAFORM_FORMAT: &str = "1.2";

/// `plan` as a document of the form `eksup.dev/plan/v1`:
///
/// - the plan itself: `format`, `purpose`, `stack`, `region`, `account`, `id`, `fingerprint`, `rounds`;
/// - `summary`: how many are to `create`, `update`, `replace`, `delete`, `wait` for and `keep`;
/// - `marks`: `address`, `mark` (`outage`, `data-loss`, `one-way`) and `why` of each;
/// - `format_version` and `resource_changes` as in Terraform's plans: `address`, `mode`, `type`, `name`
///   and `change` with `actions`, `before`, `after`, `after_unknown`, `before_sensitive`,
///   `after_sensitive` and `replace_paths`; beside them `marks`, `action_reason` where there is one,
///   and the number of the `round` (from 1) where there are several.
///
/// Values that look like secrets are left out of all of it. To apply a plan later, save it, not this.
pub fn plan_json(plan: &Plan) -> Value {
    let plan = &without_secrets(plan);
    let mut document = match serde_json::to_value(plan) {
        Ok(Value::Object(document)) => document,
        _ => Map::new(),
    };
    document.values_mut().for_each(|value| keep_back("", value));
    document.insert("summary".into(), json!(page::tally(plan)));
    document.insert("marks".into(), plan.marks().map(|(address, mark)| mark_json(address.as_str(), mark)).collect());
    document.insert("format_version".into(), TERRAFORM_FORMAT.into());
    document.insert("resource_changes".into(), resource_changes(plan));
    document.into()
}

/// `plan` with every field as its kind lets it be shown.
fn without_secrets(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for change in plan.rounds.iter_mut().flat_map(|round| &mut round.changes) {
        let Some(facts) = Kinds.facts(&change.kind) else { continue };
        let bodies =
            [change.before.as_mut().map(|before| &mut before.body), change.after.as_mut().map(|after| &mut after.body)];
        for fields in bodies.into_iter().flatten().filter_map(Value::as_object_mut) {
            fields.iter_mut().for_each(|(field, value)| *value = (facts.shown)(field, value));
        }
    }
    plan
}

fn resource_changes(plan: &Plan) -> Value {
    let several = plan.rounds.len() > 1;
    let mut changes = Vec::new();
    for (number, round) in plan.rounds.iter().enumerate() {
        for change in &round.changes {
            let mut entry = resource_change(change);
            if several {
                entry.insert("round".into(), json!(number + 1));
            }
            changes.push(Value::Object(entry));
        }
    }
    changes.into()
}

fn resource_change(change: &Change) -> Map<String, Value> {
    let before = change.before.as_ref().map(|before| split("", &before.body));
    let after = change.after.as_ref().map(|after| split("", &resolved(change, after)));
    let known = |split: &Option<super::unknown::Split>| split.as_ref().map_or(Value::Null, |split| split.known.clone());
    let sensitive = |split: &Option<super::unknown::Split>| {
        split.as_ref().map_or_else(|| json!(false), |split| split.sensitive.clone())
    };
    let mut entry = Map::new();
    entry.insert("address".into(), json!(change.address));
    entry.insert("mode".into(), json!("managed"));
    entry.insert("type".into(), json!(change.kind));
    entry.insert("name".into(), json!(change.address.slug()));
    entry.insert(
        "change".into(),
        json!({
            "actions": actions(change),
            "before": known(&before),
            "after": known(&after),
            "after_unknown": after.as_ref().map_or_else(|| json!(false), |after| after.unknown.clone()),
            "before_sensitive": sensitive(&before),
            "after_sensitive": sensitive(&after),
            "replace_paths": replace_paths(change),
        }),
    );
    if let Some(reason) = action_reason(change) {
        entry.insert("action_reason".into(), json!(reason));
    }
    if let Some(reason) = &change.reason {
        entry.insert("reason".into(), json!(reason));
    }
    let marks: Vec<Value> = change.marks.iter().map(|mark| json!(mark)).collect();
    entry.insert("marks".into(), marks.into());
    entry
}

/// Terraform's word for an action. It has none for a wait, which changes nothing.
fn actions(change: &Change) -> Value {
    match change.action {
        Action::Keep | Action::Await => json!(["no-op"]),
        Action::Create => json!(["create"]),
        Action::Update => json!(["update"]),
        Action::Delete => json!(["delete"]),
        Action::Replace => match Kinds.facts(&change.kind).map(|facts| facts.replace) {
            Some(ReplaceOrder::CreateFirst) => json!(["create", "delete"]),
            _ => json!(["delete", "create"]),
        },
    }
}

fn action_reason(change: &Change) -> Option<&'static str> {
    match change.action {
        Action::Replace if change.fields.iter().any(|field| field.forces_replacement) => {
            Some("replace_because_cannot_update")
        }
        Action::Replace => Some("replace_because_tainted"),
        Action::Delete => Some("delete_because_no_resource_config"),
        _ => None,
    }
}

fn replace_paths(change: &Change) -> Value {
    let forcing = change.fields.iter().filter(|field| field.forces_replacement && change.action == Action::Replace);
    forcing.map(|field| json!([field.field])).collect()
}

/// The body that the resource will have: what the plan compared, not what was written before it was.
fn resolved(change: &Change, after: &Desired) -> Value {
    let Value::Object(wish) = &after.body else { return after.body.clone() };
    let compared = change.before.as_ref().filter(|before| before.state != State::Deleting);
    let differing = |field: &str| change.fields.iter().find(|differs| differs.field == field);
    let body: Map<String, Value> = wish
        .iter()
        .map(|(field, value)| {
            let standing = compared.and_then(|before| before.body.get(field));
            let value = match (differing(field), standing) {
                (Some(FieldChange { after, .. }), _) => after.clone(),
                (None, Some(standing)) => standing.clone(),
                (None, None) => value.clone(),
            };
            (field.clone(), value)
        })
        .collect();
    body.into()
}

fn mark_json(address: &str, mark: &Mark) -> Value {
    let mut entry = json!(mark);
    if let Value::Object(fields) = &mut entry {
        fields.insert("address".into(), json!(address));
    }
    entry
}

/// Puts a remark in the place of everything that looks like a secret.
fn keep_back(key: &str, value: &mut Value) {
    if is_sensitive(key, value) {
        *value = HIDDEN.into();
        return;
    }
    match value {
        Value::Object(fields) => keep_back_fields(fields),
        Value::Array(items) => items.iter_mut().for_each(|item| keep_back(key, item)),
        _ => {}
    }
}

fn keep_back_fields(fields: &mut Map<String, Value>) {
    let differing = fields.get("field").and_then(Value::as_str).map(str::to_owned);
    for (key, value) in fields {
        // The two values of a differing field are called by the field's name.
        match (&differing, key.as_str()) {
            (Some(field), "before" | "after") => keep_back(field, value),
            _ => keep_back(key, value),
        }
    }
}
