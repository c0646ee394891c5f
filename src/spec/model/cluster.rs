//! The cluster section: the EKS control plane, who may use it, and its core add-ons.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Cidr, KubernetesVersion, NodeGroup, yes};

/// The EKS cluster. It has the name of the stack, and lets in through access entries only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// The Kubernetes minor version as a string, such as `"1.35"`. It can go up, one minor at a time.
    pub version: KubernetesVersion,
    /// From where the Kubernetes API can be reached.
    #[serde(default)]
    pub endpoint: ClusterEndpoint,
    /// The control-plane logs to send to CloudWatch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub logging: Vec<LogType>,
    /// Who may use the Kubernetes API, beside the identity that creates the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub access: Vec<AccessEntry>,
    /// What happens when the version's standard support ends.
    #[serde(default)]
    pub upgrade_policy: UpgradePolicy,
    /// Refuse to delete the cluster until this is turned off.
    #[serde(default)]
    pub deletion_protection: bool,
    /// The addresses of Kubernetes services, a /12 to a /24. Left out: EKS takes 10.100.0.0/16 or 172.20.0.0/16,
    /// whichever the VPC does not use. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_cidr: Option<Cidr>,
    /// The ARN of a KMS key to encrypt Kubernetes secrets with. It can be added later, never removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "kms-key-arn"))]
    pub secrets_key: Option<String>,
    /// EKS add-ons, as names or with version and configuration.
    /// Left out: `vpc-cni`, `kube-proxy`, `coredns` and `eks-pod-identity-agent`.
    #[serde(default = "core_addons")]
    #[schemars(length(max = 100))]
    pub addons: Vec<ClusterAddon>,
    /// Managed node groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub node_groups: Vec<NodeGroup>,
}

impl Cluster {
    /// Whether the add-on `name` is to be installed.
    pub fn has_addon(&self, name: &str) -> bool {
        self.addons.iter().any(|addon| addon.name == name)
    }
}

/// From where the Kubernetes API can be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterEndpoint {
    /// From the internet, by those in `publicCidrs` who have credentials.
    #[serde(default = "yes")]
    pub public: bool,
    /// The networks that may reach the public endpoint. Left out: every network.
    #[serde(default = "everywhere")]
    #[schemars(length(min = 1, max = 40))]
    pub public_cidrs: Vec<Cidr>,
    /// From inside the VPC without leaving it.
    #[serde(default = "yes")]
    pub private: bool,
}

impl Default for ClusterEndpoint {
    fn default() -> Self {
        Self { public: true, public_cidrs: everywhere(), private: true }
    }
}

fn everywhere() -> Vec<Cidr> {
    vec![Cidr::EVERYWHERE]
}

/// A log of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogType {
    /// The API server's log.
    Api,
    /// Who did what.
    Audit,
    /// Who was let in, and as whom.
    Authenticator,
    /// The controller manager's log.
    ControllerManager,
    /// The scheduler's log.
    Scheduler,
}

impl LogType {
    /// The name in the EKS API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Audit => "audit",
            Self::Authenticator => "authenticator",
            Self::ControllerManager => "controllerManager",
            Self::Scheduler => "scheduler",
        }
    }
}

/// One identity that may use the Kubernetes API, and what it may do there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessEntry {
    /// The ARN of an IAM role or user.
    #[schemars(extend("format" = "principal-arn"))]
    pub principal: String,
    /// What it may do.
    pub policy: AccessPolicy,
    /// In which namespaces. Left out: in the whole cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = serde_json::json!({ "type": "string", "format": "namespace-pattern" })))]
    pub namespaces: Vec<String>,
}

/// An EKS access policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessPolicy {
    /// Everything.
    ClusterAdmin,
    /// Everything in namespaces, but not namespaces themselves nor what has none.
    Admin,
    /// Read everything, secrets included.
    AdminView,
    /// Read and change most things in namespaces.
    Edit,
    /// Read most things in namespaces, but no secrets.
    View,
}

impl AccessPolicy {
    /// The policy's name at the end of its ARN.
    pub fn policy_name(self) -> &'static str {
        match self {
            Self::ClusterAdmin => "AmazonEKSClusterAdminPolicy",
            Self::Admin => "AmazonEKSAdminPolicy",
            Self::AdminView => "AmazonEKSAdminViewPolicy",
            Self::Edit => "AmazonEKSEditPolicy",
            Self::View => "AmazonEKSViewPolicy",
        }
    }
}

/// What happens when a version's standard support ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UpgradePolicy {
    /// EKS upgrades the control plane by itself.
    #[default]
    Standard,
    /// The version stays for another year, at a higher price.
    Extended,
}

/// An EKS add-on. In the file it can be just its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAddon {
    /// The add-on's name in EKS.
    pub name: String,
    /// Its version, such as `v1.20.0-eksbuild.1`. Left out: what EKS recommends for the cluster's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Configuration values, as the add-on's own schema wants them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<serde_json::Map<String, serde_json::Value>>,
}

impl ClusterAddon {
    /// An add-on with EKS's recommended version and no configuration.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), version: None, configuration: None }
    }
}

/// The long form of an add-on in the file.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DetailedAddon {
    /// The add-on's name in EKS.
    #[schemars(extend("format" = "addon-name"))]
    name: String,
    /// Its version, such as `v1.20.0-eksbuild.1`. Left out: what EKS recommends for the cluster's version.
    #[serde(default)]
    #[schemars(extend("format" = "addon-version"))]
    version: Option<String>,
    /// Configuration values, as the add-on's own schema wants them.
    #[serde(default)]
    configuration: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AddonForm {
    Name(String),
    Detailed(DetailedAddon),
}

impl<'de> Deserialize<'de> for ClusterAddon {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match AddonForm::deserialize(deserializer)? {
            AddonForm::Name(name) => Self::named(name),
            AddonForm::Detailed(DetailedAddon { name, version, configuration }) => {
                Self { name, version, configuration }
            }
        })
    }
}

impl JsonSchema for ClusterAddon {
    fn schema_name() -> Cow<'static, str> {
        "ClusterAddon".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An EKS add-on: its name, or its name with version and configuration.",
            "anyOf": [
                { "type": "string", "format": "addon-name" },
                generator.subschema_for::<DetailedAddon>(),
            ],
        })
    }
}

fn core_addons() -> Vec<ClusterAddon> {
    ["vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent"].map(ClusterAddon::named).into()
}
