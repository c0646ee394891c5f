//! The Kubernetes half of a cloud, as a test sees it: what the API servers were asked, and the way in.

use serde::{Deserialize, Serialize};

use crate::WhenToKill;

/// One request to a cluster's API server, as its audit log has it. Those of the control plane itself,
/// of nodes, and of [`crate::Access::kubeconfig`] are left out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct KubernetesRequest {
    /// Position in the log, from 1.
    pub number: u64,
    /// When it came in, in seconds since 1970.
    pub time: f64,
    /// Milliseconds from the request to the end of the answer; of a watch that goes on, to its start.
    pub ms: f64,
    /// The cluster's name.
    pub cluster: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core.
    pub group: String,
    /// The resource with its subresource (`deployments/status`); empty where the path is none.
    pub resource: String,
    /// The namespace.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// Path and query.
    pub uri: String,
    /// Whether nothing was to be kept.
    pub dry_run: bool,
    /// Whether something may have changed.
    pub mutating: bool,
    /// Who asked; empty when nobody was recognised.
    pub user: String,
    /// The program that asked.
    pub user_agent: String,
    /// HTTP status.
    pub status: u16,
    /// What the API server said to a request that failed.
    pub message: Option<String>,
}

/// A caller that was killed at the door of an API server (`kill_at`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Kill {
    /// The HTTP method of the request.
    pub method: String,
    /// Its path and query.
    pub uri: String,
    /// The process, if one was found at the other end.
    pub killed: Option<u32>,
}

/// What happens at the doors of the API servers, to callers from outside of the clusters unless others are named.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesWeather {
    /// Whom it is for: `outside`, `inside`, a user (`system:serviceaccount:kube-system:metrics-server`), or `agent:`
    /// and how the name of a program begins. Those from outside when empty.
    pub callers: Vec<String>,
    /// Milliseconds added to every request.
    pub latency_ms: f64,
    /// Share of requests refused as too many (429), undone, 0 to 1.
    pub throttled: f64,
    /// Share of requests that fail with an internal error, undone, 0 to 1.
    pub server_error: f64,
    /// Share of changing requests that are done and never answered, 0 to 1.
    pub lost_answer: f64,
    /// What the dice are thrown with.
    pub seed: u64,
    /// The n-th changing request (no dry run) from now on, from 1, at which the caller is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_at: Option<u64>,
    /// Whether that request is done first.
    pub kill_when: WhenToKill,
    /// None of them gets through, and who tries hears nothing; what goes on is cut.
    pub unreachable: bool,
}
