//! Instances of the cluster as EC2 shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::launch::CapacityType;

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceState {
    /// It is being started.
    Pending,
    /// It runs.
    Running,
    /// It is stopped, or about to be.
    Stopped,
    /// It is being ended.
    ShuttingDown,
    /// It is gone.
    Terminated,
}

/// An instance that an autoscaler of the cluster has launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`
    pub id: String,
    /// `aws:///<zone>/<instance>`
    pub provider_id: String,
    /// Its type.
    pub instance_type: String,
    /// Its zone.
    pub zone: String,
    /// How it is paid for.
    pub capacity_type: CapacityType,
    /// The capacity reservation that it is in, by id.
    pub reservation: Option<String>,
    /// The placement group that it is in, `pg-…`.
    pub placement_group: Option<String>,
    /// `ami-…`
    pub image_id: String,
    /// What it is doing.
    pub state: InstanceState,
    /// When it was launched.
    pub launched: Timestamp,
    /// Its subnet.
    pub subnet_id: String,
    /// Its security groups, by id.
    pub security_groups: Vec<String>,
    /// Its tags. Those of ours: `karpenter.sh/nodepool`, `karpenter.k8s.aws/ec2nodeclass`,
    /// `karpenter.sh/nodeclaim` (once its node is registered), `Name`.
    pub tags: BTreeMap<String, String>,
}

impl Instance {
    /// The pool that it was launched for.
    pub fn pool(&self) -> Option<&str> {
        self.tags.get("karpenter.sh/nodepool").map(String::as_str)
    }

    /// The class that it was launched from.
    pub fn class(&self) -> Option<&str> {
        self.tags.get("karpenter.k8s.aws/ec2nodeclass").map(String::as_str)
    }

    /// The claim that its tags name; there is none before its node is registered.
    pub fn claim(&self) -> Option<&str> {
        self.tags.get("karpenter.sh/nodeclaim").map(String::as_str)
    }

    /// Whether it is there, or about to be.
    pub fn lives(&self) -> bool {
        matches!(self.state, InstanceState::Pending | InstanceState::Running | InstanceState::Stopped)
    }
}

/// How EC2 finds an instance, and what it has announced for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceHealth {
    /// `i-…`
    pub id: String,
    /// Since when its system, its network or its disks fail their checks.
    pub impaired_since: Option<Timestamp>,
    /// What is going to be done to it.
    pub events: Vec<ScheduledEvent>,
}

/// Something that EC2 is going to do to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledEvent {
    /// `instance-reboot`, `system-reboot`, `system-maintenance`, `instance-retirement` or `instance-stop`.
    pub code: String,
    /// In EC2's words.
    pub description: String,
    /// Not before this.
    pub not_before: Option<Timestamp>,
}

/// The id in a provider id, `aws:///<zone>/<instance>`.
pub fn instance_id(provider_id: &str) -> Option<&str> {
    let (_, id) = provider_id.strip_prefix("aws:///")?.rsplit_once('/')?;
    id.starts_with("i-").then_some(id)
}

/// The provider id of an instance.
pub fn provider_id(zone: &str, id: &str) -> String {
    format!("aws:///{zone}/{id}")
}
