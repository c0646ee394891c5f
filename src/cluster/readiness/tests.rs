//! What each kind waits for, and what is said of it.

use serde_json::{Value, json};

use super::*;

fn alone(object: Value) -> Readiness {
    judge(&object, &Signs::default())
}

fn waits(object: Value) -> String {
    match alone(object) {
        Readiness::Waiting(what) => what,
        other => format!("{other:?}"),
    }
}

fn deployment(status: Value) -> Value {
    json!({ "kind": "Deployment", "metadata": { "generation": 2 }, "spec": { "replicas": 2 }, "status": status })
}

#[test]
fn a_deployment_is_ready_when_the_new_pods_are_there_and_the_old_ones_gone() {
    let status = |updated, available, all| json!({ "observedGeneration": 2, "updatedReplicas": updated, "availableReplicas": available, "replicas": all });
    assert_eq!(alone(deployment(status(2, 2, 2))), Readiness::Ready);
    assert_eq!(waits(deployment(json!({ "observedGeneration": 1 }))), "its controller has not seen it yet");
    assert_eq!(waits(deployment(status(1, 1, 2))), "1 of 2 pods updated");
    assert_eq!(waits(deployment(status(2, 1, 2))), "1 of 2 pods ready");
    assert_eq!(waits(deployment(status(2, 2, 3))), "1 pod of the old version still there");
}

#[test]
fn a_deployment_that_wants_no_pods_is_ready() {
    let object = json!({ "kind": "Deployment", "metadata": { "generation": 1 }, "spec": { "replicas": 0 },
        "status": { "observedGeneration": 1 } });
    assert_eq!(alone(object), Readiness::Ready);
}

#[test]
fn a_quota_that_keeps_pods_from_being_created_is_said() {
    let status = json!({ "observedGeneration": 2, "conditions": [
        { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small" } ] });
    assert_eq!(waits(deployment(status)), "its pods cannot be created: exceeded quota: small (FailedCreate)");
}

#[test]
fn daemons_and_stateful_sets_count_their_pods() {
    let daemon = |available| {
        json!({ "kind": "DaemonSet", "status": { "desiredNumberScheduled": 3, "updatedNumberScheduled": 3,
            "numberAvailable": available } })
    };
    assert_eq!(alone(daemon(3)), Readiness::Ready);
    assert_eq!(waits(daemon(1)), "1 of 3 pods ready");
    let set = |ready, updated| {
        json!({ "kind": "StatefulSet", "spec": { "replicas": 2 }, "status": { "readyReplicas": ready,
            "updatedReplicas": updated, "currentRevision": "a", "updateRevision": "b" } })
    };
    assert_eq!(alone(set(2, 2)), Readiness::Ready);
    assert_eq!(waits(set(2, 1)), "1 of 2 pods updated");
}

#[test]
fn a_job_that_failed_fails_for_good() {
    let job = json!({ "kind": "Job", "status": { "conditions": [
        { "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit" } ] } });
    assert_eq!(
        alone(job),
        Readiness::Failed(
            "the job has failed: Job has reached the specified backoff limit (BackoffLimitExceeded)".into()
        )
    );
    let done = json!({ "kind": "Job", "status": { "conditions": [{ "type": "Complete", "status": "True" }] } });
    assert_eq!(alone(done), Readiness::Ready);
}

#[test]
fn a_definition_is_ready_when_it_is_established_under_its_names() {
    let with = |established: &str, names: &str| {
        json!({ "kind": "CustomResourceDefinition", "status": { "conditions": [
            { "type": "Established", "status": established },
            { "type": "NamesAccepted", "status": names, "reason": "MultipleNamesConflict", "message": "`things` is taken" } ] } })
    };
    assert_eq!(alone(with("True", "True")), Readiness::Ready);
    assert!(matches!(alone(with("False", "False")), Readiness::Failed(why) if why.contains("`things` is taken")));
    assert_eq!(waits(json!({ "kind": "CustomResourceDefinition" })), "the definition is not established yet");
}

#[test]
fn an_api_that_is_down_says_why() {
    let service = json!({ "kind": "APIService", "spec": { "service": { "name": "metrics-server" } }, "status": {
        "conditions": [{ "type": "Available", "status": "False", "reason": "MissingEndpoints",
            "message": "endpoints for service/metrics-server in \"kube-system\" have no addresses" }] } });
    assert_eq!(
        waits(service),
        "the API does not answer: endpoints for service/metrics-server in \"kube-system\" have no addresses (MissingEndpoints)"
    );
    assert_eq!(alone(json!({ "kind": "APIService", "spec": {} })), Readiness::Ready, "served by the API server itself");
}

#[test]
fn a_webhook_is_ready_when_a_pod_is_ready_behind_its_service() {
    let hook = json!({ "kind": "ValidatingWebhookConfiguration", "webhooks": [
        { "name": "v.example.org", "clientConfig": { "service": { "namespace": "kube-system", "name": "hook" } } } ] });
    let slice = |ready: bool| {
        json!({ "metadata": { "namespace": "kube-system", "labels": { "kubernetes.io/service-name": "hook" } },
            "endpoints": [{ "conditions": { "ready": ready } }] })
    };
    let with = |endpoints| judge(&hook, &Signs { endpoints, ..Signs::default() });
    assert_eq!(with(vec![slice(true)]), Readiness::Ready);
    let silent = "webhook `v.example.org` asks Service kube-system/hook, and no pod behind it is ready";
    assert_eq!(with(vec![slice(false)]), Readiness::Waiting(silent.into()));
    assert_eq!(with(vec![]), Readiness::Waiting(silent.into()));
}

#[test]
fn what_wants_an_address_waits_for_it() {
    let ingress = |status| json!({ "kind": "Ingress", "status": status });
    assert_eq!(waits(ingress(json!({}))), "it has no address yet");
    assert_eq!(alone(ingress(json!({ "loadBalancer": { "ingress": [{ "hostname": "x" }] } }))), Readiness::Ready);
    assert_eq!(alone(json!({ "kind": "Service", "spec": { "type": "ClusterIP" } })), Readiness::Ready);
    assert!(waits(json!({ "kind": "Service", "spec": { "type": "LoadBalancer" } })).contains("no address"));
}

#[test]
fn an_autoscaler_is_ready_when_it_really_reads_its_metrics() {
    let autoscaler =
        |status| json!({ "kind": "HorizontalPodAutoscaler", "spec": { "metrics": [{}, {}] }, "status": status });
    let active = |active: &str| json!({ "type": "ScalingActive", "status": active, "reason": "FailedGetResourceMetric", "message": "no metrics returned" });
    assert_eq!(
        waits(autoscaler(json!({ "conditions": [active("False")] }))),
        "it reads no metrics: no metrics returned (FailedGetResourceMetric)"
    );
    assert_eq!(
        waits(autoscaler(json!({ "conditions": [active("True")], "currentMetrics": [{}] }))),
        "1 of 2 metrics read"
    );
    assert_eq!(
        alone(autoscaler(json!({ "conditions": [active("True")], "currentMetrics": [{}, {}] }))),
        Readiness::Ready
    );
}

fn because(pod: Value, events: Value) -> String {
    let signs = Signs { pods: vec![pod], events: serde_json::from_value(events).expect("events"), ..Signs::default() };
    signs.reason().unwrap_or_default()
}

#[test]
fn a_wait_that_drags_says_why() {
    let pod = |status: Value| json!({ "metadata": { "name": "backend-1" }, "status": status });
    let waiting = |reason: &str| {
        pod(
            json!({ "containerStatuses": [{ "name": "app", "image": "shop/backend:nope", "ready": false, "restartCount": 4,
            "state": { "waiting": { "reason": reason, "message": "Back-off" } },
            "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } } }] }),
        )
    };
    let event = |reason: &str, message: &str| {
        json!([{ "type": "Warning", "reason": reason, "message": message, "involvedObject": { "name": "backend-1" },
            "lastTimestamp": "2026-01-01T00:00:00Z" }])
    };
    let told = [
        because(waiting("ImagePullBackOff"), event("Failed", "Failed to pull image: not found")),
        because(waiting("CrashLoopBackOff"), json!([])),
        because(
            pod(json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/2 nodes are available: 2 Insufficient cpu." }] })),
            json!([]),
        ),
        because(
            pod(json!({ "containerStatuses": [{ "name": "app", "ready": false, "state": { "running": {} } }] })),
            event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
        ),
        because(pod(json!({})), event("FailedScheduling", "nothing fits")),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    pod backend-1: the image `shop/backend:nope` cannot be pulled: Failed to pull image: not found
    pod backend-1: container `app` keeps ending (4 restarts, last with exit code 137 (OOMKilled))
    pod backend-1: no node takes it: 0/2 nodes are available: 2 Insufficient cpu
    pod backend-1: container `app` is not ready: Readiness probe failed: HTTP probe failed with statuscode: 503
    nothing fits (FailedScheduling)
    ");
}

#[test]
fn the_reason_stands_behind_what_is_waited_for() {
    let object =
        deployment(json!({ "observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 0, "replicas": 2 }));
    let pod = json!({ "metadata": { "name": "p" }, "status": { "conditions": [
        { "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available" } ] } });
    let judged = judge(&object, &Signs { pods: vec![pod], ..Signs::default() });
    assert_eq!(
        judged,
        Readiness::Waiting("0 of 2 pods ready: pod p: no node takes it: 0/1 nodes are available".into())
    );
}

#[test]
fn a_deployment_that_is_stuck_for_a_known_reason_has_failed() {
    let status = json!({ "observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "conditions": [
        { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" } ] });
    let pod = json!({ "metadata": { "name": "p" }, "status": { "containerStatuses": [{ "name": "app", "image": "x",
        "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } }] } });
    let judged = judge(&deployment(status.clone()), &Signs { pods: vec![pod], ..Signs::default() });
    assert!(matches!(judged, Readiness::Failed(why) if why.contains("no such image")));
    assert!(matches!(alone(deployment(status)), Readiness::Waiting(_)), "without a reason it may still come");
}

#[test]
fn patience_is_as_long_as_an_object_asks_for_and_without_end_for_a_job() {
    let object =
        |kind: &str, asked: &str| json!({ "kind": kind, "metadata": { "annotations": { READY_WITHIN: asked } } });
    assert_eq!(patience(&object("APIService", "30m")), Some(Duration::from_secs(1800)));
    assert_eq!(patience(&object("Job", "90s")), Some(Duration::from_secs(90)));
    assert_eq!(patience(&object("Ingress", "for ever")), Some(USUAL_PATIENCE));
    assert_eq!(patience(&json!({ "kind": "Job" })), None);
    let slow = json!({ "kind": "Deployment", "spec": { "progressDeadlineSeconds": 3600 } });
    assert_eq!(patience(&slow), Some(Duration::from_secs(3600)), "Kubernetes itself gives it up only then");
}

fn pool(manager: &str, conditions: Value) -> Value {
    json!({ "kind": "NodePool", "metadata": { "generation": 2, "labels": { "app.kubernetes.io/managed-by": manager } },
            "status": { "conditions": conditions } })
}

#[test]
fn a_node_pool_is_ready_when_the_autoscaler_can_launch_with_it_and_says_why_it_cannot() {
    let condition = |name: &str, status: &str, message: &str, generation: u32| json!({ "type": name, "status": status, "reason": "Because", "message": message, "observedGeneration": generation });
    assert_eq!(alone(pool("eksup", json!([condition("Ready", "True", "", 2)]))), Readiness::Ready);
    assert_eq!(
        waits(pool("eksup", json!([condition("Ready", "True", "", 1)]))),
        "the autoscaler has not looked at the change yet"
    );
    assert_eq!(waits(pool("eksup", json!([]))), "the autoscaler has not looked at it yet");
    assert_eq!(alone(pool("me", json!([]))), Readiness::Ready, "nobody may look after it");
    let broken = json!([condition("Ready", "False", "", 2), condition("SubnetsReady", "False", "none found", 2)]);
    assert_eq!(waits(pool("eksup", broken)), "SubnetsReady: none found (Because)");
    let refused = json!([condition("Ready", "False", "", 2), condition("ValidationSucceeded", "False", "no role", 2)]);
    assert!(matches!(alone(pool("eksup", refused)), Readiness::Failed(_)));
}
