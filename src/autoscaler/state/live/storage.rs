//! Volumes, their claims, classes and attachments, as far as scheduling and draining ask for them.

use crate::state::intern::FastMap;
use crate::state::names::Names;
use crate::state::volumes::Volumes;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass, VolumeAttachment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The attachment of a volume to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its name.
    pub name: Arc<str>,
    /// The node.
    pub node: Arc<str>,
    /// The volume, by name.
    pub volume: Option<Box<str>>,
}

/// What is kept, each with the round in which it was told.
#[derive(Debug, Default)]
pub(super) struct Storage {
    pub volumes: BTreeMap<String, (u32, core::PersistentVolume)>,
    pub claims: BTreeMap<String, (u32, core::PersistentVolumeClaim)>,
    pub classes: BTreeMap<String, (u32, StorageClass)>,
    pub attachments: BTreeMap<String, (u32, Attachment)>,
    attachments_of: FastMap<Arc<str>, Vec<String>>,
    /// How many volumes of each driver a node takes.
    pub limits: BTreeMap<String, (u32, Vec<(String, i64)>)>,
}

impl Storage {
    /// The index that pods are read with.
    pub fn index(&self, names: &mut Names) -> Volumes {
        let claims: Vec<_> = self.claims.values().map(|(_, claim)| claim.clone()).collect();
        let volumes: Vec<_> = self.volumes.values().map(|(_, volume)| volume.clone()).collect();
        let classes: Vec<_> = self.classes.values().map(|(_, class)| class.clone()).collect();
        Volumes::new(names, &claims, &volumes, &classes)
    }

    /// The volume that a claim is bound to.
    pub fn volume_of(&self, namespace: &str, claim: &str) -> Option<&str> {
        let (_, claim) = self.claims.get(&format!("{namespace}/{claim}"))?;
        claim.spec.as_ref()?.volume_name.as_deref()
    }

    pub fn attachments(&self, node: &str) -> impl Iterator<Item = &Attachment> {
        let names = self.attachments_of.get(node).into_iter().flatten();
        names.filter_map(|name| self.attachments.get(name)).map(|(_, attachment)| attachment)
    }

    /// Keeps an attachment; whether that changes anything.
    pub fn attach(&mut self, name: String, attachment: &VolumeAttachment, round: u32) -> bool {
        let kept = Attachment {
            name: name.as_str().into(),
            node: attachment.spec.node_name.as_str().into(),
            volume: attachment.spec.source.persistent_volume_name.as_deref().map(Into::into),
        };
        if let Some((seen, before)) = self.attachments.get_mut(&name)
            && *before == kept
        {
            *seen = round;
            return false;
        }
        self.detach(&name);
        self.attachments_of.entry(Arc::clone(&kept.node)).or_default().push(name.clone());
        self.attachments.insert(name, (round, kept));
        true
    }

    pub fn detach(&mut self, name: &str) -> bool {
        let Some((_, before)) = self.attachments.remove(name) else { return false };
        if let Some(names) = self.attachments_of.get_mut(&before.node) {
            names.retain(|other| other != name);
            if names.is_empty() {
                self.attachments_of.remove(&before.node);
            }
        }
        true
    }
}

fn bare(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        deletion_timestamp: metadata.deletion_timestamp.clone(),
        ..ObjectMeta::default()
    }
}

/// A volume as far as scheduling asks for it.
pub(super) fn bare_volume(volume: &core::PersistentVolume) -> core::PersistentVolume {
    let spec = volume.spec.as_ref().map(|spec| core::PersistentVolumeSpec {
        node_affinity: spec.node_affinity.clone(),
        local: spec.local.clone(),
        host_path: spec.host_path.clone(),
        csi: spec.csi.as_ref().map(|csi| core::CSIPersistentVolumeSource {
            driver: csi.driver.clone(),
            ..core::CSIPersistentVolumeSource::default()
        }),
        ..core::PersistentVolumeSpec::default()
    });
    core::PersistentVolume { metadata: bare(&volume.metadata), spec, status: None }
}

/// A claim as far as scheduling asks for it.
pub(super) fn bare_claim(claim: &core::PersistentVolumeClaim) -> core::PersistentVolumeClaim {
    let spec = claim.spec.as_ref().map(|spec| core::PersistentVolumeClaimSpec {
        volume_name: spec.volume_name.clone(),
        storage_class_name: spec.storage_class_name.clone(),
        ..core::PersistentVolumeClaimSpec::default()
    });
    let status = claim.status.as_ref().map(|status| core::PersistentVolumeClaimStatus {
        phase: status.phase.clone(),
        ..core::PersistentVolumeClaimStatus::default()
    });
    core::PersistentVolumeClaim { metadata: bare(&claim.metadata), spec, status }
}

/// A storage class as far as scheduling asks for it.
pub(super) fn bare_class(class: &StorageClass) -> StorageClass {
    StorageClass {
        metadata: bare(&class.metadata),
        provisioner: class.provisioner.clone(),
        allowed_topologies: class.allowed_topologies.clone(),
        volume_binding_mode: class.volume_binding_mode.clone(),
        ..StorageClass::default()
    }
}

/// How many volumes of each driver a node takes.
pub(super) fn limits(node: &CSINode) -> Vec<(String, i64)> {
    let drivers = node.spec.drivers.iter();
    drivers.filter_map(|d| Some((d.name.clone(), i64::from(d.allocatable.as_ref()?.count?)))).collect()
}
