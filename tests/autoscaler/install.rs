//! The autoscaler as `apply` installs it and `destroy` takes it out, with real nodes of the local cloud behind its
//! NodePools: what a plan sees, what pruning waits for, and what happens where no autoscaler is left to do its part.

use crate::stage::{Somebody, Stage, until};
use crate::support::whole_example;
use sandbox::{KubernetesWeather, Weather};
use serde_json::{Value, json};

const POOLS: &str = "/apis/karpenter.sh/v1/nodepools";
const CLAIMS: &str = "/apis/karpenter.sh/v1/nodeclaims";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// Makes pods of one CPU each that only nodes of `pool` may have.
fn inflate(somebody: &Somebody, pool: &str, replicas: u32) {
    let labels = json!({ "app": pool });
    let container = json!({ "name": "pause", "image": "registry.example.com/pause:1",
                            "resources": { "requests": { "cpu": "1" } } });
    let pod = json!({
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": { "karpenter.sh/nodepool": pool },
        "tolerations": [{ "key": "workload-type", "operator": "Exists" }],
        "containers": [container],
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": pool, "namespace": "default" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": labels },
                  "template": { "metadata": { "labels": labels }, "spec": pod } },
    });
    somebody.makes(DEPLOYMENTS, &deployment);
    until(&format!("{replicas} pods in pool {pool}"), || {
        let ready = somebody.gets(&format!("{DEPLOYMENTS}/{pool}"))["status"]["readyReplicas"].as_u64();
        (ready == Some(replicas.into())).then_some(())
    });
}

/// The claims of a pool.
fn claims_of(somebody: &Somebody, pool: &str) -> usize {
    let list = somebody.gets(&format!("{CLAIMS}?labelSelector=karpenter.sh%2Fnodepool%3D{pool}"));
    list["items"].as_array().map_or(0, Vec::len)
}

/// The instances that carry the marks of an autoscaler.
fn instances(stage: &Stage) -> usize {
    let nodes = stage.rig.cloud.inventory().expect("an inventory");
    nodes.iter().filter(|(kind, _)| kind.ends_with("/ec2/instances")).map(|(_, ids)| ids.len()).sum()
}

#[test]
fn pools_are_planned_changed_and_pruned_and_their_nodes_go_with_them() {
    let stage = Stage::set(&whole_example("pools.yaml"));
    stage.apply();
    let somebody = stage.somebody_in("pools");

    // What the API server fills in and what the autoscaler says of its objects is no difference.
    let pool = somebody.gets(&format!("{POOLS}/loadtest"));
    assert_eq!(
        pool["status"]["conditions"].as_array().map(|all| all.iter().any(|one| one["type"] == "Ready")),
        Some(true)
    );
    stage.expect_empty_plan();
    let before = instances(&stage);
    inflate(&somebody, "loadtest", 3);
    inflate(&somebody, "on-demand-critical", 1);
    assert!(instances(&stage) > before && claims_of(&somebody, "loadtest") > 0);
    stage.expect_empty_plan();

    // What somebody changes by hand is drift, field by field.
    somebody.changes(&format!("{POOLS}/loadtest"), "kubectl-edit", &json!({ "spec": { "limits": { "cpu": "1000" } } }));
    let plan = stage.plan();
    assert!(plan.contains("spec.limits.cpu") && plan.contains("1000"), "{plan}");
    stage.apply();
    assert_eq!(somebody.gets(&format!("{POOLS}/loadtest"))["spec"]["limits"]["cpu"], "64");

    // A pool that is no longer in the file goes with its nodes, and leaves the others alone.
    let text = std::fs::read_to_string(&stage.stack).expect("the stack");
    std::fs::write(&stage.stack, without_pool(&text, "loadtest")).expect("the stack");
    let plan = stage.plan();
    assert!(plan.contains("nodepool.karpenter.sh/loadtest") && plan.contains("outage"), "{plan}");
    stage.apply();
    assert!(somebody.sees(&format!("{POOLS}/loadtest")).is_none());
    assert_eq!((claims_of(&somebody, "loadtest"), claims_of(&somebody, "on-demand-critical") > 0), (0, true));
    stage.expect_empty_plan();

    // Where a cluster learns what a ServiceMonitor is, the autoscaler gets one.
    somebody.makes("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &monitors());
    let path = "/apis/monitoring.coreos.com/v1/namespaces/kube-system/servicemonitors";
    until("ServiceMonitors are served", || somebody.sees(path));
    stage.apply();
    assert!(somebody.sees(&format!("{path}/eksup-autoscaler")).is_some());
    stage.expect_empty_plan();

    let said = stage.destroy();
    assert!(said.contains("nothing is left"), "{said}");
}

#[test]
fn without_an_autoscaler_a_destroy_ends_the_nodes_itself() {
    let stage = Stage::set(&whole_example("pools.yaml"));
    stage.apply();
    let somebody = stage.somebody_in("pools");
    inflate(&somebody, "mixed-workload", 2);
    somebody.deletes("/apis/apps/v1/namespaces/kube-system/deployments/eksup-autoscaler");
    until("the autoscaler has gone", || {
        let pods = "/api/v1/namespaces/kube-system/pods?labelSelector=app.kubernetes.io%2Fname%3Deksup-autoscaler";
        somebody.gets(pods)["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    stage.destroy();
}

#[test]
fn where_the_cluster_cannot_be_reached_its_nodes_are_found_by_their_tags() {
    let stage = Stage::set(&whole_example("pools.yaml"));
    stage.apply();
    let somebody = stage.somebody_in("pools");
    inflate(&somebody, "mixed-workload", 2);
    let kubernetes = KubernetesWeather { unreachable: true, ..KubernetesWeather::default() };
    stage.rig.weather(&Weather { kubernetes, ..Weather::default() });
    stage.destroy();
}

/// The stack file without one of its pools.
fn without_pool(text: &str, name: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        let begins_a_pool = line.starts_with("    - name: ");
        let ends_the_list = line.starts_with("  nodeClasses:");
        if begins_a_pool || ends_the_list {
            inside = line.trim() == format!("- name: {name}");
        }
        !inside
    });
    kept.map(|line| format!("{line}\n")).collect()
}

fn monitors() -> Value {
    let schema = json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "servicemonitors.monitoring.coreos.com" },
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": { "kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
        },
    })
}
