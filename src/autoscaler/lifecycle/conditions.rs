//! Conditions of claims: what each says, and how they are read. Pure.

use jiff::Timestamp;

use crate::autoscaler::api::NodeClaim;

/// There is an instance.
pub const LAUNCHED: &str = "Launched";
/// There is a node, and it is one of ours.
pub const REGISTERED: &str = "Registered";
/// The node has started.
pub const INITIALIZED: &str = "Initialized";
/// All three.
pub const READY: &str = "Ready";

fn condition<'a>(
    claim: &'a NodeClaim,
    kind: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    claim.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether a condition is true.
pub fn holds(claim: &NodeClaim, kind: &str) -> bool {
    condition(claim, kind).is_some_and(|condition| condition.status == "True")
}

/// Since when a condition is as it is.
pub fn since(claim: &NodeClaim, kind: &str) -> Option<Timestamp> {
    condition(claim, kind).map(|condition| condition.last_transition_time.0)
}

/// The reason and message of a condition that is not true.
pub fn unmet<'a>(claim: &'a NodeClaim, kind: &str) -> Option<(&'a str, &'a str)> {
    let condition = condition(claim, kind).filter(|condition| condition.status != "True")?;
    Some((&condition.reason, &condition.message))
}
