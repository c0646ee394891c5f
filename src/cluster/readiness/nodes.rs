//! NodePools and EC2NodeClasses: whether the autoscaler can launch nodes with them.

use serde_json::Value;

use super::{Readiness, condition, number, text, words};

/// Whether eksup's autoscaler says how the object stands. Of others nobody may.
pub(super) fn is_looked_after(object: &Value) -> bool {
    let label = object.pointer("/metadata/labels").and_then(|labels| labels.get("app.kubernetes.io/managed-by"));
    ["NodePool", "EC2NodeClass"].contains(&text(object, "/kind")) && label.and_then(Value::as_str) == Some("eksup")
}

/// Whether nodes can be launched with a pool or class.
pub(super) fn supply(object: &Value) -> Readiness {
    let Some(ready) = condition(object, "Ready") else {
        return Readiness::when(!is_looked_after(object), || "the autoscaler has not looked at it yet".to_owned());
    };
    if number(ready, "/observedGeneration") != 0
        && number(ready, "/observedGeneration") < number(object, "/metadata/generation")
    {
        return Readiness::Waiting("the autoscaler has not looked at the change yet".to_owned());
    }
    if text(ready, "/status") == "True" {
        return Readiness::Ready;
    }
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let cause = conditions
        .filter(|condition| text(condition, "/type") != "Ready" && text(condition, "/status") == "False")
        .find(|condition| !text(condition, "/message").is_empty() || !text(condition, "/reason").is_empty());
    let why = |condition: &Value| format!("{}: {}", text(condition, "/type"), words(condition));
    match cause {
        Some(cause) if text(cause, "/type") == "ValidationSucceeded" => Readiness::Failed(why(cause)),
        Some(cause) => Readiness::Waiting(why(cause)),
        None => Readiness::Waiting(why(ready)),
    }
}
