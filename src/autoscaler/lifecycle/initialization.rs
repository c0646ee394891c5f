//! Whether a node has started: it is ready, nothing that goes with the start is left on it, and it has what its
//! claim asked for. Pure.

use crate::autoscaler::state::live::{Live, LiveClaim, LiveNode};

/// Taints that Kubernetes puts on nodes that are starting, or that cannot be reached.
const EPHEMERAL: [&str; 3] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.cloudprovider.kubernetes.io/uninitialized",
];

/// What a node that has not started waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The condition's reason.
    pub reason: &'static str,
    /// The condition's message.
    pub message: String,
}

/// What a node of a claim still waits for; `None` when it has started.
pub fn waiting(live: &Live, claim: &LiveClaim, node: &LiveNode) -> Option<Waiting> {
    not_ready(node).or_else(|| tainted(claim, node)).or_else(|| without_resource(live, claim, node))
}

fn not_ready(node: &LiveNode) -> Option<Waiting> {
    let message = match node.condition("Ready") {
        Some(ready) if &*ready.status == "True" => return None,
        Some(_) => "the node is not ready",
        None => "the node has not said yet that it is ready",
    };
    Some(Waiting { reason: "NodeNotReady", message: message.to_owned() })
}

fn tainted(claim: &LiveClaim, node: &LiveNode) -> Option<Waiting> {
    let startup = node.taints.iter().find(|taint| {
        let own = &claim.object.spec.startup_taints;
        own.iter().any(|own| own.key == taint.key && own.effect == taint.effect)
    });
    if let Some(taint) = startup {
        let message = format!("the start-up taint `{}:{}` is still there", taint.key, taint.effect);
        return Some(Waiting { reason: "StartupTaintsExist", message });
    }
    let ephemeral = |key: &str| EPHEMERAL.contains(&key) || key.starts_with("readiness.k8s.io/");
    let taint = node.taints.iter().find(|taint| ephemeral(&taint.key))?;
    let message = format!("the taint `{}:{}` is still there", taint.key, taint.effect);
    Some(Waiting { reason: "KnownEphemeralTaintsExist", message })
}

/// Devices appear when their plugin has started: what was asked for has to be there.
fn without_resource(live: &Live, claim: &LiveClaim, node: &LiveNode) -> Option<Waiting> {
    let missing = claim.requests.iter().find(|(id, asked)| *asked > 0 && node.allocatable.get(*id) <= 0);
    let (id, _) = missing?;
    let name = live.names().resources.name(id);
    Some(Waiting { reason: "ResourceNotRegistered", message: format!("the node has no `{name}` yet") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::state::live::Observed;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn reason(ready: &str, taint: Option<&str>, gpu: &str) -> Option<&'static str> {
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "c", "uid": "1" },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" },
                "startupTaints": [{ "key": "starting", "effect": "NoSchedule" }],
                "resources": { "requests": { "cpu": "1", "nvidia.com/gpu": "1" } } }
        });
        let taints: Vec<Value> = taint.map(|key| json!({ "key": key, "effect": "NoSchedule" })).into_iter().collect();
        let node = json!({
            "metadata": { "name": "n", "uid": "2" }, "spec": { "taints": taints },
            "status": { "conditions": [{ "type": "Ready", "status": ready }], "allocatable": { "cpu": "2", "nvidia.com/gpu": gpu } }
        });
        let mut live = Live::default();
        live.apply(Observed::Claim(serde_json::from_value(claim).expect("a claim")), Timestamp::UNIX_EPOCH);
        live.apply(Observed::Node(serde_json::from_value(node).expect("a node")), Timestamp::UNIX_EPOCH);
        let (claim, node) = (live.claim("c").expect("the claim"), live.node("n").expect("the node"));
        waiting(&live, claim, node).map(|waiting| waiting.reason)
    }

    #[test]
    fn a_node_has_started_when_nothing_is_left_to_wait_for() {
        assert_eq!(reason("True", None, "1"), None);
        assert_eq!(reason("True", Some("somebody/else"), "1"), None);
    }

    #[test]
    fn what_it_waits_for_is_named() {
        assert_eq!(reason("False", None, "1"), Some("NodeNotReady"));
        assert_eq!(reason("True", Some("starting"), "1"), Some("StartupTaintsExist"));
        assert_eq!(reason("True", Some("node.kubernetes.io/not-ready"), "1"), Some("KnownEphemeralTaintsExist"));
        assert_eq!(reason("True", Some("readiness.k8s.io/network"), "1"), Some("KnownEphemeralTaintsExist"));
        assert_eq!(reason("True", None, "0"), Some("ResourceNotRegistered"));
    }
}
