//! A log group of CloudWatch: the one that the control plane writes to.
//!
//! EKS makes it by itself where it is missing, and can write it anew for a while after it was
//! deleted, without tags. One of the stack's name is therefore the stack's too if the stack has a
//! cluster, or if it plainly is such a late one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatchlogs::types;
use serde::{Deserialize, Serialize};

use super::eks;
use super::error::{Class, CloudError, call, existing};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use crate::plan::{Address, Describe, Effect, Facts, Loss, STACK, State, TagChange, Tags};

/// Where the control plane's log group stands in every stack.
pub const ADDRESS: &str = "cluster/log-group";

/// How long after its birth a log group without tags counts as one that a deleted cluster has left.
const LATE: Duration = Duration::from_secs(3600);

/// A log group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogGroup {
    /// Its name; see [`name_for`].
    pub name: String,
    /// How many days what is written is kept; 0 is for ever.
    pub retention_days: i32,
}

/// What others may refer to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

impl Describe for LogGroup {
    const FACTS: Facts = Facts {
        fields: &[("name", Effect::Replace), ("retentionDays", Effect::InPlace)],
        outputs: &["name", "arn"],
        loss: Loss::Data("the control plane's logs are deleted"),
        outlives: &["cluster"],
        ..Facts::new("log-group")
    };
}

/// The log group that the control plane of the cluster called `cluster` writes to.
pub fn name_for(cluster: &str) -> String {
    format!("/aws/eks/{cluster}/cluster")
}

impl Kind for LogGroup {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let name = name_for(&reads.stack);
        let Some(group) = get(&name, &reads.cloud.read.logs).await? else { return Ok(Vec::new()) };
        let outputs = outputs_of(&group)?;
        let sending = reads.cloud.read.logs.list_tags_for_resource().resource_arn(&outputs.arn);
        let Some(answer) = existing(call("logs:ListTagsForResource", sending.send()).await)? else {
            return Ok(Vec::new());
        };
        let tags: Tags = answer.tags.unwrap_or_default().into_iter().collect();
        let ours = match tags.get(STACK) {
            Some(stack) => *stack == reads.stack,
            None => eks::has_cluster(reads).await? || is_a_late_one(reads, &group, &tags).await?,
        };
        let body = Self { name, retention_days: group.retention_in_days().unwrap_or_default() };
        let found = Found { address: Address::new(ADDRESS), body, outputs, tags, state: State::Ready };
        Ok(ours.then_some(found).into_iter().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let tags = work.tags.clone().into_iter().collect();
        let sending = work.cloud.write.logs.create_log_group().log_group_name(&self.name).set_tags(Some(tags));
        let adopted = match call("logs:CreateLogGroup", sending.send()).await {
            Ok(_) => false,
            Err(error) if error.class == Class::Exists => true,
            Err(error) => return Err(error),
        };
        self.write_retention(work).await?;
        let outputs = Outputs { name: self.name.clone(), arn: arn_for(&self.name, work) };
        if adopted {
            let tags = TagChange { set: work.tags.clone(), unset: Vec::new() };
            tagging::change(&Self::tagged(&outputs), &tags, work).await?;
        }
        Ok(Made::ready(outputs))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        self.write_retention(work).await?;
        Ok(Made::ready(Outputs { name: self.name.clone(), arn: found.outputs.arn.clone() }))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.logs.delete_log_group().log_group_name(&found.outputs.name);
        existing(call("logs:DeleteLogGroup", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::LogGroup(outputs.arn.clone())
    }

    /// Looks once more, and deletes what a control plane on its way out has written anew.
    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        if get(&found.outputs.name, &work.cloud.read.logs).await?.is_none() {
            return Ok(None);
        }
        Self::delete(found, work).await?;
        Ok(Some("the control plane has written it anew, it is deleted again".to_owned()))
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let Some(group) = get(&self.name, &reads.cloud.read.logs).await? else { return Ok(None) };
        let sending = reads.cloud.read.logs.list_tags_for_resource().resource_arn(outputs_of(&group)?.arn);
        let answer = existing(call("logs:ListTagsForResource", sending.send()).await)?;
        let owner = answer.and_then(|answer| answer.tags).and_then(|mut tags| tags.remove(STACK));
        Ok(owner.filter(|owner| *owner != reads.stack).map(|owner| {
            format!("the log group `{}` belongs to the stack `{owner}`; delete it or that stack first", self.name)
        }))
    }
}

impl LogGroup {
    async fn write_retention(&self, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.logs;
        if self.retention_days == 0 {
            let sending = client.delete_retention_policy().log_group_name(&self.name);
            return call("logs:DeleteRetentionPolicy", sending.send()).await.map(drop);
        }
        let sending = client.put_retention_policy().log_group_name(&self.name).retention_in_days(self.retention_days);
        call("logs:PutRetentionPolicy", sending.send()).await.map(drop).map_err(CloudError::missing_is_not_yet)
    }
}

async fn get(name: &str, client: &aws_sdk_cloudwatchlogs::Client) -> Result<Option<types::LogGroup>, CloudError> {
    let answer =
        call("logs:DescribeLogGroups", client.describe_log_groups().log_group_name_prefix(name).send()).await?;
    Ok(answer.log_groups.unwrap_or_default().into_iter().find(|group| group.log_group_name() == Some(name)))
}

/// Whether this is a log group that a cluster has written while it went: of no cluster that exists,
/// young, and as EKS makes them.
async fn is_a_late_one(reads: &Reads, group: &types::LogGroup, tags: &Tags) -> Result<bool, CloudError> {
    let bare = tags.is_empty() && group.retention_in_days().is_none();
    Ok(bare && is_young(group.creation_time()) && eks::cluster(reads).await?.is_none())
}

/// Whether a moment in milliseconds since 1970 is at most [`LATE`] ago.
fn is_young(born: Option<i64>) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let born = born.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis);
    born.is_some_and(|born| now.saturating_sub(born) < LATE)
}

fn outputs_of(group: &types::LogGroup) -> Result<Outputs, CloudError> {
    let incomplete = || CloudError::incomplete("logs:DescribeLogGroups", "ARN");
    let arn = group.log_group_arn().or(group.arn()).ok_or_else(incomplete)?;
    Ok(Outputs {
        name: group.log_group_name().unwrap_or_default().to_owned(),
        arn: arn.strip_suffix(":*").unwrap_or(arn).to_owned(),
    })
}

fn arn_for(name: &str, work: &Work) -> String {
    let cloud = &work.cloud;
    format!("arn:{}:logs:{}:{}:log-group:{name}", cloud.partition, cloud.region, cloud.account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_young_group_counts_as_a_late_one() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = |age: Duration| i64::try_from(now.saturating_sub(age).as_millis()).ok();
        assert!(is_young(millis(Duration::from_secs(60))));
        assert!(!is_young(millis(2 * LATE)));
        assert!(!is_young(None));
    }
}
