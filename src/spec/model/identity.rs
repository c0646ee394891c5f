//! The identity section: AWS permissions for pods.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How pods get AWS permissions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// The mechanism, for eksup's own controllers and for `serviceAccounts`.
    #[serde(default)]
    pub mode: IdentityMode,
    /// Roles for service accounts of your own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub service_accounts: Vec<ServiceAccount>,
}

/// The mechanism by which a pod assumes a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IdentityMode {
    /// EKS Pod Identity: an association in EKS and an agent on each node (`eks-pod-identity-agent`).
    /// The role does not wait for the cluster.
    #[default]
    PodIdentity,
    /// IAM roles for service accounts: an OIDC provider for the cluster, and a trust policy with `sub` and `aud`.
    Irsa,
}

/// A role for the pods of one service account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccount {
    /// The namespace of the service account.
    #[schemars(extend("format" = "namespace"))]
    pub namespace: String,
    /// The name of the service account.
    #[schemars(extend("format" = "service-account-name"))]
    pub name: String,
    /// A file with an IAM policy document (JSON), relative to the stack file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub policy_file: Option<String>,
    /// ARNs of managed policies to attach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("items" = serde_json::json!({ "type": "string", "format": "policy-arn" })))]
    pub managed_policies: Vec<String>,
    /// What `policyFile` contains. Filled in when the stack file is read; not a key of it.
    #[serde(skip)]
    #[schemars(skip)]
    pub policy: Option<serde_json::Value>,
}
