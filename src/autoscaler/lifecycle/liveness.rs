//! Claims that have waited for too long: no instance after five minutes, no node after fifteen. Pure.

use jiff::{SignedDuration, Timestamp};

use super::conditions::{LAUNCHED, REGISTERED, holds, since};
use crate::autoscaler::api::NodeClaim;

/// How long a launch may take.
pub const LAUNCH: SignedDuration = SignedDuration::from_mins(5);
/// How long it may take from the launch until the node registers.
pub const REGISTRATION: SignedDuration = SignedDuration::from_mins(15);

/// How a claim stands against the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has come far enough.
    Alive,
    /// It is given up at this time unless something comes.
    Until(Timestamp),
    /// It is given up, for this reason.
    Overdue {
        /// The reason as metrics have it.
        reason: &'static str,
        /// What is said about it.
        message: String,
    },
}

/// Whether a claim is given up at `now`.
pub fn verdict(claim: &NodeClaim, now: Timestamp) -> Verdict {
    if claim.metadata.deletion_timestamp.is_some() || holds(claim, REGISTERED) {
        return Verdict::Alive;
    }
    let created = claim.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let (from, patience, reason, missing) = if holds(claim, LAUNCHED) {
        (since(claim, LAUNCHED).or(created), REGISTRATION, "registration_timeout", "its node has not registered")
    } else {
        (created, LAUNCH, "launch_timeout", "no instance was launched for it")
    };
    let Some(from) = from else { return Verdict::Alive };
    let until = from.saturating_add(patience).unwrap_or(Timestamp::MAX);
    if now < until {
        return Verdict::Until(until);
    }
    let minutes = patience.as_mins();
    Verdict::Overdue { reason, message: format!("{missing} within {minutes} minutes; its pods are planned anew") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_mins(minutes)).unwrap_or(Timestamp::MAX)
    }

    fn claim(launched: Option<i64>, registered: bool) -> NodeClaim {
        let condition = |kind: &str, status: &str, minutes: i64| json!({ "type": kind, "status": status, "reason": kind, "message": "", "lastTransitionTime": at(minutes).to_string() });
        let mut conditions = vec![];
        conditions.extend(launched.map(|minutes| condition("Launched", "True", minutes)));
        conditions.push(condition("Registered", if registered { "True" } else { "Unknown" }, 1));
        serde_json::from_value(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": "c", "creationTimestamp": at(0).to_string() },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            "status": { "conditions": conditions }
        }))
        .expect("a claim")
    }

    #[test]
    fn a_launch_has_five_minutes_and_a_registration_fifteen() {
        assert_eq!(verdict(&claim(None, false), at(4)), Verdict::Until(at(5)));
        assert!(matches!(verdict(&claim(None, false), at(5)), Verdict::Overdue { reason: "launch_timeout", .. }));
        assert_eq!(verdict(&claim(Some(3), false), at(17)), Verdict::Until(at(18)));
        assert!(matches!(
            verdict(&claim(Some(3), false), at(18)),
            Verdict::Overdue { reason: "registration_timeout", .. }
        ));
    }

    #[test]
    fn a_node_that_has_registered_is_waited_for_without_end() {
        assert_eq!(verdict(&claim(Some(3), true), at(10_000)), Verdict::Alive);
    }
}
