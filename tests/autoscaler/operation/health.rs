//! Readiness, definitions that come later, metrics, an API server that is away.

use std::collections::BTreeSet;

use sandbox::{KubernetesWeather, Weather};
use serde_json::Value;

use super::post::Post;
use crate::stage::until;

#[test]
fn it_waits_for_its_kinds_and_outlasts_an_api_server_that_is_away() {
    let post = Post::bare();
    let autoscaler = post.autoscaler("a");
    until("it lives", || autoscaler.health("/healthz").filter(|(status, _)| *status == 200));
    until("it waits for the kinds", || autoscaler.said().contains("waiting for the definition").then_some(()));
    assert_eq!(autoscaler.health("/readyz").map(|(status, _)| status), Some(503));
    post.define();
    autoscaler.is_ready();
    post.pool("early");
    assert_eq!(post.told("early", "Ready"), ("False".to_owned(), "NodeClassNotFound".to_owned()));
    assert_eq!(autoscaler.metric("karpenter_cluster_state_synced"), Some(1.0));
    until("the pool is counted", || autoscaler.metric("karpenter_nodepools_usage{nodepool=\"early\""));

    metrics_are_those_of_the_readme(&autoscaler.metrics());

    let away = KubernetesWeather { unreachable: true, ..KubernetesWeather::default() };
    post.stage.rig.weather(&Weather { kubernetes: away, ..Weather::default() });
    until("it notices", || autoscaler.said().contains("cannot watch").then_some(()));
    assert_eq!(autoscaler.health("/readyz").map(|(status, _)| status), Some(200), "what is known still counts");
    post.stage.rig.weather(&Weather::default());
    post.pool("late");
    assert_eq!(post.told("late", "Ready").0, "False");
    for line in autoscaler.said().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["level", "time", "logger", "message"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
    }
    let (code, said) = post.explain("nowhere", &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("neither a node nor a NodeClaim"), "{said}");
    assert!(autoscaler.ends().success());
}

/// The README names every metric that is served; those that have nothing to tell yet are not served.
fn metrics_are_those_of_the_readme(served: &str) {
    let kinds = served.lines().filter_map(|line| line.strip_prefix("# TYPE karpenter_")?.split_once(' '));
    let served: BTreeSet<String> =
        kinds.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() }).collect();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let table = readme.split_once("| metrics | |").expect("the table of metrics").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let names = rows.filter_map(|row| row.split('|').nth(1));
    let named: BTreeSet<String> =
        names.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert!(named.len() > 40, "the table has {} names", named.len());
    let unnamed: Vec<&String> = served.difference(&named).collect();
    assert!(unnamed.is_empty(), "the README does not name {unnamed:?}");
    for name in ["cluster_state_synced", "nodepools_usage", "cloudprovider_duration_seconds", "memory_resident_bytes"] {
        assert!(served.contains(name), "{name} is served from the start");
    }
}
