//! Tests of reading messages.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn event(source: &str, kind: &str, detail: &Value) -> String {
    json!({
        "version": "0", "id": "1f2e", "account": "111122223333", "region": "eu-west-1",
        "time": "2026-03-01T10:00:00Z", "source": source, "detail-type": kind,
        "resources": ["arn:aws:ec2:eu-west-1:111122223333:instance/i-0a1"], "detail": detail,
    })
    .to_string()
}

fn ec2(kind: &str, detail: &Value) -> Message {
    read(&event("aws.ec2", kind, detail))
}

fn health(detail: &Value) -> Message {
    read(&event("aws.health", "AWS Health Event", detail))
}

fn notice(message: Message) -> Notice {
    match message {
        Message::Notice(notice) => notice,
        other => panic!("no notice: {other:?}"),
    }
}

#[test]
fn each_of_the_five_kinds_is_read() {
    let instance = json!({ "instance-id": "i-0a1", "instance-action": "terminate" });
    let spot = notice(ec2("EC2 Spot Instance Interruption Warning", &instance));
    assert_eq!(spot.instances, ["i-0a1"]);
    assert_eq!(spot.kind, Kind::SpotInterruption);
    assert_eq!(spot.time, "2026-03-01T10:00:00Z".parse().ok());
    assert_eq!(notice(ec2("EC2 Instance Rebalance Recommendation", &instance)).kind, Kind::Rebalance);
    let reservation = ec2("EC2 Capacity Reservation Instance Interruption Warning", &instance);
    assert_eq!(notice(reservation).kind, Kind::ReservationInterruption);
    let states = [
        ("stopping", State::Stopping),
        ("stopped", State::Stopped),
        ("shutting-down", State::ShuttingDown),
        ("terminated", State::Terminated),
    ];
    for (text, state) in states {
        let changed = ec2("EC2 Instance State-change Notification", &json!({ "instance-id": "i-0a1", "state": text }));
        assert_eq!(notice(changed).kind, Kind::StateChange(state));
    }
    let scheduled = health(&json!({
        "service": "EC2", "eventTypeCategory": "scheduledChange", "eventTypeCode": "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
        "affectedEntities": [{ "entityValue": "i-0a1" }, { "entityValue": "i-0b2", "lastUpdatedTime": 5 }],
    }));
    let scheduled = notice(scheduled);
    assert_eq!(scheduled.instances, ["i-0a1", "i-0b2"]);
    assert_eq!(scheduled.kind.label(), "scheduled_change");
}

#[test]
fn what_means_nothing_here_is_ignored() {
    let instance = json!({ "instance-id": "i-0a1", "state": "running" });
    for message in [
        ec2("EC2 Instance State-change Notification", &instance),
        ec2("EC2 Instance State-change Notification", &json!({ "instance-id": "i-0a1" })),
        ec2("EC2 Fleet State Change", &json!("anything")),
        read(&event("aws.s3", "EC2 Spot Instance Interruption Warning", &instance)),
        read(&event("aws.ec2", "EC2 Spot Instance Interruption Warning", &instance).replace("\"0\"", "\"7\"")),
        health(&json!({ "service": "RDS", "eventTypeCategory": "scheduledChange" })),
        health(
            &json!({ "service": "EC2", "eventTypeCategory": "issue", "affectedEntities": [{ "entityValue": "i-1" }] }),
        ),
        health(&json!({ "service": "EC2", "eventTypeCategory": "scheduledChange" })),
        read("{}"),
    ] {
        assert_eq!(message, Message::Ignored);
    }
}

#[test]
fn what_cannot_be_read_is_broken_and_says_why() {
    let deep = "[".repeat(100_000);
    for body in ["", "null", "7", "\"text\"", "{", "{\"version\": 0}", deep.as_str()] {
        assert!(matches!(read(body), Message::Broken(_)), "{}", &body[..body.len().min(40)]);
    }
    for detail in [json!({}), json!(null), json!([]), json!({ "instance-id": 7 }), json!("i-0a1")] {
        let Message::Broken(reason) = ec2("EC2 Spot Instance Interruption Warning", &detail) else {
            panic!("{detail} was read");
        };
        assert!(reason.contains("detail"), "{reason}");
    }
    assert!(matches!(health(&json!({ "affectedEntities": [{}] })), Message::Broken(_)));
}

/// Events that are nearly right: the keys are, the values may be anything.
fn nearly() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("i-0a1")),
        Just(json!("terminated")),
        Just(json!("EC2")),
        Just(json!("scheduledChange")),
    ];
    let key = prop_oneof![
        Just("instance-id".to_owned()),
        Just("state".to_owned()),
        Just("service".to_owned()),
        Just("eventTypeCategory".to_owned()),
        Just("affectedEntities".to_owned()),
        Just("entityValue".to_owned()),
        ".{0,8}",
    ];
    let value = leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    });
    let kinds = prop_oneof![
        Just(("aws.ec2", "EC2 Spot Instance Interruption Warning")),
        Just(("aws.ec2", "EC2 Instance State-change Notification")),
        Just(("aws.health", "AWS Health Event")),
        Just(("aws.ec2", "Something else")),
    ];
    (kinds, value).prop_map(|((source, kind), detail)| event(source, kind, &detail))
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(body in ".{0,300}") {
        let label = read(&body).label();
        prop_assert!(!label.is_empty());
    }

    #[test]
    fn nearly_right_events_never_panic_and_a_notice_names_instances(body in nearly()) {
        if let Message::Notice(notice) = read(&body) {
            prop_assert!(!notice.instances.is_empty());
        }
    }

    #[test]
    fn an_event_cut_anywhere_is_broken(at in 0_usize..300) {
        let whole = event("aws.ec2", "EC2 Spot Instance Interruption Warning", &json!({ "instance-id": "i-0a1" }));
        if at < whole.len() {
            prop_assert!(matches!(read(&whole[..at]), Message::Broken(_)));
        }
    }
}
