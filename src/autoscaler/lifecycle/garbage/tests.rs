//! Tests of what counts as left over.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

fn claim(name: &str, instance: Option<&str>) -> ClaimFacts {
    ClaimFacts {
        name: name.into(),
        pool: "default".into(),
        class: "default".into(),
        created: at(0),
        instance: instance.map(Into::into),
        launched: instance.map(|_| at(1)),
        deleted: false,
        ready: false,
    }
}

fn instance(id: &str, launched: i64) -> InstanceFacts {
    InstanceFacts {
        id: id.into(),
        pool: "default".into(),
        class: "default".into(),
        launched: at(launched),
        alive: true,
    }
}

fn node(name: &str, instance: &str) -> NodeFacts {
    NodeFacts { name: name.into(), instance: instance.into(), ready: false, deleted: false }
}

#[test]
fn a_claim_goes_when_its_instance_is_gone_and_its_node_is_not_ready() {
    let claims = [claim("a", Some("i-1"))];
    let gone = |claims: &[ClaimFacts], asked| find(claims, &[], &[], at(asked)).claims.len();
    assert_eq!(gone(&claims, 60), 0, "EC2 may not show it yet");
    assert_eq!(gone(&claims, 61), 1);
    assert_eq!(gone(&[ClaimFacts { ready: true, ..claims[0].clone() }], 61), 0, "a node that reports is alive");
    assert_eq!(gone(&[ClaimFacts { deleted: true, ..claims[0].clone() }], 61), 0);
    assert!(find(&claims, &[instance("i-1", 1)], &[], at(61)).claims.is_empty());
    let ended = InstanceFacts { alive: false, ..instance("i-1", 1) };
    assert_eq!(find(&claims, &[ended], &[], at(61)).claims.len(), 1);
}

#[test]
fn an_instance_without_claim_is_spared_for_half_a_minute() {
    let garbage = find(&[], &[instance("i-1", 100)], &[], at(129));
    assert_eq!((garbage.instances.len(), garbage.again), (0, Some(at(130))));
    assert_eq!(find(&[], &[instance("i-1", 100)], &[], at(130)).instances, ["i-1"]);
    let deleted = ClaimFacts { deleted: true, ..claim("a", Some("i-1")) };
    assert!(find(&[deleted], &[instance("i-1", 100)], &[], at(500)).instances.is_empty(), "it has a claim");
}

#[test]
fn a_claim_that_waits_for_such_an_instance_spares_one() {
    let instances = [instance("i-1", 0), instance("i-2", 0)];
    assert_eq!(find(&[claim("a", None)], &instances, &[], at(100)).instances, ["i-2"]);
    assert_eq!(find(&[claim("a", None)], &instances, &[], at(300)).instances.len(), 2, "it has waited too long");
    let other = ClaimFacts { pool: "other".into(), ..claim("a", None) };
    assert_eq!(find(&[other], &instances, &[], at(100)).instances.len(), 2);
}

#[test]
fn nodes_go_with_their_instance_or_after_it() {
    let nodes = [node("of-orphan", "i-1"), node("of-nothing", "i-2"), node("of-claim", "i-3")];
    let garbage = find(&[claim("a", Some("i-3"))], &[instance("i-1", 0)], &nodes, at(100));
    assert_eq!(garbage.nodes, ["of-orphan", "of-nothing"]);
    let reports = NodeFacts { ready: true, ..node("of-nothing", "i-2") };
    assert!(find(&[], &[], &[reports], at(100)).nodes.is_empty(), "a node that reports is not judged by a list");
}
