//! The demos, one after the other on one cloud, with the autoscaler as a real process in its pod; and that it asked for
//! nothing on the way that its roles in the cluster and in AWS do not allow.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stage::Stage;
use crate::support::text;
use eksup::phases::{self, Surroundings};
use eksup::spec;
use serde_json::Value;

/// The demos in the order in which they are told. `EKSUP_DEMO` picks one.
const DEMOS: &[&str] = &["inflate-spot", "inflate-on-demand", "scale", "consolidation", "drift", "interruption"];

/// Who the autoscaler is to the API server.
const ACCOUNT: &str = "system:serviceaccount:kube-system:eksup-autoscaler";

#[test]
fn the_demos_come_out_and_the_autoscaler_asks_for_nothing_that_it_may_not() {
    let stage = Stage::set(&quick_pools());
    stage.apply();
    stage.expect_empty_plan();
    let only = std::env::var("EKSUP_DEMO").ok();
    for demo in DEMOS.iter().filter(|demo| only.as_ref().is_none_or(|only| only == *demo)) {
        run(&stage, demo);
    }
    stage.expect_empty_plan();
    let refused = refused_in_the_cluster(&stage);
    let beyond = beyond_the_policy(&stage);
    stage.destroy();
    assert!(refused.is_empty(), "the autoscaler's roles in the cluster lack something: {refused:#?}");
    assert!(beyond.is_empty(), "the autoscaler's policies in AWS lack something: {beyond:#?}");
}

/// Whoever adds a demo adds it above.
#[test]
fn every_demo_is_a_test() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the demos")
        .filter_map(|entry| entry.ok()?.path().file_name()?.to_str()?.strip_suffix(".sh").map(str::to_owned))
        .filter(|name| name != "stage")
        .collect();
    names.sort();
    let mut known = DEMOS.to_vec();
    known.sort_unstable();
    assert_eq!(names, known);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demos")
}

/// The example with three pools, as the demos have it.
fn quick_pools() -> String {
    let script = "source tests/demos/stage.sh && demo_stack";
    let ran =
        Command::new("bash").args(["-c", script]).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("bash runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    // And what the demos leave out asks AWS for something more.
    let terms = "        capacityReservationSelectorTerms: [{ tags: { karpenter.sh/discovery: pools } }]\n";
    let before = "        metadataOptions:";
    String::from_utf8(ran.stdout).expect("text").replacen(before, &format!("{terms}{before}"), 1)
}

fn run(stage: &Stage, demo: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_eksup")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let ran = Command::new("bash")
        .arg(folder().join(format!("{demo}.sh")))
        .envs(stage.rig.cloud.environment())
        .env("PATH", format!("{}:{path}", text(program)))
        .env("DEMO_STACK", stage.path())
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "the demo `{demo}` failed:\n{}\n{}", said(&ran.stdout), said(&ran.stderr));
}

/// What the API server has refused the autoscaler for want of a right.
fn refused_in_the_cluster(stage: &Stage) -> BTreeSet<String> {
    let requests = stage.rig.cloud.kubernetes_requests().expect("the requests");
    let own = requests.iter().filter(|request| request.user == ACCOUNT);
    let (mut all, mut refused) = (0, BTreeSet::new());
    for request in own {
        all += 1;
        if request.status == 403 {
            refused.insert(format!("{} {} in `{}`", request.verb, request.resource, request.group));
        }
    }
    assert!(all > 0, "it has asked nothing: nothing is proven");
    refused
}

/// What the autoscaler has asked of AWS that its policies do not name.
fn beyond_the_policy(stage: &Stage) -> BTreeSet<String> {
    let stack = spec::read(&stage.stack).expect("the stack").stack;
    let resources = phases::resources(&stack, &Surroundings::offline(&stack));
    let role = resources.iter().find(|one| one.address.as_str() == "autoscaler/role/autoscaler").expect("a role");
    let policies = role.body["inlinePolicies"].as_object().expect("policies");
    let statements = policies.values().filter_map(|policy| policy["Statement"].as_array()).flatten();
    let allowed: BTreeSet<&str> = statements.flat_map(|statement| actions(&statement["Action"])).collect();
    let name = format!(":role/{}", role.body["name"].as_str().expect("a name"));
    let calls = stage.rig.cloud.calls().expect("the calls");
    let own: Vec<_> = calls.iter().filter(|call| call.caller.ends_with(&name)).collect();
    for action in ["CreateFleet", "DescribeCapacityReservations"] {
        assert!(own.iter().any(|call| call.action == action), "no {action}: nothing is proven");
    }
    // Who one is may be asked by everybody.
    let needed = own.iter().flat_map(|call| &call.needs).filter(|action| *action != "sts:GetCallerIdentity");
    needed.filter(|action| !allowed.contains(action.as_str())).cloned().collect()
}

fn actions(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}
