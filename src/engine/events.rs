//! What the engine says while it works. Views turn it into a display; the engine prints nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::plan::{Action, Address, Kept, Purpose};

/// What an operation does to its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// It is made.
    Create,
    /// It is changed as it stands.
    Update,
    /// It is waited for.
    Await,
    /// It is deleted.
    Delete,
}

impl Verb {
    /// The verb of the half of `action` that makes something.
    pub fn making(action: Action) -> Self {
        match action {
            Action::Update => Self::Update,
            Action::Await => Self::Await,
            _ => Self::Create,
        }
    }
}

/// One operation of a run, as views need it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationInfo {
    /// Its number in the run, from 0.
    pub number: usize,
    /// Its resource.
    pub address: Address,
    /// The resource's kind.
    pub kind: String,
    /// What it does.
    pub verb: Verb,
    /// The operations that have to be done before.
    pub needs: Vec<usize>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everything was done.
    Done,
    /// Something failed; what did not depend on it was done.
    Failed,
    /// It was stopped by the user at a safe point.
    Stopped,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The cloud is being read.
    Observing {
        /// The stack's name.
        stack: String,
        /// Its region.
        region: String,
    },
    /// The cloud has been read.
    Observed {
        /// How many resources of the stack there are.
        resources: usize,
    },
    /// Something that the user should know, and that stops nothing.
    Noted {
        /// What it is.
        text: String,
    },
    /// Operations begin.
    RunStarted {
        /// Whether the stack is made or taken away.
        purpose: Purpose,
        /// The stack's name.
        stack: String,
        /// What this round brings, where a plan has several.
        round: Option<String>,
        /// Everything that will be done.
        operations: Vec<OperationInfo>,
    },
    /// An operation has started.
    Started {
        /// Its number.
        number: usize,
    },
    /// An operation has to wait for the cloud.
    Waiting {
        /// Its number.
        number: usize,
        /// What it waits for.
        why: String,
    },
    /// A call failed in a way that passes, and will be made again.
    Retrying {
        /// The operation's number.
        number: usize,
        /// What the call came back with.
        why: String,
        /// The pause before the next try.
        #[serde(serialize_with = "milliseconds")]
        pause: Duration,
    },
    /// An operation is done.
    Finished {
        /// Its number.
        number: usize,
        /// The name by which the cloud knows the resource.
        identity: Option<String>,
    },
    /// An operation has failed for good.
    Failed {
        /// Its number.
        number: usize,
        /// What happened.
        why: String,
        /// What the user can do.
        help: Option<String>,
    },
    /// An operation is not done because another one failed or the run is stopping.
    Skipped {
        /// Its number.
        number: usize,
        /// The address that it needed, unless the run is stopping.
        because: Option<Address>,
    },
    /// The user asked to stop: nothing new starts.
    Stopping,
    /// The account is searched for what may be left.
    Sweeping,
    /// The account has been searched.
    Swept {
        /// What should not be there any more.
        left: Vec<Address>,
        /// What stays in place on purpose.
        kept: Vec<Kept>,
    },
    /// Operations have ended.
    RunFinished {
        /// How.
        ending: Ending,
        /// How long the run took.
        #[serde(serialize_with = "milliseconds")]
        took: Duration,
    },
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// An event and its time.
#[derive(Debug, Clone, Serialize)]
pub struct Timed {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Where the engine says what happens. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Events(Option<UnboundedSender<Timed>>);

impl Events {
    /// Events that go to `sender`.
    pub fn to(sender: UnboundedSender<Timed>) -> Self {
        Self(Some(sender))
    }

    /// Events that nobody hears.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Says that `event` happened now. A view that has gone away is no failure of the run.
    pub fn say(&self, event: Event) {
        if let Some(sender) = &self.0 {
            let _ = sender.send(Timed { time: Timestamp::now(), event });
        }
    }
}
