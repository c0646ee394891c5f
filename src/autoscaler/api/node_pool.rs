//! NodePool: which nodes may be bought, and when they may go again.

#![allow(clippy::duplicated_attributes, reason = "the derives of schema and resource repeat attributes of serde")]

use super::quantities;
use super::requirement::Requirement;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What nodes a pool gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "karpenter.sh",
    version = "v1",
    kind = "NodePool",
    plural = "nodepools",
    category = "karpenter",
    derive = "PartialEq",
    status = "NodePoolStatus",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.nodes"),
    printcolumn(name = "NodeClass", type_ = "string", json_path = ".spec.template.spec.nodeClassRef.name"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.resources.nodes"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".spec.weight", priority = 1),
    printcolumn(name = "CPU", type_ = "string", json_path = ".status.resources.cpu", priority = 1),
    printcolumn(name = "Memory", type_ = "string", json_path = ".status.resources.memory", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolSpec {
    /// What each node looks like.
    pub template: NodeClaimTemplate,
    /// When nodes may go.
    #[serde(default)]
    pub disruption: Disruption,
    /// The most of each resource that the nodes may have together; `nodes` counts them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "quantities::read_map")]
    pub limits: BTreeMap<String, Quantity>,
    /// Pools with more weight are used first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<i32>,
    /// A fixed number of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i64>,
}

/// What each node of a pool looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeClaimTemplate {
    /// Labels and annotations.
    #[serde(default)]
    pub metadata: TemplateMetadata,
    /// The node.
    pub spec: NodeClaimTemplateSpec,
}

/// Labels and annotations of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateMetadata {
    /// Labels that every node gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations that every node gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The node of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimTemplateSpec {
    /// Taints that nodes keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Taints that something takes away once the node has started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub startup_taints: Vec<Taint>,
    /// What the labels of nodes have to be.
    pub requirements: Vec<Requirement>,
    /// The cloud's side of the node.
    pub node_class_ref: NodeClassReference,
    /// The age at which a node is replaced, or `Never`.
    #[serde(default = "default_expire_after")]
    pub expire_after: String,
    /// How long draining may take at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<String>,
}

/// A class of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeClassReference {
    /// `karpenter.k8s.aws`.
    pub group: String,
    /// `EC2NodeClass`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// When nodes may go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// How long a node has to be quiet before it is looked at, or `Never`.
    #[serde(default = "default_consolidate_after")]
    pub consolidate_after: String,
    /// Which nodes are looked at.
    #[serde(default)]
    pub consolidation_policy: ConsolidationPolicy,
    /// How many nodes may go at a time.
    #[serde(default = "default_budgets")]
    pub budgets: Vec<DisruptionBudget>,
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            consolidate_after: default_consolidate_after(),
            consolidation_policy: ConsolidationPolicy::default(),
            budgets: default_budgets(),
        }
    }
}

/// Which nodes consolidation looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsolidationPolicy {
    /// Those without pods.
    WhenEmpty,
    /// Those without pods, and those whose pods would be cheaper elsewhere.
    #[default]
    WhenEmptyOrUnderutilized,
    /// As before, if what is saved is worth the moving.
    Balanced,
}

/// How many nodes may go at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DisruptionBudget {
    /// A number of nodes or a percentage of them.
    #[serde(default = "default_budget_nodes")]
    pub nodes: String,
    /// The reasons that it applies to; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<DisruptionReason>,
    /// When it begins to apply: five cron fields in UTC, or a macro such as `@daily`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How long it applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// Why a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DisruptionReason {
    /// Its pods are cheaper elsewhere.
    Underutilized,
    /// It has no pods.
    Empty,
    /// It is not as its pool and class say.
    Drifted,
}

/// How a pool stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolStatus {
    /// What its nodes have together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Quantity>,
    /// How many nodes there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i64>,
    /// The generation of the class that was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_class_observed_generation: Option<i64>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The age at which nodes are replaced when nothing is said.
pub fn default_expire_after() -> String {
    "720h".to_owned()
}

fn default_consolidate_after() -> String {
    "0s".to_owned()
}

fn default_budget_nodes() -> String {
    "10%".to_owned()
}

fn default_budgets() -> Vec<DisruptionBudget> {
    vec![DisruptionBudget { nodes: default_budget_nodes(), reasons: Vec::new(), schedule: None, duration: None }]
}
