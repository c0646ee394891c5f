//! The process is killed at the worst moment.

use sandbox::Weather;
use serde_json::json;

use super::yard::{Yard, fine, on_demand};
use crate::stage::until;

#[test]
fn nothing_is_lost_and_nothing_bought_twice_when_it_is_killed_after_a_launch() {
    // Of one type there is one launch template, made once: the next call that changes something buys.
    let mut one_type = on_demand();
    one_type["requirements"] = json!([
        { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
        { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["m6a.xlarge"] },
    ]);
    let (yard, mut autoscaler) = Yard::with_pool(&one_type);
    yard.deployment("first", 2, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({}));
    yard.running(2);
    yard.ready_claims(yard.claims().len());
    let before = yard.instances();
    until("instances have their tags", || {
        let tagged = |claim: &serde_json::Value| claim["metadata"]["annotations"]["karpenter.k8s.aws/tagged"] == "true";
        yard.claims().iter().all(tagged).then_some(())
    });
    yard.weather(&Weather { kill_at: Some(1), ..fine() });
    yard.deployment("second", 8, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({}));
    autoscaler.is_killed();
    yard.weather(&fine());
    let bought = yard.instances().len();
    assert!(bought > before.len(), "the call at which it was killed was done");
    let _autoscaler = yard.autoscaler();
    yard.running(10);
    let claims = yard.ready_claims(yard.claims().len());
    assert_eq!(yard.instances().len(), bought, "what was bought is used, and nothing else");
    assert_eq!(claims.len(), bought);
}

#[test]
fn claims_that_were_written_and_not_launched_are_launched_by_the_next_process() {
    let (yard, mut autoscaler) = Yard::with_pool(&on_demand());
    yard.weather(&Weather { kill_at: Some(1), kill_when: sandbox::WhenToKill::Before, ..fine() });
    yard.deployment("web", 4, &json!({ "cpu": "1", "memory": "1Gi" }), &json!({}));
    autoscaler.is_killed();
    yard.weather(&fine());
    let written = yard.claims().len();
    assert!(written > 0, "claims are written before anything is bought");
    let _autoscaler = yard.autoscaler();
    yard.running(4);
    assert_eq!((yard.claims().len(), yard.instances().len()), (written, written));
}
