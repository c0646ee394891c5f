//! The contract of a kind of resource, and its untyped face for the engine.

use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::cloud::Cloud;
use super::error::CloudError;
use super::reads::Reads;
use super::tagging::{self, Tagged};
use super::waits::Waiting;
use crate::plan::{
    Address, Change, Describe, Desired, Facts, FieldChange, Observed, Prediction, State, TagChange, Tags,
};

/// A resource of kind `K` that the cloud shows.
#[derive(Debug)]
pub struct Found<K: Kind> {
    /// Its place in the stack.
    pub address: Address,
    /// Its fields; references hold the ids that the cloud shows.
    pub body: K,
    /// What others may refer to.
    pub outputs: K::Outputs,
    /// All its tags.
    pub tags: Tags,
    /// How far along it is.
    pub state: State,
}

/// What a create or an update left behind.
#[derive(Debug)]
pub struct Made<O> {
    /// What others may refer to.
    pub outputs: O,
    /// Whether it can be used already; otherwise [`Kind::progress`] is asked until it says so.
    pub ready: bool,
}

impl<O> Made<O> {
    /// It can be used.
    pub fn ready(outputs: O) -> Self {
        Self { outputs, ready: true }
    }

    /// It has to be waited for.
    pub fn settling(outputs: O) -> Self {
        Self { outputs, ready: false }
    }
}

/// How far something that takes time has come.
#[derive(Debug)]
pub enum Progress<O> {
    /// It can be used; these are its outputs now.
    Ready(O),
    /// Not yet: the text says what is waited for, such as "status is CREATING".
    Waiting(String),
    /// Not yet, and perhaps never: nobody says that it has failed, so it counts as that once nothing has changed for
    /// so long.
    Hoping {
        /// What is waited for.
        what: String,
        /// How long it may stay as it is.
        at_most: Duration,
    },
    /// Never: the text says why.
    Failed(String),
}

/// One thing to do: with whose rights, for which resource.
#[derive(Debug, Clone)]
pub struct Work {
    /// The account and its clients.
    pub cloud: Cloud,
    /// The stack's name.
    pub stack: String,
    /// The resource's place in it.
    pub address: Address,
    /// The tags that it is to have.
    pub tags: Tags,
    /// The fields that differ, for an update.
    pub fields: Vec<FieldChange>,
    /// Tells AWS that a repeated call is the same call: the same for a resource throughout a plan.
    pub token: String,
    /// Where to say what is waited for inside the operation.
    pub waiting: Waiting,
}

impl Work {
    /// Whether `field` is one of those that differ.
    pub fn changes(&self, field: &str) -> bool {
        self.fields.iter().any(|change| change.field == field)
    }
}

/// A kind of AWS resource: how it is found, made, changed and deleted.
///
/// Everything here can be run twice. Deleting what is gone is a success; creating tags at once, so
/// that a run that is cut off after any call finds again what it has made.
pub trait Kind: Describe + DeserializeOwned + Send + Sync + Sized + 'static {
    /// What others may refer to; a struct of plain fields.
    type Outputs: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Everything of this kind that belongs to the stack.
    fn find(reads: &Reads) -> impl Future<Output = Result<Vec<Found<Self>>, CloudError>> + Send;

    /// Makes it.
    fn create(&self, work: &Work) -> impl Future<Output = Result<Made<Self::Outputs>, CloudError>> + Send;

    /// Changes it as it stands; `work.fields` says what differs. Tags are not its business.
    fn update(
        &self,
        found: &Found<Self>,
        work: &Work,
    ) -> impl Future<Output = Result<Made<Self::Outputs>, CloudError>> + Send;

    /// Deletes it. There is no default: whoever makes something says how it goes.
    fn delete(found: &Found<Self>, work: &Work) -> impl Future<Output = Result<(), CloudError>> + Send;

    /// What its tags hang on.
    fn tagged(outputs: &Self::Outputs) -> Tagged;

    /// How far it has come, for kinds that take time.
    fn progress(
        outputs: Self::Outputs,
        work: &Work,
    ) -> impl Future<Output = Result<Progress<Self::Outputs>, CloudError>> + Send {
        let _ = work;
        async { Ok(Progress::Ready(outputs)) }
    }

    /// What is still there of it, for kinds that take time to go: `None` when it is gone.
    fn remains(found: &Found<Self>, work: &Work) -> impl Future<Output = Result<Option<String>, CloudError>> + Send {
        let _ = (found, work);
        async { Ok(None) }
    }

    /// What keeps it from being deleted, in words, for kinds on which others can hang.
    fn blocker(found: &Found<Self>, work: &Work) -> impl Future<Output = Result<Option<String>, CloudError>> + Send {
        let _ = (found, work);
        async { Ok(None) }
    }

    /// What changing it from what was found would do, for kinds that can be asked beforehand; `self` has no
    /// placeholder left.
    fn predict(
        &self,
        found: &Found<Self>,
        reads: &Reads,
    ) -> impl Future<Output = Result<Option<Prediction>, CloudError>> + Send {
        let _ = (found, reads);
        async { Ok(None) }
    }

    /// What is in its way that is not ours, in words, asked before anything is made.
    fn clash(&self, reads: &Reads) -> impl Future<Output = Result<Option<String>, CloudError>> + Send {
        let _ = reads;
        async { Ok(None) }
    }
}

/// What an operation left behind, untyped.
#[derive(Debug)]
pub struct Left {
    /// The resource's outputs.
    pub outputs: Map<String, Value>,
    /// Whether it can be used already.
    pub ready: bool,
}

/// The untyped face of a [`Kind`]: what the engine works with.
pub trait AnyKind: Send + Sync {
    /// The pure facts.
    fn facts(&self) -> &'static Facts;
    /// See [`Kind::find`].
    fn find<'a>(&'a self, reads: &'a Reads) -> BoxFuture<'a, Result<Vec<Observed>, CloudError>>;
    /// See [`Kind::create`]. `body` has no placeholder left.
    fn create<'a>(&'a self, body: &'a Value, work: &'a Work) -> BoxFuture<'a, Result<Left, CloudError>>;
    /// See [`Kind::update`]; writes the tags as well.
    fn update<'a>(
        &'a self,
        body: &'a Value,
        found: &'a Observed,
        tags: &'a TagChange,
        work: &'a Work,
    ) -> BoxFuture<'a, Result<Left, CloudError>>;
    /// See [`Kind::delete`].
    fn delete<'a>(&'a self, found: &'a Observed, work: &'a Work) -> BoxFuture<'a, Result<(), CloudError>>;
    /// See [`Kind::progress`].
    fn progress<'a>(
        &'a self,
        outputs: &'a Map<String, Value>,
        work: &'a Work,
    ) -> BoxFuture<'a, Result<Progress<Map<String, Value>>, CloudError>>;
    /// See [`Kind::remains`].
    fn remains<'a>(&'a self, found: &'a Observed, work: &'a Work) -> BoxFuture<'a, Result<Option<String>, CloudError>>;
    /// See [`Kind::blocker`].
    fn blocker<'a>(&'a self, found: &'a Observed, work: &'a Work) -> BoxFuture<'a, Result<Option<String>, CloudError>>;
    /// See [`Kind::predict`].
    fn predict<'a>(
        &'a self,
        body: &'a Value,
        found: &'a Observed,
        reads: &'a Reads,
    ) -> BoxFuture<'a, Result<Option<Prediction>, CloudError>>;
    /// See [`Kind::clash`]. A body with placeholders left is asked all the same.
    fn clash<'a>(&'a self, change: &'a Change, reads: &'a Reads) -> BoxFuture<'a, Result<Option<String>, CloudError>>;
}

/// The one implementation of [`AnyKind`], for every [`Kind`].
pub struct Erased<K> {
    facts: &'static Facts,
    kind: std::marker::PhantomData<fn() -> K>,
}

impl<K: Kind> Erased<K> {
    /// The untyped face of `K`.
    pub const fn new(facts: &'static Facts) -> Self {
        Self { facts, kind: std::marker::PhantomData }
    }
}

impl<K: Kind> AnyKind for Erased<K> {
    fn facts(&self) -> &'static Facts {
        self.facts
    }

    fn find<'a>(&'a self, reads: &'a Reads) -> BoxFuture<'a, Result<Vec<Observed>, CloudError>> {
        Box::pin(async move { Ok(K::find(reads).await?.into_iter().map(observed::<K>).collect()) })
    }

    fn create<'a>(&'a self, body: &'a Value, work: &'a Work) -> BoxFuture<'a, Result<Left, CloudError>> {
        Box::pin(async move { left(typed::<K>(body)?.create(work).await?) })
    }

    fn update<'a>(
        &'a self,
        body: &'a Value,
        found: &'a Observed,
        tags: &'a TagChange,
        work: &'a Work,
    ) -> BoxFuture<'a, Result<Left, CloudError>> {
        Box::pin(async move {
            let old = self::found::<K>(found)?;
            let tagged = K::tagged(&old.outputs);
            tagging::change(&tagged, tags, work).await?;
            if work.fields.is_empty() && tagged != Tagged::WithTheRest {
                let ready = found.state == State::Ready;
                return Ok(Left { outputs: found.outputs.clone(), ready });
            }
            left(typed::<K>(body)?.update(&old, work).await?)
        })
    }

    fn delete<'a>(&'a self, found: &'a Observed, work: &'a Work) -> BoxFuture<'a, Result<(), CloudError>> {
        Box::pin(async move { K::delete(&self::found(found)?, work).await })
    }

    fn progress<'a>(
        &'a self,
        outputs: &'a Map<String, Value>,
        work: &'a Work,
    ) -> BoxFuture<'a, Result<Progress<Map<String, Value>>, CloudError>> {
        Box::pin(async move {
            Ok(match K::progress(typed(&Value::Object(outputs.clone()))?, work).await? {
                Progress::Ready(outputs) => Progress::Ready(untyped(&outputs)),
                Progress::Waiting(why) => Progress::Waiting(why),
                Progress::Hoping { what, at_most } => Progress::Hoping { what, at_most },
                Progress::Failed(why) => Progress::Failed(why),
            })
        })
    }

    fn remains<'a>(&'a self, found: &'a Observed, work: &'a Work) -> BoxFuture<'a, Result<Option<String>, CloudError>> {
        Box::pin(async move { K::remains(&self::found(found)?, work).await })
    }

    fn blocker<'a>(&'a self, found: &'a Observed, work: &'a Work) -> BoxFuture<'a, Result<Option<String>, CloudError>> {
        Box::pin(async move { K::blocker(&self::found(found)?, work).await })
    }

    fn predict<'a>(
        &'a self,
        body: &'a Value,
        found: &'a Observed,
        reads: &'a Reads,
    ) -> BoxFuture<'a, Result<Option<Prediction>, CloudError>> {
        Box::pin(async move { typed::<K>(body)?.predict(&self::found(found)?, reads).await })
    }

    fn clash<'a>(&'a self, change: &'a Change, reads: &'a Reads) -> BoxFuture<'a, Result<Option<String>, CloudError>> {
        Box::pin(async move {
            match &change.after {
                Some(Desired { body, .. }) => typed::<K>(body)?.clash(reads).await,
                None => Ok(None),
            }
        })
    }
}

/// How long a call may be repeated while something new is not believed yet.
pub const BELIEF: Duration = Duration::from_secs(150);

fn observed<K: Kind>(found: Found<K>) -> Observed {
    Observed {
        address: found.address,
        kind: K::FACTS.name.to_owned(),
        body: serde_json::to_value(&found.body).unwrap_or_default(),
        outputs: untyped(&found.outputs),
        tags: found.tags,
        state: found.state,
    }
}

fn found<K: Kind>(observed: &Observed) -> Result<Found<K>, CloudError> {
    Ok(Found {
        address: observed.address.clone(),
        body: typed(&observed.body)?,
        outputs: typed(&Value::Object(observed.outputs.clone()))?,
        tags: observed.tags.clone(),
        state: observed.state.clone(),
    })
}

fn left<O: Serialize>(made: Made<O>) -> Result<Left, CloudError> {
    Ok(Left { outputs: untyped(&made.outputs), ready: made.ready })
}

/// A document as the struct that it was written from.
fn typed<T: DeserializeOwned>(document: &Value) -> Result<T, CloudError> {
    T::deserialize(document)
        .map_err(|error| CloudError::refused("read the plan", format!("not of this version: {error}")))
}

/// `body` as `K` writes it; as it is where it cannot be read yet.
pub(super) fn canonical<K: Kind>(body: &Value) -> Value {
    K::deserialize(body).ok().and_then(|typed| serde_json::to_value(&typed).ok()).unwrap_or_else(|| body.clone())
}

fn untyped<T: Serialize>(value: &T) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
