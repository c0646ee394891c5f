//! The process is killed again and again, at calls to EC2 and to the API server, while nodes come and go.

use std::collections::BTreeSet;

use sandbox::{KubernetesWeather, Weather, WhenToKill};
use serde_json::json;

use crate::arrivals::yard::{CLASSES, POOLS, Yard, fine, on_demand};
use crate::process::Autoscaler;
use crate::stage::until;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// Where it is killed: at the n-th change that it asks for, before or after that is done.
enum At {
    Ec2(u64, WhenToKill),
    Kubernetes(u64, WhenToKill),
}

/// A sample of all calls of a scale-out (first) and of the scale-in after it (second).
const ROUNDS: [(At, At); 8] = [
    (At::Ec2(1, WhenToKill::After), At::Ec2(1, WhenToKill::After)),
    (At::Kubernetes(2, WhenToKill::After), At::Kubernetes(2, WhenToKill::After)),
    (At::Ec2(2, WhenToKill::Before), At::Ec2(1, WhenToKill::Before)),
    (At::Kubernetes(7, WhenToKill::Before), At::Kubernetes(6, WhenToKill::Before)),
    (At::Kubernetes(16, WhenToKill::After), At::Kubernetes(11, WhenToKill::After)),
    (At::Kubernetes(4, WhenToKill::Before), At::Kubernetes(4, WhenToKill::After)),
    (At::Kubernetes(10, WhenToKill::After), At::Kubernetes(8, WhenToKill::Before)),
    (At::Kubernetes(24, WhenToKill::After), At::Kubernetes(14, WhenToKill::After)),
];

impl At {
    fn weather(&self) -> Weather {
        match *self {
            Self::Ec2(at, kill_when) => Weather { kill_at: Some(at), kill_when, ..fine() },
            Self::Kubernetes(at, kill_when) => {
                let callers = vec!["agent:eksup-autoscaler".to_owned()];
                let kubernetes = KubernetesWeather { callers, kill_at: Some(at), kill_when, ..Default::default() };
                Weather { kubernetes, ..fine() }
            }
        }
    }
}

#[test]
fn wherever_it_is_killed_nothing_is_lost_and_nothing_leaks() {
    let mut spec = on_demand();
    spec["disruption"] = json!({ "consolidateAfter": "1s", "budgets": [{ "nodes": "100%" }] });
    let yard = Yard::new();
    let before: BTreeSet<String> = yard.stage.rig.inventory().into_keys().collect();
    let mut autoscaler = yard.autoscaler();
    yard.opens(&spec);
    yard.deployment("web", 0, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({ "terminationGracePeriodSeconds": 1 }));
    let mut kills = 0;
    for (number, (out, back)) in ROUNDS.iter().enumerate() {
        let launched = yard.ever_launched();
        kills += usize::from(killed_while(&yard, &mut autoscaler, out, 6, || {
            let running = yard.pods().iter().filter(|pod| pod["status"]["phase"] == "Running").count();
            running == 6
        }));
        let claims = yard.ready_claims(yard.claims().len());
        assert_eq!(claims.len(), yard.instances().len(), "round {number}: every instance has its claim");
        let bought = yard.ever_launched().len() - launched.len();
        assert_eq!(bought, claims.len(), "round {number}: nothing is bought twice");
        kills += usize::from(killed_while(&yard, &mut autoscaler, back, 0, || {
            yard.claims().is_empty() && yard.instances().is_empty()
        }));
        until("the nodes are gone", || {
            yard.hands.gets("/api/v1/nodes")["items"].as_array().is_some_and(Vec::is_empty).then_some(())
        });
    }
    eprintln!("killed {kills} times");
    assert!(kills >= ROUNDS.len() * 2 - 2, "it was killed {kills} times only");
    yard.hands.deletes(&format!("{POOLS}/default"));
    yard.hands.deletes(&format!("{CLASSES}/default"));
    until("the class is gone", || yard.hands.sees(&format!("{CLASSES}/default")).is_none().then_some(()));
    let mut left = yard.stage.rig.inventory();
    left.retain(|kind, _| !before.contains(kind));
    assert!(left.is_empty(), "nothing is left of it: {left:#?}");
}

/// Scales, has the autoscaler killed on the way, starts another one, and waits; whether it was killed.
fn killed_while(yard: &Yard, autoscaler: &mut Autoscaler, at: &At, replicas: u32, done: impl Fn() -> bool) -> bool {
    yard.weather(&at.weather());
    yard.hands.changes(&format!("{DEPLOYMENTS}/web"), "somebody", &json!({ "spec": { "replicas": replicas } }));
    let mut killed = false;
    until("it is as asked", || {
        if !killed && autoscaler.has_ended() {
            killed = true;
            yard.weather(&fine());
            *autoscaler = yard.autoscaler();
        }
        done().then_some(())
    });
    if !killed {
        // It may still be killed by what it does afterwards.
        yard.weather(&fine());
        if autoscaler.has_ended() {
            killed = true;
            *autoscaler = yard.autoscaler();
        }
    }
    killed
}
