//! An access entry: lets an IAM identity into the Kubernetes API of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_eks::types;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::error::{Class, CloudError, call, existing};
use super::ids::{ClusterName, RoleArn, Text};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::{self, Tagged};
use super::{access_policy, eks};
use crate::plan::{Describe, Effect, Facts, Reference, State, TagChange, Tags};

/// Carries the unique id of the role that the entry was made for.
pub const PRINCIPAL_ID: &str = "eksup.dev/principal-id";

/// An access entry. EKS remembers a role by its unique id: the entry of a role that was made anew
/// under the same name lets nobody in, so it is made anew too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessEntry {
    /// The cluster that is let into.
    pub cluster: Reference<ClusterName>,
    /// Who is let in: the ARN of a role or user.
    pub principal: Reference<RoleArn>,
    /// The unique id of the role, where it is one of the stack's own.
    pub principal_id: Option<Reference<Text>>,
    /// `STANDARD` for people and programs, `EC2_LINUX` for nodes.
    #[serde(rename = "type")]
    pub entry_type: String,
    /// Access policies by name, each with the namespaces that it is for; none is the whole cluster.
    pub policies: BTreeMap<String, BTreeSet<String>>,
}

/// What others may refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// The entry's ARN.
    pub arn: String,
    /// Who is let in.
    pub principal: String,
    /// The name of the cluster.
    pub cluster: String,
}

impl Describe for AccessEntry {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("principal", Effect::Replace),
            ("principalId", Effect::Replace),
            ("type", Effect::Replace),
            ("policies", Effect::InPlace),
        ],
        outputs: &["arn", "principal", "cluster"],
        references: &[("cluster", &["cluster"]), ("principal", &["role"]), ("principalId", &["role"])],
        dies_with: Some("cluster"),
        ..Facts::new("access-entry")
    };
}

impl Kind for AccessEntry {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let entries = all(reads).await?;
        let ours = entries.iter().filter_map(|entry| Some((entry, reads.address_in(&eks::tags(entry.tags()))?)));
        let found = ours.map(|(entry, address)| async move {
            let policies = policies_of(entry, &reads.cloud.read.eks).await?;
            let (body, tags) = (body_of(entry, policies), eks::tags(entry.tags()));
            Ok::<_, CloudError>(Found { address, body, outputs: outputs_of(entry), tags, state: State::Ready })
        });
        try_join_all(found).await
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let mut tags = work.tags.clone();
        tags.extend(self.marker());
        let sending = work
            .cloud
            .write
            .eks
            .create_access_entry()
            .cluster_name(self.cluster.as_str())
            .principal_arn(self.principal.as_str())
            .r#type(&self.entry_type)
            .client_request_token(eks::token(work, "create", self.principal.as_str()))
            .set_tags(Some(tags.into_iter().collect()));
        let result = call("eks:CreateAccessEntry", sending.send()).await.map_err(eks::taken);
        let (entry, standing) = match result {
            Ok(answer) => (answer.access_entry, BTreeMap::new()),
            Err(error) if error.class == Class::Exists => self.adopt(work).await?,
            Err(error) => return Err(error),
        };
        let entry = entry.ok_or_else(|| CloudError::incomplete("eks:CreateAccessEntry", "entry"))?;
        self.write_policies(&standing, work).await?;
        Ok(Made::ready(outputs_of(&entry)))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        self.write_policies(&found.body.policies, work).await?;
        Ok(Made::ready(found.outputs.clone()))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let Outputs { cluster, principal, .. } = &found.outputs;
        if is_the_caller(principal, &work.cloud.caller) {
            return Err(CloudError::refused(
                "eks:DeleteAccessEntry",
                format!(
                    "`{principal}` is who is calling, and would lock itself out of the cluster; run this as another \
                     administrator"
                ),
            ));
        }
        let sending = work.cloud.write.eks.delete_access_entry().cluster_name(cluster).principal_arn(principal);
        existing(call("eks:DeleteAccessEntry", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Eks(outputs.arn.clone())
    }
}

impl AccessEntry {
    fn marker(&self) -> Tags {
        self.principal_id.iter().map(|id| (PRINCIPAL_ID.to_owned(), id.to_string())).collect()
    }

    /// Takes over the entry that the principal has in the stack's own cluster: EKS makes one for who
    /// makes the cluster, and for the role of a managed node group.
    async fn adopt(&self, work: &Work) -> Result<(Option<types::AccessEntry>, Policies), CloudError> {
        let client = &work.cloud.read.eks;
        let entry = describe(self.cluster.as_str(), self.principal.as_str(), client)
            .await?
            .ok_or_else(|| CloudError::incomplete("eks:DescribeAccessEntry", "entry"))?;
        if entry.r#type() != Some(&self.entry_type) {
            let shown = entry.r#type().unwrap_or("another type");
            let message = format!(
                "`{}` is in the cluster as {shown} already, not as {}; delete that access entry first",
                self.principal, self.entry_type
            );
            return Err(CloudError::refused("eks:CreateAccessEntry", message));
        }
        let mut set = work.tags.clone();
        set.extend(self.marker());
        let tagged = Tagged::Eks(entry.access_entry_arn().unwrap_or_default().to_owned());
        tagging::change(&tagged, &TagChange { set, unset: Vec::new() }, work).await?;
        let standing = policies_of(&entry, client).await?;
        Ok((Some(entry), standing))
    }

    async fn write_policies(&self, standing: &Policies, work: &Work) -> Result<(), CloudError> {
        let target = access_policy::Target { cluster: self.cluster.as_str(), principal: self.principal.as_str() };
        access_policy::write(target, &self.policies, standing, work).await
    }
}

type Policies = BTreeMap<String, BTreeSet<String>>;

/// Every access entry of the stack's cluster, whoever made it.
async fn all(reads: &Reads) -> Result<Arc<Vec<types::AccessEntry>>, CloudError> {
    eks::described(reads, "eks:DescribeAccessEntry", list, |reads, principal| async move {
        describe(&reads.stack, &principal, &reads.cloud.read.eks).await
    })
    .await
}

async fn list(reads: &Reads) -> Result<Vec<String>, CloudError> {
    let mut pages = reads.cloud.read.eks.list_access_entries().cluster_name(&reads.stack).into_paginator().send();
    let mut principals = Vec::new();
    while let Some(page) = pages.next().await {
        let Some(page) = existing(call("eks:ListAccessEntries", async { page }).await)? else { break };
        principals.extend(page.access_entries.unwrap_or_default());
    }
    Ok(principals)
}

async fn describe(
    cluster: &str,
    principal: &str,
    client: &aws_sdk_eks::Client,
) -> Result<Option<types::AccessEntry>, CloudError> {
    let sending = client.describe_access_entry().cluster_name(cluster).principal_arn(principal);
    let answer = existing(call("eks:DescribeAccessEntry", sending.send()).await)?;
    Ok(answer.and_then(|answer| answer.access_entry))
}

/// The policies of an entry; only entries for people and programs can have some.
async fn policies_of(entry: &types::AccessEntry, client: &aws_sdk_eks::Client) -> Result<Policies, CloudError> {
    if entry.r#type() != Some("STANDARD") {
        return Ok(Policies::new());
    }
    let target = access_policy::Target {
        cluster: entry.cluster_name().unwrap_or_default(),
        principal: entry.principal_arn().unwrap_or_default(),
    };
    access_policy::read(target, client).await
}

fn body_of(entry: &types::AccessEntry, policies: Policies) -> AccessEntry {
    let tags = eks::tags(entry.tags());
    AccessEntry {
        cluster: Reference::known(entry.cluster_name().unwrap_or_default()),
        principal: Reference::known(entry.principal_arn().unwrap_or_default()),
        principal_id: tags.get(PRINCIPAL_ID).map(Reference::known),
        entry_type: entry.r#type().unwrap_or_default().to_owned(),
        policies,
    }
}

fn outputs_of(entry: &types::AccessEntry) -> Outputs {
    Outputs {
        arn: entry.access_entry_arn().unwrap_or_default().to_owned(),
        principal: entry.principal_arn().unwrap_or_default().to_owned(),
        cluster: entry.cluster_name().unwrap_or_default().to_owned(),
    }
}

/// Whether `principal` is the user or the role behind `caller`, which for a role is a session:
/// `arn:aws:sts::111122223333:assumed-role/NAME/SESSION`.
fn is_the_caller(principal: &str, caller: &str) -> bool {
    let account = |arn: &str| arn.split(':').nth(4).unwrap_or_default().to_owned();
    let session_role = caller.split_once(":assumed-role/").and_then(|(_, rest)| rest.split('/').next());
    match session_role {
        Some(role) => {
            account(principal) == account(caller)
                && principal.contains(":role/")
                && principal.rsplit('/').next() == Some(role)
        }
        None => principal == caller,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_recognised_behind_its_session() {
        let caller = "arn:aws:sts::111122223333:assumed-role/admin/alice";
        assert!(is_the_caller("arn:aws:iam::111122223333:role/people/admin", caller));
        assert!(!is_the_caller("arn:aws:iam::111122223333:role/other", caller));
        assert!(!is_the_caller("arn:aws:iam::444455556666:role/admin", caller));
        assert!(!is_the_caller("arn:aws:iam::111122223333:user/admin", caller));
        let user = "arn:aws:iam::111122223333:user/alice";
        assert!(is_the_caller(user, user));
    }
}
