//! Tests of the drain.

use super::*;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

pub fn pod(name: &str) -> DrainPod {
    DrainPod {
        uid: name.into(),
        namespace: "app".into(),
        name: name.into(),
        daemon: false,
        mirror: false,
        critical: false,
        finished: false,
        tolerates: false,
        ready: true,
        size: 100,
        grace: 30,
        deletion: None,
        protected: Protected::No,
        budgets: Vec::new(),
    }
}

fn budget(allowed: i32, unhealthy_may_go: bool) -> Budget {
    Budget { name: "app/keep".into(), allowed, unhealthy_may_go }
}

fn evicted<'a>(pods: &'a [DrainPod], drain: &Drain) -> Vec<&'a str> {
    drain.evict.iter().map(|eviction| pods[eviction.pod].name.as_str()).collect()
}

#[test]
fn tiers_go_one_after_the_other() {
    let mut pods = vec![
        DrainPod { critical: true, daemon: true, ..pod("critical-daemon") },
        DrainPod { critical: true, ..pod("critical") },
        DrainPod { daemon: true, ..pod("daemon") },
        pod("ordinary"),
    ];
    for expected in ["ordinary", "daemon", "critical", "critical-daemon"] {
        let drain = decide(&pods, None, at(0));
        assert_eq!(evicted(&pods, &drain), [expected]);
        // While it ends, the next tier waits.
        let last = pods.len() - 1;
        pods[last].deletion = Some(at(30));
        let drain = decide(&pods, None, at(1));
        assert!(drain.evict.is_empty() && !drain.is_over());
        pods.pop();
    }
    assert!(decide(&pods, None, at(2)).is_over());
}

#[test]
fn pods_that_nobody_waits_for_are_left_alone() {
    let pods = [
        DrainPod { tolerates: true, ..pod("tolerates") },
        DrainPod { mirror: true, ..pod("mirror") },
        DrainPod { finished: true, ..pod("finished") },
        DrainPod { deletion: Some(at(0)), ..pod("lost") },
    ];
    assert!(decide(&pods, None, at(60)).is_over());
    let drain = decide(&pods, None, at(59));
    assert_eq!((drain.left, drain.again), (1, Some(at(60))), "a lost pod is given up after a minute");
    assert!(drain.sentence(&pods).is_some_and(|text| text.contains("`app/lost` should have ended")));
}

#[test]
fn a_protected_pod_is_waited_for_and_named() {
    let pods = [DrainPod { protected: Protected::Always, ..pod("precious") }];
    let drain = decide(&pods, None, at(0));
    assert!(drain.evict.is_empty() && drain.delete.is_empty() && !drain.is_over());
    assert_eq!(drain.again, None, "time alone changes nothing");
    let sentence = drain.sentence(&pods).unwrap_or_default();
    assert!(sentence.contains("`app/precious`") && sentence.contains("do-not-disrupt"), "{sentence}");
}

#[test]
fn a_protection_that_ends_is_kept_until_then() {
    let pods = [DrainPod { protected: Protected::Until(at(10)), ..pod("a") }];
    let drain = decide(&pods, None, at(0));
    assert_eq!((drain.evict.len(), drain.again), (0, Some(at(10))));
    assert_eq!(evicted(&pods, &decide(&pods, None, at(10))), ["a"]);
}

#[test]
fn a_pod_is_deleted_outright_when_only_its_grace_period_is_left_whatever_its_tier() {
    let pods = [
        DrainPod { protected: Protected::Always, grace: 60, ..pod("precious") },
        DrainPod { critical: true, daemon: true, grace: 5, ..pod("late") },
        DrainPod { budgets: vec![budget(0, false)], grace: 60, ..pod("budgeted") },
    ];
    let end = Some(at(100));
    let drain = decide(&pods, end, at(39));
    assert_eq!((drain.delete.len(), drain.again), (0, Some(at(40))));
    let drain = decide(&pods, end, at(40));
    assert_eq!(drain.delete, [(0, 60), (2, 60)]);
    let drain = decide(&pods, end, at(96));
    assert_eq!(drain.delete, [(0, 4), (1, 4), (2, 4)], "late, each gets what is left");
    let drain = decide(&pods, end, at(500));
    assert!(drain.delete.iter().all(|(_, grace)| *grace == 1), "at least a second");
}

#[test]
fn a_pod_that_ends_in_time_is_not_deleted_again_and_one_that_would_not_is() {
    let ending = |deletion| [DrainPod { deletion: Some(at(deletion)), grace: 60, ..pod("a") }];
    assert!(decide(&ending(90), Some(at(100)), at(50)).delete.is_empty());
    assert_eq!(decide(&ending(900), Some(at(100)), at(50)).delete, [(0, 50)]);
}

#[test]
fn a_full_budget_makes_an_eviction_doubtful_and_is_the_reason() {
    let mut pods = [DrainPod { budgets: vec![budget(0, false)], ..pod("a") }];
    let drain = decide(&pods, None, at(0));
    assert_eq!(drain.evict, [Eviction { pod: 0, doubtful: true }]);
    assert!(drain.sentence(&pods).is_some_and(|text| text.contains("`app/keep`")));
    pods[0].budgets = vec![budget(1, false)];
    let drain = decide(&pods, None, at(0));
    assert_eq!(drain.evict, [Eviction { pod: 0, doubtful: false }]);
    assert_eq!(drain.sentence(&pods), None);
    pods[0].budgets = vec![budget(0, true)];
    pods[0].ready = false;
    assert!(!decide(&pods, None, at(0)).evict[0].doubtful, "an unhealthy pod may go where the budget says so");
    pods[0].budgets = vec![budget(1, false), budget(1, false)];
    assert!(decide(&pods, None, at(0)).sentence(&pods).is_some_and(|text| text.contains("leave one")));
}

#[test]
fn the_reason_names_a_few_pods_and_counts_the_rest() {
    let mut pods: Vec<_> = (0..5).map(|n| DrainPod { deletion: Some(at(9)), ..pod(&format!("p{n}")) }).collect();
    pods.push(DrainPod { protected: Protected::Always, ..pod("z") });
    let sentence = decide(&pods, None, at(0)).sentence(&pods).unwrap_or_default();
    assert!(sentence.starts_with("pod `app/z` has the annotation"), "{sentence}");
    assert!(sentence.ends_with("; and 3 more"), "{sentence}");
}

#[test]
fn extreme_times_do_no_harm() {
    let pods =
        [DrainPod { grace: i64::MAX, ..pod("a") }, DrainPod { grace: -5, deletion: Some(Timestamp::MAX), ..pod("b") }];
    let drain = decide(&pods, Some(Timestamp::MIN), Timestamp::MAX);
    assert_eq!(drain.left, 1, "the other one is given up");
    decide(&pods, Some(Timestamp::MAX), Timestamp::MIN);
}
