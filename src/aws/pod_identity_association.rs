//! A pod identity association: gives the pods of a service account a role.

use std::sync::Arc;

use aws_sdk_eks::types;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::eks;
use super::error::{CloudError, call, existing};
use super::ids::{ClusterName, RoleArn};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::Tagged;
use crate::plan::{Describe, Effect, Facts, Reference, State};

/// An association of a service account with a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodIdentityAssociation {
    /// The cluster that the pods run in.
    pub cluster: Reference<ClusterName>,
    /// The namespace of the service account.
    pub namespace: String,
    /// The name of the service account.
    pub service_account: String,
    /// The role that its pods get.
    pub role: Reference<RoleArn>,
}

/// What others may refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// `a-…`
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// The name of its cluster.
    pub cluster: String,
}

impl Describe for PodIdentityAssociation {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("namespace", Effect::Replace),
            ("serviceAccount", Effect::Replace),
            ("role", Effect::InPlace),
        ],
        outputs: &["id", "arn", "cluster"],
        references: &[("cluster", &["cluster"]), ("role", &["role"])],
        dies_with: Some("cluster"),
        ..Facts::new("pod-identity-association")
    };
}

impl Kind for PodIdentityAssociation {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let summaries = list(reads).await?;
        // What an add-on made for itself belongs to the add-on.
        let candidates = summaries.iter().filter(|summary| summary.owner_arn().is_none());
        let ids = candidates.filter_map(|summary| summary.association_id());
        let found = try_join_all(ids.map(|id| read(reads, id))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .eks
            .create_pod_identity_association()
            .cluster_name(self.cluster.as_str())
            .namespace(&self.namespace)
            .service_account(&self.service_account)
            .role_arn(self.role.as_str())
            .client_request_token(eks::token(work, "create", self.role.as_str()))
            .set_tags(eks::tags_of(work));
        let answer = call("eks:CreatePodIdentityAssociation", sending.send()).await.map_err(eks::taken)?;
        made("eks:CreatePodIdentityAssociation", answer.association())
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = work
            .cloud
            .write
            .eks
            .update_pod_identity_association()
            .cluster_name(&found.outputs.cluster)
            .association_id(&found.outputs.id)
            .role_arn(self.role.as_str())
            .client_request_token(eks::token(work, "update", self.role.as_str()));
        let answer = call("eks:UpdatePodIdentityAssociation", sending.send()).await?;
        made("eks:UpdatePodIdentityAssociation", answer.association())
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let Outputs { cluster, id, .. } = &found.outputs;
        let sending = work.cloud.write.eks.delete_pod_identity_association().cluster_name(cluster).association_id(id);
        existing(call("eks:DeletePodIdentityAssociation", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Eks(outputs.arn.clone())
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let summaries = list(reads).await?;
        let same = summaries.iter().find(|summary| {
            summary.namespace() == Some(&self.namespace) && summary.service_account() == Some(&self.service_account)
        });
        let Some(id) = same.and_then(|summary| summary.association_id()) else { return Ok(None) };
        Ok(read(reads, id).await?.is_none().then(|| {
            format!(
                "the service account `{}/{}` has the pod identity association `{id}` already, and it is not this \
                 stack's; delete it, or leave the service account out of the stack file",
                self.namespace, self.service_account
            )
        }))
    }
}

fn made(
    action: &'static str,
    association: Option<&types::PodIdentityAssociation>,
) -> Result<Made<Outputs>, CloudError> {
    let association = association.ok_or_else(|| CloudError::incomplete(action, "association"))?;
    Ok(Made::ready(outputs_of(association)))
}

/// Every association of the stack's cluster, whoever made it.
async fn list(reads: &Reads) -> Result<Arc<Vec<types::PodIdentityAssociationSummary>>, CloudError> {
    reads
        .once("eks:ListPodIdentityAssociations", || async {
            let mut summaries = Vec::new();
            if !eks::has_cluster(reads).await? {
                return Ok(summaries);
            }
            let request = reads.cloud.read.eks.list_pod_identity_associations().cluster_name(&reads.stack);
            let mut pages = request.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = existing(call("eks:ListPodIdentityAssociations", async { page }).await)?;
                let Some(page) = page else { break };
                summaries.extend(page.associations.unwrap_or_default());
            }
            Ok(summaries)
        })
        .await
}

async fn read(reads: &Reads, id: &str) -> Result<Option<Found<PodIdentityAssociation>>, CloudError> {
    let request = reads.cloud.read.eks.describe_pod_identity_association().cluster_name(&reads.stack);
    let answer = existing(call("eks:DescribePodIdentityAssociation", request.association_id(id).send()).await)?;
    Ok(answer.and_then(|answer| answer.association).and_then(|association| found(reads, &association)))
}

fn found(reads: &Reads, association: &types::PodIdentityAssociation) -> Option<Found<PodIdentityAssociation>> {
    let tags = eks::tags(association.tags());
    let address = reads.address_in(&tags)?;
    let body = PodIdentityAssociation {
        cluster: Reference::known(association.cluster_name().unwrap_or_default()),
        namespace: association.namespace().unwrap_or_default().to_owned(),
        service_account: association.service_account().unwrap_or_default().to_owned(),
        role: Reference::known(association.role_arn().unwrap_or_default()),
    };
    Some(Found { address, body, outputs: outputs_of(association), tags, state: State::Ready })
}

fn outputs_of(association: &types::PodIdentityAssociation) -> Outputs {
    Outputs {
        id: association.association_id().unwrap_or_default().to_owned(),
        arn: association.association_arn().unwrap_or_default().to_owned(),
        cluster: association.cluster_name().unwrap_or_default().to_owned(),
    }
}
