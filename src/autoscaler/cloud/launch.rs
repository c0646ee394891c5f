//! What a node is asked of EC2 with, and what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Taint;

use super::class::ResolvedClass;
use crate::autoscaler::state::instance_types::Price;
use crate::aws::{Class, CloudError};

/// How an instance is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapacityType {
    /// By the hour, for as long as it is wanted.
    OnDemand,
    /// Cheaper, until EC2 wants it back.
    Spot,
    /// With a capacity reservation, whether there is an instance in it or not.
    Reserved,
}

impl CapacityType {
    /// The value of the label `karpenter.sh/capacity-type`.
    pub fn text(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
            Self::Reserved => "reserved",
        }
    }

    /// The capacity type of a label's value.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::OnDemand, Self::Spot, Self::Reserved].into_iter().find(|each| each.text() == text)
    }
}

/// One way to buy a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaunchOption {
    /// `m7g.large`
    pub instance_type: Arc<str>,
    /// Availability zone.
    pub zone: Arc<str>,
    /// How it is paid for.
    pub capacity_type: CapacityType,
    /// The capacity reservation that it is launched into, by id: of reserved nodes, and of no others.
    pub reservation: Option<Arc<str>>,
    /// What it is believed to cost per hour.
    pub price: Price,
}

/// A node that is wanted.
#[derive(Clone, Debug)]
pub struct LaunchRequest {
    /// The claim's name.
    pub claim: String,
    /// The claim's uid; with `attempt` it tells EC2 that a repeated request is the same one.
    pub uid: String,
    /// How many launches for this claim have been answered with a failure.
    pub attempt: u32,
    /// Whether somebody may have launched for this claim already without writing it down: another process
    /// before this one. Instances of ours that belong to no claim are then taken before one is bought.
    pub unsure: bool,
    /// The claim's pool.
    pub pool: String,
    /// The class, as it was found.
    pub class: Arc<ResolvedClass>,
    /// What will do, best first; equal lists should be one list that is shared.
    pub options: Arc<[LaunchOption]>,
    /// Whether its pods ask for elastic fabric adapters: every one that its type has is attached then.
    pub fabric: bool,
    /// Labels that every node of the pool gets, beyond those of type, offering, pool and class. Claims that differ
    /// in them share no call.
    pub labels: BTreeMap<String, String>,
    /// Taints that the node keeps.
    pub taints: Vec<Taint>,
    /// Taints that something takes away once the node has started.
    pub startup_taints: Vec<Taint>,
}

/// An instance that was bought for a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// `i-…`
    pub instance_id: String,
    /// `aws:///<zone>/<instance>`
    pub provider_id: String,
    /// `ami-…`
    pub image_id: String,
    /// Its type.
    pub instance_type: String,
    /// Its zone.
    pub zone: String,
    /// The id of its zone.
    pub zone_id: String,
    /// How it is paid for.
    pub capacity_type: CapacityType,
    /// The capacity reservation that it was launched into, by id.
    pub reservation: Option<String>,
    /// Whether it was there already, bought by somebody who could not write it down.
    pub adopted: bool,
}

/// Why there is no instance for a claim.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LaunchError {
    /// EC2 has none of what would do. The claim goes; its pods are planned anew, without what was tried.
    #[error("{message}")]
    InsufficientCapacity {
        /// What was tried and what EC2 said.
        message: String,
    },
    /// The class cannot be launched from as it is.
    #[error("{message}")]
    ClassNotReady {
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A call failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl LaunchError {
    /// Whether the same claim may be launched a moment later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Cloud(error) => error.class.may_pass() || error.class == Class::Missing,
            Self::InsufficientCapacity { .. } | Self::ClassNotReady { .. } => false,
        }
    }
}
