//! What a watch can tell.

use crate::api::{EC2NodeClass, NodeClaim, NodePool};
use k8s_openapi::api::apps::v1::{DaemonSet, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass, VolumeAttachment};

/// A kind of object that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are Kubernetes' own kinds")]
pub enum Kind {
    Pod,
    Node,
    Claim,
    Pool,
    Class,
    Daemon,
    Budget,
    Namespace,
    Volume,
    VolumeClaim,
    StorageClass,
    CsiNode,
    Attachment,
    Replicas,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 14;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Pod,
        Self::Node,
        Self::Claim,
        Self::Pool,
        Self::Class,
        Self::Daemon,
        Self::Budget,
        Self::Namespace,
        Self::Volume,
        Self::VolumeClaim,
        Self::StorageClass,
        Self::CsiNode,
        Self::Attachment,
        Self::Replicas,
    ];

    /// What Kubernetes calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::Claim => "NodeClaim",
            Self::Pool => "NodePool",
            Self::Class => "EC2NodeClass",
            Self::Daemon => "DaemonSet",
            Self::Budget => "PodDisruptionBudget",
            Self::Namespace => "Namespace",
            Self::Volume => "PersistentVolume",
            Self::VolumeClaim => "PersistentVolumeClaim",
            Self::StorageClass => "StorageClass",
            Self::CsiNode => "CSINode",
            Self::Attachment => "VolumeAttachment",
            Self::Replicas => "ReplicaSet",
        }
    }
}

/// An object as it is now.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "they are Kubernetes' own kinds")]
pub enum Observed {
    Pod(Box<Pod>),
    Node(Box<Node>),
    Claim(Box<NodeClaim>),
    Pool(Box<NodePool>),
    Class(Box<EC2NodeClass>),
    Daemon(Box<DaemonSet>),
    Budget(Box<PodDisruptionBudget>),
    Namespace(Box<Namespace>),
    Volume(Box<PersistentVolume>),
    VolumeClaim(Box<PersistentVolumeClaim>),
    StorageClass(Box<StorageClass>),
    CsiNode(Box<CSINode>),
    Attachment(Box<VolumeAttachment>),
    Replicas(Box<ReplicaSet>),
    /// One that is not as its kind says.
    Unreadable {
        kind: Kind,
        /// `name`, or `namespace/name`.
        name: String,
        reason: String,
    },
}

impl Observed {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pod(_) => Kind::Pod,
            Self::Node(_) => Kind::Node,
            Self::Claim(_) => Kind::Claim,
            Self::Pool(_) => Kind::Pool,
            Self::Class(_) => Kind::Class,
            Self::Daemon(_) => Kind::Daemon,
            Self::Budget(_) => Kind::Budget,
            Self::Namespace(_) => Kind::Namespace,
            Self::Volume(_) => Kind::Volume,
            Self::VolumeClaim(_) => Kind::VolumeClaim,
            Self::StorageClass(_) => Kind::StorageClass,
            Self::CsiNode(_) => Kind::CsiNode,
            Self::Attachment(_) => Kind::Attachment,
            Self::Replicas(_) => Kind::Replicas,
            Self::Unreadable { kind, .. } => *kind,
        }
    }
}
