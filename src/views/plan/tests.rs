//! What plans look like.

use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::json;

use super::{plan_json, plan_markdown, plan_text};
use crate::plan::{Action, Change, Mark, Plan, Purpose, Round, State, TagChange};
use crate::views::Style;
use crate::views::testing::{create, plan, plan_of, standing};

/// Every action, mark and form of difference.
fn rich() -> Plan {
    plan_of(vec![
        standing("network/vpc", "vpc", Action::Keep, "vpc-0a1", json!({ "cidr": "10.0.0.0/16" })),
        create(
            "network/subnet/public/ap-northeast-2a",
            "subnet",
            json!({ "vpc": "${output:network/vpc#id}", "cidr": "10.0.1.0/24", "zone": "ap-northeast-2a" }),
        ),
        retagged(),
        create(
            "database/instance",
            "db-instance",
            json!({ "engine": "mariadb", "version": "10.11", "instanceClass": "db.t3.small", "storage": 20, "password": "hunter2" }),
        ),
        cluster(),
        coming_up(),
        replaced_group(),
        standing(
            "nodes/group/old",
            "node-group",
            Action::Delete,
            "old",
            json!({ "instanceTypes": ["m5.large"], "min": 1, "max": 4 }),
        )
        .with_mark(Mark::Outage("pods on its nodes are evicted".into())),
        changed_role(),
        standing("interruption/queue", "queue", Action::Delete, "shop-interruption", json!({}))
            .with_mark(Mark::DataLoss("messages in the queue".into())),
    ])
}

fn retagged() -> Change {
    let mut change = standing("network/gateway", "internet-gateway", Action::Update, "igw-0b2", json!({}));
    change.tags = TagChange {
        set: [("team", "api"), ("cost", "7"), ("eksup.dev/tag-keys", "cost team")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        unset: vec!["owner".to_owned()],
    };
    change
}

fn cluster() -> Change {
    standing(
        "cluster/cluster",
        "cluster",
        Action::Update,
        "shop",
        json!({ "version": "1.34", "publicCidrs": ["0.0.0.0/0"] }),
    )
    .with_field("version", json!("1.34"), json!("1.35"))
    .with_field("publicCidrs", json!(["0.0.0.0/0", "198.51.100.0/24"]), json!(["203.0.113.0/24", "198.51.100.0/24"]))
    .with_mark(Mark::OneWay("Kubernetes cannot go back from 1.35 to 1.34".into()))
    .with_mark(Mark::Outage("nodes outside 203.0.113.0/24 lose the public endpoint".into()))
}

fn coming_up() -> Change {
    let mut change = standing("addons/coredns", "addon", Action::Await, "coredns", json!({}));
    if let Some(before) = &mut change.before {
        before.state = State::Changing("CREATING".into());
    }
    change
}

fn replaced_group() -> Change {
    let mut change = standing(
        "nodes/group/system",
        "node-group",
        Action::Replace,
        "system-3f9a",
        json!({ "instanceTypes": ["t3.medium"], "min": 2, "max": 3, "userData": "x" }),
    )
    .with_field("instanceTypes", json!(["t3.medium"]), json!(["t3.large"]))
    .with_field("joinToken", json!("hunter2"), json!("hunter22"))
    .with_field(
        "userData",
        json!("#!/bin/sh\n".repeat(40)),
        json!(format!("#!/bin/sh\n{}", "${output:cluster/cluster#ca}".repeat(40))),
    );
    change.reason = Some("it has failed: NodeCreationFailure: instances failed to join the kubernetes cluster".into());
    change
}

fn changed_role() -> Change {
    let policy = |actions: &[&str], resource: &str| json!({ "Statement": [{ "Sid": "Queue", "Effect": "Allow", "Action": actions, "Resource": resource }] });
    standing("identity/role/autoscaler", "role", Action::Update, "eksup-shop-autoscaler", json!({}))
        .with_field(
            "inlinePolicies",
            json!({ "main": policy(&["sqs:ReceiveMessage"], "arn:aws:sqs:ap-northeast-2:111122223333:shop") }),
            json!({ "main": policy(&["sqs:ReceiveMessage", "sqs:DeleteMessage"], "${output:interruption/queue#arn}") }),
        )
        .with_field(
            "description",
            json!(
                "of the autoscaler of a stack that had a very long description before it was changed to a shorter one"
            ),
            json!("the autoscaler"),
        )
}

fn upgrade() -> Plan {
    let round =
        |version: &str, before: &str| Round {
            title: Some(format!("Kubernetes {version}")),
            changes: vec![
                standing("network/vpc", "vpc", Action::Keep, "vpc-0a1", json!({})),
                standing("cluster/cluster", "cluster", Action::Update, "shop", json!({ "version": before }))
                    .with_field("version", json!(before), json!(version)),
            ],
        };
    plan(Purpose::Apply, vec![round("1.34", "1.33"), round("1.35", "1.34")])
}

#[test]
fn a_plan_names_every_change_by_phase_and_repeats_the_marks() {
    assert_snapshot!(plan_text(&rich(), Style::plain(120)));
}

#[test]
fn a_plan_fits_a_narrow_terminal() {
    let text = plan_text(&rich(), Style::plain(64));
    assert_snapshot!(text);
    let too_long: Vec<&str> = text.lines().filter(|line| console::measure_text_width(line) > 76).collect();
    assert!(too_long.is_empty(), "only addresses and ids may stick out: {too_long:#?}");
}

#[test]
fn colour_adds_nothing_but_colour() {
    let colour = plan_text(&rich(), Style { width: 120, colour: true });
    assert_ne!(colour, plan_text(&rich(), Style::plain(120)));
    assert_eq!(console::strip_ansi_codes(&colour), plan_text(&rich(), Style::plain(120)));
}

#[test]
fn no_form_of_a_plan_shows_a_password() {
    let plan = rich();
    for text in [plan_text(&plan, Style::plain(400)), plan_json(&plan).to_string(), plan_markdown(&plan)] {
        assert!(!text.contains("hunter2"), "{}", text.len());
    }
}

#[test]
fn an_empty_plan_is_one_sentence() {
    let keep = |name: &str| standing(name, "vpc", Action::Keep, "vpc-1", json!({}));
    assert_eq!(
        plan_text(&plan_of(vec![keep("network/a"), keep("network/b")]), Style::plain(80)),
        "No changes: the cloud is as the file says (2 resources).\n"
    );
    assert_eq!(
        plan_text(&plan(Purpose::Destroy, Vec::new()), Style::plain(80)),
        "Nothing to delete: there is nothing of stack `shop` in ap-northeast-2.\n"
    );
}

#[test]
fn rounds_have_titles_and_what_no_round_touches_counts_once() {
    assert_snapshot!(plan_text(&upgrade(), Style::plain(100)));
}

#[test]
fn a_plan_for_programs_has_terraforms_changes() {
    let mut document = plan_json(&rich());
    document["rounds"] = json!("as they are saved");
    document["fingerprint"] = json!("of the cloud");
    assert_json_snapshot!(document);
}

#[test]
fn a_plan_for_programs_is_still_a_plan() {
    let plan: Result<Plan, _> = serde_json::from_value(plan_json(&upgrade()));
    assert_eq!(plan.map(|plan| plan.rounds.len()).ok(), Some(2));
}

#[test]
fn in_rounds_a_change_says_to_which_one_it_belongs() {
    let document = plan_json(&upgrade());
    let rounds: Vec<_> =
        document["resource_changes"].as_array().into_iter().flatten().map(|change| &change["round"]).collect();
    assert_eq!(rounds, [1, 1, 2, 2]);
    assert_eq!(document["summary"]["keep"], 1);
}

#[test]
fn a_plan_in_a_pull_request_folds_its_phases() {
    assert_snapshot!(plan_markdown(&rich()));
}

#[test]
fn a_fence_in_a_value_does_not_end_the_block() {
    let change = standing("network/vpc", "vpc", Action::Update, "vpc-1", json!({})).with_field(
        "name",
        json!("a"),
        json!("``` <script>"),
    );
    assert!(plan_markdown(&plan_of(vec![change])).contains("\n````diff\n"));
}

#[test]
fn a_plan_too_long_for_a_comment_is_cut_at_a_phase() {
    let many = |phase: &str| {
        (0..900)
            .map(|at| create(&format!("{phase}/subnet/{at}"), "subnet", json!({ "cidr": "10.0.0.0/24" })))
            .collect::<Vec<_>>()
    };
    let text = plan_markdown(&plan_of(many("network").into_iter().chain(many("nodes")).collect()));
    assert!(text.len() < 65_536, "{}", text.len());
    assert!(text.contains("<b>nodes</b>: 900 to create; too long to be shown here"), "{}", text.len());
}
