//! How much memory it takes: a measurement, run by hand.
//!
//! `cargo test --test autoscaler footprint -- --ignored --nocapture`, with `EKSUP` naming an optimised build.

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::post::Post;
use crate::stage::until;

const NODES: usize = 1000;
const PODS: usize = 10_000;
const AT_ONCE: usize = 48;

#[test]
#[ignore = "a measurement"]
fn footprint_idle_and_with_a_thousand_nodes() {
    let post = Post::new();
    let build = std::env::var_os("EKSUP");
    let early = post.autoscaler_of(build.as_deref(), "early");
    early.is_ready();
    std::thread::sleep(std::time::Duration::from_secs(5));
    let idle = early.memory();
    println!("idle: {idle:?} MiB");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(fill(&post));
    let counted = |autoscaler: &crate::process::Autoscaler| {
        until("every node is known", || {
            autoscaler.metric("karpenter_cluster_state_node_count").filter(|nodes| *nodes >= NODES as f64)
        });
    };
    counted(&early);
    std::thread::sleep(std::time::Duration::from_secs(10));
    let grown = early.memory();
    println!("with {NODES} nodes and {PODS} pods: {grown:?} MiB");
    let late = post.autoscaler_of(build.as_deref(), "late");
    late.is_ready();
    counted(&late);
    std::thread::sleep(std::time::Duration::from_secs(5));
    println!("started then: {:?} MiB", late.memory());
}

async fn fill(post: &Post) {
    let text = std::fs::read_to_string(post.stage.rig.file("autoscaler.kubeconfig")).expect("a kubeconfig");
    let kubeconfig = Kubeconfig::from_yaml(&text).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a config");
    let client = Client::try_from(config).expect("a client");
    let nodes = Api::<Node>::all(client.clone());
    let make = |at: usize| {
        let nodes = nodes.clone();
        async move {
            let (node, status) = node(at);
            let made = nodes.create(&PostParams::default(), &read(&node)).await.expect("a node");
            let name = made.metadata.name.expect("a name");
            nodes.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status");
        }
    };
    stream::iter(0..NODES).map(make).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let pods = Api::<Pod>::namespaced(client, "default");
    let make = |at: usize| {
        let pods = pods.clone();
        async move { pods.create(&PostParams::default(), &read(&pod(at))).await.map(drop).expect("a pod") }
    };
    stream::iter(0..PODS).map(make).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("an object")
}

fn node(at: usize) -> (Value, Value) {
    let mut labels = json!({ "node.kubernetes.io/instance-type": "m5.2xlarge", "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": format!("us-east-1{}", ["a", "b", "c"][at % 3]) });
    for label in 0..25 {
        labels[format!("karpenter.k8s.aws/instance-label-{label}")] = format!("value-{label}").into();
    }
    let amounts = json!({ "cpu": "8", "memory": "32Gi", "pods": "58", "ephemeral-storage": "20Gi" });
    let images: Vec<Value> = (0..30)
        .map(|image| json!({ "names": [format!("registry.example/team/image-{image}@sha256:{image:064}")], "sizeBytes": 1 }))
        .collect();
    let node = json!({ "metadata": { "name": format!("node-{at:04}"), "labels": labels } });
    let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready" });
    (
        node,
        json!({ "status": { "capacity": amounts, "allocatable": amounts, "conditions": [ready], "images": images } }),
    )
}

fn pod(at: usize) -> Value {
    let workload = at / 40;
    let variables: Vec<Value> = (0..25)
        .map(|one| json!({ "name": format!("SETTING_{one}"), "value": format!("a value of some length {one}") }))
        .collect();
    json!({ "metadata": { "name": format!("workload-{workload}-7d9c5b6f4-{at:05}"),
            "labels": { "app": format!("workload-{workload}"), "pod-template-hash": "7d9c5b6f4" } },
        "spec": { "nodeName": format!("node-{:04}", at % NODES), "tolerations": [{ "operator": "Exists" }],
            "containers": [{ "name": "main", "image": "registry.example/a:1", "env": variables,
                "resources": { "requests": { "cpu": "100m", "memory": format!("{}Mi", 64 + workload) } } }] } })
}
