//! The root of the stack file and its metadata.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Addons, Autoscaler, Bastion, Cluster, Database, Identity, Interruption, Network, Workloads};

/// A whole platform: the network, a bastion, a database, an EKS cluster and what runs it.
///
/// A section that is left out builds nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stack {
    /// The version of this format.
    pub api_version: ApiVersion,
    /// What the file describes.
    pub kind: Kind,
    /// The name of the stack, its region, and the tags of everything in it.
    pub metadata: Metadata,
    /// The VPC, its subnets and its way out; or a VPC that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// A small machine inside the VPC, for people: a shell, `kubectl`, a database client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bastion: Option<Bastion>,
    /// An RDS database in the private subnets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// The EKS cluster with its add-ons and node groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// How pods get AWS permissions. Left out in a stack with a cluster: pod identity, no service accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The queue and the rules that tell the autoscaler which instances will go away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Interruption>,
    /// Controllers that eksup installs into the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addons: Option<Addons>,
    /// What adds nodes to the cluster and removes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<Autoscaler>,
    /// What runs in the cluster: your own manifests, and how many replicas they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workloads: Option<Workloads>,
}

/// A version of the stack file's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "eksup.dev/v1")]
    V1,
}

/// What a file describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A stack.
    Stack,
}

/// What the stack is called, where it lives, and how its resources are tagged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The name of the stack and of its cluster: 1 to 46 lower-case letters, digits and single dashes,
    /// starting with a letter. Every other name is derived from it.
    #[schemars(extend("format" = "stack-name"))]
    pub name: String,
    /// The AWS region, such as `eu-central-1`.
    #[schemars(extend("format" = "region"))]
    pub region: String,
    /// Tags for everything in the stack, beside the two that eksup writes itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}
