//! The interruption and autoscaler sections: what adds nodes, and what tells it that some will go.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ContainerResources;

/// The queue and the rules that tell the autoscaler which instances will go away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Interruption {
    /// What makes the queue and the rules.
    #[serde(default)]
    pub engine: InterruptionEngine,
}

/// What makes the interruption queue and its rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum InterruptionEngine {
    /// eksup itself: a queue and EventBridge rules.
    #[default]
    Native,
    /// A CloudFormation stack named `Karpenter-<cluster>`.
    Cloudformation,
}

/// What adds nodes to the cluster and removes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Autoscaler {
    /// Which autoscaler.
    pub engine: AutoscalerEngine,
    /// The image's tag, with `engine: eksup`. Left out: the version of this eksup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "image-tag"))]
    pub version: Option<String>,
    /// The image without its tag, with `engine: eksup`. Left out: the one that eksup publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "image-name"))]
    pub image: Option<String>,
    /// How many replicas run, with `engine: eksup`; one of them works, the others stand by. Left out: two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub replicas: Option<u32>,
    /// What each replica asks for and may use, with `engine: eksup`. Left out: 200m CPU and 128Mi memory, 512Mi at
    /// most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ContainerResources>,
    /// Settings by the names of their environment variables, with `engine: eksup`: `BATCH_IDLE_DURATION: 500ms`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// NodePools (`karpenter.sh/v1`): which nodes may be added, and when they may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub node_pools: Vec<NodePool>,
    /// EC2NodeClasses (`karpenter.k8s.aws/v1`): what the nodes look like in AWS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub node_classes: Vec<NodeClass>,
}

/// An autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AutoscalerEngine {
    /// eksup's own.
    Eksup,
    /// Karpenter.
    Karpenter,
    /// None: node groups keep their size.
    None,
}

/// A NodePool: its name, and its spec as `karpenter.sh/v1` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodePool {
    /// The name of the NodePool.
    #[schemars(extend("format" = "object-name"))]
    pub name: String,
    /// The spec, verbatim.
    pub spec: serde_json::Map<String, serde_json::Value>,
}

/// An EC2NodeClass: its name, and its spec as `karpenter.k8s.aws/v1` has it. One that names neither `role` nor
/// `instanceProfile` gets the role that the stack makes for nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeClass {
    /// The name of the EC2NodeClass.
    #[schemars(extend("format" = "object-name"))]
    pub name: String,
    /// The spec, verbatim.
    pub spec: serde_json::Map<String, serde_json::Value>,
}
