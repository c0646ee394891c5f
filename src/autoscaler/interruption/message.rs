//! What the cloud announces, as EventBridge puts it into the queue.
//!
//! Whatever a message holds, reading it ends in one of three ways and never in a panic: a notice, a message of a kind
//! that means nothing here, or a broken one with the reason.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A spot instance goes in two minutes.
    SpotInterruption,
    /// A spot instance is likelier than others to go.
    Rebalance,
    /// An instance stops or ends.
    StateChange(State),
    /// AWS has scheduled a change of the hardware; the code names it.
    Health(String),
    /// An instance on borrowed reserved capacity goes.
    ReservationInterruption,
}

/// The states in which an instance is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It stops.
    Stopping,
    /// It has stopped.
    Stopped,
    /// It ends.
    ShuttingDown,
    /// It has ended.
    Terminated,
}

/// A notice about instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it says.
    pub kind: Kind,
    /// Of which instances.
    pub instances: Vec<String>,
    /// When it was said.
    pub time: Option<Timestamp>,
}

/// How reading a message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It is a notice.
    Notice(Notice),
    /// It means nothing here.
    Ignored,
    /// It cannot be read.
    Broken(String),
}

impl Message {
    /// The name of its kind in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Notice(notice) => notice.kind.label(),
            Self::Ignored => "no_op",
            Self::Broken(_) => "broken",
        }
    }
}

impl Kind {
    /// The name of the kind in metrics, as dashboards know it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::SpotInterruption => "spot_interrupted",
            Self::Rebalance => "rebalance_recommendation",
            Self::StateChange(State::Stopping | State::Stopped) => "instance_stopping",
            Self::StateChange(State::ShuttingDown | State::Terminated) => "instance_terminated",
            Self::Health(_) => "scheduled_change",
            Self::ReservationInterruption => "capacity_reservation_interrupted",
        }
    }
}

/// What all events have in common. What else is in them is left unread.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default, rename = "detail-type")]
    detail_type: Cow<'a, str>,
    #[serde(default)]
    time: Option<String>,
}

#[derive(Deserialize)]
struct Of<T> {
    detail: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct OfInstance {
    instance_id: String,
    state: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfHealth {
    #[serde(default)]
    service: String,
    #[serde(default)]
    event_type_category: String,
    #[serde(default)]
    event_type_code: String,
    #[serde(default)]
    affected_entities: Vec<Entity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entity {
    entity_value: String,
}

/// Reads the body of a message.
pub fn read(body: &str) -> Message {
    let envelope: Envelope<'_> = match serde_json::from_str(body) {
        Ok(envelope) => envelope,
        Err(error) => return Message::Broken(format!("it is no event of EventBridge: {error}")),
    };
    if envelope.version != "0" {
        return Message::Ignored;
    }
    let time = envelope.time.as_deref().and_then(|time| time.parse().ok());
    match (envelope.source.as_ref(), envelope.detail_type.as_ref()) {
        ("aws.ec2", "EC2 Spot Instance Interruption Warning") => {
            of_instance(body, time, |_| Some(Kind::SpotInterruption))
        }
        ("aws.ec2", "EC2 Instance Rebalance Recommendation") => of_instance(body, time, |_| Some(Kind::Rebalance)),
        ("aws.ec2", "EC2 Instance State-change Notification") => of_instance(body, time, state_change),
        ("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning") => {
            of_instance(body, time, |_| Some(Kind::ReservationInterruption))
        }
        ("aws.health", "AWS Health Event") => of_health(body, time),
        _ => Message::Ignored,
    }
}

fn detail<T: DeserializeOwned>(body: &str) -> Result<T, Message> {
    let read: Result<Of<T>, _> = serde_json::from_str(body);
    read.map(|event| event.detail).map_err(|error| Message::Broken(format!("its detail cannot be read: {error}")))
}

fn of_instance(body: &str, time: Option<Timestamp>, kind: impl Fn(&OfInstance) -> Option<Kind>) -> Message {
    let detail: OfInstance = match detail(body) {
        Ok(detail) => detail,
        Err(broken) => return broken,
    };
    match kind(&detail) {
        Some(kind) => Message::Notice(Notice { kind, instances: vec![detail.instance_id], time }),
        None => Message::Ignored,
    }
}

fn state_change(detail: &OfInstance) -> Option<Kind> {
    Some(Kind::StateChange(match detail.state.as_deref()? {
        "stopping" => State::Stopping,
        "stopped" => State::Stopped,
        "shutting-down" => State::ShuttingDown,
        "terminated" => State::Terminated,
        _ => return None,
    }))
}

fn of_health(body: &str, time: Option<Timestamp>) -> Message {
    let detail: OfHealth = match detail(body) {
        Ok(detail) => detail,
        Err(broken) => return broken,
    };
    if detail.service != "EC2" || detail.event_type_category != "scheduledChange" {
        return Message::Ignored;
    }
    let instances: Vec<String> = detail.affected_entities.into_iter().map(|entity| entity.entity_value).collect();
    match instances.is_empty() {
        true => Message::Ignored,
        false => Message::Notice(Notice { kind: Kind::Health(detail.event_type_code), instances, time }),
    }
}

#[cfg(test)]
mod tests;
