//! Bad days while nodes are bought: EC2 refuses, the API server is away, the leader dies, objects come in no order.

use std::time::{Duration, Instant};

use sandbox::{KubernetesWeather, Weather};
use serde_json::{Value, json};

use super::yard::{Yard, bought, fine, on_demand};
use crate::stage::until;

/// How the autoscaler calls itself to the API server.
const AGENT: &str = "agent:eksup-autoscaler";

fn small() -> Value {
    json!({ "cpu": "1", "memory": "1Gi" })
}

#[test]
fn an_ec2_that_refuses_most_calls_delays_nodes_and_buys_none_twice() {
    let (yard, _autoscaler) = Yard::with_pool(&on_demand());
    let only = ["ec2:CreateFleet", "ec2:CreateLaunchTemplate", "ec2:DescribeInstances", "ec2:CreateTags"];
    let calls = only.iter().map(|call| (*call).to_owned()).collect();
    yard.weather(&Weather { throttled: 0.6, seed: 7, calls, ..fine() });
    yard.deployment("web", 8, &small(), &json!({}));
    yard.running(8);
    yard.weather(&fine());
    let claims = yard.ready_claims(yard.claims().len());
    assert_eq!(yard.instances().len(), claims.len(), "an instance for each claim");
}

#[test]
fn an_api_server_that_is_away_for_half_a_minute_stops_nothing_for_longer() {
    let (yard, _autoscaler) = Yard::with_pool(&on_demand());
    yard.deployment("first", 2, &small(), &json!({}));
    yard.running(2);
    let before = yard.instances().len();
    let away = KubernetesWeather { unreachable: true, callers: vec![AGENT.to_owned()], ..KubernetesWeather::default() };
    yard.weather(&Weather { kubernetes: away, ..fine() });
    let began = Instant::now();
    yard.deployment("second", 6, &small(), &json!({}));
    until("half a minute is over", || (began.elapsed() > Duration::from_secs(30)).then_some(()));
    assert_eq!(yard.instances().len(), before, "what could not be written down is not bought");
    yard.weather(&fine());
    yard.running(8);
    let claims = yard.ready_claims(yard.claims().len());
    assert_eq!(yard.instances().len(), claims.len(), "an instance for each claim");
}

#[test]
fn another_replica_carries_on_when_the_leader_dies_while_it_launches() {
    let yard = Yard::new();
    let mut pair = [yard.replica("a"), yard.replica("b")];
    yard.pool("default", &on_demand());
    until("the class is ready", || yard.class_is_ready());
    yard.weather(&Weather { kill_at: Some(1), calls: vec!["ec2:CreateFleet".to_owned()], ..fine() });
    yard.deployment("web", 8, &small(), &json!({}));
    until("the leader is dead", || pair.iter_mut().any(|each| each.has_ended()).then_some(()));
    yard.weather(&fine());
    let dead = pair.iter_mut().map(|each| each.has_ended()).filter(|dead| *dead).count();
    assert_eq!(dead, 1, "one of them acted");
    yard.running(8);
    let claims = yard.ready_claims(yard.claims().len());
    assert_eq!(yard.instances().len(), claims.len(), "nothing is lost and nothing is bought twice");
}

#[test]
fn a_pool_may_come_with_its_class_or_before_and_one_that_suits_nobody_stops_no_other() {
    let yard = Yard::without_class("");
    let _autoscaler = yard.autoscaler();
    let mut nothing = bought("on-demand");
    nothing["weight"] = json!(100);
    let none = json!({ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["q9.huge"] });
    if let Some(requirements) = nothing["requirements"].as_array_mut() {
        requirements.push(none);
    }
    yard.pool("nothing", &nothing);
    yard.pool("default", &on_demand());
    yard.makes_class();
    yard.deployment("web", 3, &small(), &json!({}));
    yard.running(3);
    let of = |claim: &Value| claim["metadata"]["labels"]["karpenter.sh/nodepool"].as_str() == Some("default");
    assert!(yard.claims().iter().all(of), "the other pool has nothing to offer");
    let there = json!({ "nodeSelector": { "karpenter.sh/nodepool": "nothing" } });
    yard.deployment("lost", 1, &small(), &there);
    let reason = until("the pod is told why", || yard.heard("FailedScheduling", "lost-"));
    assert!(reason.contains("`nothing`"), "{reason}");
}
