//! Clusters made from a seed: node pools, nodes, running pods and pending workloads with every scheduling
//! feature, switchable one by one. The same seed, sizes and features give the same cluster.
//!
//! The objects are what an API server would return, so they go through the same readers as real ones. Pools
//! are JSON in the shape of `karpenter.sh/v1`, workloads JSON of their kinds beside the pods they make.

#![allow(dead_code, reason = "each test takes the part it needs")]

mod cluster;
mod random;
mod rules;
mod workloads;

use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use serde_json::Value;

pub use random::Random;

/// How much to make.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Node pools.
    pub pools: usize,
    /// Zones, at most 6.
    pub zones: usize,
    /// Nodes that exist.
    pub nodes: usize,
    /// Pods that run, DaemonSet pods aside; fewer where the nodes are full.
    pub running: usize,
    /// Workloads that are pending.
    pub workloads: usize,
    /// Most replicas of one workload.
    pub replicas: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { pools: 3, zones: 3, nodes: 8, running: 12, workloads: 6, replicas: 6 }
    }
}

/// What pods and pools may use. A feature that is on is used by some of them.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// `nodeSelector` and required node affinity with several terms.
    pub node_selection: bool,
    /// Preferred terms of every kind, `ScheduleAnyway`, `PreferNoSchedule`.
    pub preferences: bool,
    /// Pool taints, startup taints, tolerations.
    pub taints: bool,
    /// `DoNotSchedule` spread with all its fields.
    pub spread: bool,
    /// Required pod affinity.
    pub pod_affinity: bool,
    /// Required pod anti-affinity.
    pub pod_anti_affinity: bool,
    /// Several namespaces, namespace selectors.
    pub namespaces: bool,
    /// Host ports.
    pub host_ports: bool,
    /// Claims bound and unbound, ephemeral volumes, attach limits.
    pub volumes: bool,
    /// Init containers, sidecars, overhead, pod-level requests.
    pub composed_requests: bool,
    /// GPUs.
    pub extended_resources: bool,
    /// DaemonSets and their pods on the existing nodes.
    pub daemon_sets: bool,
    /// Pool weights, limits, `minValues`.
    pub pool_rules: bool,
    /// Cordoned nodes and pods that are being deleted.
    pub disturbances: bool,
}

impl Features {
    /// Everything.
    pub const ALL: Self = Self::every(true);
    /// Plain pods with requests on plain nodes.
    pub const NONE: Self = Self::every(false);

    const fn every(on: bool) -> Self {
        Self {
            node_selection: on,
            preferences: on,
            taints: on,
            spread: on,
            pod_affinity: on,
            pod_anti_affinity: on,
            namespaces: on,
            host_ports: on,
            volumes: on,
            composed_requests: on,
            extended_resources: on,
            daemon_sets: on,
            pool_rules: on,
            disturbances: on,
        }
    }
}

/// A generated cluster.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// NodePools, `karpenter.sh/v1`.
    pub node_pools: Vec<Value>,
    /// Nodes that exist, made from the pools.
    pub nodes: Vec<Node>,
    /// Running pods, DaemonSet pods included, then the pending pods of `workloads`.
    pub pods: Vec<Pod>,
    /// DaemonSets, `apps/v1`.
    pub daemon_sets: Vec<Value>,
    /// Pending workloads: Deployments, StatefulSets, Jobs and Pods.
    pub workloads: Vec<Value>,
    /// Namespaces with labels.
    pub namespaces: Vec<Namespace>,
    /// Volumes.
    pub persistent_volumes: Vec<PersistentVolume>,
    /// Claims.
    pub persistent_volume_claims: Vec<PersistentVolumeClaim>,
    /// Storage classes.
    pub storage_classes: Vec<StorageClass>,
    /// Attach limits of the nodes.
    pub csi_nodes: Vec<CSINode>,
}

/// Makes a cluster.
pub fn generate(seed: u64, sizes: Sizes, features: Features) -> Generated {
    let mut random = Random::new(seed);
    let mut generated = Generated::default();
    cluster::add_namespaces(&mut generated, features);
    cluster::add_pools(&mut generated, &mut random, sizes, features);
    cluster::add_nodes(&mut generated, &mut random, sizes, features);
    cluster::add_daemon_sets(&mut generated, &mut random, features);
    cluster::add_storage(&mut generated, &mut random, sizes, features);
    workloads::add_running(&mut generated, &mut random, sizes, features);
    workloads::add_pending(&mut generated, &mut random, sizes, features);
    generated
}

/// Reads JSON as an API object.
fn object<T: serde_json_object::FromJson>(value: Value) -> T {
    T::from_json(value)
}

/// Reading API objects without naming serde's traits.
mod serde_json_object {
    use super::*;

    /// An object that JSON can be read as.
    pub trait FromJson: Sized {
        /// Reads it; the generator writes valid objects, so a failure is a bug of its own.
        fn from_json(value: Value) -> Self;
    }

    macro_rules! from_json {
        ($($kind:ty),*) => {
            $(impl FromJson for $kind {
                fn from_json(value: Value) -> Self {
                    serde_json::from_value(value).expect("the generator writes valid objects")
                }
            })*
        };
    }

    from_json!(Node, Pod, Namespace, PersistentVolume, PersistentVolumeClaim, StorageClass, CSINode);
}
