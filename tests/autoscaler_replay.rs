//! Placements of the scheduling core, replayed through a real kube-scheduler: every pod is nominated for the node
//! that was chosen for it, and has to be bound there.

#[path = "../benches/scheduling/inputs.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod inputs;
mod support;

use std::time::{Duration, Instant};

use eksup::autoscaler::checker::{self, Input, Order};
use eksup::autoscaler::scheduling::{Budget, Problem, Settings, export, solve};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use sandbox::Weather;
use serde_json::{Value, json};
use support::{Rig, text};

/// A cluster without a node of its own: the planned ones are the only ones.
const EMPTY_CLUSTER: &str = "
apiVersion: eksup.dev/v1
kind: Stack
metadata: { name: replay, region: us-east-1 }
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
cluster: { version: \"1.35\", addons: [vpc-cni, kube-proxy] }
";

/// Holds a pod back until it has been nominated.
const GATE: &str = "eksup.dev/replay";
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn kube_scheduler_binds_every_pod_where_it_was_placed() {
    let rig = tokio::task::spawn_blocking(|| {
        let rig = Rig::start_with_kubernetes(Weather::default());
        let stack = rig.stack(EMPTY_CLUSTER);
        rig.eksup(&["apply", "--yes", text(&stack)]).expect(0);
        rig
    });
    let rig = rig.await.expect("a cluster");
    let client = client(&rig).await;
    for name in ["host-anti", "zone-spread", "three-pools"] {
        replay(&client, name).await;
    }
}

async fn client(rig: &Rig) -> Client {
    let text = rig.cloud.kubeconfig("replay").expect("a kubeconfig");
    let kubeconfig = Kubeconfig::from_yaml(&text).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a way in");
    Client::try_from(config).expect("a client")
}

async fn replay(client: &Client, name: &str) {
    let scenario = smaller(serde_json::from_str(&inputs::read(&format!("scenarios/{name}.json"))).expect("a scenario"));
    let mut cluster = inputs::scenario_cluster(&scenario, &inputs::read("catalogue.csv"));
    let pods = inputs::scenario_pods(&scenario);
    for pod in &pods {
        cluster.add_pod(pod);
    }
    let problem = Problem::provision(&cluster, Settings::default());
    let solution = solve(&problem, Budget::rounds(20));
    assert!(solution.unplaced.is_empty(), "{name}: every pod has a place");
    let nodes = export::nodes(&problem, &solution);
    let planned = export::placement(&problem, &solution);
    let input = Input { nodes: nodes.clone(), pods: pods.clone(), placement: planned.clone(), ..Input::default() };
    let Order::Found(order) = checker::find_order(&input) else { panic!("{name}: no order to bind the pods in") };

    try_join_all(nodes.iter().map(|node| register(client, node))).await.expect("nodes");
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    for group in pods.chunks(20) {
        try_join_all(group.iter().map(|pod| hold(&api, pod))).await.expect("pods");
    }
    for pod in &order {
        let node = bind(&api, pod.trim_start_matches("default/"), &planned[pod]).await;
        assert_eq!(node.as_ref(), Some(&planned[pod]), "{name}: `{pod}` is not where it was placed");
    }
    clear(client, &api).await;
}

/// The scenario with fewer replicas: each is bound alone.
fn smaller(mut scenario: Value) -> Value {
    for deployment in scenario["deployments"].as_array_mut().into_iter().flatten() {
        let replicas = deployment["replicas"].as_u64().unwrap_or_default();
        deployment["replicas"] = json!(replicas.div_ceil(6));
    }
    scenario
}

/// Makes a Node as a kubelet would register it, ready.
async fn register(client: &Client, node: &Node) -> kube::Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    let name = node.metadata.name.clone().expect("a name");
    let mut made = node.clone();
    made.status = None;
    api.create(&PostParams::default(), &made).await?;
    let mut status = serde_json::to_value(&node.status).expect("a status");
    status["conditions"] = json!([{ "type": "Ready", "status": "True", "reason": "KubeletReady",
        "lastHeartbeatTime": "2126-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    let patch = json!({ "status": status });
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
}

/// Makes a pod that waits behind a gate.
async fn hold(api: &Api<Pod>, pod: &Pod) -> kube::Result<Pod> {
    let mut made = serde_json::to_value(pod).expect("a pod");
    // Nobody owns it here: the garbage collector would take it for an orphan.
    made["metadata"]["ownerReferences"] = Value::Null;
    made["spec"]["schedulingGates"] = json!([{ "name": GATE }]);
    // Nobody heartbeats for these nodes: after a while they count as lost, which is not what is asked here.
    let lost = ["not-ready", "unreachable"]
        .map(|what| json!({ "key": format!("node.kubernetes.io/{what}"), "operator": "Exists" }));
    match made["spec"]["tolerations"].as_array_mut() {
        Some(tolerations) => tolerations.extend(lost),
        None => made["spec"]["tolerations"] = json!(lost),
    }
    for container in made["spec"]["containers"].as_array_mut().into_iter().flatten() {
        container["image"] = json!("registry.k8s.io/pause:3.10");
    }
    api.create(&PostParams::default(), &serde_json::from_value(made).expect("a pod")).await
}

/// Nominates a pod for `node`, opens its gate, and gives the node that it is bound to, if it is.
async fn bind(api: &Api<Pod>, pod: &str, node: &str) -> Option<String> {
    let nomination = json!({ "status": { "nominatedNodeName": node } });
    api.patch_status(pod, &PatchParams::default(), &Patch::Merge(&nomination)).await.expect("a nomination");
    let open = json!({ "spec": { "schedulingGates": null } });
    api.patch(pod, &PatchParams::default(), &Patch::Merge(&open)).await.expect("an open gate");
    let began = Instant::now();
    loop {
        let bound = api.get(pod).await.expect("the pod").spec.and_then(|spec| spec.node_name);
        if bound.is_some() || began.elapsed() > PATIENCE {
            return bound;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Makes room for the next scenario.
async fn clear(client: &Client, api: &Api<Pod>) {
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    api.delete_collection(&at_once, &ListParams::default()).await.expect("no pods");
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.delete_collection(&DeleteParams::default(), &ListParams::default()).await.expect("no nodes");
}
