//! The add-ons section: controllers that eksup installs into the cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Controllers that eksup installs into the cluster; `{}` takes one with its defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Addons {
    /// The AWS Load Balancer Controller: load balancers for Ingresses and Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer_controller: Option<LoadBalancerController>,
    /// metrics-server: CPU and memory of pods and nodes, which HorizontalPodAutoscalers need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_server: Option<MetricsServer>,
}

/// The AWS Load Balancer Controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadBalancerController {
    /// The version, such as `v3.5.0`. Left out: the one that this eksup was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "release-version"))]
    pub version: Option<String>,
    /// The image without its tag. Left out: the one that AWS publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "image-name"))]
    pub image: Option<String>,
    /// How many replicas run; one of them works, the others stand by.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 10))]
    pub replicas: u32,
    /// What each replica asks for and may use. Left out: 100m CPU and 128Mi memory, 512Mi at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ContainerResources>,
    /// What load balancers send requests to, unless an Ingress or Service says otherwise.
    #[serde(default)]
    pub default_target_type: TargetType,
    /// Whether Ingresses without a class are this controller's.
    #[serde(default)]
    pub default_class: bool,
    /// Whether it asks AWS Shield for the account's subscription. Left out: only with a way to the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shield: Option<bool>,
    /// Whether it asks AWS WAF for web ACLs. Left out: only with a way to the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waf: Option<bool>,
}

impl Default for LoadBalancerController {
    fn default() -> Self {
        Self {
            version: None,
            image: None,
            replicas: two(),
            resources: None,
            default_target_type: TargetType::default(),
            default_class: false,
            shield: None,
            waf: None,
        }
    }
}

/// What a load balancer sends requests to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TargetType {
    /// Pods.
    #[default]
    Ip,
    /// Nodes, which pass requests on; Services need `type: NodePort`.
    Instance,
}

impl TargetType {
    /// The name that the controller's flag uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Instance => "instance",
        }
    }
}

/// metrics-server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricsServer {
    /// The version, such as `v0.9.0`. Left out: the one that this eksup was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "release-version"))]
    pub version: Option<String>,
    /// The image without its tag. Left out: the one that Kubernetes publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "image-name"))]
    pub image: Option<String>,
    /// How many replicas run.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 10))]
    pub replicas: u32,
    /// What each replica asks for and may use. Left out: 100m CPU and 200Mi memory, enough for 100 nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ContainerResources>,
    /// How many seconds lie between two looks at the nodes.
    #[serde(default = "quarter_of_a_minute")]
    #[schemars(range(min = 10, max = 300))]
    pub resolution: u32,
}

impl Default for MetricsServer {
    fn default() -> Self {
        Self { version: None, image: None, replicas: two(), resources: None, resolution: quarter_of_a_minute() }
    }
}

/// What a container asks for, and what it may use at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerResources {
    /// What is kept free for it on its node.
    #[serde(default)]
    pub requests: Quantities,
    /// What it may use at most.
    #[serde(default)]
    pub limits: Quantities,
}

/// CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quantities {
    /// CPU, such as `100m` or `"2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "cpu-quantity"))]
    pub cpu: Option<String>,
    /// Memory, such as `128Mi` or `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "memory-quantity"))]
    pub memory: Option<String>,
}

fn two() -> u32 {
    2
}

fn quarter_of_a_minute() -> u32 {
    15
}
