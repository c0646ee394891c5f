//! Plans and runs for the tests of views.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::closing::Commands;
use crate::engine::{Event, OperationInfo, Timed, Verb};
use crate::plan::{
    Action, Address, Change, Desired, FieldChange, Fingerprint, Mark, Observed, Plan, Purpose, Round, State, TagChange,
    Tags,
};

/// A plan of `rounds` for a stack called `shop`.
pub fn plan(purpose: Purpose, rounds: Vec<Round>) -> Plan {
    Plan::new(purpose, "shop", "ap-northeast-2", "111122223333", "p1", Fingerprint::of(&[]), rounds)
}

/// A plan of one round.
pub fn plan_of(changes: Vec<Change>) -> Plan {
    plan(Purpose::Apply, vec![Round { title: None, changes }])
}

/// A resource that is to be made.
pub fn create(address: &str, kind: &str, body: Value) -> Change {
    Change {
        address: address.into(),
        kind: kind.to_owned(),
        action: Action::Create,
        before: None,
        after: Some(desired(address, kind, body)),
        fields: Vec::new(),
        tags: TagChange::default(),
        marks: BTreeSet::new(),
        reason: None,
    }
}

/// A resource that stands and is called `id` by the cloud.
pub fn standing(address: &str, kind: &str, action: Action, id: &str, body: Value) -> Change {
    let before = Observed {
        address: address.into(),
        kind: kind.to_owned(),
        body: body.clone(),
        outputs: json!({ "id": id }).as_object().cloned().unwrap_or_default(),
        tags: Tags::from([("team".to_owned(), "web".to_owned())]),
        state: State::Ready,
    };
    let after = action.leaves_it_standing().then(|| desired(address, kind, body));
    Change { action, before: Some(before), after, ..create(address, kind, Value::Null) }
}

impl Change {
    /// With one more field that differs.
    pub fn with_field(mut self, field: &str, before: Value, after: Value) -> Self {
        let forces_replacement = self.action == Action::Replace;
        self.fields.push(FieldChange { field: field.to_owned(), before, after, forces_replacement });
        self
    }

    /// With one more mark.
    pub fn with_mark(mut self, mark: Mark) -> Self {
        self.marks.insert(mark);
        self
    }
}

fn desired(address: &str, kind: &str, body: Value) -> Desired {
    Desired { address: address.into(), kind: kind.to_owned(), body, tags: Tags::new(), after: BTreeSet::new() }
}

/// The time `milliseconds` after noon.
pub fn at(milliseconds: u64) -> Timestamp {
    let noon = Timestamp::from_second(1_772_366_400).unwrap_or_default();
    noon + Duration::from_millis(milliseconds)
}

/// `event`, so many milliseconds after noon.
pub fn timed(milliseconds: u64, event: Event) -> Timed {
    Timed { time: at(milliseconds), event }
}

/// A run's first event, with one operation for each `(address, verb, needs)`.
pub fn started(purpose: Purpose, operations: &[(&str, Verb, &[usize])]) -> Event {
    let info = |(number, (address, verb, needs)): (usize, &(&str, Verb, &[usize]))| OperationInfo {
        number,
        address: Address::from(*address),
        kind: "kind".to_owned(),
        verb: *verb,
        needs: needs.to_vec(),
    };
    Event::RunStarted {
        purpose,
        stack: "shop".to_owned(),
        round: None,
        operations: operations.iter().enumerate().map(info).collect(),
    }
}

/// Operation `number` waits because of `why`.
pub fn waiting(number: usize, why: &str) -> Event {
    Event::Waiting { number, why: why.to_owned() }
}

/// Operation `number` is tried again because of `why`.
pub fn retrying(number: usize, why: &str) -> Event {
    Event::Retrying { number, why: why.to_owned(), pause: Duration::from_millis(400) }
}

/// Operation `number` is done, and the cloud calls its resource `identity`.
pub fn finished(number: usize, identity: &str) -> Event {
    Event::Finished { number, identity: Some(identity.to_owned()) }
}

/// The commands that the tests' closing sentences name.
pub fn commands() -> Commands {
    Commands { again: "eksup apply".to_owned(), outputs: Some("eksup outputs".to_owned()) }
}

/// A writer whose text can be read.
#[derive(Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    /// What has been written.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
