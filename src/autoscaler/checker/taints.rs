//! Taints and tolerations, and the cordon.
//!
//! A pod may go to a node whose every `NoSchedule` and `NoExecute` taint it tolerates. A toleration matches
//! a taint when key (empty: any, with `Exists`) and effect (empty: any) agree and the operator holds:
//! `Exists`; `Equal` (the default) on the same value; `Gt` and `Lt` when the taint's value is an integer
//! greater or less than the toleration's. A cordoned node takes pods that tolerate
//! `node.kubernetes.io/unschedulable:NoSchedule`.

use k8s_openapi::api::core::v1::{Node, Taint, Toleration};

/// The taint that a cordon stands for.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The first taint with a hard effect that is not tolerated.
pub fn repelling<'a>(node: &'a Node, tolerations: &[Toleration]) -> Option<&'a Taint> {
    untolerated(node, tolerations).find(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
}

/// Whether a `PreferNoSchedule` taint of the node is not tolerated.
pub fn discouraging(node: &Node, tolerations: &[Toleration]) -> bool {
    untolerated(node, tolerations).any(|taint| taint.effect == "PreferNoSchedule")
}

/// Whether the node is cordoned and the pod does not tolerate that.
pub fn cordoned(node: &Node, tolerations: &[Toleration]) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let taint = Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    cordoned && !tolerations.iter().any(|toleration| tolerates(toleration, &taint))
}

/// A taint as people write it.
pub fn written(taint: &Taint) -> String {
    match taint.value.as_deref() {
        None | Some("") => format!("{}:{}", taint.key, taint.effect),
        Some(value) => format!("{}={value}:{}", taint.key, taint.effect),
    }
}

fn untolerated<'a>(node: &'a Node, tolerations: &[Toleration]) -> impl Iterator<Item = &'a Taint> {
    node.spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .filter(move |taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or("");
    let effect = toleration.effect.as_deref().unwrap_or("");
    let operator = toleration.operator.as_deref().unwrap_or("");
    let wanted = toleration.value.as_deref().unwrap_or("");
    let value = taint.value.as_deref().unwrap_or("");
    // An empty key stands for every key, and is legal only with `Exists`.
    let key_agrees = if key.is_empty() { operator == "Exists" } else { key == taint.key };
    key_agrees
        && (effect.is_empty() || effect == taint.effect)
        && match operator {
            "Exists" => true,
            "" | "Equal" => wanted == value,
            "Gt" => compare(value, wanted).is_some_and(|(value, wanted)| value > wanted),
            "Lt" => compare(value, wanted).is_some_and(|(value, wanted)| value < wanted),
            _ => false,
        }
}

fn compare(value: &str, wanted: &str) -> Option<(i64, i64)> {
    Some((value.parse().ok()?, wanted.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn repels(taint: Value, tolerations: Value) -> bool {
        let node: Node = serde_json::from_value(json!({"spec": {"taints": [taint]}})).expect("a node");
        let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).expect("tolerations");
        repelling(&node, &tolerations).is_some()
    }

    #[test]
    fn a_taint_repels_unless_key_value_and_effect_are_tolerated() {
        let taint = || json!({"key": "team", "value": "a", "effect": "NoSchedule"});
        for (toleration, repelled) in [
            (json!([]), true),
            (json!([{"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"}]), false),
            (json!([{"key": "team", "value": "a"}]), false),
            (json!([{"key": "team", "value": "b"}]), true),
            (json!([{"key": "team", "operator": "Exists"}]), false),
            (json!([{"key": "team", "operator": "Exists", "effect": "NoExecute"}]), true),
            (json!([{"operator": "Exists"}]), false),
            (json!([{"value": "a"}]), true),
            (json!([{"key": "team", "operator": "Like", "value": "a"}]), true),
            (json!([{"key": "other", "operator": "Exists"}, {"key": "team", "operator": "Exists"}]), false),
        ] {
            assert_eq!(repels(taint(), toleration.clone()), repelled, "{toleration}");
        }
    }

    #[test]
    fn no_execute_repels_and_prefer_no_schedule_only_discourages() {
        assert!(repels(json!({"key": "a", "effect": "NoExecute"}), json!([])));
        assert!(!repels(json!({"key": "a", "effect": "PreferNoSchedule"}), json!([])));
        let node: Node =
            serde_json::from_value(json!({"spec": {"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}}))
                .expect("a node");
        assert!(discouraging(&node, &[]));
    }

    #[test]
    fn numeric_tolerations_compare_the_taints_value_with_their_own() {
        let taint = |value: &str| json!({"key": "risk", "value": value, "effect": "NoSchedule"});
        let less = json!([{"key": "risk", "operator": "Lt", "value": "5"}]);
        let greater = json!([{"key": "risk", "operator": "Gt", "value": "5"}]);
        assert!(!repels(taint("4"), less.clone()));
        assert!(repels(taint("5"), less.clone()));
        assert!(repels(taint("low"), less));
        assert!(!repels(taint("6"), greater.clone()));
        assert!(repels(taint("5"), greater));
    }

    #[test]
    fn a_cordon_holds_back_pods_that_do_not_tolerate_it() {
        let node: Node = serde_json::from_value(json!({"spec": {"unschedulable": true}})).expect("a node");
        let toleration: Vec<Toleration> =
            serde_json::from_value(json!([{"key": UNSCHEDULABLE, "operator": "Exists"}])).expect("tolerations");
        assert!(cordoned(&node, &[]));
        assert!(!cordoned(&node, &toleration));
        assert!(!cordoned(&Node::default(), &[]));
    }
}
