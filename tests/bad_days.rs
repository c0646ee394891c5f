//! What goes wrong in a real account: throttling, lost answers, slow roles, missing rights, quotas,
//! names that are taken, two runs at once, a user who changes their mind.

mod support;

use std::process::Command;

use sandbox::{FailOnce, Kind, Weather};
use support::{Rig, example, text};

#[test]
fn throttling_server_errors_and_lost_answers_are_lived_through() {
    let rig = Rig::start();
    let stack = rig.stack(&example("shop.yaml"));
    for seed in [1, 2] {
        rig.weather(&Weather { throttled: 0.10, server_error: 0.05, lost_answer: 0.05, seed, ..Weather::default() });
        rig.apply(&stack);
        rig.expect_empty_plan(&stack);
        rig.destroy(&stack);
    }
}

#[test]
fn roles_that_are_believed_late_are_waited_for() {
    let rig = Rig::start_in(Weather { role_delay_seconds: 10.0, ..Weather::default() });
    let stack = rig.stack(&example("minimal.yaml"));
    rig.apply(&stack);
    rig.weather(&Weather::default());
    rig.expect_empty_plan(&stack);
    rig.destroy(&stack);
}

#[test]
fn expired_credentials_are_one_message_and_bad_input() {
    let rig = Rig::start_in(Weather { expired: true, ..Weather::default() });
    let stack = rig.stack(&example("minimal.yaml"));
    let ran = rig.eksup(&["plan", text(&stack)]).expect(3);
    assert!(ran.stderr.contains("no usable AWS credentials"), "{}", ran.stderr);
    assert!(ran.stderr.contains("aws sso login"), "{}", ran.stderr);
}

#[test]
fn missing_credentials_are_one_message_and_bad_input() {
    let rig = Rig::start();
    let stack = rig.stack(&example("minimal.yaml"));
    let mut command = rig.command(&["apply", "--yes", text(&stack)]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let output = command.output().expect("eksup runs");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no usable AWS credentials"), "{said}");
    rig.expect_nothing_left();
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_one_message() {
    let rig = Rig::start();
    let stack = rig.stack(&example("minimal.yaml"));
    // Port 9 of this machine: nobody listens there.
    let output = rig.command(&["plan", text(&stack)]).env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").output();
    let output = output.expect("eksup runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
}

#[test]
fn a_denied_action_names_the_statement_that_is_missing_and_the_rest_is_finished() {
    let rig = Rig::start_in(Weather { deny: vec!["iam:CreateRole".to_owned()], ..Weather::default() });
    let stack = rig.stack(&example("minimal.yaml"));
    let ran = rig.eksup(&["apply", "--yes", text(&stack)]).expect(1);
    assert!(ran.stderr.contains(r#""Action": "iam:CreateRole""#), "{}", ran.stderr);
    let standing = rig.inventory();
    assert!(standing.keys().any(|kind| kind.contains("nat")), "the network does not wait for a role: {standing:?}");
    rig.weather(&Weather::default());
    rig.apply(&stack);
    rig.expect_empty_plan(&stack);
    rig.destroy(&stack);
}

#[test]
fn a_quota_that_is_used_up_is_said_before_anything_is_made() {
    let quotas = [("L-F678F1CE".to_owned(), 1.0)].into();
    let rig = Rig::start_in(Weather { quotas, ..Weather::default() });
    let stack = rig.stack(&example("minimal.yaml"));
    let ran = rig.eksup(&["apply", "--yes", text(&stack)]).expect(1);
    assert!(ran.stderr.to_lowercase().contains("quota"), "{}", ran.stderr);
    rig.expect_nothing_left();
}

#[test]
fn a_resource_that_fails_stops_what_needs_it_and_the_next_run_goes_on() {
    let fail = FailOnce {
        call: "ec2:CreateNatGateway".to_owned(),
        code: "InvalidParameterValue".to_owned(),
        message: "the sandbox does not like it".to_owned(),
        status: 400,
    };
    let rig = Rig::start_in(Weather { fail: vec![fail], ..Weather::default() });
    let stack = rig.stack(&example("minimal.yaml"));
    let ran = rig.eksup(&["apply", "--yes", text(&stack)]).expect(1);
    assert!(ran.stderr.contains("the sandbox does not like it"), "{}", ran.stderr);
    assert!(
        rig.inventory().keys().any(|kind| kind.contains("cluster")),
        "the cluster does not wait for the NAT gateway"
    );
    rig.apply(&stack);
    rig.expect_empty_plan(&stack);
    rig.destroy(&stack);
}

#[test]
fn two_applies_at_once_are_refused_with_who_runs_since_when() {
    let rig = Rig::start_in(Weather::default().takes(Kind::Cluster, 5.0));
    let stack = rig.stack(&example("minimal.yaml"));
    let mut first = rig.spawn(&["apply", "--yes", text(&stack)]);
    until(|| rig.cloud.calls().is_ok_and(|calls| calls.iter().any(|call| call.action == "PutParameter")));
    let second = rig.eksup(&["apply", "--yes", text(&stack)]).expect(1);
    assert!(second.stderr.contains("another `eksup apply` of `minimal` is running since"), "{}", second.stderr);
    assert!(first.wait().expect("the first apply").success());
    rig.destroy(&stack);
}

#[test]
fn the_first_interrupt_stops_at_a_safe_point_and_the_next_run_goes_on() {
    let rig = Rig::start_in(Weather::default().takes(Kind::Cluster, 30.0));
    let stack = rig.stack(&example("minimal.yaml"));
    let child = rig.spawn(&["apply", "--yes", text(&stack)]);
    until(|| rig.cloud.calls().is_ok_and(|calls| calls.iter().any(|call| call.action == "CreateCluster")));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    let output = child.wait_with_output().expect("the apply");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("goes on from there"), "{said}");
    rig.weather(&Weather::default());
    rig.apply(&stack);
    rig.expect_empty_plan(&stack);
    rig.destroy(&stack);
}

#[test]
fn a_protected_database_stops_destroy_before_the_first_deletion() {
    let rig = Rig::start();
    let stack = rig.stack(&example("shop.yaml").replace("deletionProtection: false", "deletionProtection: true"));
    rig.apply(&stack);
    let before = rig.counts();
    let ran = rig.eksup(&["destroy", "--yes", text(&stack)]).expect(1);
    assert!(ran.stderr.contains("deletion"), "{}", ran.stderr);
    assert_eq!(rig.counts(), before, "nothing is deleted");
}

/// Waits until `holds`, for at most a minute.
fn until(holds: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed().as_secs() < 60, "it did not happen");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
