//! What becomes of a field that another manager has set: it is taken back from a hand that changed it in passing, left
//! to a controller that scales, and otherwise refused with the manager's name. Pure.

use std::collections::BTreeSet;

use kube::core::Status;
use serde_json::Value;

use super::refusal::{Conflict, conflict};
use crate::plan::STACK;

/// The field manager under which a stack applies its objects.
pub const MANAGER: &str = "eksup";

/// Tools in the hands of people. What they change with an update, and not by an apply of their own, is drift.
const BY_HAND: &[&str] =
    &["kubectl", "k9s", "Lens", "OpenLens", "freelens", "headlamp", "node-fetch", "Mozilla", "curl"];
/// What the API server calls whoever wrote an object before managers were recorded.
const BEFORE: &str = "before-first-apply";

/// Definitions that Karpenter brings too. They are taken over from it: deleted and made anew, they would take every
/// NodePool and every node along.
const HANDED_ON: &[&str] = &["nodepools.karpenter.sh", "nodeclaims.karpenter.sh", "ec2nodeclasses.karpenter.k8s.aws"];

/// Whether `live` is somebody's whom the stack follows, and no other stack's.
pub fn is_handed_on(live: &Value) -> bool {
    let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let of_a_stack = live.pointer("/metadata/labels").is_some_and(|labels| labels.get(STACK).is_some());
    text("/kind") == "CustomResourceDefinition" && HANDED_ON.contains(&text("/metadata/name")) && !of_a_stack
}

/// What to do about fields that others have set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Leave these fields out, by their paths, and take the others back.
    Go {
        /// Fields that somebody else looks after.
        leave: BTreeSet<String>,
        /// Managers whose change is taken back.
        take_from: BTreeSet<String>,
    },
    /// Other managers want these fields to be otherwise.
    Refuse(Conflict),
}

/// What to do about the conflict that `status` tells of; nothing where it tells of none. `live` is the object as it
/// stands, with the record of who manages what.
pub fn verdict(status: &Status, live: &Value) -> Option<Verdict> {
    let all = conflict(status)?;
    let (mut leave, mut take_from) = (BTreeSet::new(), BTreeSet::new());
    let mut refused = Conflict { fields: Default::default() };
    for (manager, fields) in all.fields {
        for field in fields {
            if is_handed_on(live) || is_ours_to_take(&manager, live) {
                take_from.insert(manager.clone());
            } else if field == "spec.replicas" && scales(&manager, live) {
                leave.insert(field);
            } else {
                refused.fields.entry(manager.clone()).or_default().insert(field);
            }
        }
    }
    Some(if refused.fields.is_empty() { Verdict::Go { leave, take_from } } else { Verdict::Refuse(refused) })
}

fn is_ours_to_take(manager: &str, live: &Value) -> bool {
    let tool = manager.split(['-', '/', ' ']).next().unwrap_or_default();
    manager == BEFORE || tool == MANAGER || (BY_HAND.contains(&tool) && !applies(manager, live))
}

fn records<'a>(manager: &str, live: &'a Value) -> impl Iterator<Item = &'a Value> {
    let records = live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let manager = manager.to_owned();
    records.filter(move |record| record.get("manager").and_then(Value::as_str) == Some(&manager))
}

/// Whether `manager` says what it wants by applying it, as a stack does: then two disagree, and neither may give way.
fn applies(manager: &str, live: &Value) -> bool {
    records(manager, live).any(|record| record.get("operation").and_then(Value::as_str) == Some("Apply"))
}

fn scales(manager: &str, live: &Value) -> bool {
    records(manager, live).any(|record| record.get("subresource").and_then(Value::as_str) == Some("scale"))
}

/// `manifest` without the fields at `paths`, such as `spec.replicas`.
pub fn without(manifest: &Value, paths: &BTreeSet<String>) -> Value {
    let mut manifest = manifest.clone();
    for path in paths {
        let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
        let pointer = if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
        if let Some(Value::Object(fields)) = manifest.pointer_mut(&pointer) {
            fields.remove(field);
        }
    }
    manifest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conflict_with(manager: &str, field: &str) -> Status {
        serde_json::from_value(json!({ "code": 409, "reason": "Conflict", "details": { "causes": [
            { "reason": "FieldManagerConflict", "field": field, "message": format!("conflict with \"{manager}\"") } ] } }))
        .expect("a status of the test")
    }

    fn live(manager: &str, operation: &str, subresource: &str) -> Value {
        json!({ "metadata": { "managedFields": [
            { "manager": manager, "operation": operation, "subresource": subresource } ] } })
    }

    fn go(leave: &[&str], take_from: &[&str]) -> Option<Verdict> {
        let set = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Some(Verdict::Go { leave: set(leave), take_from: set(take_from) })
    }

    #[test]
    fn what_a_person_changed_in_passing_is_taken_back() {
        for manager in ["kubectl-edit", "kubectl-client-side-apply", "k9s", "before-first-apply", "eksup-0"] {
            let verdict = verdict(&conflict_with(manager, ".spec.paused"), &live(manager, "Update", ""));
            assert_eq!(verdict, go(&[], &[manager]), "{manager}");
        }
    }

    #[test]
    fn who_applies_too_is_not_overruled() {
        let found = verdict(&conflict_with("kubectl", ".spec.paused"), &live("kubectl", "Apply", ""));
        assert!(matches!(found, Some(Verdict::Refuse(conflict)) if conflict.fields.contains_key("kubectl")));
    }

    #[test]
    fn a_controller_is_not_overruled() {
        let found =
            verdict(&conflict_with("argocd-controller", ".spec.paused"), &live("argocd-controller", "Update", ""));
        assert!(matches!(found, Some(Verdict::Refuse(_))));
    }

    #[test]
    fn replicas_are_left_to_who_scales() {
        let manager = "kube-controller-manager";
        let verdict = verdict(&conflict_with(manager, ".spec.replicas"), &live(manager, "Update", "scale"));
        assert_eq!(verdict, go(&["spec.replicas"], &[]));
        let manifest = json!({ "spec": { "replicas": 2, "paused": true } });
        assert_eq!(
            without(&manifest, &BTreeSet::from(["spec.replicas".into()])),
            json!({ "spec": { "paused": true } })
        );
    }

    #[test]
    fn the_definitions_of_karpenter_are_taken_over_unless_another_stack_has_them() {
        let definition = |name: &str, labels: Value| {
            json!({ "kind": "CustomResourceDefinition", "metadata": {
            "name": name, "labels": labels,
            "managedFields": [{ "manager": "helm", "operation": "Update" }] } })
        };
        let helm = json!({ "app.kubernetes.io/managed-by": "Helm" });
        let conflict = conflict_with("helm", ".spec.versions");
        assert_eq!(verdict(&conflict, &definition("nodepools.karpenter.sh", helm.clone())), go(&[], &["helm"]));
        let theirs = definition("nodepools.karpenter.sh", json!({ (STACK): "other" }));
        assert!(matches!(verdict(&conflict, &theirs), Some(Verdict::Refuse(_))));
        assert!(!is_handed_on(&definition("ingresses.example.com", helm)));
    }

    #[test]
    fn what_is_no_conflict_has_no_verdict() {
        assert_eq!(verdict(&Status { code: 422, ..Status::default() }, &json!({})), None);
    }
}
