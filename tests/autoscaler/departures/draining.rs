//! Claims and nodes that are deleted: what becomes of their pods, volumes and instances.

use std::time::Instant;

use serde_json::{Value, json};

use super::ground::{CLUSTER, Controllers, Ground, claim_path, node_path, pod_path};
use crate::stage::until;

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";

#[test]
fn nodes_are_drained_before_they_go_and_what_is_stuck_says_why() {
    let ground = Ground::with_nodes(10);
    let controllers = ground.controllers(None);
    an_empty_node_goes_at_once(&ground);
    a_node_that_is_deleted_takes_its_claim_with_it(&ground);
    // These two are stuck from here on, and hold up nothing that follows.
    let budgeted = a_budget_that_allows_nothing_is_waited_for(&ground);
    let endless = a_pod_that_never_ends_is_waited_for(&ground);
    protected_pods_go_when_the_time_of_the_node_is_up(&ground, &controllers);
    pods_go_in_tiers(&ground);
    volumes_are_detached_first(&ground);
    what_was_left_alone_goes_when_pools_do(&ground);
    budgeted_goes_when_its_budget_allows(&ground, &budgeted);
    endless_goes_when_somebody_helps(&ground, &endless);
    ends_where_it_was_killed(&ground, controllers);
}

fn an_empty_node_goes_at_once(ground: &Ground) {
    let standing = ground.claimed("empty", &json!({}));
    ground.hands.deletes(&claim_path("empty"));
    ground.expect_gone("empty", &standing);
}

fn a_node_that_is_deleted_takes_its_claim_with_it(ground: &Ground) {
    let standing = ground.claimed("by-node", &json!({}));
    ground.pod("on-deleted-node", &standing, &json!({}), &json!({}));
    ground.hands.deletes(&node_path(&standing.node));
    ground.expect_gone("by-node", &standing);
    ground.hears("Evicted", "on-deleted-node");
}

fn a_budget_that_allows_nothing_is_waited_for(ground: &Ground) -> super::ground::Standing {
    let standing = ground.claimed("budgeted", &json!({}));
    ground.pod("kept", &standing, &json!({}), &json!({}));
    let budget = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": { "name": "keep" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "kept" } } },
    });
    ground.hands.makes(BUDGETS, &budget);
    until("the budget is observed", || {
        (ground.hands.gets(&format!("{BUDGETS}/keep"))["status"]["expectedPods"] == 1).then_some(())
    });
    ground.hands.deletes(&claim_path("budgeted"));
    let condition = ground.condition("budgeted", "Drained", |one| text(one).contains("`default/keep`"));
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("Unknown"), &json!("Draining")));
    ground.hears("FailedDraining", "budgeted");
    let node = ground.hands.gets(&node_path(&standing.node));
    assert_eq!(node["metadata"]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"], "karpenter");
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    assert!(taints.iter().any(|taint| taint["key"] == "karpenter.sh/disrupted" && taint["effect"] == "NoSchedule"));
    standing
}

fn a_pod_that_never_ends_is_waited_for(ground: &Ground) -> super::ground::Standing {
    let standing = ground.claimed("endless", &json!({}));
    ground.pod("endless", &standing, &holds_out(), &json!({ "terminationGracePeriodSeconds": 900 }));
    ground.hands.deletes(&claim_path("endless"));
    let condition = ground.condition("endless", "Drained", |one| text(one).contains("`default/endless`"));
    assert!(text(&condition).contains("waiting for 1 pod"), "{condition}");
    standing
}

fn protected_pods_go_when_the_time_of_the_node_is_up(ground: &Ground, controllers: &Controllers) {
    let standing = ground.claimed("timed", &json!({ "terminationGracePeriod": "25s" }));
    let protected = json!({ "annotations": { "karpenter.sh/do-not-disrupt": "true" } });
    ground.pod("protected", &standing, &protected, &json!({}));
    ground.hands.deletes(&claim_path("timed"));
    ground.condition("timed", "Drained", |one| text(one).contains("karpenter.sh/do-not-disrupt"));
    assert!(
        ground.hands.gets(&pod_path("protected"))["metadata"]["deletionTimestamp"].is_null(),
        "it is left in peace"
    );
    let claim = ground.hands.gets(&claim_path("timed"));
    assert!(claim["metadata"]["annotations"]["karpenter.sh/nodeclaim-termination-timestamp"].is_string());
    ground.expect_gone("timed", &standing);
    ground.hears("TerminationGracePeriodExpiring", "timed");
    assert!(controllers.figure("karpenter_pods_drained_total{reason=\"deleted\"}") >= 1.0);
}

fn pods_go_in_tiers(ground: &Ground) {
    let standing = ground.claimed("tiers", &json!({}));
    let critical = json!({ "priorityClassName": "system-cluster-critical" });
    let system = json!({ "namespace": "default" });
    ground.pod("critical", &standing, &system, &critical);
    let slow = json!({ "annotations": { "sandbox.eksup.dev/hold-seconds": "4" } });
    ground.pod("ordinary", &standing, &slow, &json!({}));
    ground.stage.rig.cloud.clear_kubernetes_requests().expect("a log");
    ground.hands.deletes(&claim_path("tiers"));
    until("the ordinary pod is sent away", || gone_or_going(ground, "ordinary"));
    if ground.hands.sees(&pod_path("ordinary")).is_some() {
        assert!(gone_or_going(ground, "critical").is_none(), "the critical pod waits for the ordinary one");
    }
    ground.expect_gone("tiers", &standing);
}

fn volumes_are_detached_first(ground: &Ground) {
    let standing = ground.claimed("attached", &json!({}));
    let attachment = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": { "name": "attachment-1", "finalizers": ["example.org/attacher"] },
        "spec": { "attacher": "ebs.csi.aws.com", "nodeName": standing.node, "source": { "persistentVolumeName": "pv-1" } },
    });
    ground.hands.makes(ATTACHMENTS, &attachment);
    ground.hands.deletes(&claim_path("attached"));
    let condition = ground.condition("attached", "VolumesDetached", |one| text(one).contains("`pv-1`"));
    assert_eq!(condition["reason"], "AwaitingVolumeDetachment");
    assert_eq!(ground.state_of(&standing.instance), "running");
    ground.hands.changes(
        &format!("{ATTACHMENTS}/attachment-1"),
        "test",
        &json!({ "metadata": { "finalizers": null } }),
    );
    ground.hands.deletes(&format!("{ATTACHMENTS}/attachment-1"));
    ground.expect_gone("attached", &standing);
}

/// A pool and a class that are deleted while nodes live hold up nothing: the claims go by the pool's owner reference.
fn what_was_left_alone_goes_when_pools_do(ground: &Ground) {
    let standing = ground.claimed("of-pool", &json!({}));
    let pool = json!({
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": { "name": "short-lived" },
        "spec": { "template": { "spec": {
            "requirements": [],
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "short-lived" },
        } }, "disruption": { "budgets": [{ "nodes": "0" }] } },
    });
    ground.hands.makes("/apis/karpenter.sh/v1/nodepools", &pool);
    let uid = ground.hands.gets("/apis/karpenter.sh/v1/nodepools/short-lived")["metadata"]["uid"].clone();
    let owner = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "name": "short-lived", "uid": uid, "blockOwnerDeletion": true,
    }] } });
    ground.hands.changes(&claim_path("of-pool"), "test", &owner);
    ground.hands.deletes("/apis/karpenter.sh/v1/nodepools/short-lived");
    ground.expect_gone("of-pool", &standing);
}

fn budgeted_goes_when_its_budget_allows(ground: &Ground, standing: &super::ground::Standing) {
    assert!(gone_or_going(ground, "kept").is_none(), "its budget has kept it");
    ground.hands.changes(&format!("{BUDGETS}/keep"), "test", &json!({ "spec": { "minAvailable": 0 } }));
    let allowed = Instant::now();
    until("the pod is sent away", || gone_or_going(ground, "kept"));
    eprintln!("evicted {:?} after its budget was changed", allowed.elapsed());
    ground.expect_gone("budgeted", standing);
}

fn endless_goes_when_somebody_helps(ground: &Ground, standing: &super::ground::Standing) {
    assert_eq!(ground.state_of(&standing.instance), "running");
    ground.hands.deletes(&by_force("endless"));
    ground.expect_gone("endless", standing);
}

/// Killed in the middle of a drain and started again, the controllers go on where they were.
fn ends_where_it_was_killed(ground: &Ground, controllers: Controllers) {
    let standing = ground.claimed("killed", &json!({}));
    ground.pod("slow", &standing, &holds_out(), &json!({ "terminationGracePeriodSeconds": 900 }));
    ground.hands.deletes(&claim_path("killed"));
    until("the pod is sent away", || gone_or_going(ground, "slow"));
    drop(controllers);
    ground.hands.deletes(&by_force("slow"));
    until("the pod is gone", || ground.hands.sees(&pod_path("slow")).is_none().then_some(()));
    assert!(ground.hands.sees(&claim_path("killed")).is_some(), "nobody takes it away");
    let again = ground.controllers(None);
    ground.expect_gone("killed", &standing);
    drop(again);
    assert!(ground.stage.rig.cloud.kubernetes_logs(CLUSTER).is_ok());
}

/// A pod that takes all of its grace period.
fn holds_out() -> Value {
    json!({ "annotations": { "sandbox.eksup.dev/hold-seconds": "900" } })
}

/// The path at which a pod is deleted without grace.
fn by_force(pod: &str) -> String {
    format!("{}?gracePeriodSeconds=0", pod_path(pod))
}

fn gone_or_going(ground: &Ground, pod: &str) -> Option<()> {
    let pod = ground.hands.sees(&pod_path(pod));
    pod.is_none_or(|pod| pod["metadata"]["deletionTimestamp"].is_string()).then_some(())
}

fn text(condition: &Value) -> &str {
    condition["message"].as_str().unwrap_or_default()
}
