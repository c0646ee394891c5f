//! Readiness, definitions that come later, metrics, an API server that is away.

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
