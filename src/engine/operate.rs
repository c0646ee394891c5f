//! Carries out one operation: makes, changes or deletes one resource, and waits until that is true.
//!
//! A call that failed in a way that passes is not repeated blindly: the operation looks what stands
//! and goes on from there, so that an answer that was lost does not make a thing twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::events::{Event, Events};
use crate::aws::{
    AnyKind, BELIEF, Class, Cloud, CloudError, Kinds, Left, Pace, Progress, Reads, Waiting, Work, back_off,
};
use crate::plan::{
    Action, Change, Desired, Fingerprint, Observed, OperationKind, Outputs, ReplaceOrder, State, TagChange,
    differences, is_unknown, resolve,
};

/// How long a call is repeated that AWS does not answer or answers "later".
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a deletion is repeated while something still hangs on the resource.
const BUSY_PATIENCE: Duration = Duration::from_secs(20 * 60);
/// How long something that was just made may seem not to be there.
const READ_LAG: Duration = Duration::from_secs(60);

/// How an operation ended without being done.
#[derive(Debug)]
pub enum Broken {
    /// It failed; the message says what and why, the help what to do.
    Failed { message: String, help: Option<String> },
    /// The user stopped the run at a point from which the next one goes on.
    Stopped,
}

impl From<CloudError> for Broken {
    fn from(error: CloudError) -> Self {
        if error.class == Class::Stopped {
            return Self::Stopped;
        }
        Self::Failed { message: error.to_string(), help: error.help() }
    }
}

/// What all operations of a run share.
#[derive(Clone)]
pub struct Operator {
    /// The account and its clients.
    pub cloud: Cloud,
    /// The stack's name.
    pub stack: String,
    /// The plan's id, from which client tokens are derived.
    pub plan: String,
    /// Whether what stands may differ from what the plan saw, because an earlier round changed it.
    pub look_first: bool,
    /// The outputs of everything that stands.
    pub outputs: Arc<Mutex<Outputs>>,
    /// Where to say what happens.
    pub events: Events,
    /// Set when the user wants the run to stop.
    pub stop: CancellationToken,
}

impl Operator {
    /// Carries out one half of `change`, and gives the name by which the cloud knows the resource.
    ///
    /// # Errors
    /// It failed for good, or the run is stopping.
    pub async fn run(&self, number: usize, change: &Change, half: OperationKind) -> Result<Option<String>, Broken> {
        let kind = Kinds::get(&change.kind)
            .ok_or_else(|| failed(format!("this version of eksup knows no kind `{}`", change.kind)))?;
        match half {
            OperationKind::GoesAlong => Ok(None),
            OperationKind::Remove => Box::pin(self.remove(number, change, kind)).await,
            OperationKind::Make => Box::pin(self.make(number, change, kind)).await,
        }
    }

    async fn make(&self, number: usize, change: &Change, kind: &dyn AnyKind) -> Result<Option<String>, Broken> {
        let wanted = self.filled_in(change)?;
        let work = self.work(number, change);
        let mut errand = self.first_errand(&work, change, &wanted, kind).await?;
        let mut patience = Patience::new(self, number);
        let left = loop {
            let attempt = match &errand {
                Errand::Create => kind.create(&wanted.body, &work).await,
                Errand::Update(repair) => kind.update(&wanted.body, &repair.found, &repair.tags, &repair.work).await,
                Errand::Settle(left) => break Left { outputs: left.outputs.clone(), ready: left.ready },
            };
            match attempt {
                Ok(left) => break left,
                Err(error) => {
                    let exists = error.class == Class::Exists;
                    patience.pause_after(&error, exists).await?;
                    errand = self.errand_now(&work, change, &wanted, kind).await?;
                    if exists && matches!(errand, Errand::Create) {
                        return Err(not_ours(&error));
                    }
                }
            }
        };
        let outputs = self.settle(number, left, kind, &work).await?;
        let identity = ["id", "name", "arn"].iter().find_map(|key| outputs.get(*key)?.as_str().map(str::to_owned));
        self.shared_outputs(|shared| shared.insert(change.address.clone(), outputs));
        Ok(identity)
    }

    /// Waits until what was made can be used.
    async fn settle(
        &self,
        number: usize,
        left: Left,
        kind: &dyn AnyKind,
        work: &Work,
    ) -> Result<Map<String, Value>, Broken> {
        if left.ready {
            return Ok(left.outputs);
        }
        let pace = Pace::start();
        let mut same = Unchanged::default();
        loop {
            let why = match kind.progress(&left.outputs, work).await {
                Ok(Progress::Ready(outputs)) => return Ok(outputs),
                Ok(Progress::Failed(why)) => return Err(failed(why)),
                Ok(Progress::Waiting(why)) => why,
                Ok(Progress::Hoping { what, at_most }) if same.lasted(&what) >= at_most => {
                    return Err(given_up(&what, at_most));
                }
                Ok(Progress::Hoping { what, .. }) => what,
                Err(error) if error.class.may_pass() && pace.lasted() < PATIENCE => error.to_string(),
                Err(error) if error.class == Class::Missing && pace.lasted() < READ_LAG => "not visible yet".to_owned(),
                Err(error) => return Err(error.into()),
            };
            self.events.say(Event::Waiting { number, why });
            self.pause(pace.pause()).await?;
        }
    }

    async fn remove(&self, number: usize, change: &Change, kind: &dyn AnyKind) -> Result<Option<String>, Broken> {
        let Some(found) = &change.before else { return Ok(None) };
        let work = self.work(number, change);
        let mut patience = Patience::new(self, number);
        let pace = Pace::start();
        loop {
            match kind.delete(found, &work).await {
                Ok(()) => break,
                Err(error) if error.class == Class::Missing => break,
                Err(error) if error.class == Class::Busy && pace.lasted() < BUSY_PATIENCE => {
                    let why = kind.blocker(found, &work).await.ok().flatten();
                    self.events.say(Event::Waiting { number, why: why.unwrap_or_else(|| error.to_string()) });
                    self.pause(pace.pause()).await?;
                }
                Err(error) => patience.pause_after(&error, false).await?,
            }
        }
        let pace = Pace::start();
        loop {
            let why = match kind.remains(found, &work).await {
                Ok(None) => break,
                Ok(Some(why)) => why,
                Err(error) if error.class.may_pass() && pace.lasted() < PATIENCE => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            self.events.say(Event::Waiting { number, why });
            self.pause(pace.pause()).await?;
        }
        Ok(Some(found.identity().to_owned()))
    }

    /// What to do first, from what the plan saw.
    async fn first_errand(
        &self,
        work: &Work,
        change: &Change,
        wanted: &Desired,
        kind: &dyn AnyKind,
    ) -> Result<Errand, Broken> {
        if self.look_first {
            return self.errand_now(work, change, wanted, kind).await;
        }
        Ok(match (&change.action, &change.before) {
            (Action::Await, Some(found)) => Errand::Settle(Left { outputs: found.outputs.clone(), ready: false }),
            (Action::Update, Some(found)) => {
                let (fields, tags) = differences(wanted, found, kind.facts(), &Outputs::new());
                let work = Work { fields, ..work.clone() };
                Errand::Update(Box::new(Repair { found: found.clone(), tags, work }))
            }
            _ => Errand::Create,
        })
    }

    /// What is left to do, from what stands now.
    async fn errand_now(
        &self,
        work: &Work,
        change: &Change,
        wanted: &Desired,
        kind: &dyn AnyKind,
    ) -> Result<Errand, Broken> {
        let Some(found) = self.look(change, kind).await? else { return Ok(Errand::Create) };
        let (fields, tags) = differences(wanted, &found, kind.facts(), &Outputs::new());
        if fields.is_empty() && tags.is_empty() {
            return Ok(Errand::Settle(Left { ready: found.state == State::Ready, outputs: found.outputs }));
        }
        let work = Work { fields, ..work.clone() };
        Ok(Errand::Update(Box::new(Repair { found, tags, work })))
    }

    /// What stands at the address of `change` now, without what is about to be replaced.
    async fn look(&self, change: &Change, kind: &dyn AnyKind) -> Result<Option<Observed>, CloudError> {
        let reads = Reads::new(self.cloud.clone(), &self.stack);
        let replaced = change
            .before
            .as_ref()
            .filter(|_| change.action == Action::Replace && kind.facts().replace == ReplaceOrder::CreateFirst);
        let found = kind.find(&reads).await?.into_iter().find(|found| {
            found.address == change.address
                && found.state != State::Deleting
                && replaced.is_none_or(|old| old.identity() != found.identity())
        });
        Ok(found)
    }

    /// The wish with every placeholder filled in.
    fn filled_in(&self, change: &Change) -> Result<Desired, Broken> {
        let mut wanted = change.after.clone().ok_or_else(|| failed("the plan does not say what to make".into()))?;
        wanted.body = self.shared_outputs(|outputs| resolve(&wanted.body, outputs));
        if is_unknown(&wanted.body) {
            return Err(failed(format!("what it refers to is not known: {}", wanted.body)));
        }
        Ok(wanted)
    }

    fn work(&self, number: usize, change: &Change) -> Work {
        let seed = format!("{}/{}/{}", self.stack, change.address, self.plan);
        Work {
            cloud: self.cloud.clone(),
            stack: self.stack.clone(),
            address: change.address.clone(),
            tags: change.after.as_ref().map(|wanted| wanted.tags.clone()).unwrap_or_default(),
            fields: change.fields.clone(),
            token: Fingerprint::short(&seed, 32),
            waiting: self.waiting(number),
        }
    }

    /// What an operation tells this run while it waits.
    fn waiting(&self, number: usize) -> Waiting {
        let events = self.events.clone();
        Waiting::new(move |why| events.say(Event::Waiting { number, why }), self.stop.clone())
    }

    fn shared_outputs<T>(&self, with: impl FnOnce(&mut Outputs) -> T) -> T {
        with(&mut self.outputs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sleeps, unless the run is stopping.
    async fn pause(&self, duration: Duration) -> Result<(), Broken> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Broken::Stopped),
            () = tokio::time::sleep(duration) => Ok(()),
        }
    }
}

/// For how long something has been said without a change.
#[derive(Default)]
struct Unchanged(Option<(String, Pace)>);

impl Unchanged {
    fn lasted(&mut self, what: &str) -> Duration {
        match &self.0 {
            Some((said, since)) if said == what => since.lasted(),
            _ => {
                self.0 = Some((what.to_owned(), Pace::start()));
                Duration::ZERO
            }
        }
    }
}

fn given_up(what: &str, at_most: Duration) -> Broken {
    Broken::Failed {
        message: format!("{what}; nothing has changed for {}", spoken(at_most)),
        help: Some(
            "see what keeps it, then run the same command again: it goes on from there. One that needs longer says so \
             with the annotation `eksup.dev/ready-within: 30m`"
                .to_owned(),
        ),
    }
}

fn spoken(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 120 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// What an operation does next.
enum Errand {
    Create,
    Update(Box<Repair>),
    Settle(Left),
}

/// A change to something that stands.
struct Repair {
    found: Observed,
    tags: TagChange,
    work: Work,
}

/// Decides whether a failed call is worth another try, and pauses before it.
struct Patience<'a> {
    operator: &'a Operator,
    number: usize,
    attempt: u32,
    pace: Pace,
}

impl<'a> Patience<'a> {
    fn new(operator: &'a Operator, number: usize) -> Self {
        Self { operator, number, attempt: 0, pace: Pace::start() }
    }

    async fn pause_after(&mut self, error: &CloudError, worth_a_look: bool) -> Result<(), Broken> {
        let limit = match error.class {
            Class::Throttled | Class::Unanswered => PATIENCE,
            Class::NotYet => BELIEF,
            Class::Busy => BUSY_PATIENCE,
            // What it stands on was just made and is not visible everywhere yet.
            Class::Missing => READ_LAG,
            _ if worth_a_look && self.attempt == 0 => PATIENCE,
            _ => Duration::ZERO,
        };
        if self.pace.lasted() >= limit {
            return Err(error.clone().into());
        }
        self.attempt += 1;
        let pause = match error.class {
            Class::NotYet | Class::Busy => self.pace.pause().max(Duration::from_millis(300)),
            _ => back_off(self.attempt, spread(self.number)),
        };
        self.operator.events.say(Event::Retrying { number: self.number, why: error.to_string(), pause });
        self.operator.pause(pause).await
    }
}

/// A number in 0..1 that differs between operations.
fn spread(number: usize) -> f64 {
    (number as f64 * 0.618_034).fract()
}

fn failed(message: String) -> Broken {
    Broken::Failed { message, help: None }
}

fn not_ours(error: &CloudError) -> Broken {
    Broken::Failed {
        message: format!("{error}: it exists and does not belong to this stack"),
        help: Some("delete it, or give the stack another name".to_owned()),
    }
}
