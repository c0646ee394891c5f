//! The access policies of an access entry: what who is let in may do.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eks::types;

use super::error::{CloudError, call, existing};
use super::kind::Work;

/// Policies by name, each with the namespaces that it is for; none is the whole cluster.
type Policies = BTreeMap<String, BTreeSet<String>>;

/// The entry that the policies belong to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The ARN of who is let in.
    pub principal: &'a str,
}

/// The policies that the entry has.
///
/// # Errors
/// The failure of a call.
pub async fn read(target: Target<'_>, client: &aws_sdk_eks::Client) -> Result<Policies, CloudError> {
    let request = client.list_associated_access_policies().cluster_name(target.cluster);
    let mut pages = request.principal_arn(target.principal).into_paginator().send();
    let mut policies = Policies::new();
    while let Some(page) = pages.next().await {
        let Some(page) = existing(call("eks:ListAssociatedAccessPolicies", async { page }).await)? else { break };
        policies.extend(page.associated_access_policies().iter().filter_map(named));
    }
    Ok(policies)
}

/// Makes the entry have what `wanted` says where `standing` differs from it.
///
/// # Errors
/// The failure of a call.
pub async fn write(target: Target<'_>, wanted: &Policies, standing: &Policies, work: &Work) -> Result<(), CloudError> {
    for (name, namespaces) in wanted.iter().filter(|(name, scope)| standing.get(*name) != Some(*scope)) {
        associate(target, name, namespaces, work).await?;
    }
    for name in standing.keys().filter(|name| !wanted.contains_key(*name)) {
        let request = work.cloud.write.eks.disassociate_access_policy().cluster_name(target.cluster);
        let sending = request.principal_arn(target.principal).policy_arn(arn(name, work));
        existing(call("eks:DisassociateAccessPolicy", sending.send()).await)?;
    }
    Ok(())
}

async fn associate(
    target: Target<'_>,
    name: &str,
    namespaces: &BTreeSet<String>,
    work: &Work,
) -> Result<(), CloudError> {
    let request = work.cloud.write.eks.associate_access_policy().cluster_name(target.cluster);
    let sending = request.principal_arn(target.principal).policy_arn(arn(name, work)).access_scope(scope(namespaces));
    let result = call("eks:AssociateAccessPolicy", sending.send()).await;
    result.map(drop).map_err(CloudError::missing_is_not_yet)
}

fn scope(namespaces: &BTreeSet<String>) -> types::AccessScope {
    let scope = types::AccessScope::builder();
    match namespaces.is_empty() {
        true => scope.r#type(types::AccessScopeType::Cluster).build(),
        false => scope
            .r#type(types::AccessScopeType::Namespace)
            .set_namespaces(Some(namespaces.iter().cloned().collect()))
            .build(),
    }
}

fn named(policy: &types::AssociatedAccessPolicy) -> Option<(String, BTreeSet<String>)> {
    let name = policy.policy_arn()?.rsplit('/').next()?;
    let namespaces = policy.access_scope().map(types::AccessScope::namespaces).unwrap_or_default();
    Some((name.to_owned(), namespaces.iter().cloned().collect()))
}

fn arn(name: &str, work: &Work) -> String {
    format!("arn:{}:eks::aws:cluster-access-policy/{name}", work.cloud.partition)
}
