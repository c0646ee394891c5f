//! How the cloud is to behave besides doing what it is told. The default is fine weather.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::KubernetesWeather;

/// A kind of thing that takes time to become ready and to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An EKS cluster.
    Cluster,
    /// A managed node group; also the replacement of its nodes.
    Nodegroup,
    /// An RDS instance.
    Database,
    /// A NAT gateway.
    Nat,
    /// An EKS add-on; also its updates.
    Addon,
    /// A CloudFormation stack.
    Stack,
    /// An EC2 instance.
    Instance,
    /// A VPC endpoint.
    Endpoint,
    /// An update of a cluster, or of a node group's settings.
    Update,
    /// A load balancer.
    LoadBalancer,
    /// A node: from an instance that runs to its node, and from its end to the end of the node.
    Boot,
    /// A pod of no known image: from being bound to being ready, and from its deletion to its end.
    Pod,
}

/// Before or after the call at which the caller is killed is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenToKill {
    /// The call is not done.
    Before,
    /// The call is done, and nobody learns of it.
    #[default]
    After,
}

/// An error that the next call of a kind gets instead of being done, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailOnce {
    /// `service:Action`, with `*` for any.
    pub call: String,
    /// The error code.
    pub code: String,
    /// The error message.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

/// The weather. Set as a whole: a field at its default is fine weather.
///
/// ```
/// use sandbox::{Kind, Weather};
/// let slow = Weather { latency_ms: 60.0, ..Weather::default() }
///     .takes(Kind::Cluster, 20.0)
///     .takes(Kind::Nat, 5.0);
/// assert_eq!(slow.seconds[&Kind::Cluster], 20.0);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weather {
    /// Seconds until a thing of a kind is ready, and until it is gone.
    pub seconds: BTreeMap<Kind, f64>,
    /// Seconds until it is ready, where they differ.
    pub create_seconds: BTreeMap<Kind, f64>,
    /// Seconds until it is gone, where they differ.
    pub delete_seconds: BTreeMap<Kind, f64>,
    /// Milliseconds added to every call.
    pub latency_ms: f64,
    /// Share of calls refused because of too many requests, 0 to 1.
    pub throttled: f64,
    /// Share of calls that fail with an internal error, undone, 0 to 1.
    pub server_error: f64,
    /// Share of mutating calls that are done and never answered, 0 to 1.
    pub lost_answer: f64,
    /// Lose answers of reading calls too.
    pub lost_answer_reads: bool,
    /// What the dice are thrown with.
    pub seed: u64,
    /// Whom mishaps, delays and refusals of calls are for: patterns of ARNs and of user agents; everybody when empty.
    pub callers: Vec<String>,
    /// Which calls they are for: patterns of `service:Action`; all when empty.
    pub calls: Vec<String>,
    /// Seconds until EC2, EKS and RDS believe that a new role or instance profile exists.
    pub role_delay_seconds: f64,
    /// The n-th mutating call from now on, from 1, at which the calling process is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_at: Option<u64>,
    /// Whether that call is done first.
    pub kill_when: WhenToKill,
    /// What the caller may not do: `ec2:CreateVpc`, `eks:*`.
    pub deny: Vec<String>,
    /// Every credential has expired.
    pub expired: bool,
    /// No credential is known.
    pub invalid_credentials: bool,
    /// Where there is no capacity: `m5.large`, `m5.large/us-east-1a`, `*/us-east-1a/spot`.
    pub insufficient_capacity: Vec<String>,
    /// Most instances that one `CreateFleet` call gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet_limit: Option<u64>,
    /// Service quotas by code (`L-F678F1CE`: VPCs per region); one named here is enforced.
    pub quotas: BTreeMap<String, f64>,
    /// The control plane writes to its log group once more after its cluster is gone.
    pub late_log_writes: bool,
    /// Seconds until the name of a deleted queue is free again; 60 in AWS.
    pub queue_name_seconds: f64,
    /// What happens at the doors of the clusters' API servers.
    pub kubernetes: KubernetesWeather,
    /// Calls that are to fail, once each.
    pub fail: Vec<FailOnce>,
}

impl Weather {
    /// A thing of this kind takes this many seconds to become ready, and to go.
    #[must_use]
    pub fn takes(mut self, kind: Kind, seconds: f64) -> Self {
        self.seconds.insert(kind, seconds);
        self
    }
}
