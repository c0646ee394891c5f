//! Managed node groups of the cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Architecture, Gibibytes};

/// A managed node group: the nodes that are there before any autoscaler runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// The name of the group, once in the stack.
    #[schemars(extend("format" = "node-group-name"))]
    pub name: String,
    /// EC2 instance types of one architecture, in order of preference.
    #[schemars(length(min = 1, max = 20), extend("items" = serde_json::json!({ "type": "string", "format": "instance-type" })))]
    pub instance_types: Vec<String>,
    /// The fewest nodes.
    #[serde(default = "default_min")]
    #[schemars(range(max = 450))]
    pub min: u32,
    /// The most nodes.
    #[schemars(range(min = 1, max = 450))]
    pub max: u32,
    /// How many nodes the group starts with. Left out: `min`. Later changes mean nothing: the number belongs
    /// to whoever scales the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 450))]
    pub initial: Option<u32>,
    /// Labels of the nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints of the nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub taints: Vec<Taint>,
    /// How the instances are bought.
    #[serde(default)]
    pub capacity: Capacity,
    /// The size of each node's root volume.
    #[serde(default = "default_disk_size")]
    pub disk_size: Gibibytes,
    /// The kind of image. Left out: Amazon Linux 2023 for the architecture of `instanceTypes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ami_type: Option<AmiType>,
    /// Which subnets the nodes stand in.
    #[serde(default)]
    pub subnets: SubnetRole,
    /// How many nodes an update takes away at a time.
    #[serde(default)]
    pub update_config: UpdateConfig,
}

impl NodeGroup {
    /// How many nodes the group starts with.
    pub fn initial(&self) -> u32 {
        self.initial.unwrap_or(self.min)
    }

    /// The kind of image: the one in the file, or Amazon Linux 2023 for the architecture of the first type.
    pub fn ami_type(&self) -> AmiType {
        self.ami_type.unwrap_or_else(|| {
            match self.instance_types.first().map(|name| Architecture::of_instance_type(name)) {
                Some(Architecture::Arm64) => AmiType::Al2023Arm64Standard,
                _ => AmiType::Al2023X8664Standard,
            }
        })
    }
}

fn default_min() -> u32 {
    1
}

fn default_disk_size() -> Gibibytes {
    Gibibytes(20)
}

/// A taint of nodes: pods that do not tolerate it stay away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// The key.
    #[schemars(extend("format" = "label-key"))]
    pub key: String,
    /// The value, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "label-value"))]
    pub value: Option<String>,
    /// What happens to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// They are not scheduled here.
    NoSchedule,
    /// They are scheduled here only if nowhere else is room.
    PreferNoSchedule,
    /// They are not scheduled here, and those that run are evicted.
    NoExecute,
}

impl TaintEffect {
    /// The name in the EKS API.
    pub fn as_eks_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NO_SCHEDULE",
            Self::PreferNoSchedule => "PREFER_NO_SCHEDULE",
            Self::NoExecute => "NO_EXECUTE",
        }
    }
}

/// How instances are bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Capacity {
    /// At the full price, for as long as they are wanted.
    #[default]
    OnDemand,
    /// At a discount; AWS can take them back at two minutes' notice.
    Spot,
}

impl Capacity {
    /// The name in the EKS API.
    pub fn as_eks_str(self) -> &'static str {
        match self {
            Self::OnDemand => "ON_DEMAND",
            Self::Spot => "SPOT",
        }
    }
}

/// Public or private subnets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SubnetRole {
    /// Without an address on the internet.
    #[default]
    Private,
    /// With addresses on the internet.
    Public,
}

/// How many nodes an update of a node group takes away at a time: a number or a share, not both.
/// Neither: one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateConfig {
    /// So many nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_unavailable: Option<u32>,
    /// So many per cent of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_unavailable_percentage: Option<u32>,
}

/// A kind of node image, by its name in the EKS API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AmiType {
    /// Amazon Linux 2023 for Intel and AMD.
    #[serde(rename = "AL2023_x86_64_STANDARD")]
    Al2023X8664Standard,
    /// Amazon Linux 2023 for Graviton.
    #[serde(rename = "AL2023_ARM_64_STANDARD")]
    Al2023Arm64Standard,
    /// Amazon Linux 2023 with NVIDIA drivers, for Intel and AMD.
    #[serde(rename = "AL2023_x86_64_NVIDIA")]
    Al2023X8664Nvidia,
    /// Amazon Linux 2023 with NVIDIA drivers, for Graviton.
    #[serde(rename = "AL2023_ARM_64_NVIDIA")]
    Al2023Arm64Nvidia,
    /// Amazon Linux 2023 with Neuron drivers (Inferentia, Trainium).
    #[serde(rename = "AL2023_x86_64_NEURON")]
    Al2023X8664Neuron,
    /// Bottlerocket for Intel and AMD.
    #[serde(rename = "BOTTLEROCKET_x86_64")]
    BottlerocketX8664,
    /// Bottlerocket for Graviton.
    #[serde(rename = "BOTTLEROCKET_ARM_64")]
    BottlerocketArm64,
    /// Bottlerocket with NVIDIA drivers, for Intel and AMD.
    #[serde(rename = "BOTTLEROCKET_x86_64_NVIDIA")]
    BottlerocketX8664Nvidia,
    /// Bottlerocket with NVIDIA drivers, for Graviton.
    #[serde(rename = "BOTTLEROCKET_ARM_64_NVIDIA")]
    BottlerocketArm64Nvidia,
}

impl AmiType {
    /// The name in the EKS API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Al2023X8664Standard => "AL2023_x86_64_STANDARD",
            Self::Al2023Arm64Standard => "AL2023_ARM_64_STANDARD",
            Self::Al2023X8664Nvidia => "AL2023_x86_64_NVIDIA",
            Self::Al2023Arm64Nvidia => "AL2023_ARM_64_NVIDIA",
            Self::Al2023X8664Neuron => "AL2023_x86_64_NEURON",
            Self::BottlerocketX8664 => "BOTTLEROCKET_x86_64",
            Self::BottlerocketArm64 => "BOTTLEROCKET_ARM_64",
            Self::BottlerocketX8664Nvidia => "BOTTLEROCKET_x86_64_NVIDIA",
            Self::BottlerocketArm64Nvidia => "BOTTLEROCKET_ARM_64_NVIDIA",
        }
    }

    /// The architecture of the image.
    pub fn architecture(self) -> Architecture {
        match self {
            Self::Al2023Arm64Standard
            | Self::Al2023Arm64Nvidia
            | Self::BottlerocketArm64
            | Self::BottlerocketArm64Nvidia => Architecture::Arm64,
            _ => Architecture::X86_64,
        }
    }
}
