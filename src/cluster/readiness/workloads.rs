//! What runs as pods, and what scales it.

use serde_json::Value;

use super::{Readiness, condition, is_observed, is_true, number, text, words};

const NOT_SEEN: &str = "its controller has not seen it yet";

fn wanted(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn pods(count: i64) -> String {
    if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") }
}

pub fn deployment(object: &Value) -> Readiness {
    if !is_observed(object) {
        return Readiness::Waiting(NOT_SEEN.to_owned());
    }
    let status = |key: &str| number(object, &format!("/status/{key}"));
    let wanted = wanted(object);
    if status("updatedReplicas") >= wanted
        && status("replicas") <= status("updatedReplicas")
        && status("availableReplicas") >= wanted
    {
        return Readiness::Ready;
    }
    if is_stuck(object) {
        return Readiness::Waiting(format!(
            "{} of {} ready, and nothing has moved for `progressDeadlineSeconds`",
            status("availableReplicas"),
            pods(wanted)
        ));
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|failure| text(failure, "/status") == "True") {
        return Readiness::Waiting(format!("its pods cannot be created: {}", words(failure)));
    }
    if status("updatedReplicas") < wanted {
        return Readiness::Waiting(format!("{} of {} updated", status("updatedReplicas"), pods(wanted)));
    }
    if status("availableReplicas") < wanted {
        return Readiness::Waiting(format!("{} of {} ready", status("availableReplicas"), pods(wanted)));
    }
    let old = status("replicas") - status("updatedReplicas");
    Readiness::Waiting(format!("{} of the old version still there", pods(old)))
}

/// Whether Kubernetes has given a Deployment up. It is no verdict alone: nodes that come late still help.
pub fn is_stuck(object: &Value) -> bool {
    is_observed(object)
        && condition(object, "Progressing")
            .is_some_and(|progressing| text(progressing, "/reason") == "ProgressDeadlineExceeded")
}

/// Whether the pods of the newest version were all there once.
pub fn has_rolled_out(object: &Value) -> bool {
    is_observed(object)
        && condition(object, "Progressing")
            .is_some_and(|progressing| text(progressing, "/reason") == "NewReplicaSetAvailable")
}

pub fn daemon_set(object: &Value) -> Readiness {
    if !is_observed(object) {
        return Readiness::Waiting(NOT_SEEN.to_owned());
    }
    let status = |key: &str| number(object, &format!("/status/{key}"));
    let wanted = status("desiredNumberScheduled");
    let by_hand = text(object, "/spec/updateStrategy/type") == "OnDelete";
    if !by_hand && status("updatedNumberScheduled") < wanted {
        return Readiness::Waiting(format!("{} of {} updated", status("updatedNumberScheduled"), pods(wanted)));
    }
    Readiness::when(status("numberAvailable") >= wanted, || {
        format!("{} of {} ready", status("numberAvailable"), pods(wanted))
    })
}

pub fn stateful_set(object: &Value) -> Readiness {
    if !is_observed(object) {
        return Readiness::Waiting(NOT_SEEN.to_owned());
    }
    let status = |key: &str| number(object, &format!("/status/{key}"));
    let wanted = wanted(object);
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    let by_hand = text(object, "/spec/updateStrategy/type") == "OnDelete";
    let to_update = if by_hand { 0 } else { (wanted - partition).max(0) };
    if status("readyReplicas") < wanted {
        return Readiness::Waiting(format!("{} of {} ready", status("readyReplicas"), pods(wanted)));
    }
    let is_current = text(object, "/status/currentRevision") == text(object, "/status/updateRevision");
    Readiness::when(is_current || status("updatedReplicas") >= to_update, || {
        format!("{} of {} updated", status("updatedReplicas"), pods(to_update))
    })
}

pub fn replica_set(object: &Value) -> Readiness {
    let (ready, wanted) = (number(object, "/status/readyReplicas"), wanted(object));
    Readiness::when(is_observed(object) && ready >= wanted, || format!("{ready} of {} ready", pods(wanted)))
}

pub fn job(object: &Value) -> Readiness {
    if let Some(failed) = condition(object, "Failed").filter(|failed| text(failed, "/status") == "True") {
        return Readiness::Failed(format!("the job has failed: {}", words(failed)));
    }
    let suspended = object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
    let wanted = object.pointer("/spec/completions").and_then(Value::as_i64).unwrap_or(1);
    Readiness::when(suspended || is_true(object, "Complete"), || {
        format!("{} of {wanted} completed", number(object, "/status/succeeded"))
    })
}

pub fn pod(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Succeeded" => Readiness::Ready,
        "Failed" => Readiness::Failed(format!("the pod has failed: {}", text(object, "/status/message"))),
        phase => Readiness::when(is_true(object, "Ready"), || match phase {
            "" => "it has no status yet".to_owned(),
            phase => format!("it is {phase} and not ready"),
        }),
    }
}

/// Ready once it has read its metrics and could scale.
pub fn autoscaler(object: &Value) -> Readiness {
    if let Some(able) = condition(object, "AbleToScale").filter(|able| text(able, "/status") == "False") {
        return Readiness::Waiting(format!("it cannot scale: {}", words(able)));
    }
    match condition(object, "ScalingActive") {
        Some(active) if text(active, "/status") == "True" => {
            let read = object.pointer("/status/currentMetrics").and_then(Value::as_array).map_or(0, Vec::len);
            let wanted = object.pointer("/spec/metrics").and_then(Value::as_array).map_or(1, Vec::len);
            Readiness::when(read >= wanted, || format!("{read} of {wanted} metrics read"))
        }
        // With no pods to scale there is nothing to read.
        Some(active) if text(active, "/reason") == "ScalingDisabled" => Readiness::Ready,
        Some(active) => Readiness::Waiting(format!("it reads no metrics: {}", words(active))),
        None => Readiness::Waiting("it has not read its metrics yet".to_owned()),
    }
}
