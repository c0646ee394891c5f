//! Volumes: claims that can be bound, volumes that the node reaches, attach limits, exclusive access.
//!
//! * A bound claim's volume has to be reachable: its node affinity, and its zone and region labels.
//! * An unbound claim is bound with the pod where its storage class says `WaitForFirstConsumer`: by
//!   provisioning, in the class's `allowedTopologies`, or with an existing volume that fits. Any other
//!   unbound claim keeps the pod waiting. A disk of EBS is made in the zone of the first pod that uses it,
//!   so pods that share its claim share the zone.
//! * A CSI driver's volumes on a node, each counted once, stay within the limit of the CSINode.
//! * A `ReadWriteOncePod` claim is used by one pod.
//!
//! Storage capacity tracking and VolumeAttachments are not looked at.

mod reach;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    EphemeralVolumeSource, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, Pod, PodSpec, Volume,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Input;

pub use reach::Place;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const EBS_DRIVER: &str = "ebs.csi.aws.com";
/// A claim by namespace and name.
pub type ClaimKey = (String, String);
/// A volume by driver and handle.
type VolumeKey = (String, String);

/// Storage objects by name.
#[derive(Debug, Default)]
pub struct Storage<'a> {
    volumes: BTreeMap<&'a str, &'a PersistentVolume>,
    claims: BTreeMap<(&'a str, &'a str), &'a PersistentVolumeClaim>,
    classes: BTreeMap<&'a str, &'a StorageClass>,
    /// By node, by driver.
    limits: BTreeMap<&'a str, BTreeMap<&'a str, usize>>,
}

/// How a claim gets its volume.
#[derive(Debug, Clone)]
enum Binding<'a> {
    Bound(&'a PersistentVolume),
    Waiting { class: &'a StorageClass, spec: &'a PersistentVolumeClaimSpec },
}

/// A claim that a pod uses.
#[derive(Debug, Clone)]
pub struct ClaimUse<'a> {
    /// Which claim.
    pub key: ClaimKey,
    /// Whether only one pod may use it.
    pub exclusive: bool,
    binding: Binding<'a>,
}

/// The volumes of a pod.
#[derive(Debug, Clone, Default)]
pub struct PodVolumes<'a> {
    /// Claims in use.
    pub claims: Vec<ClaimUse<'a>>,
    /// Volumes that count against a limit.
    attached: BTreeSet<VolumeKey>,
    /// Why the pod waits whatever the node.
    pub waiting: Vec<String>,
}

impl PodVolumes<'_> {
    /// Whether a claim of the pod gets its volume only when the pod is placed.
    pub fn has_waiting_claim(&self) -> bool {
        self.claims.iter().any(|claim| matches!(claim.binding, Binding::Waiting { .. }))
    }
}

impl<'a> Storage<'a> {
    /// Indexes the storage objects of an input.
    pub fn new(input: &'a Input) -> Self {
        let name = |metadata: &'a ObjectMeta| metadata.name.as_deref().unwrap_or("");
        let limits = input.csi_nodes.iter().map(|node| {
            let drivers = node.spec.drivers.iter().filter_map(|driver| {
                let count = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count)?;
                Some((driver.name.as_str(), usize::try_from(count).unwrap_or(0)))
            });
            (name(&node.metadata), drivers.collect())
        });
        Self {
            volumes: input.persistent_volumes.iter().map(|volume| (name(&volume.metadata), volume)).collect(),
            claims: input
                .persistent_volume_claims
                .iter()
                .map(|claim| ((claim.metadata.namespace.as_deref().unwrap_or("default"), name(&claim.metadata)), claim))
                .collect(),
            classes: input.storage_classes.iter().map(|class| (name(&class.metadata), class)).collect(),
            limits: limits.collect(),
        }
    }

    /// The volumes of a pod.
    pub fn of_pod(&self, pod: &'a Pod, spec: &'a PodSpec, namespace: &str) -> PodVolumes<'a> {
        let mut volumes = PodVolumes::default();
        for volume in spec.volumes.iter().flatten() {
            if let Some(disk) = &volume.aws_elastic_block_store {
                volumes.attached.insert((EBS_DRIVER.to_owned(), disk.volume_id.clone()));
            }
            match self.claim_of(pod, volume, namespace) {
                None => {}
                Some(Err(reason)) => volumes.waiting.push(reason),
                Some(Ok(claim)) => {
                    volumes.attached.extend(attached_by(&claim));
                    volumes.claims.push(claim);
                }
            }
        }
        volumes
    }

    /// The claim behind a volume of a pod: by name, or that of a generic ephemeral volume.
    fn claim_of(&self, pod: &'a Pod, volume: &'a Volume, namespace: &str) -> Option<Result<ClaimUse<'a>, String>> {
        if let Some(source) = &volume.persistent_volume_claim {
            let name = &source.claim_name;
            return Some(match self.claims.get(&(namespace, name.as_str())) {
                Some(claim) => self.usable(namespace, claim),
                None => Err(format!("claim `{namespace}/{name}` does not exist")),
            });
        }
        let source = volume.ephemeral.as_ref()?;
        let pod_name = pod.metadata.name.as_deref().unwrap_or("");
        let name = format!("{pod_name}-{}", volume.name);
        Some(match self.claims.get(&(namespace, name.as_str())) {
            Some(claim) if owned_by(claim, pod_name) => self.usable(namespace, claim),
            Some(_) => Err(format!("claim `{namespace}/{name}` exists and is not the pod's own")),
            None => self.of_template(namespace, &name, source),
        })
    }

    fn of_template(
        &self,
        namespace: &str,
        name: &str,
        source: &'a EphemeralVolumeSource,
    ) -> Result<ClaimUse<'a>, String> {
        let key = (namespace.to_owned(), name.to_owned());
        match &source.volume_claim_template {
            Some(template) => self.waiting(key, &template.spec),
            None => Err(format!("ephemeral volume `{namespace}/{name}` has no claim template")),
        }
    }

    fn usable(&self, namespace: &str, claim: &'a PersistentVolumeClaim) -> Result<ClaimUse<'a>, String> {
        let name = claim.metadata.name.as_deref().unwrap_or("");
        let key = (namespace.to_owned(), name.to_owned());
        let Some(spec) = &claim.spec else { return Err(format!("claim `{namespace}/{name}` has no spec")) };
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("claim `{namespace}/{name}` is being deleted"));
        }
        if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
            return Err(format!("claim `{namespace}/{name}` has lost its volume"));
        }
        match spec.volume_name.as_deref().filter(|volume| !volume.is_empty()) {
            None => self.waiting(key, spec),
            Some(volume) => match self.volumes.get(volume) {
                Some(found) => Ok(ClaimUse { key, exclusive: is_exclusive(spec), binding: Binding::Bound(found) }),
                None => Err(format!("claim `{namespace}/{name}` is bound to volume `{volume}`, which does not exist")),
            },
        }
    }

    fn waiting(&self, key: ClaimKey, spec: &'a PersistentVolumeClaimSpec) -> Result<ClaimUse<'a>, String> {
        let class = match &spec.storage_class_name {
            Some(name) => self.classes.get(name.as_str()),
            None => self.classes.values().find(|class| is_default(class)),
        };
        let (namespace, name) = &key;
        let Some(class) = class else {
            return Err(format!("claim `{namespace}/{name}` is unbound and its storage class does not exist"));
        };
        if class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer") {
            return Err(format!("claim `{namespace}/{name}` is unbound and its class binds immediately"));
        }
        Ok(ClaimUse { key, exclusive: is_exclusive(spec), binding: Binding::Waiting { class, spec } })
    }

    /// Why the node cannot have the volumes of a pod attached beside those of `others`.
    pub fn limit_refusal<'b>(
        &self,
        pod: &PodVolumes<'_>,
        node: &str,
        others: impl Iterator<Item = &'b PodVolumes<'a>>,
    ) -> Option<String>
    where
        'a: 'b,
    {
        let limits = self.limits.get(node)?;
        if !pod.attached.iter().any(|(driver, _)| limits.contains_key(driver.as_str())) {
            return None;
        }
        let present: BTreeSet<&VolumeKey> = others.flat_map(|volumes| &volumes.attached).collect();
        limits.iter().find_map(|(driver, limit)| {
            let of_driver = |volume: &&VolumeKey| volume.0 == *driver;
            let added = pod.attached.iter().filter(of_driver).filter(|volume| !present.contains(volume)).count();
            let there = present.iter().copied().filter(of_driver).count();
            (added > 0 && there + added > *limit)
                .then(|| format!("`{driver}`: {} volumes wanted in all, the node attaches {limit}", there + added))
        })
    }
}

/// What a claim's volume counts as against an attach limit; a volume yet to be made counts by its claim.
fn attached_by(claim: &ClaimUse<'_>) -> Option<VolumeKey> {
    match &claim.binding {
        Binding::Bound(volume) => {
            let spec = volume.spec.as_ref()?;
            let csi = spec.csi.as_ref().map(|csi| (csi.driver.clone(), csi.volume_handle.clone()));
            let in_tree = spec.aws_elastic_block_store.as_ref();
            csi.or_else(|| in_tree.map(|disk| (EBS_DRIVER.to_owned(), disk.volume_id.clone())))
        }
        Binding::Waiting { class, .. } => {
            let driver = match class.provisioner.as_str() {
                reach::NO_PROVISIONER => return None,
                "kubernetes.io/aws-ebs" => EBS_DRIVER,
                provisioner => provisioner,
            };
            Some((driver.to_owned(), format!("claim {}/{}", claim.key.0, claim.key.1)))
        }
    }
}

fn owned_by(claim: &PersistentVolumeClaim, pod: &str) -> bool {
    claim.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "Pod" && owner.name == pod)
}

fn is_exclusive(spec: &PersistentVolumeClaimSpec) -> bool {
    spec.access_modes.iter().flatten().any(|mode| mode == "ReadWriteOncePod")
}

fn is_default(class: &StorageClass) -> bool {
    let annotation = class.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT_CLASS));
    annotation.is_some_and(|value| value == "true")
}
