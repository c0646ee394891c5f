//! The example shop whole: AWS, the cluster, its add-ons and the app in it.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::KubernetesRequest;
use serde_json::json;

use crate::stage::{Stage, until};
use crate::support::whole_example;

/// Requests that depend on each other never overlap; others may happen not to, the more so the busier the machine: 17 are
/// usual, 23 were seen. Were each made alone, there would be more than seventy.
const MOST_IN_A_ROW: usize = 30;

#[test]
fn the_shop_lives_whole_and_a_plan_of_it_asks_little() {
    let stage = Stage::set(&whole_example("shop.yaml"));
    stage.rig.cloud.clear_kubernetes_requests().expect("a log");
    stage.apply();
    the_rights_of_the_controllers_are_enough_and_none_is_given_by_accident(&stage);
    let plans: Vec<Vec<KubernetesRequest>> = (0..3).map(|_| requests_of_a_plan(&stage)).collect();
    for plan in &plans {
        nothing_is_asked_twice(plan);
    }
    let in_a_row = plans.iter().map(|plan| longest_row(plan)).min();
    assert!(in_a_row <= Some(MOST_IN_A_ROW), "{in_a_row:?} requests one after the other: {:#?}", plans[0]);
    stage.rig.cloud.clear_kubernetes_requests().expect("a log");
    stage.apply();
    let changes = eksups(&stage).into_iter().filter(|request| request.mutating).count();
    assert_eq!(changes, 0, "an apply with nothing to do changes nothing");
    stage.destroy();
}

/// The requests of an empty plan.
fn requests_of_a_plan(stage: &Stage) -> Vec<KubernetesRequest> {
    stage.rig.cloud.clear_kubernetes_requests().expect("a log");
    stage.expect_empty_plan();
    eksups(stage)
}

fn eksups(stage: &Stage) -> Vec<KubernetesRequest> {
    let all = stage.rig.cloud.kubernetes_requests().expect("a log");
    all.into_iter().filter(|request| request.user_agent.starts_with("eksup/")).collect()
}

/// One list for each kind, one dry run for each object, and of gets the set's parent and one for each group of kinds that
/// are not Kubernetes' own.
fn nothing_is_asked_twice(plan: &[KubernetesRequest]) {
    let count = |wanted: &dyn Fn(&KubernetesRequest) -> bool| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for request in plan.iter().filter(|request| wanted(request)) {
            let path = request.uri.split('?').next().unwrap_or_default();
            *counts.entry(path.to_owned()).or_default() += 1;
        }
        counts
    };
    let lists = count(&|request| request.verb == "list");
    let tries = count(&|request| request.dry_run);
    let others = count(&|request| request.verb != "list" && !request.dry_run);
    for (path, times) in lists.iter().chain(&tries).chain(&others) {
        assert_eq!(*times, 1, "{path} is asked for {times} times: {plan:#?}");
    }
    assert!(tries.len() > 30 && lists.len() > 12, "{} dry runs, {} lists", tries.len(), lists.len());
    assert!(others.len() <= 5, "{others:#?}");
}

/// How many requests come one after the other, each beginning when the one before has ended.
fn longest_row(plan: &[KubernetesRequest]) -> usize {
    let mut spans: Vec<(f64, f64)> = plan.iter().map(|one| (one.time, one.time + one.ms / 1000.0)).collect();
    spans.sort_by(|one, other| one.1.total_cmp(&other.1));
    let row = spans.into_iter().fold(
        (0, f64::NEG_INFINITY),
        |(row, end), (from, to)| {
            if from >= end { (row + 1, to) } else { (row, end) }
        },
    );
    row.0
}

/// What a service account of a controller was refused.
fn refused(stage: &Stage, who: &str) -> BTreeSet<String> {
    let all = stage.rig.cloud.kubernetes_requests().expect("a log");
    let account = format!("system:serviceaccount:kube-system:{who}");
    let refused = all.iter().filter(|request| request.user == account && request.status == 403);
    refused.map(|request| format!("{} {}", request.verb, request.resource)).collect()
}

/// The controllers run as processes with the rights of their own rules, which the API server enforces: nothing that they
/// do is refused, and what is taken from them is missed, seen as drift and given back.
fn the_rights_of_the_controllers_are_enough_and_none_is_given_by_accident(stage: &Stage) {
    const ROLE: &str =
        "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/aws-load-balancer-controller-leader-election";
    for who in ["metrics-server", "aws-load-balancer-controller"] {
        assert_eq!(refused(stage, who), BTreeSet::new(), "{who} may not do what it has to");
    }
    let somebody = stage.somebody_in("shop");
    somebody.changes(
        ROLE,
        "kubectl-edit",
        &json!({ "rules": [
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get"] }] }),
    );
    until("a refusal", || {
        let missed = refused(stage, "aws-load-balancer-controller");
        missed.iter().any(|what| what.ends_with("leases")).then_some(())
    });
    let plan = stage.plan();
    assert!(plan.contains("role/kube-system/aws-load-balancer-controller-leader-election"), "{plan}");
    stage.apply();
    stage.expect_empty_plan();
}
