//! The workloads section: the user's own manifests, and HorizontalPodAutoscalers for them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What runs in the cluster: your own manifests, and how many replicas they have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workloads {
    /// Kubernetes manifests, relative to the stack file: files, folders, and patterns such as `k8s/**/*.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), extend("items" = serde_json::json!({ "type": "string", "minLength": 1 })))]
    pub manifests: Vec<String>,
    /// How many replicas workloads have: HorizontalPodAutoscalers (`autoscaling/v2`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub autoscaling: Vec<Autoscaling>,
    /// What the manifests contain; none if they could not be read. Filled in when the stack file is read; not a
    /// key of it.
    #[serde(skip)]
    #[schemars(skip)]
    pub objects: Option<Vec<Manifest>>,
}

impl Workloads {
    /// The objects of the manifests, in the order of the file.
    pub fn objects(&self) -> &[Manifest] {
        self.objects.as_deref().unwrap_or_default()
    }
}

/// One object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The item of `workloads.manifests` that it comes from.
    pub item: usize,
    /// The name of the file in messages.
    pub file: String,
    /// The line at which it begins, from 1.
    pub line: usize,
    /// The object as it is applied: in its namespace, without what an API server writes.
    pub object: Value,
}

/// How many replicas a workload has: a HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Autoscaling {
    /// What is scaled, as `deployment/<name>` or `statefulset/<name>`.
    #[schemars(extend("format" = "scale-target"))]
    pub target: String,
    /// The namespace of the target.
    #[serde(default = "default_namespace")]
    #[schemars(extend("format" = "namespace"))]
    pub namespace: String,
    /// The name of the HorizontalPodAutoscaler. Left out: the target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "object-name"))]
    pub name: Option<String>,
    /// The fewest replicas.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10000))]
    pub min: u32,
    /// The most replicas.
    #[schemars(range(min = 1, max = 10000))]
    pub max: u32,
    /// How much CPU pods are to use on average, in per cent of what they request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu: Option<u32>,
    /// How much memory pods are to use on average, in per cent of what they request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub memory: Option<u32>,
    /// Further metrics, as `autoscaling/v2` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub metrics: Vec<Map<String, Value>>,
    /// How fast replicas come and go, as `autoscaling/v2` has it. Left out: up at once, down by half in a minute
    /// after five calm ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Map<String, Value>>,
}

impl Autoscaling {
    /// The kind and the name of the target.
    pub fn target(&self) -> Option<(ScaledKind, &str)> {
        let (kind, name) = self.target.split_once('/')?;
        Some((ScaledKind::of(kind)?, name))
    }

    /// The name of the HorizontalPodAutoscaler.
    pub fn name(&self) -> &str {
        self.name.as_deref().or_else(|| self.target().map(|(_, name)| name)).unwrap_or_default()
    }
}

/// A kind of workload whose replicas can be scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaledKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
}

impl ScaledKind {
    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::Deployment, Self::StatefulSet];

    /// The kind that a target's first part names.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Its name as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }

    /// Its name in a target.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
        }
    }
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn one() -> u32 {
    1
}
