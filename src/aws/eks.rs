//! What the kinds of EKS share: the look at the stack's cluster, updates that run one after
//! another, and client tokens.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_eks::types::{Cluster, Update, UpdateStatus};
use futures::future::try_join_all;

use super::error::{Class, CloudError, call, existing};
use super::kind::Work;
use super::reads::Reads;
use super::waits::{Look, settled};
use crate::plan::{Fingerprint, RESOURCE, STACK, Tags};

/// The cluster that has the stack's name, whoever it belongs to.
///
/// # Errors
/// The failure of the call.
pub async fn cluster(reads: &Reads) -> Result<Arc<Option<Cluster>>, CloudError> {
    reads
        .once("eks:DescribeCluster", || async {
            let sending = reads.cloud.read.eks.describe_cluster().name(&reads.stack);
            Ok(existing(call("eks:DescribeCluster", sending.send()).await)?.and_then(|answer| answer.cluster))
        })
        .await
}

/// Whether the stack has a cluster: what hangs on a cluster of somebody else is not looked at.
///
/// # Errors
/// The failure of the call.
pub async fn has_cluster(reads: &Reads) -> Result<bool, CloudError> {
    let cluster = cluster(reads).await?;
    Ok(cluster.as_ref().as_ref().is_some_and(|cluster| tags(cluster.tags()).get(STACK) == Some(&reads.stack)))
}

/// Everything that hangs on the stack's cluster and is listed by name and described one by one, whoever made it.
///
/// # Errors
/// The failure of a call.
pub async fn described<'a, T, Names, Shown>(
    reads: &'a Reads,
    action: &'static str,
    list: impl FnOnce(&'a Reads) -> Names,
    describe: impl Fn(&'a Reads, String) -> Shown,
) -> Result<Arc<Vec<T>>, CloudError>
where
    T: Send + Sync + 'static,
    Names: Future<Output = Result<Vec<String>, CloudError>>,
    Shown: Future<Output = Result<Option<T>, CloudError>>,
{
    reads
        .once(action, || async move {
            if !has_cluster(reads).await? {
                return Ok(Vec::new());
            }
            let names = list(reads).await?;
            let shown = try_join_all(names.into_iter().map(|name| describe(reads, name))).await?;
            Ok(shown.into_iter().flatten().collect())
        })
        .await
}

/// Whether a cluster is on its way out, or never came up.
pub fn is_leaving(cluster: &Cluster) -> bool {
    use aws_sdk_eks::types::ClusterStatus;
    matches!(cluster.status(), Some(ClusterStatus::Deleting | ClusterStatus::Failed))
}

/// The tags that EKS shows.
pub fn tags(shown: Option<&HashMap<String, String>>) -> Tags {
    shown.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Tags as EKS takes them.
pub fn tags_of(work: &Work) -> Option<HashMap<String, String>> {
    Some(work.tags.clone().into_iter().collect())
}

/// Whether `tags` say that something is what `work` is about.
pub fn is_ours(tags: &Tags, work: &Work) -> bool {
    [STACK, RESOURCE].iter().all(|key| tags.get(*key).is_some() && tags.get(*key) == work.tags.get(*key))
}

/// A token for one of several calls about the same resource: another one whenever `payload` differs,
/// so that a second change in the same run is not taken for the first.
pub fn token(work: &Work, step: &str, payload: &str) -> String {
    Fingerprint::short(&format!("{}/{step}/{payload}", work.token), 32)
}

/// EKS says "in use" both of what exists already and of what is being changed; only the second passes.
pub fn taken(error: CloudError) -> CloudError {
    const WORDS: &[&str] = &["already exists", "already in use"];
    let exists = error.class == Class::Busy && WORDS.iter().any(|words| error.message.contains(words));
    if exists { CloudError { class: Class::Exists, ..error } } else { error }
}

/// Whether EKS refuses an update because everything is as it asks for.
pub fn is_so_already(error: &CloudError) -> bool {
    const WORDS: &[&str] = &["No changes needed", "already at the desired configuration", "already at version"];
    error.class == Class::Refused && WORDS.iter().any(|words| error.message.contains(words))
}

/// EKS refuses to change what is still being made with the same code as what it never will.
fn not_settled_yet(error: CloudError) -> CloudError {
    let passes = error.class == Class::Refused && error.message.contains("not in ACTIVE");
    if passes { CloudError { class: Class::Busy, ..error } } else { error }
}

/// What an update is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Target<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The node group's name, for an update of one.
    pub node_group: Option<&'a str>,
    /// The add-on's name, for an update of one.
    pub addon: Option<&'a str>,
}

/// Waits until the update that `answer` names has ended. `action` is the call that began it.
///
/// # Errors
/// The update failed: EKS's reasons.
pub async fn finish(
    action: &'static str,
    answer: Result<Option<Update>, CloudError>,
    target: Target<'_>,
    work: &Work,
) -> Result<(), CloudError> {
    let update = match answer {
        Ok(update) => update,
        Err(error) if is_so_already(&error) => return Ok(()),
        Err(error) => return Err(not_settled_yet(error)),
    };
    let id = update.as_ref().and_then(Update::id).ok_or_else(|| CloudError::incomplete(action, "update id"))?;
    let ended = settled(&work.waiting, || async move {
        let sending = work
            .cloud
            .read
            .eks
            .describe_update()
            .name(target.cluster)
            .update_id(id)
            .set_nodegroup_name(target.node_group.map(str::to_owned))
            .set_addon_name(target.addon.map(str::to_owned));
        let update = call("eks:DescribeUpdate", sending.send()).await?.update;
        let ended = update.filter(|update| update.status() != Some(&UpdateStatus::InProgress));
        Ok(ended.map_or_else(|| Look::GoesOn("the update is in progress".to_owned()), Look::Ended))
    })
    .await?;
    match ended.status() {
        Some(UpdateStatus::Successful) => Ok(()),
        status => {
            let word = status.map_or("unknown", UpdateStatus::as_str);
            Err(CloudError::refused(action, format!("the update ended as {word}: {}", reasons(&ended))))
        }
    }
}

fn reasons(update: &Update) -> String {
    let words = update.errors().iter().map(|error| {
        let code = error.error_code().map_or("Unknown", |code| code.as_str());
        issue(code, error.error_message(), error.resource_ids())
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "EKS gives no reason".to_owned() } else { words.join("; ") }
}

/// A health issue or an error of EKS in words.
pub fn issue(code: &str, message: Option<&str>, resources: &[String]) -> String {
    let mut text = match message {
        Some(message) if !message.is_empty() => format!("{} ({code})", message.trim_end_matches('.')),
        _ => code.to_owned(),
    };
    if !resources.is_empty() {
        text.push_str(&format!(": {}", resources.join(", ")));
    }
    text
}

/// A status and its health issues in words: `status is CREATING: …`.
pub fn status(word: &str, issues: &[String]) -> String {
    if issues.is_empty() { format!("status is {word}") } else { format!("status is {word}: {}", issues.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(class: Class, message: &str) -> CloudError {
        CloudError {
            action: "eks:CreateAddon".into(),
            code: Some("X".into()),
            message: message.into(),
            class,
            advice: None,
        }
    }

    #[test]
    fn what_exists_is_told_from_what_is_busy() {
        assert_eq!(taken(refusal(Class::Busy, "Addon already exists.")).class, Class::Exists);
        assert_eq!(taken(refusal(Class::Busy, "Cluster has an update in progress")).class, Class::Busy);
    }

    #[test]
    fn an_update_that_changes_nothing_is_no_failure() {
        assert!(is_so_already(&refusal(Class::Refused, "No changes needed for the logging config provided")));
        assert!(!is_so_already(&refusal(Class::Refused, "unsupported Kubernetes version")));
    }
}
