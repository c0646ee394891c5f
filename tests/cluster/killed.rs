//! Kill eksup at a request that changes something in a cluster, run it again: it converges, with no duplicate, no orphan,
//! and with its set of objects intact. A sample of the requests here; with `EKSUP_TORTURE=all` every one, before and after
//! it is done.

use std::collections::BTreeSet;

use sandbox::{KubernetesWeather, Weather, WhenToKill};
use serde_json::Value;

use crate::stage::{Somebody, Stage};
use crate::support::example;

/// How many requests a later run may need less than the first: what waits for a moment is asked again now and then.
const FEWER: usize = 3;
const SAMPLE: usize = 3;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: app }
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: colours.example.org }
spec:
  group: example.org
  scope: Namespaced
  names: { plural: colours, singular: colour, kind: Colour, listKind: ColourList }
  versions:
    - { name: v1, served: true, storage: true, schema: { openAPIV3Schema: { type: object, x-kubernetes-preserve-unknown-fields: true } } }
---
apiVersion: example.org/v1
kind: Colour
metadata: { name: blue, namespace: app }
spec: { red: 0 }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: app }
data: { colour: blue }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: app }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: "registry.example/web:1" }] }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: app }
spec: { selector: { app: web }, ports: [{ port: 80 }] }
"#;

/// The kinds that the stack has objects of, as paths.
const KINDS: &[&str] = &[
    "/api/v1/namespaces",
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/api/v1/services",
    "/apis/apps/v1/deployments",
    "/apis/example.org/v1/colours",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
];

/// Whether every request is to be killed at.
pub fn all() -> bool {
    std::env::var("EKSUP_TORTURE").is_ok_and(|value| value == "all")
}

/// The requests at which to kill, and whether before or after they are done: all of both, or some spread over the run,
/// other ones for each `offset`.
fn points(requests: usize, offset: usize) -> Vec<(usize, WhenToKill)> {
    if all() {
        return (1..=requests).flat_map(|point| [(point, WhenToKill::Before), (point, WhenToKill::After)]).collect();
    }
    let step = (requests / SAMPLE).max(1);
    let turns = [WhenToKill::After, WhenToKill::Before].into_iter().cycle();
    (1..=requests).skip(offset % step).step_by(step).zip(turns).collect()
}

/// The requests of eksup's that have changed something since the log was cleared.
fn changes(stage: &Stage) -> usize {
    let requests = stage.rig.cloud.kubernetes_requests().expect("a log");
    requests.iter().filter(|request| request.mutating && request.user_agent.starts_with("eksup/")).count()
}

/// Runs eksup, and kills it at request `point` of `requests`. What needs fewer of them this time ends before.
fn killed_at(stage: &Stage, (point, kill_when): (usize, WhenToKill), requests: usize, arguments: &[&str]) {
    let kubernetes = KubernetesWeather { kill_at: Some(point as u64), kill_when, ..KubernetesWeather::default() };
    stage.rig.weather(&Weather { kubernetes, ..Weather::default() });
    let ran = stage.rig.eksup(arguments);
    let expected = if point + FEWER > requests && ran.code == Some(0) { Some(0) } else { None };
    assert_eq!(ran.code, expected, "killed at request {point}, not ended:\n{}{}", ran.stdout, ran.stderr);
    stage.rig.weather(&Weather::default());
}

/// Every object of the stack, and the parent of its set.
fn of_the_stack(somebody: &Somebody) -> BTreeSet<String> {
    let listed = KINDS.iter().flat_map(|path| {
        let query = format!("{path}?labelSelector=eksup.dev%2Fstack");
        let items = somebody.sees(&query).and_then(|list| list["items"].as_array().cloned()).unwrap_or_default();
        items.into_iter().map(move |item| {
            let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{path} {}/{}", text("/metadata/namespace"), text("/metadata/name"))
        })
    });
    listed.collect()
}

#[test]
fn an_apply_that_is_killed_at_a_request_to_the_cluster_converges_and_so_does_one_that_takes_objects_away() {
    let bare = example("minimal.yaml");
    let addons = if all() { "addons: { loadBalancerController: {} }\n" } else { "" };
    let full = format!("{bare}{addons}workloads:\n  manifests: [objects.yaml]\n");
    let stage = Stage::set(&bare);
    stage.write(MANIFESTS);
    stage.apply();
    let somebody = stage.somebody_in("minimal");
    let before = stage.rig.counts();

    // Once undisturbed, to count.
    let arguments = ["apply", "--yes", stage.path()];
    let mut requests = [0; 2];
    let mut whole = BTreeSet::new();
    for (turn, wish) in [&full, &bare].into_iter().enumerate() {
        stage.rig.stack(wish);
        stage.rig.cloud.clear_kubernetes_requests().expect("a log");
        stage.apply();
        requests[turn] = changes(&stage);
        whole.extend(of_the_stack(&somebody));
    }
    assert!(whole.len() > 6, "{whole:#?}");
    assert!(of_the_stack(&somebody).is_empty(), "all of it goes, with the parent of its set");
    assert_eq!(stage.rig.counts(), before);

    let (making, removing) = (points(requests[0], 1), points(requests[1], 2));
    for turn in 0..making.len().max(removing.len()) {
        let (making, removing) = (making[turn % making.len()], removing[turn % removing.len()]);
        stage.rig.stack(&full);
        killed_at(&stage, making, requests[0], &arguments);
        stage.apply();
        assert_eq!(of_the_stack(&somebody), whole, "killed at {making:?}: duplicates or orphans");
        stage.expect_empty_plan();
        stage.rig.stack(&bare);
        killed_at(&stage, removing, requests[1], &arguments);
        stage.apply();
        assert_eq!(of_the_stack(&somebody), BTreeSet::new(), "killed at {removing:?}: orphans");
        assert_eq!(stage.rig.counts(), before, "killed at {removing:?}");
        stage.expect_empty_plan();
        eprintln!("killed at {making:?} of {} and {removing:?} of {}: converged", requests[0], requests[1]);
    }
    stage.destroy();
}
