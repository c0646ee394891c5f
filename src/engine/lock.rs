//! One run at a time: a lock that lives beside the stack, in a parameter of Systems Manager, and
//! falls away by itself when its holder has died.

use std::fmt;
use std::time::Duration;

use aws_sdk_ssm::types::{ParameterType, Tag};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::process::{self, Process};
use crate::aws::{Class, Cloud, CloudError, back_off, call, existing};
use crate::plan::STACK;

const LIFETIME: SignedDuration = SignedDuration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_secs(20);
const TRIES: u32 = 8;

/// Who holds a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The stack that is held.
    pub stack: String,
    /// The run: no two have the same.
    pub run: String,
    /// `apply` or `destroy`.
    pub command: String,
    /// Whose credentials the run has.
    pub caller: String,
    /// The process that it is.
    pub process: Process,
    /// When it began.
    pub since: Timestamp,
    /// When the lock falls away if its holder gives no sign of life before.
    pub expires: Timestamp,
}

impl Holder {
    /// What someone who finds the stack held can do.
    pub fn way_out(&self) -> String {
        let left = self.expires.duration_since(Timestamp::now()).as_secs().max(0);
        format!(
            "wait until it has ended, then run the same command again; if it has died, its lock falls away in {left} s"
        )
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.expires < now || self.process.is_known_to_be_dead()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "another `eksup {}` of `{}` is running since {}: {}, {}",
            self.command,
            self.stack,
            self.since.strftime("%Y-%m-%d %H:%M:%S UTC"),
            self.caller,
            self.process
        )
    }
}

/// A stack that is held. Give it back with [`Lock::release`].
#[derive(Debug)]
pub struct Lock {
    cloud: Cloud,
    name: String,
    heartbeat: JoinHandle<()>,
}

/// Why a stack cannot be held.
#[derive(Debug)]
pub enum Refusal {
    /// Someone else holds it.
    Held(Box<Holder>),
    /// A call failed.
    Cloud(CloudError),
}

impl Lock {
    /// Takes the stack for the run `run`.
    ///
    /// # Errors
    /// Someone else holds it, or a call failed for good.
    pub async fn take(cloud: &Cloud, stack: &str, run: &str, command: &str) -> Result<Self, Refusal> {
        let since = Timestamp::now();
        let mine = Holder {
            stack: stack.to_owned(),
            run: run.to_owned(),
            command: command.to_owned(),
            caller: cloud.caller.clone(),
            process: process::this(),
            since,
            expires: since + LIFETIME,
        };
        let name = parameter(stack);
        for attempt in 1..=TRIES {
            match write(cloud, &name, &mine, false).await {
                Ok(_) => return Ok(Self::held(cloud, name, mine)),
                Err(error) if is_passing(error.class) && attempt < TRIES => {
                    tokio::time::sleep(back_off(attempt, 0.5)).await;
                }
                Err(error) if error.class == Class::Exists => {}
                Err(error) => return Err(Refusal::Cloud(error)),
            }
            match standing(cloud, &name).await.map_err(Refusal::Cloud)? {
                Some((holder, _)) if holder.run == run => return Ok(Self::held(cloud, name, mine)),
                Some((holder, version)) => {
                    if !holder.is_over(Timestamp::now()) {
                        return Err(Refusal::Held(Box::new(holder)));
                    }
                    if take_over(cloud, &name, &mine, version).await.map_err(Refusal::Cloud)? {
                        return Ok(Self::held(cloud, name, mine));
                    }
                }
                None => {}
            }
        }
        Err(Refusal::Cloud(CloudError::refused("ssm:PutParameter", "the stack's lock could not be written")))
    }

    /// Gives the stack back.
    pub async fn release(self) {
        self.heartbeat.abort();
        // A lock that cannot be deleted falls away by itself.
        let _ = delete(&self.cloud, &self.name).await;
    }

    fn held(cloud: &Cloud, name: String, mine: Holder) -> Self {
        let heartbeat = tokio::spawn(keep_alive(cloud.clone(), name.clone(), mine));
        Self { cloud: cloud.clone(), name, heartbeat }
    }
}

/// Removes the lock that a run left behind when it died, if there is one.
///
/// # Errors
/// Someone who lives holds the stack, or a call failed for good.
pub async fn clear(cloud: &Cloud, stack: &str) -> Result<(), Refusal> {
    let name = parameter(stack);
    match standing(cloud, &name).await.map_err(Refusal::Cloud)? {
        None => Ok(()),
        Some((holder, _)) if holder.is_over(Timestamp::now()) => delete(cloud, &name).await.map_err(Refusal::Cloud),
        Some((holder, _)) => Err(Refusal::Held(Box::new(holder))),
    }
}

async fn delete(cloud: &Cloud, name: &str) -> Result<(), CloudError> {
    let mut attempt = 1;
    loop {
        let sending = cloud.write.ssm.delete_parameter().name(name);
        match existing(call("ssm:DeleteParameter", sending.send()).await) {
            Err(error) if is_passing(error.class) && attempt < TRIES => {
                tokio::time::sleep(back_off(attempt, 0.5)).await;
                attempt += 1;
            }
            result => return result.map(drop),
        }
    }
}

/// The name of the parameter that holds the lock of `stack`.
pub fn parameter(stack: &str) -> String {
    format!("/eksup/{stack}/lock")
}

async fn keep_alive(cloud: Cloud, name: String, mut mine: Holder) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        mine.expires = Timestamp::now() + LIFETIME;
        // A heartbeat that fails is followed by another one long before the lock falls away.
        let _ = write(&cloud, &name, &mine, true).await;
    }
}

/// Puts `mine` in the place of a holder that is over. Of two that try at once, the one whose write
/// is the next version has it.
async fn take_over(cloud: &Cloud, name: &str, mine: &Holder, version: i64) -> Result<bool, CloudError> {
    match write(cloud, name, mine, true).await {
        Ok(written) => Ok(written == version + 1),
        Err(error) if is_passing(error.class) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn write(cloud: &Cloud, name: &str, holder: &Holder, overwrite: bool) -> Result<i64, CloudError> {
    let value = serde_json::to_string(holder).unwrap_or_default();
    let mut sending =
        cloud.write.ssm.put_parameter().name(name).value(value).r#type(ParameterType::String).overwrite(overwrite);
    if !overwrite {
        let tag = Tag::builder().key(STACK).value(&holder.stack).build();
        sending = sending.tags(tag.map_err(|error| CloudError::refused("ssm:PutParameter", error.to_string()))?);
    }
    Ok(call("ssm:PutParameter", sending.send()).await?.version())
}

/// Who holds the lock, and the version of the parameter that says so. A text that no version of
/// eksup writes counts as a lock that is over.
async fn standing(cloud: &Cloud, name: &str) -> Result<Option<(Holder, i64)>, CloudError> {
    let answer = existing(call("ssm:GetParameter", cloud.read.ssm.get_parameter().name(name).send()).await)?;
    let Some(parameter) = answer.and_then(|answer| answer.parameter) else { return Ok(None) };
    let holder = serde_json::from_str(parameter.value().unwrap_or_default()).unwrap_or_else(|_| Holder {
        stack: String::new(),
        run: String::new(),
        command: String::new(),
        caller: String::new(),
        process: process::this(),
        since: Timestamp::UNIX_EPOCH,
        expires: Timestamp::UNIX_EPOCH,
    });
    Ok(Some((holder, parameter.version())))
}

fn is_passing(class: Class) -> bool {
    matches!(class, Class::Throttled | Class::Unanswered | Class::Busy)
}
