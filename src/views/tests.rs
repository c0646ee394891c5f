//! What runs look like: recorded events, played to each view.

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressDrawTarget;
use insta::assert_snapshot;
use jiff::tz::TimeZone;
use serde_json::json;

use super::closing;
use super::screen::{Fixed, Screen};
use super::testing::{Paper, at, commands, create, finished, plan_of, retrying, started, timed, waiting};
use super::{Json, Lines, Style, Terminal, View, report};
use crate::aws::{Class, CloudError};
use crate::engine::{Ending, Event, Failure, Timed, Verb};
use crate::plan::{Kept, Observed, Problem, Purpose, State, Tags};

fn lines(events: &[Timed]) -> String {
    let paper = Paper::default();
    let mut view = Lines::in_zone(Box::new(paper.clone()), commands(), TimeZone::UTC);
    events.iter().for_each(|timed| view.take(timed));
    view.finish();
    paper.text()
}

fn ending(ending: Ending, seconds: u64) -> Event {
    Event::RunFinished { ending, took: Duration::from_secs(seconds) }
}

const SMALL: &[(&str, Verb, &[usize])] = &[
    ("network/vpc", Verb::Create, &[]),
    ("network/gateway", Verb::Update, &[]),
    ("cluster/cluster", Verb::Create, &[0]),
    ("nodes/group/system", Verb::Create, &[2]),
    ("addons/coredns", Verb::Create, &[3]),
];

fn good_run() -> Vec<Timed> {
    vec![
        timed(0, Event::Observing { stack: "shop".into(), region: "ap-northeast-2".into() }),
        timed(400, Event::Observed { resources: 1 }),
        timed(900, started(Purpose::Apply, SMALL)),
        timed(900, Event::Started { number: 0 }),
        timed(900, Event::Started { number: 1 }),
        timed(1_000, finished(1, "igw-0b2")),
        timed(1_240, finished(0, "vpc-0a1")),
        timed(1_250, Event::Started { number: 2 }),
        timed(1_500, waiting(2, "status is CREATING")),
        timed(20_000, finished(2, "shop")),
        timed(20_000, Event::Started { number: 3 }),
        timed(24_000, finished(3, "system-3f9a")),
        timed(24_000, Event::Started { number: 4 }),
        timed(24_050, finished(4, "coredns")),
        timed(24_100, ending(Ending::Done, 23)),
    ]
}

fn failing_run() -> Vec<Timed> {
    let failed = Event::Failed {
        number: 2,
        why: "`eks:CreateCluster` failed: not authorized (AccessDeniedException)".into(),
        help: Some(
            "the credentials need this statement:\n{ \"Effect\": \"Allow\", \"Action\": \"eks:CreateCluster\" }".into(),
        ),
    };
    let because = Some("cluster/cluster".into());
    vec![
        timed(0, started(Purpose::Apply, SMALL)),
        timed(0, Event::Started { number: 0 }),
        timed(0, Event::Started { number: 1 }),
        timed(300, finished(0, "vpc-0a1")),
        timed(310, Event::Started { number: 2 }),
        timed(900, failed),
        timed(1_000, finished(1, "igw-0b2")),
        timed(1_000, Event::Skipped { number: 3, because: because.clone() }),
        timed(1_000, Event::Skipped { number: 4, because }),
        timed(1_010, ending(Ending::Failed, 1)),
    ]
}

fn stopped_run() -> Vec<Timed> {
    vec![
        timed(0, started(Purpose::Apply, SMALL)),
        timed(0, Event::Started { number: 0 }),
        timed(0, Event::Started { number: 1 }),
        timed(300, finished(0, "vpc-0a1")),
        timed(310, finished(1, "igw-0b2")),
        timed(310, Event::Started { number: 2 }),
        timed(1_000, waiting(2, "status is CREATING")),
        timed(4_000, Event::Stopping),
        timed(4_010, Event::Skipped { number: 2, because: None }),
        timed(4_010, Event::Skipped { number: 3, because: None }),
        timed(4_010, Event::Skipped { number: 4, because: None }),
        timed(4_020, ending(Ending::Stopped, 4)),
    ]
}

/// A cluster that takes 20 minutes and is asked every few seconds.
fn long_wait() -> Vec<Timed> {
    let mut events = vec![
        timed(0, started(Purpose::Apply, &[("cluster/cluster", Verb::Create, &[])])),
        timed(0, Event::Started { number: 0 }),
    ];
    events.extend((1..300).map(|step| {
        let why = if step < 200 { "status is CREATING" } else { "status is CREATING: subnet-1 has no free address" };
        timed(step * 4_000, waiting(0, why))
    }));
    events.push(timed(1_200_000, finished(0, "shop")));
    events.push(timed(1_200_100, ending(Ending::Done, 1_200)));
    events
}

#[test]
fn a_good_run_is_one_line_for_each_resource_and_an_ending() {
    assert_snapshot!(lines(&good_run()));
}

#[test]
fn a_failure_is_said_with_its_help_and_with_what_waits_behind_it() {
    assert_snapshot!(lines(&failing_run()));
}

#[test]
fn a_stopped_run_says_what_is_on_its_way_and_how_to_go_on() {
    assert_snapshot!(lines(&stopped_run()));
}

#[test]
fn a_long_wait_is_repeated_at_growing_intervals_and_when_its_reason_changes() {
    assert_snapshot!(lines(&long_wait()));
}

#[test]
fn a_wait_without_events_is_said_at_ticks() {
    let paper = Paper::default();
    let mut view = Lines::in_zone(Box::new(paper.clone()), commands(), TimeZone::UTC);
    view.take(&timed(0, started(Purpose::Apply, &[("nodes/group/system", Verb::Update, &[])])));
    view.take(&timed(0, Event::Started { number: 0 }));
    (0..60).for_each(|second| view.tick(at(second * 1_000)));
    assert_snapshot!(paper.text());
}

#[test]
fn tries_are_said_only_when_they_drag() {
    let events = [
        timed(0, started(Purpose::Apply, &[("network/vpc", Verb::Create, &[]), ("identity/role", Verb::Create, &[])])),
        timed(0, Event::Started { number: 0 }),
        timed(0, Event::Started { number: 1 }),
        timed(100, retrying(0, "`ec2:CreateVpc` failed: slow down (RequestLimitExceeded)")),
        timed(200, retrying(0, "`ec2:CreateVpc` failed: slow down (RequestLimitExceeded)")),
        timed(300, finished(0, "vpc-0a1")),
        timed(300, retrying(1, "the role is not believed yet")),
        timed(600, retrying(1, "the role is not believed yet")),
        timed(900, retrying(1, "the role is not believed yet")),
        timed(1_200, retrying(1, "the role is not believed yet")),
        timed(5_000, finished(1, "shop-node")),
        timed(5_000, ending(Ending::Done, 5)),
    ];
    assert_snapshot!(lines(&events));
}

#[test]
fn a_replacement_counts_once_and_rounds_add_up() {
    let round = |title: &str, operations: &[(&str, Verb, &[usize])]| match started(Purpose::Apply, operations) {
        Event::RunStarted { purpose, stack, operations, .. } => {
            Event::RunStarted { purpose, stack, round: Some(title.to_owned()), operations }
        }
        event => event,
    };
    let both: &[(&str, Verb, &[usize])] =
        &[("nodes/group/a", Verb::Delete, &[1]), ("nodes/group/a", Verb::Create, &[])];
    let events = [
        timed(0, round("Kubernetes 1.34", &[("cluster/cluster", Verb::Update, &[])])),
        timed(0, Event::Started { number: 0 }),
        timed(9_000, finished(0, "shop")),
        timed(9_000, round("Kubernetes 1.35", both)),
        timed(9_000, Event::Started { number: 1 }),
        timed(9_500, finished(1, "a-2")),
        timed(9_500, Event::Started { number: 0 }),
        timed(9_900, finished(0, "a-1")),
        timed(9_900, ending(Ending::Done, 10)),
    ];
    assert_snapshot!(lines(&events));
}

#[test]
fn an_event_out_of_order_is_said_all_the_same_and_breaks_nothing() {
    let events = [
        timed(0, finished(7, "vpc-1")),
        timed(0, started(Purpose::Destroy, &[("network/vpc", Verb::Delete, &[])])),
        timed(0, finished(0, "vpc-1")),
        timed(0, Event::Started { number: 99 }),
        timed(0, waiting(99, "x")),
        timed(0, ending(Ending::Done, 0)),
        timed(0, Event::Sweeping),
    ];
    assert_snapshot!(lines(&events));
}

#[test]
fn every_event_is_one_line_of_json() {
    let paper = Paper::default();
    let mut view = Json::new(Box::new(paper.clone()));
    failing_run().iter().for_each(|timed| view.take(timed));
    view.finish();
    let text = paper.text();
    assert_eq!(text.lines().count(), failing_run().len());
    for line in text.lines() {
        let event: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(event.is_ok_and(|event| event["time"].is_string() && event["event"].is_string()), "{line}");
    }
    assert_snapshot!(text.lines().nth(5).unwrap_or_default());
}

#[test]
fn the_terminal_shows_what_runs_and_why_it_waits_and_what_is_next() {
    let mut screen = Screen::new(16, 96);
    for timed in good_run().iter().take(9) {
        screen.take(timed);
    }
    screen.at(62_000);
    assert_snapshot!(screen.contents());
}

#[test]
fn the_terminal_ends_with_the_lines_closing_sentence_and_nothing_below() {
    let mut screen = Screen::new(16, 96);
    good_run().iter().for_each(|timed| screen.take(timed));
    screen.finish();
    assert_snapshot!(screen.contents());
    let log = lines(&good_run());
    let closing = log.lines().last().and_then(|line| line.split_once(' ')).map(|(_, text)| text);
    assert_eq!(screen.contents().lines().last(), closing);
    assert_eq!(screen.column(), 0, "the shell's prompt begins a line");
}

#[test]
fn the_terminal_scrolls_a_failure_with_its_help() {
    let mut screen = Screen::new(20, 96);
    failing_run().iter().for_each(|timed| screen.take(timed));
    screen.finish();
    assert_snapshot!(screen.contents());
}

#[test]
fn what_does_not_fit_a_small_terminal_is_counted() {
    let addresses: Vec<String> = (0..30).map(|at| format!("network/subnet/private/number-{at}")).collect();
    let operations: Vec<(&str, Verb, &[usize])> =
        addresses.iter().map(|address| (address.as_str(), Verb::Create, &[] as &[usize])).collect();
    let mut screen = Screen::new(9, 48);
    screen.take(&timed(0, started(Purpose::Apply, &operations)));
    (0..20).for_each(|number| screen.take(&timed(number as u64, Event::Started { number })));
    (0..3).for_each(|number| screen.take(&timed(500, finished(number, "subnet-1"))));
    screen.at(3_000);
    assert_snapshot!(screen.contents());
}

#[test]
fn the_board_follows_when_the_terminal_is_resized() {
    let mut screen = Screen::new(12, 96);
    good_run().iter().take(9).for_each(|timed| screen.take(timed));
    screen.resize(12, 50);
    screen.at(3_000);
    let contents = screen.contents();
    assert!(contents.contains("cluster/cluster"), "{contents}");
    assert!(contents.lines().all(|line| console::measure_text_width(line) <= 50), "{contents}");
}

#[test]
fn where_there_is_no_terminal_nothing_breaks() {
    let paper = Paper::default();
    let surface = Arc::new(Fixed::new(10, 80));
    let mut view = Terminal::new(ProgressDrawTarget::hidden(), Box::new(paper.clone()), surface, commands());
    good_run().iter().for_each(|timed| view.take(timed));
    view.finish();
    assert!(paper.text().contains("✓ network/vpc created vpc-0a1"), "{}", paper.text());
}

#[tokio::test]
async fn a_view_is_fed_until_everyone_has_gone() {
    let paper = Paper::default();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let driving = tokio::spawn(super::drive(receiver, Box::new(Json::new(Box::new(paper.clone())))));
    for timed in good_run() {
        assert!(sender.send(timed).is_ok());
    }
    drop(sender);
    assert!(driving.await.is_ok());
    assert_eq!(paper.text().lines().count(), good_run().len());
}

fn left(address: &str, id: &str, state: State) -> Observed {
    Observed {
        address: address.into(),
        kind: "network-interface".to_owned(),
        body: json!({}),
        outputs: json!({ "id": id }).as_object().cloned().unwrap_or_default(),
        tags: Tags::new(),
        state,
    }
}

#[test]
fn a_destroy_ends_with_what_is_left_and_what_was_kept() {
    let took = Duration::from_secs(74);
    let kept = [Kept {
        address: "leftovers/database-snapshot/shop-final".into(),
        kind: "database-snapshot".into(),
        identity: "shop-final".into(),
        why: "it is the last of the database".into(),
        by_hand: "aws rds delete-db-snapshot --db-snapshot-identifier shop-final".into(),
    }];
    let left = [
        left("network/eni", "eni-1", State::Ready),
        left("network/eni", "eni-2", State::Failed("in use by lambda".into())),
    ];
    let texts = [
        closing::destroyed("shop", took, &[], &[], "eksup destroy"),
        closing::destroyed("shop", took, &[], &kept, "eksup destroy"),
        closing::destroyed("shop", took, &left, &kept, "eksup destroy"),
    ];
    assert_snapshot!(texts.join("\n----\n"));
}

#[test]
fn a_plan_with_changes_names_the_next_command_and_an_empty_one_does_not() {
    let change = create("network/vpc", "vpc", json!({}));
    assert_eq!(
        closing::planned(&plan_of(vec![change]), "eksup apply").as_deref(),
        Some("Next: `eksup apply` does it.")
    );
    assert_eq!(closing::planned(&plan_of(Vec::new()), "eksup apply"), None);
}

#[test]
fn a_failure_is_reported_once_with_what_why_and_what_to_do() {
    let problem = |address: &str, message: &str| Problem { address: address.into(), message: message.into() };
    let denied = CloudError {
        action: "ec2:DescribeVpcs".into(),
        advice: None,
        code: Some("UnauthorizedOperation".into()),
        message: "you are not authorized to perform this operation\u{1b}[2J".into(),
        class: Class::Denied,
    };
    let failures = [
        Failure::Cloud(denied),
        Failure::Problems(vec![problem(
            "database/instance",
            "storage cannot shrink from 50 to 20 GiB; leave it at 50",
        )]),
        Failure::Problems(vec![problem("network/vpc", "one"), problem("cluster/cluster", "two")]),
        Failure::Moved,
        Failure::WrongPlan("it was made for another account".into()),
    ];
    let reports: Vec<String> = failures.iter().filter_map(|failure| report(failure, Style::plain(80))).collect();
    assert_eq!(reports.len(), failures.len());
    assert_snapshot!(reports.join("\n"));
    for said_already in [Failure::Stopped, Failure::Operations { failed: 1, total: 5 }] {
        assert_eq!(report(&said_already, Style::plain(80)), None);
    }
}
