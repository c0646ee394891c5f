//! A rule of EventBridge on the default bus, with its one target: a queue.

use aws_sdk_eventbridge::types::{PutTargetsResultEntry, RemoveTargetsResultEntry, Rule, RuleState, Target};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Class, CloudError, call, existing};
use super::ids::QueueArn;
use super::kind::{Found, Kind, Made, Work};
use super::queue;
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Reference, State};

/// What the target is called inside its rule.
const TARGET: &str = "queue";

/// Which events go to a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRule {
    /// Its name, unique on the bus.
    pub name: String,
    /// Which events.
    pub pattern: Value,
    /// Whether it does anything.
    pub enabled: bool,
    /// Where they go.
    pub queue: Reference<QueueArn>,
}

/// What others may refer to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outputs {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

impl Describe for EventRule {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("pattern", Effect::InPlace),
            ("enabled", Effect::InPlace),
            ("queue", Effect::InPlace),
        ],
        outputs: &["name", "arn"],
        references: &[("queue", &["queue"])],
        ..Facts::new("event-rule")
    };
}

impl Kind for EventRule {
    type Outputs = Outputs;

    /// Two lists tell the rules and which of them lead to the stack's queue; a call for each rule
    /// tells its tags. Only a rule that does not lead there is asked for its targets.
    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let (rules, leading) = tokio::try_join!(rules_of(reads), leading_to_the_queue(reads))?;
        let found = try_join_all(rules.iter().map(|rule| read(rule, &leading, reads))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let arn = self.put_rule(work, true).await?;
        self.put_target(work).await?;
        Ok(Made::ready(Outputs { name: self.name.clone(), arn }))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        if work.changes("pattern") || work.changes("enabled") {
            self.put_rule(work, false).await?;
        }
        if work.changes("queue") {
            self.put_target(work).await?;
        }
        Ok(Made::ready(found.outputs.clone()))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let name = &found.outputs.name;
        remove_targets(name, vec![TARGET.to_owned()], work).await?;
        match delete_rule(name, work).await {
            // Somebody has given it further targets: a rule goes only without any.
            Err(error) if error.class == Class::Refused => {
                remove_targets(name, target_ids(name, work).await?, work).await?;
                delete_rule(name, work).await
            }
            other => other,
        }
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Events(outputs.arn.clone())
    }
}

impl EventRule {
    /// Writes the rule. Tags are taken only when it is new.
    async fn put_rule(&self, work: &Work, new: bool) -> Result<String, CloudError> {
        let state = if self.enabled { RuleState::Enabled } else { RuleState::Disabled };
        let tags = if new { Some(tagging::events(&work.tags)?) } else { None };
        let sending = work
            .cloud
            .write
            .events
            .put_rule()
            .name(&self.name)
            .event_pattern(self.pattern.to_string())
            .state(state)
            .set_tags(tags);
        let answer = call("events:PutRule", sending.send()).await?;
        answer.rule_arn.ok_or_else(|| CloudError::incomplete("events:PutRule", "ARN"))
    }

    async fn put_target(&self, work: &Work) -> Result<(), CloudError> {
        let target = Target::builder().id(TARGET).arn(self.queue.as_str()).build();
        let target = target.map_err(|error| CloudError::refused("events:PutTargets", error.to_string()))?;
        let sending = work.cloud.write.events.put_targets().rule(&self.name).targets(target);
        let answer = call("events:PutTargets", sending.send()).await?;
        match answer.failed_entries().first() {
            None => Ok(()),
            Some(failed) => Err(CloudError::refused("events:PutTargets", refusal(failed))),
        }
    }
}

fn refusal(failed: &PutTargetsResultEntry) -> String {
    let message = failed.error_message().or(failed.error_code()).unwrap_or("AWS gave no reason");
    format!("the target was not taken: {message}")
}

async fn delete_rule(name: &str, work: &Work) -> Result<(), CloudError> {
    existing(call("events:DeleteRule", work.cloud.write.events.delete_rule().name(name).send()).await).map(drop)
}

/// Removes targets; those of a rule that is gone, and those that it does not have, are gone already.
async fn remove_targets(name: &str, ids: Vec<String>, work: &Work) -> Result<(), CloudError> {
    if ids.is_empty() {
        return Ok(());
    }
    let sending = work.cloud.write.events.remove_targets().rule(name).set_ids(Some(ids));
    let answer = existing(call("events:RemoveTargets", sending.send()).await)?;
    let failed = answer.as_ref().and_then(|answer| answer.failed_entries().iter().find(|entry| !is_missing(entry)));
    match failed.map(|entry| entry.error_message().unwrap_or("AWS gave no reason").to_owned()) {
        None => Ok(()),
        Some(why) => Err(CloudError::refused("events:RemoveTargets", format!("a target stays: {why}"))),
    }
}

fn is_missing(entry: &RemoveTargetsResultEntry) -> bool {
    entry.error_code().is_some_and(|code| code.starts_with("ResourceNotFound"))
}

async fn target_ids(name: &str, work: &Work) -> Result<Vec<String>, CloudError> {
    let sending = work.cloud.read.events.list_targets_by_rule().rule(name);
    let answer = existing(call("events:ListTargetsByRule", sending.send()).await)?;
    Ok(answer.iter().flat_map(|answer| answer.targets()).map(|target| target.id().to_owned()).collect())
}

/// The rules whose names begin as the stack's do.
async fn rules_of(reads: &Reads) -> Result<Vec<Rule>, CloudError> {
    let prefix = names::event_rule_prefix(&reads.stack);
    let mut rules = Vec::new();
    let mut next = None;
    loop {
        let sending = reads.cloud.read.events.list_rules().name_prefix(&prefix).set_next_token(next);
        let answer = call("events:ListRules", sending.send()).await?;
        rules.extend(answer.rules().iter().cloned());
        next = answer.next_token;
        if next.is_none() {
            return Ok(rules);
        }
    }
}

/// The names of the rules that lead to the stack's queue.
async fn leading_to_the_queue(reads: &Reads) -> Result<Vec<String>, CloudError> {
    let arn = queue_arn(reads);
    let mut names = Vec::new();
    let mut next = None;
    loop {
        let sending = reads.cloud.read.events.list_rule_names_by_target().target_arn(&arn).set_next_token(next);
        let Some(answer) = existing(call("events:ListRuleNamesByTarget", sending.send()).await)? else {
            return Ok(names);
        };
        names.extend(answer.rule_names().iter().cloned());
        next = answer.next_token;
        if next.is_none() {
            return Ok(names);
        }
    }
}

fn queue_arn(reads: &Reads) -> String {
    queue::arn(&reads.cloud, &names::interruption_queue(&reads.stack))
}

async fn read(rule: &Rule, leading: &[String], reads: &Reads) -> Result<Option<Found<EventRule>>, CloudError> {
    let (Some(name), Some(arn)) = (rule.name(), rule.arn()) else { return Ok(None) };
    let sending = reads.cloud.read.events.list_tags_for_resource().resource_arn(arn);
    let Some(tags) = existing(call("events:ListTagsForResource", sending.send()).await)? else { return Ok(None) };
    let tags = tagging::from_events(tags.tags());
    let Some(address) = reads.address_in(&tags) else { return Ok(None) };
    let target = match leading.iter().any(|leads| leads == name) {
        true => queue_arn(reads),
        false => first_target(name, reads).await?,
    };
    let body = EventRule {
        name: name.to_owned(),
        pattern: rule.event_pattern().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        enabled: rule.state() == Some(&RuleState::Enabled),
        queue: Reference::known(target),
    };
    let outputs = Outputs { name: name.to_owned(), arn: arn.to_owned() };
    Ok(Some(Found { address, body, outputs, tags, state: State::Ready }))
}

/// Where a rule leads that does not lead to the stack's queue; nothing if it has no target.
async fn first_target(name: &str, reads: &Reads) -> Result<String, CloudError> {
    let sending = reads.cloud.read.events.list_targets_by_rule().rule(name);
    let answer = existing(call("events:ListTargetsByRule", sending.send()).await)?;
    let first = answer.as_ref().and_then(|answer| answer.targets().first());
    Ok(first.map(|target| target.arn().to_owned()).unwrap_or_default())
}
