//! Whether an object does what it is for, and if not, what it waits for and why that drags. Pure: it reads objects as
//! the API server shows them.

mod apis;
mod network;
mod nodes;
mod pods;
mod workloads;

use std::time::Duration;

use serde_json::Value;

use crate::spec::objects::patience::{READY_WITHIN, patience_in};

pub use apis::asked_services;
pub use pods::Signs;

/// How far an object has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It does what it is for.
    Ready,
    /// Not yet; the text says what is waited for.
    Waiting(String),
    /// It never will by itself; the text says why.
    Failed(String),
}

impl Readiness {
    fn when(ready: bool, waiting: impl FnOnce() -> String) -> Self {
        if ready { Self::Ready } else { Self::Waiting(waiting()) }
    }
}

/// What has to be read beside an object to say how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// Its pods and their events, once it drags.
    Pods,
    /// The events of the object itself.
    Events,
    /// The endpoints of the Services that it sends requests to.
    Endpoints,
}

/// What to read beside `object`.
pub fn beside(object: &Value) -> Beside {
    match kind(object) {
        "Deployment" | "DaemonSet" | "StatefulSet" | "Job" | "ReplicaSet" => Beside::Pods,
        "Ingress" | "Service" | "PersistentVolumeClaim" | "HorizontalPodAutoscaler" | "TargetGroupBinding" => {
            Beside::Events
        }
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => Beside::Endpoints,
        _ => Beside::Nothing,
    }
}

/// Whether anything has to be waited for once an object of this kind has been applied.
pub fn takes_time(object: &Value) -> bool {
    const SLOW: &[&str] = &[
        "APIService",
        "CustomResourceDefinition",
        "DaemonSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Pod",
        "ReplicaSet",
        "StatefulSet",
        "ValidatingWebhookConfiguration",
    ];
    SLOW.contains(&kind(object))
        || (kind(object) == "Service" && text(object, "/spec/type") == "LoadBalancer")
        || nodes::is_looked_after(object)
}

/// How long an object may stand still on its way.
const USUAL_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How long nothing may change while `object` is waited for; of a Job nobody knows how long it works.
pub fn patience(object: &Value) -> Option<Duration> {
    let notes = object.pointer("/metadata/annotations");
    let asked = notes.and_then(|notes| patience_in(notes.get(READY_WITHIN)?.as_str()?));
    let of_pods = number(object, "/spec/progressDeadlineSeconds").unsigned_abs();
    let usual = USUAL_PATIENCE.max(Duration::from_secs(of_pods));
    asked.or_else(|| (kind(object) != "Job").then_some(usual))
}

/// How far `object` has come; `signs` are what [`beside`] asked for.
pub fn judge(object: &Value, signs: &Signs) -> Readiness {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return Readiness::Waiting("it is being deleted".to_owned());
    }
    let judged = match kind(object) {
        "Deployment" => workloads::deployment(object),
        "DaemonSet" => workloads::daemon_set(object),
        "StatefulSet" => workloads::stateful_set(object),
        "ReplicaSet" => workloads::replica_set(object),
        "Job" => workloads::job(object),
        "Pod" => workloads::pod(object),
        "CustomResourceDefinition" => apis::definition(object),
        "APIService" => apis::service(object),
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => apis::webhooks(object, signs),
        "Ingress" => network::ingress(object),
        "Service" => network::service(object),
        "HorizontalPodAutoscaler" => workloads::autoscaler(object),
        "Namespace" => network::namespace(object),
        "NodePool" | "EC2NodeClass" => nodes::supply(object),
        _ => Readiness::Ready,
    };
    match (judged, signs.reason()) {
        (Readiness::Waiting(what), Some(why)) if workloads::is_stuck(object) => {
            Readiness::Failed(format!("{what}: {why}"))
        }
        (Readiness::Waiting(what), Some(why)) => Readiness::Waiting(format!("{what}: {why}")),
        (other, _) => other,
    }
}

/// Whether what was last applied has been carried through, from the object alone. Pods that come and go afterwards,
/// with nodes and with load, are no unfinished business of a stack.
pub fn standing(object: &Value) -> Readiness {
    let settled = match kind(object) {
        "Deployment" => workloads::has_rolled_out(object),
        "StatefulSet" => text(object, "/status/currentRevision") == text(object, "/status/updateRevision"),
        "APIService" => condition(object, "Available").is_some(),
        "HorizontalPodAutoscaler" => condition(object, "ScalingActive").is_some(),
        "CustomResourceDefinition" | "Job" | "Ingress" | "Service" | "Namespace" | "Pod" => {
            return judge(object, &Signs::default());
        }
        _ => true,
    };
    if settled { Readiness::Ready } else { judge(object, &Signs::default()) }
}

fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The condition of this type.
fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    items(object, "/status/conditions").find(|condition| text(condition, "/type") == name)
}

/// Whether the condition of this type is true.
fn is_true(object: &Value, name: &str) -> bool {
    condition(object, name).is_some_and(|condition| text(condition, "/status") == "True")
}

/// A condition's reason and words: `MinimumReplicasUnavailable: …`.
fn words(condition: &Value) -> String {
    let (reason, message) = (text(condition, "/reason"), text(condition, "/message").trim_end_matches('.'));
    match (reason.is_empty(), message.is_empty()) {
        (_, true) => reason.to_owned(),
        (true, false) => message.to_owned(),
        (false, false) => format!("{message} ({reason})"),
    }
}

/// Whether the controller has seen the object as it is now.
fn is_observed(object: &Value) -> bool {
    number(object, "/status/observedGeneration") >= number(object, "/metadata/generation")
}

#[cfg(test)]
mod tests;
