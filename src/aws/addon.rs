//! An add-on of a cluster that EKS installs and repairs.

use aws_sdk_eks::types;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{CloudError, call, existing};
use super::ids::{ClusterName, RoleArn};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::tagging::Tagged;
use super::{addon_update, eks};
use crate::plan::{Describe, Effect, Facts, Reference, State, Tags};

/// Carries the Kubernetes version for which EKS has chosen the add-on's version.
pub const CHOSEN_FOR: &str = "eksup.dev/kubernetes-version";

/// An add-on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addon {
    /// The cluster that it is installed in.
    pub cluster: Reference<ClusterName>,
    /// Its name in EKS: `coredns`.
    pub name: String,
    /// Its version, where the stack names one.
    pub version: Option<String>,
    /// Where the stack names no version: the Kubernetes version that EKS's choice is to fit.
    pub kubernetes: Option<String>,
    /// Its configuration values; an empty object for none.
    pub configuration: Value,
    /// The role of its service account; empty where it has none of its own or gets it otherwise.
    pub service_account_role: Reference<RoleArn>,
}

/// What others may refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The name of its cluster.
    pub cluster: String,
    /// The version that is installed.
    pub version: String,
}

impl Describe for Addon {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("name", Effect::Replace),
            ("version", Effect::InPlace),
            ("kubernetes", Effect::InPlace),
            ("configuration", Effect::InPlace),
            ("serviceAccountRole", Effect::InPlace),
        ],
        outputs: &["name", "arn", "cluster", "version"],
        references: &[("cluster", &["cluster"]), ("serviceAccountRole", &["role"])],
        volatile: &[("version", &["version", "kubernetes"])],
        changed_before: &[("node-group", "version")],
        dies_with: Some("cluster"),
        ..Facts::new("addon")
    };
}

impl Kind for Addon {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        Ok(all(reads).await?.iter().filter_map(|addon| found(reads, addon)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let mut tags = work.tags.clone();
        tags.extend(self.marker());
        let sending = work
            .cloud
            .write
            .eks
            .create_addon()
            .cluster_name(self.cluster.as_str())
            .addon_name(&self.name)
            .set_addon_version(self.version.clone())
            .set_configuration_values((!self.has_no_configuration()).then(|| self.configuration.to_string()))
            .set_service_account_role_arn(self.role())
            .resolve_conflicts(types::ResolveConflicts::Overwrite)
            .client_request_token(eks::token(work, "create", ""))
            .set_tags(Some(tags.into_iter().collect()));
        let answer = call("eks:CreateAddon", sending.send()).await.map_err(eks::taken)?;
        let addon = answer.addon().ok_or_else(|| CloudError::incomplete("eks:CreateAddon", "add-on"))?;
        let ready = addon.status() == Some(&types::AddonStatus::Active);
        Ok(Made { outputs: outputs_of(addon), ready })
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        addon_update::carry_out(self, found, work).await?;
        Ok(Made::settling(found.outputs.clone()))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let Outputs { cluster, name, .. } = &found.outputs;
        let sending = work.cloud.write.eks.delete_addon().cluster_name(cluster).addon_name(name);
        existing(call("eks:DeleteAddon", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Eks(outputs.arn.clone())
    }

    /// An add-on whose pods have no node yet is `DEGRADED` for a while, so that is waited for.
    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let Some(addon) = describe(&outputs.cluster, &outputs.name, &work.cloud.read.eks).await? else {
            return Ok(Progress::Waiting("EKS does not show it yet".to_owned()));
        };
        Ok(match addon.status() {
            Some(types::AddonStatus::Active) => Progress::Ready(outputs_of(&addon)),
            Some(types::AddonStatus::Creating | types::AddonStatus::Updating | types::AddonStatus::Degraded) => {
                Progress::Waiting(words(&addon))
            }
            _ => Progress::Failed(words(&addon)),
        })
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let Outputs { cluster, name, .. } = &found.outputs;
        let Some(addon) = describe(cluster, name, &work.cloud.read.eks).await? else { return Ok(None) };
        match addon.status() {
            Some(types::AddonStatus::DeleteFailed) => Err(CloudError::refused("eks:DeleteAddon", words(&addon))),
            _ => Ok(Some(words(&addon))),
        }
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let addons = all(reads).await?;
        let stranger = addons.iter().find(|addon| {
            addon.addon_name() == Some(&self.name) && reads.address_in(&eks::tags(addon.tags())).is_none()
        });
        Ok(stranger.map(|_| {
            format!(
                "the cluster has the add-on `{name}` already, and it is not this stack's; leave it out of \
                 `cluster.addons`, or remove it with `aws eks delete-addon --preserve --cluster-name {cluster} \
                 --addon-name {name}`, which leaves its pods running",
                name = self.name,
                cluster = reads.stack
            )
        }))
    }
}

impl Addon {
    /// The role of its service account, if it is to have one.
    pub(super) fn role(&self) -> Option<String> {
        Some(self.service_account_role.to_string()).filter(|role| !role.is_empty())
    }

    /// The tag that remembers for which Kubernetes version EKS has chosen.
    pub(super) fn marker(&self) -> Tags {
        self.kubernetes.iter().map(|version| (CHOSEN_FOR.to_owned(), version.clone())).collect()
    }

    fn has_no_configuration(&self) -> bool {
        self.configuration.as_object().is_none_or(Map::is_empty)
    }
}

/// Every add-on of the stack's cluster, whoever installed it.
async fn all(reads: &Reads) -> Result<std::sync::Arc<Vec<types::Addon>>, CloudError> {
    eks::described(reads, "eks:DescribeAddon", list, |reads, name| async move {
        describe(&reads.stack, &name, &reads.cloud.read.eks).await
    })
    .await
}

async fn list(reads: &Reads) -> Result<Vec<String>, CloudError> {
    let mut pages = reads.cloud.read.eks.list_addons().cluster_name(&reads.stack).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let Some(page) = existing(call("eks:ListAddons", async { page }).await)? else { break };
        names.extend(page.addons.unwrap_or_default());
    }
    Ok(names)
}

async fn describe(cluster: &str, name: &str, client: &aws_sdk_eks::Client) -> Result<Option<types::Addon>, CloudError> {
    let sending = client.describe_addon().cluster_name(cluster).addon_name(name);
    let answer = existing(call("eks:DescribeAddon", sending.send()).await)?;
    Ok(answer.and_then(|answer| answer.addon))
}

fn found(reads: &Reads, addon: &types::Addon) -> Option<Found<Addon>> {
    let tags = eks::tags(addon.tags());
    let address = reads.address_in(&tags)?;
    let body = Addon {
        cluster: Reference::known(addon.cluster_name().unwrap_or_default()),
        name: addon.addon_name().unwrap_or_default().to_owned(),
        version: addon.addon_version().map(str::to_owned),
        kubernetes: tags.get(CHOSEN_FOR).cloned(),
        configuration: configuration_of(addon.configuration_values()),
        service_account_role: Reference::known(addon.service_account_role_arn().unwrap_or_default()),
    };
    Some(Found { address, body, outputs: outputs_of(addon), tags, state: state(addon) })
}

/// Configuration values are JSON where eksup has written them, and can be YAML where a person has.
fn configuration_of(text: Option<&str>) -> Value {
    match text.map(str::trim) {
        None | Some("") => Value::Object(Map::new()),
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}

/// An add-on that is `DEGRADED` or whose update failed stands: making it anew would be an outage.
fn state(addon: &types::Addon) -> State {
    match addon.status() {
        Some(types::AddonStatus::Active | types::AddonStatus::Degraded | types::AddonStatus::UpdateFailed) => {
            State::Ready
        }
        Some(types::AddonStatus::Deleting) => State::Deleting,
        Some(types::AddonStatus::CreateFailed | types::AddonStatus::DeleteFailed) => State::Failed(words(addon)),
        _ => State::Changing(words(addon)),
    }
}

fn words(addon: &types::Addon) -> String {
    let issues = addon.health().map(types::AddonHealth::issues).unwrap_or_default();
    let issues: Vec<String> = issues
        .iter()
        .map(|issue| {
            let code = issue.code().map_or("Unknown", types::AddonIssueCode::as_str);
            eks::issue(code, issue.message(), issue.resource_ids())
        })
        .collect();
    eks::status(addon.status().map_or("unknown", types::AddonStatus::as_str), &issues)
}

fn outputs_of(addon: &types::Addon) -> Outputs {
    Outputs {
        name: addon.addon_name().unwrap_or_default().to_owned(),
        arn: addon.addon_arn().unwrap_or_default().to_owned(),
        cluster: addon.cluster_name().unwrap_or_default().to_owned(),
        version: addon.addon_version().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_configuration_and_an_empty_one_are_the_same() {
        for text in [None, Some(""), Some("{}"), Some(" {} ")] {
            assert_eq!(configuration_of(text), json!({}), "{text:?}");
        }
        assert_eq!(configuration_of(Some(r#"{"replicaCount":3}"#)), json!({ "replicaCount": 3 }));
        assert_eq!(configuration_of(Some("replicaCount: 3")), json!("replicaCount: 3"));
    }
}
