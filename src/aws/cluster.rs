//! An EKS cluster: the control plane.

use std::collections::BTreeSet;

use aws_sdk_eks::types;
use serde::{Deserialize, Serialize};

use super::error::{Class, CloudError, call, existing};
use super::ids::{ClusterName, IssuerUrl, RoleArn, SecurityGroupId, SubnetId, Text};
use super::kind::{Found, Kind, Made, Progress, Work};
use super::reads::Reads;
use super::tagging::Tagged;
use super::{cluster_facts, cluster_request, cluster_update, eks};
use crate::plan::{Describe, Effect, Facts, Handle, Loss, Reference, State};

/// A control plane, with the network it listens in and what it does by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Its name, which is the stack's.
    pub name: String,
    /// The Kubernetes minor version: `1.35`.
    pub version: String,
    /// The role with which EKS acts for it.
    pub role: Reference<RoleArn>,
    /// Where its network interfaces stand, in two zones or more.
    pub subnets: BTreeSet<Reference<SubnetId>>,
    /// Groups for these interfaces beside the one that EKS makes.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
    /// Whether the API answers on the internet.
    pub endpoint_public: bool,
    /// Whether the API answers inside the VPC.
    pub endpoint_private: bool,
    /// Who may reach the public endpoint; nothing to compare where there is none.
    pub public_cidrs: Option<BTreeSet<String>>,
    /// The logs that are sent to CloudWatch, by their names in EKS.
    pub logging: BTreeSet<String>,
    /// `STANDARD` or `EXTENDED`.
    pub upgrade_policy: String,
    /// Whether EKS refuses to delete it.
    pub deletion_protection: bool,
    /// The addresses of Kubernetes services; left to EKS where it is not said.
    pub service_cidr: Option<String>,
    /// The ARN of the key that Kubernetes secrets are encrypted with; empty where they are not.
    pub secrets_key: String,
    /// `API`: who may come in is said by access entries alone.
    pub authentication_mode: String,
    /// Whether EKS installs add-ons that it does not manage afterwards.
    pub bootstrap_self_managed_addons: bool,
    /// Whether who makes the cluster is its first administrator.
    pub bootstrap_cluster_creator_admin_permissions: bool,
}

/// What others may refer to. What EKS tells only later is missing until then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Where the API answers: `https://…`.
    pub endpoint: Option<String>,
    /// The certificate authority of the API, in base64.
    pub certificate_authority: Option<String>,
    /// Who signs the tokens of its service accounts: `https://…`.
    pub issuer: Option<String>,
    /// The security group that EKS makes for it and its nodes.
    pub security_group: Option<String>,
    /// The Kubernetes minor version.
    pub version: Option<String>,
}

impl Describe for Cluster {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("version", Effect::InPlace),
            ("role", Effect::Replace),
            ("subnets", Effect::InPlace),
            ("securityGroups", Effect::InPlace),
            ("endpointPublic", Effect::InPlace),
            ("endpointPrivate", Effect::InPlace),
            ("publicCidrs", Effect::InPlace),
            ("logging", Effect::InPlace),
            ("upgradePolicy", Effect::InPlace),
            ("deletionProtection", Effect::InPlace),
            ("serviceCidr", Effect::Replace),
            ("secretsKey", Effect::Replace),
            ("authenticationMode", Effect::InPlace),
            ("bootstrapSelfManagedAddons", Effect::CreateOnly),
            ("bootstrapClusterCreatorAdminPermissions", Effect::CreateOnly),
        ],
        judge: cluster_facts::judge,
        outputs: &["name", "arn", "endpoint", "certificateAuthority", "issuer", "securityGroup", "version"],
        loss: Loss::Outage("everything that runs in the cluster stops, and what Kubernetes has stored is gone"),
        references: &[("role", &["role"]), ("subnets", &["subnet"]), ("securityGroups", &["security-group"])],
        volatile: &[("version", &["version"])],
        protected: cluster_facts::protected,
        rooted_in: Some("vpc"),
        ..Facts::new("cluster")
    };
}

impl Handle<Cluster> {
    /// The name.
    pub fn name(&self) -> Reference<ClusterName> {
        self.output("name")
    }

    /// The ARN.
    pub fn arn(&self) -> Reference<Text> {
        self.output("arn")
    }

    /// Where the API answers.
    pub fn endpoint(&self) -> Reference<Text> {
        self.output("endpoint")
    }

    /// The certificate authority of the API, in base64.
    pub fn certificate_authority(&self) -> Reference<Text> {
        self.output("certificateAuthority")
    }

    /// Who signs the tokens of its service accounts.
    pub fn issuer(&self) -> Reference<IssuerUrl> {
        self.output("issuer")
    }

    /// The security group that EKS makes for it and its nodes.
    pub fn security_group(&self) -> Reference<SecurityGroupId> {
        self.output("securityGroup")
    }

    /// The Kubernetes minor version.
    pub fn version(&self) -> Reference<Text> {
        self.output("version")
    }
}

impl Kind for Cluster {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let shown = eks::cluster(reads).await?;
        Ok(shown.as_ref().as_ref().and_then(|cluster| found(reads, cluster)).into_iter().collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let sending = cluster_request::creation(self, work)?;
        let answer = call("eks:CreateCluster", sending.send()).await.map_err(eks::taken)?;
        let cluster = answer.cluster().ok_or_else(|| CloudError::incomplete("eks:CreateCluster", "cluster"))?;
        Ok(made(cluster))
    }

    async fn update(&self, found: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        cluster_update::carry_out(self, found, work).await?;
        let cluster = describe(&self.name, work)
            .await?
            .ok_or_else(|| CloudError::incomplete("eks:DescribeCluster", "cluster"))?;
        Ok(made(&cluster))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.eks.delete_cluster().name(&found.outputs.name);
        existing(call("eks:DeleteCluster", sending.send()).await).map(drop)
    }

    fn tagged(outputs: &Outputs) -> Tagged {
        Tagged::Eks(outputs.arn.clone())
    }

    async fn progress(outputs: Outputs, work: &Work) -> Result<Progress<Outputs>, CloudError> {
        let Some(cluster) = describe(&outputs.name, work).await? else {
            return Ok(Progress::Waiting("EKS does not show it yet".to_owned()));
        };
        let words = eks::status(word(&cluster), &issues(&cluster));
        Ok(match cluster.status() {
            Some(types::ClusterStatus::Active) => Progress::Ready(outputs_of(&cluster)),
            Some(types::ClusterStatus::Failed | types::ClusterStatus::Deleting) => Progress::Failed(words),
            _ => Progress::Waiting(words),
        })
    }

    async fn remains(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let cluster = describe(&found.outputs.name, work).await?;
        Ok(cluster.map(|cluster| eks::status(word(&cluster), &issues(&cluster))))
    }

    async fn blocker(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let (client, name) = (&work.cloud.read.eks, &found.outputs.name);
        let groups =
            async { existing(call("eks:ListNodegroups", client.list_nodegroups().cluster_name(name).send()).await) };
        let profiles = async {
            existing(call("eks:ListFargateProfiles", client.list_fargate_profiles().cluster_name(name).send()).await)
        };
        let (groups, profiles) = tokio::try_join!(groups, profiles)?;
        let groups = groups.and_then(|answer| answer.nodegroups).unwrap_or_default();
        let profiles = profiles.and_then(|answer| answer.fargate_profile_names).unwrap_or_default();
        let named: Vec<String> = groups
            .iter()
            .map(|name| format!("node group `{name}`"))
            .chain(profiles.iter().map(|name| format!("Fargate profile `{name}`")))
            .collect();
        Ok((!named.is_empty()).then(|| format!("still there: {}", named.join(", "))))
    }

    async fn clash(&self, reads: &Reads) -> Result<Option<String>, CloudError> {
        let shown = eks::cluster(reads).await?;
        let stranger = shown.as_ref().as_ref().filter(|cluster| found(reads, cluster).is_none());
        Ok(stranger.map(|cluster| {
            format!(
                "the account has a cluster `{}` in {} already (`{}`), and it is not this stack's; give the stack \
                 another name",
                self.name,
                reads.cloud.region,
                cluster.arn().unwrap_or_default()
            )
        }))
    }
}

async fn describe(name: &str, work: &Work) -> Result<Option<types::Cluster>, CloudError> {
    let sending = work.cloud.read.eks.describe_cluster().name(name);
    let answer = match call("eks:DescribeCluster", sending.send()).await {
        Err(error) if error.class == Class::Missing => None,
        other => Some(other?),
    };
    Ok(answer.and_then(|answer| answer.cluster))
}

/// The cluster as the stack's, if its tags say so.
fn found(reads: &Reads, cluster: &types::Cluster) -> Option<Found<Cluster>> {
    let tags = eks::tags(cluster.tags());
    let address = reads.address_in(&tags)?;
    let state = state(cluster);
    Some(Found { address, body: cluster_request::body_of(cluster), outputs: outputs_of(cluster), tags, state })
}

fn state(cluster: &types::Cluster) -> State {
    match cluster.status() {
        Some(types::ClusterStatus::Active) => State::Ready,
        Some(types::ClusterStatus::Deleting) => State::Deleting,
        Some(types::ClusterStatus::Failed) => State::Failed(eks::status(word(cluster), &issues(cluster))),
        _ => State::Changing(eks::status(word(cluster), &issues(cluster))),
    }
}

fn word(cluster: &types::Cluster) -> &str {
    cluster.status().map_or("unknown", types::ClusterStatus::as_str)
}

fn issues(cluster: &types::Cluster) -> Vec<String> {
    let issues = cluster.health().map(types::ClusterHealth::issues).unwrap_or_default();
    let code = |issue: &types::ClusterIssue| issue.code().map_or("Unknown", |code| code.as_str()).to_owned();
    issues.iter().map(|issue| eks::issue(&code(issue), issue.message(), issue.resource_ids())).collect()
}

fn made(cluster: &types::Cluster) -> Made<Outputs> {
    let ready = cluster.status() == Some(&types::ClusterStatus::Active);
    Made { outputs: outputs_of(cluster), ready }
}

fn outputs_of(cluster: &types::Cluster) -> Outputs {
    let issuer = cluster.identity().and_then(|identity| identity.oidc()).and_then(|oidc| oidc.issuer());
    let network = cluster.resources_vpc_config();
    Outputs {
        name: cluster.name().unwrap_or_default().to_owned(),
        arn: cluster.arn().unwrap_or_default().to_owned(),
        endpoint: cluster.endpoint().map(str::to_owned),
        certificate_authority: cluster
            .certificate_authority()
            .and_then(|authority| authority.data())
            .map(str::to_owned),
        issuer: issuer.map(str::to_owned),
        security_group: network.and_then(|network| network.cluster_security_group_id()).map(str::to_owned),
        version: cluster.version().map(str::to_owned),
    }
}
