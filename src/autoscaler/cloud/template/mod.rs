//! Launch templates: what nodes of a class start from. There is one for each image, number of pods, and so on that
//! an instance cannot be told otherwise.
//!
//! | file | holds |
//! |---|---|
//! | `disks` | volumes |
//! | `blueprint` | what a template says, and its name, which follows from that |
//! | `store` | templates in EC2: found or made, and removed when nobody uses them |

mod blueprint;
mod disks;
mod store;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;

pub use blueprint::{Blueprint, PREFIX, Reservations, interfaces};
pub use disks::ephemeral_storage;
pub use store::Templates;

use super::class::{Family, ResolvedClass};
use super::ec2::{ClusterFacts, IpFamily};
use super::launch::{CapacityType, LaunchRequest};
use super::tags;
use super::user_data::{Node, UserDataFault, is_for_kubelets, user_data};
use crate::autoscaler::api::EC2NodeClassSpec;
use crate::autoscaler::api::labels::{CAPACITY_TYPE, NODE_POOL};
use crate::autoscaler::state::names::keys;

/// Says that nobody but the kubelet sets the node's taints.
const KEEP_TAINTS: &str = "karpenter.sh/do-not-sync-taints";
/// Keeps everything off a node until its claim has taken it up.
const UNREGISTERED: &str = "karpenter.sh/unregistered";

/// What differs between the types of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// `ami-…`
    pub image: String,
    /// The most pods.
    pub max_pods: i64,
    /// Elastic fabric adapters to attach.
    pub fabric: i64,
    /// The capacity reservations that may be used.
    pub reservations: Reservations,
}

/// The launch template for a request and the types of `variant`.
///
/// # Errors
/// What is wrong with the class's user data.
pub fn blueprint(
    cluster: &ClusterFacts,
    request: &LaunchRequest,
    capacity_type: CapacityType,
    variant: &Variant,
) -> Result<Blueprint, UserDataFault> {
    let class = &request.class;
    let mut labels: BTreeMap<String, String> =
        request.labels.iter().filter(|(key, _)| is_for_kubelets(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.insert(CAPACITY_TYPE.to_owned(), capacity_type.text().to_owned());
    labels.insert(NODE_POOL.to_owned(), request.pool.clone());
    labels.insert(tags::NODE_CLASS.to_owned(), class.name.clone());
    let taints = request.taints.iter().chain(&request.startup_taints).cloned().collect();
    let node = node(cluster, &class.spec, class.family, labels, taints, Some(variant.max_pods));
    let tags = tags::of_launch(&cluster.name, class, &request.pool);
    Ok(Blueprint {
        image: variant.image.clone(),
        user_data: user_data(class.family, &node)?,
        interfaces: interfaces(&class.spec, variant.fabric),
        // What shares its hardware goes by what its VPC says.
        tenancy: request.labels.get(keys::TENANCY).filter(|tenancy| *tenancy == "dedicated").cloned(),
        reservations: variant.reservations.clone(),
        ..common(cluster, class, tags)
    })
}

/// What all templates of a class have in common.
fn common(cluster: &ClusterFacts, class: &ResolvedClass, tags: BTreeMap<String, String>) -> Blueprint {
    let spec = &class.spec;
    Blueprint {
        image: String::new(),
        user_data: String::new(),
        profile: class.instance_profile.clone(),
        security_groups: class.security_groups.iter().map(|group| group.id.clone()).collect(),
        interfaces: interfaces(spec, 0),
        public_address: spec.associate_public_ip_address,
        prefixes: spec.ip_prefix_count,
        ipv6: cluster.ip_family == IpFamily::V6,
        tracking: spec.connection_tracking.clone(),
        disks: disks::disks(spec, class.family),
        monitoring: spec.detailed_monitoring,
        metadata: spec.metadata_options.clone(),
        cpu: spec.cpu_options.clone(),
        tenancy: None,
        placement_group: class.placement_group.clone(),
        reservations: Reservations::default(),
        tags,
    }
}

/// A template of a class as it might be, to ask with.
pub fn sample(cluster: &ClusterFacts, class: &ResolvedClass, tags: BTreeMap<String, String>) -> Blueprint {
    let image = class.images.first().map(|image| image.id.clone()).unwrap_or_default();
    Blueprint { image, ..common(cluster, class, tags) }
}

/// Whether the user data of a class can be written.
///
/// # Errors
/// What is wrong with it.
pub fn sample_user_data(cluster: &ClusterFacts, spec: &EC2NodeClassSpec, family: Family) -> Result<(), UserDataFault> {
    let labels = BTreeMap::from([(NODE_POOL.to_owned(), "a-pool".to_owned())]);
    user_data(family, &node(cluster, spec, family, labels, Vec::new(), Some(110))).map(drop)
}

fn node<'a>(
    cluster: &'a ClusterFacts,
    spec: &'a EC2NodeClassSpec,
    family: Family,
    mut labels: BTreeMap<String, String>,
    mut taints: Vec<Taint>,
    max_pods: Option<i64>,
) -> Node<'a> {
    if family != Family::Custom {
        labels.insert(KEEP_TAINTS.to_owned(), "true".to_owned());
    }
    taints.push(Taint { key: UNREGISTERED.to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() });
    Node {
        cluster,
        kubelet: spec.kubelet.clone().unwrap_or_default(),
        max_pods,
        labels,
        taints,
        raid0: spec.instance_store_policy.as_deref() == Some("RAID0"),
        users: spec.user_data.as_deref(),
    }
}
