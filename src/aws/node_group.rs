//! A managed node group: nodes that EKS makes, updates and drains.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eks::types;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Class, CloudError, call, existing};
use super::ids::{ClusterName, LaunchTemplateId, LaunchTemplateVersion, RoleArn, SubnetId, Text};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::tagging::Tagged;
use super::{cluster_facts, eks, node_group_request, node_group_update};
use crate::plan::{Describe, Effect, Facts, Handle, Loss, Reference, ReplaceOrder, State};

/// A managed node group. EKS knows it as `name` with a fingerprint of what cannot be changed, so
/// that the group that replaces it can stand beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeGroup {
    /// The cluster that the nodes join.
    pub cluster: Reference<ClusterName>,
    /// Its name in the stack.
    pub name: String,
    /// The role that nodes have.
    pub role: Reference<RoleArn>,
    /// Tells the role from an earlier one of its name; only part of the fingerprint.
    pub role_id: Reference<Text>,
    /// Where the nodes stand.
    pub subnets: BTreeSet<Reference<SubnetId>>,
    /// Instance types in order of preference.
    pub instance_types: Vec<String>,
    /// The kind of image: `AL2023_x86_64_STANDARD`.
    pub ami_type: String,
    /// `ON_DEMAND` or `SPOT`.
    pub capacity_type: String,
    /// What else an instance is made from.
    pub launch_template: Reference<LaunchTemplateId>,
    /// Which version of that.
    pub launch_template_version: Reference<LaunchTemplateVersion>,
    /// The Kubernetes minor version of the nodes.
    pub version: String,
    /// The fewest nodes.
    pub min: i32,
    /// The most nodes.
    pub max: i32,
    /// How many nodes it starts with; later the number belongs to whoever scales the group.
    pub desired: i32,
    /// Labels of the nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of the nodes.
    pub taints: BTreeSet<Taint>,
    /// How many nodes an update takes away at a time.
    pub max_unavailable: Option<i32>,
    /// How many per cent of the nodes an update takes away at a time.
    pub max_unavailable_percentage: Option<i32>,
}

/// A taint, in EKS's words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value; empty for none.
    pub value: String,
    /// `NO_SCHEDULE`, `PREFER_NO_SCHEDULE` or `NO_EXECUTE`.
    pub effect: String,
}

/// What others may refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// Its name in EKS.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The name of its cluster.
    pub cluster: String,
}

impl Describe for NodeGroup {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("name", Effect::Replace),
            ("role", Effect::Replace),
            ("roleId", Effect::CreateOnly),
            ("subnets", Effect::Replace),
            ("instanceTypes", Effect::Replace),
            ("amiType", Effect::Replace),
            ("capacityType", Effect::Replace),
            ("launchTemplate", Effect::Replace),
            ("launchTemplateVersion", Effect::InPlace),
            ("version", Effect::InPlace),
            ("min", Effect::InPlace),
            ("max", Effect::InPlace),
            ("desired", Effect::CreateOnly),
            ("labels", Effect::InPlace),
            ("taints", Effect::InPlace),
            ("maxUnavailable", Effect::InPlace),
            ("maxUnavailablePercentage", Effect::InPlace),
        ],
        judge,
        outputs: &["name", "arn", "cluster"],
        replace: ReplaceOrder::CreateFirst,
        loss: Loss::Outage("its nodes are drained and terminated"),
        references: &[
            ("cluster", &["cluster"]),
            ("role", &["role"]),
            ("subnets", &["subnet"]),
            ("launchTemplate", &["launch-template"]),
        ],
        ..Facts::new("node-group")
    };
}

fn judge(field: &str, before: &Value, after: &Value) -> Option<Effect> {
    match field {
        "version" => {
            cluster_facts::version(before, after, "a node group").filter(|effect| matches!(effect, Effect::Refused(_)))
        }
        _ => None,
    }
}

impl Handle<NodeGroup> {
    /// The name in EKS.
    pub fn name(&self) -> Reference<Text> {
        self.output("name")
    }
}

impl Kind for NodeGroup {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        if !eks::has_cluster(reads).await? {
            return Ok(Vec::new());
        }
        let names = list(reads).await?;
        let groups = try_join_all(names.iter().map(|name| describe(&reads.stack, name, &reads.cloud.read.eks))).await?;
        Ok(groups.iter().flatten().filter_map(|group| found(reads, group)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let name = node_group_request::name_of(self, "");
        match self.create_as(&name, work).await {
            Err(error) if error.class == Class::Exists && self.is_beyond_use(&name, work).await? => {
                self.create_as(&node_group_request::name_of(self, &work.token), work).await
            }
            other => other,
        }
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        node_group_update::carry_out(self, found, work).await?;
        Ok(Made::settling(found.outputs.clone()))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let Outputs { cluster, name, .. } = &found.outputs;
        let sending = work.cloud.write.eks.delete_nodegroup().cluster_name(cluster).nodegroup_name(name);
        existing(call("eks:DeleteNodegroup", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Eks(outputs.arn.clone())
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let Some(group) = describe(&outputs.cluster, &outputs.name, &work.cloud.read.eks).await? else {
            return Ok(Progress::Waiting("EKS does not show it yet".to_owned()));
        };
        Ok(match group.status() {
            Some(types::NodegroupStatus::Active) => Progress::Ready(outputs_of(&group)),
            Some(types::NodegroupStatus::Creating | types::NodegroupStatus::Updating) => {
                Progress::Waiting(words(&group))
            }
            _ => Progress::Failed(words(&group)),
        })
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let Outputs { cluster, name, .. } = &found.outputs;
        let Some(group) = describe(cluster, name, &work.cloud.read.eks).await? else { return Ok(None) };
        match group.status() {
            Some(types::NodegroupStatus::DeleteFailed) => {
                Err(CloudError::refused("eks:DeleteNodegroup", words(&group)))
            }
            _ => Ok(Some(words(&group))),
        }
    }
}

impl NodeGroup {
    async fn create_as(&self, name: &str, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = node_group_request::creation(self, name, work);
        let answer = call("eks:CreateNodegroup", sending.send()).await.map_err(eks::taken)?;
        let group = answer.nodegroup().ok_or_else(|| CloudError::incomplete("eks:CreateNodegroup", "node group"))?;
        let ready = group.status() == Some(&types::NodegroupStatus::Active);
        Ok(Made { outputs: outputs_of(group), ready })
    }

    /// Whether the group that has this name already has failed or is going: another name is needed.
    async fn is_beyond_use(&self, name: &str, work: &Work) -> Result<bool, CloudError> {
        let group = describe(self.cluster.as_str(), name, &work.cloud.read.eks).await?;
        Ok(group.is_some_and(|group| {
            eks::is_ours(&eks::tags(group.tags()), work) && matches!(state(&group), State::Failed(_) | State::Deleting)
        }))
    }
}

async fn list(reads: &Reads) -> Result<Vec<String>, CloudError> {
    let mut pages = reads.cloud.read.eks.list_nodegroups().cluster_name(&reads.stack).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let Some(page) = existing(call("eks:ListNodegroups", async { page }).await)? else { break };
        names.extend(page.nodegroups.unwrap_or_default());
    }
    Ok(names)
}

async fn describe(
    cluster: &str,
    name: &str,
    client: &aws_sdk_eks::Client,
) -> Result<Option<types::Nodegroup>, CloudError> {
    let sending = client.describe_nodegroup().cluster_name(cluster).nodegroup_name(name);
    let answer = existing(call("eks:DescribeNodegroup", sending.send()).await)?;
    Ok(answer.and_then(|answer| answer.nodegroup))
}

fn found(reads: &Reads, group: &types::Nodegroup) -> Option<Found<NodeGroup>> {
    let tags = eks::tags(group.tags());
    let address = reads.address_in(&tags)?;
    let body = node_group_request::body_of(group);
    Some(Found { address, body, outputs: outputs_of(group), tags, state: state(group) })
}

/// A group that is `DEGRADED` stands: what ails it is not cured by making it anew.
fn state(group: &types::Nodegroup) -> State {
    match group.status() {
        Some(types::NodegroupStatus::Active | types::NodegroupStatus::Degraded) => State::Ready,
        Some(types::NodegroupStatus::Deleting) => State::Deleting,
        Some(types::NodegroupStatus::CreateFailed | types::NodegroupStatus::DeleteFailed) => {
            State::Failed(words(group))
        }
        _ => State::Changing(words(group)),
    }
}

fn words(group: &types::Nodegroup) -> String {
    let issues = group.health().map(types::NodegroupHealth::issues).unwrap_or_default();
    let issues: Vec<String> = issues
        .iter()
        .map(|issue| {
            let code = issue.code().map_or("Unknown", types::NodegroupIssueCode::as_str);
            eks::issue(code, issue.message(), issue.resource_ids())
        })
        .collect();
    eks::status(group.status().map_or("unknown", types::NodegroupStatus::as_str), &issues)
}

fn outputs_of(group: &types::Nodegroup) -> Outputs {
    Outputs {
        name: group.nodegroup_name().unwrap_or_default().to_owned(),
        arn: group.nodegroup_arn().unwrap_or_default().to_owned(),
        cluster: group.cluster_name().unwrap_or_default().to_owned(),
    }
}
