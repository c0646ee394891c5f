//! From a Deployment to pods that run.

use serde_json::json;

use super::yard::{CLAIMS, Yard, condition, nodes_of, on_demand};
use crate::stage::until;

#[test]
fn pods_get_nodes_that_are_as_their_pool_says() {
    let mut spec = on_demand();
    spec["limits"] = json!({ "cpu": "16" });
    let (yard, autoscaler) = Yard::with_pool(&spec);
    twelve_pods_run(&yard);
    let gauges = [
        ("karpenter_cloudprovider_instance_type_cpu_cores{instance_type=\"m5.large\"}", 2.0),
        (
            "karpenter_cloudprovider_instance_type_offering_available{instance_type=\"m5.large\",capacity_type=\"on-demand\"",
            1.0,
        ),
    ];
    for (gauge, value) in gauges {
        assert_eq!(autoscaler.metric(gauge), Some(value), "what can be bought is told while it acts: {gauge}");
    }
    a_pod_that_no_pool_suits_is_told_why(&yard);
    limits_of_the_pool_are_kept(&yard);
}

fn twelve_pods_run(yard: &Yard) {
    yard.stage.rig.cloud.clear_calls().expect("an empty log");
    yard.deployment("inflate", 12, &json!({ "cpu": "500m", "memory": "256Mi" }), &json!({}));
    let pods = yard.running(12);
    assert_eq!(yard.fleets(), 1, "one decision, one call");
    let claims = yard.claims();
    let claims = yard.ready_claims(claims.len());
    assert_eq!(claims.len(), yard.instances().len(), "an instance for each claim");
    for claim in &claims {
        for kind in ["Launched", "Registered", "Initialized", "Ready"] {
            assert_eq!(condition(claim, kind).map(|one| &one["status"]), Some(&json!("True")), "{kind}");
        }
        let labels = &claim["metadata"]["labels"];
        assert_eq!(labels["karpenter.sh/nodepool"], "default");
        assert_eq!(labels["karpenter.sh/capacity-type"], "on-demand");
        let node = yard.hands.gets(&format!("/api/v1/nodes/{}", claim["status"]["nodeName"].as_str().unwrap_or("?")));
        for key in ["karpenter.sh/nodepool", "karpenter.sh/capacity-type", "node.kubernetes.io/instance-type"] {
            assert_eq!(node["metadata"]["labels"][key], labels[key], "{key}");
        }
        assert_eq!(node["metadata"]["labels"]["karpenter.sh/initialized"], "true");
        assert_eq!(node["metadata"]["ownerReferences"][0]["name"], claim["metadata"]["name"]);
        assert_eq!(node["metadata"]["finalizers"], json!(["karpenter.sh/termination"]));
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        assert!(taints.iter().all(|taint| taint["key"] != "karpenter.sh/unregistered"), "{taints:?}");
    }
    assert_eq!(nodes_of(&pods).len(), claims.len());
}

fn a_pod_that_no_pool_suits_is_told_why(yard: &Yard) {
    let nowhere = json!({ "nodeSelector": { "kubernetes.io/arch": "s390x" } });
    yard.deployment("nowhere", 1, &json!({ "cpu": "1" }), &nowhere);
    let reason = until("the pod is told why", || yard.heard("FailedScheduling", "nowhere-"));
    assert!(reason.contains("`default`") && reason.contains("kubernetes.io/arch"), "{reason}");
}

fn limits_of_the_pool_are_kept(yard: &Yard) {
    yard.deployment("many", 20, &json!({ "cpu": "1" }), &json!({}));
    let reason = until("pods beyond the limit are told", || yard.heard("FailedScheduling", "many-"));
    assert!(reason.contains("limit"), "{reason}");
    let claims = yard.claims();
    let cpu =
        |claim: &serde_json::Value| claim["status"]["capacity"]["cpu"].as_str().and_then(|cpu| cpu.parse::<u64>().ok());
    until("every claim is launched", || yard.claims().iter().all(|claim| cpu(claim).is_some()).then_some(()));
    let claims = if claims.is_empty() { claims } else { yard.claims() };
    assert!(claims.iter().filter_map(cpu).sum::<u64>() <= 16, "{CLAIMS}: {claims:?}");
}
