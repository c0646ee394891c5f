//! What hangs on a role: attached policies, policies of its own, and membership in instance profiles.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::Client;
use futures::future::try_join_all;
use serde_json::Value;

use super::error::{CloudError, call, existing};
use super::kind::Work;
use super::policy_document;

/// The policies of a role.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attachments {
    /// ARNs of attached policies.
    pub managed: BTreeSet<String>,
    /// Policies of its own, by name.
    pub inline: BTreeMap<String, Value>,
}

/// What is attached to the role `name`; `None` if there is no such role.
///
/// # Errors
/// The failure of a call.
pub async fn read(name: &str, client: &Client) -> Result<Option<Attachments>, CloudError> {
    let inline = async {
        let Some(names) = inline_names(name, client).await? else { return Ok(None) };
        let policies = try_join_all(names.into_iter().map(|policy| inline_policy(name, policy, client))).await?;
        Ok(Some(policies.into_iter().flatten().collect()))
    };
    let (managed, inline) = tokio::try_join!(managed_arns(name, client), inline)?;
    Ok(managed.zip(inline).map(|(managed, inline)| Attachments { managed, inline }))
}

/// Makes the role `name` have what `wanted` says where `standing` differs from it.
///
/// # Errors
/// The failure of a call.
pub async fn write(name: &str, wanted: &Attachments, standing: &Attachments, work: &Work) -> Result<(), CloudError> {
    let attach = wanted.managed.difference(&standing.managed).map(|arn| attach(name, arn, work));
    let put = wanted
        .inline
        .iter()
        .filter(|(policy, document)| standing.inline.get(*policy) != Some(*document))
        .map(|(policy, document)| put(name, policy, document, work));
    tokio::try_join!(try_join_all(attach), try_join_all(put))?;
    let superfluous = Attachments {
        managed: standing.managed.difference(&wanted.managed).cloned().collect(),
        inline: standing
            .inline
            .iter()
            .filter(|(policy, _)| !wanted.inline.contains_key(*policy))
            .map(|(policy, document)| (policy.clone(), document.clone()))
            .collect(),
    };
    remove(name, &superfluous, work).await
}

/// Takes `superfluous` off the role `name`; what is gone already is no failure.
///
/// # Errors
/// The failure of a call.
pub async fn remove(name: &str, superfluous: &Attachments, work: &Work) -> Result<(), CloudError> {
    let detach = superfluous.managed.iter().map(|arn| detach(name, arn, work));
    let delete = superfluous.inline.keys().map(|policy| delete(name, policy, work));
    tokio::try_join!(try_join_all(detach), try_join_all(delete)).map(drop)
}

/// Takes everything off the role `name`, also what others have attached since it was looked at, and
/// takes it out of every instance profile.
///
/// # Errors
/// The failure of a call.
pub async fn remove_all(name: &str, work: &Work) -> Result<(), CloudError> {
    let client = &work.cloud.read.iam;
    let (managed, inline, profiles) =
        tokio::try_join!(managed_arns(name, client), inline_names(name, client), profiles(name, client))?;
    let inline = inline.unwrap_or_default().into_iter().map(|policy| (policy, Value::Null)).collect();
    let everything = Attachments { managed: managed.unwrap_or_default(), inline };
    let leave = profiles.iter().map(|profile| leave_profile(name, profile, work));
    tokio::try_join!(remove(name, &everything, work), try_join_all(leave)).map(drop)
}

/// Takes the role out of the instance profile; one that is not in it is no failure.
///
/// # Errors
/// The failure of the call.
pub async fn leave_profile(role: &str, profile: &str, work: &Work) -> Result<(), CloudError> {
    let client = &work.cloud.write.iam;
    let sending = client.remove_role_from_instance_profile().instance_profile_name(profile).role_name(role);
    existing(call("iam:RemoveRoleFromInstanceProfile", sending.send()).await).map(drop)
}

async fn managed_arns(name: &str, client: &Client) -> Result<Option<BTreeSet<String>>, CloudError> {
    let mut pages = client.list_attached_role_policies().role_name(name).into_paginator().send();
    let mut arns = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let Some(page) = existing(call("iam:ListAttachedRolePolicies", async { page }).await)? else {
            return Ok(None);
        };
        arns.extend(page.attached_policies().iter().filter_map(|policy| policy.policy_arn()).map(str::to_owned));
    }
    Ok(Some(arns))
}

async fn inline_names(name: &str, client: &Client) -> Result<Option<Vec<String>>, CloudError> {
    let mut pages = client.list_role_policies().role_name(name).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let Some(page) = existing(call("iam:ListRolePolicies", async { page }).await)? else { return Ok(None) };
        names.extend(page.policy_names().iter().cloned());
    }
    Ok(Some(names))
}

async fn inline_policy(role: &str, name: String, client: &Client) -> Result<Option<(String, Value)>, CloudError> {
    let sending = client.get_role_policy().role_name(role).policy_name(&name);
    let Some(answer) = existing(call("iam:GetRolePolicy", sending.send()).await)? else { return Ok(None) };
    let document = policy_document::parse("iam:GetRolePolicy", answer.policy_document())?;
    Ok(Some((name, document)))
}

async fn profiles(role: &str, client: &Client) -> Result<Vec<String>, CloudError> {
    let sending = client.list_instance_profiles_for_role().role_name(role);
    let answer = existing(call("iam:ListInstanceProfilesForRole", sending.send()).await)?;
    let profiles = answer.as_ref().map(|answer| answer.instance_profiles()).unwrap_or_default();
    Ok(profiles.iter().map(|profile| profile.instance_profile_name().to_owned()).collect())
}

async fn attach(role: &str, arn: &str, work: &Work) -> Result<(), CloudError> {
    let sending = work.cloud.write.iam.attach_role_policy().role_name(role).policy_arn(arn);
    call("iam:AttachRolePolicy", sending.send()).await.map(drop).map_err(believed_soon)
}

async fn put(role: &str, policy: &str, document: &Value, work: &Work) -> Result<(), CloudError> {
    let client = &work.cloud.write.iam;
    let sending = client.put_role_policy().role_name(role).policy_name(policy).policy_document(document.to_string());
    call("iam:PutRolePolicy", sending.send()).await.map(drop).map_err(believed_soon)
}

/// A role that was just made may not be known everywhere; a policy that does not exist never will be.
fn believed_soon(error: CloudError) -> CloudError {
    if error.message.to_lowercase().contains("role with name") { error.missing_is_not_yet() } else { error }
}

async fn detach(role: &str, arn: &str, work: &Work) -> Result<(), CloudError> {
    let sending = work.cloud.write.iam.detach_role_policy().role_name(role).policy_arn(arn);
    existing(call("iam:DetachRolePolicy", sending.send()).await).map(drop)
}

async fn delete(role: &str, policy: &str, work: &Work) -> Result<(), CloudError> {
    let sending = work.cloud.write.iam.delete_role_policy().role_name(role).policy_name(policy);
    existing(call("iam:DeleteRolePolicy", sending.send()).await).map(drop)
}
