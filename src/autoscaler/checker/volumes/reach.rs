//! Whether volumes can be reached from a node, or made for it.
//!
//! Existing volumes are matched to waiting claims as well as possible, where kube-scheduler takes the
//! smallest that fits for each pod in turn.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaimSpec};
use k8s_openapi::api::storage::v1::StorageClass;

use super::super::quantity::parse;
use super::super::selector::{Labels, NodeTerms, Selector};
use super::{Binding, ClaimKey, EBS_DRIVER, PodVolumes, Storage};

/// The provisioner of classes whose volumes exist beforehand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
/// Provisioners that make a disk which lives in one zone.
const ZONAL: [&str; 3] = [EBS_DRIVER, "kubernetes.io/aws-ebs", "ebs.csi.eks.amazonaws.com"];
const ZONE: &str = "topology.kubernetes.io/zone";
/// Topology labels of volumes, each with its older or newer name.
const ZONE_LABELS: [(&str, &str); 4] = [
    (ZONE, "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", ZONE),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// The volumes of a pod and the node they are wanted on.
#[derive(Debug, Clone, Copy)]
pub struct Place<'b, 'a> {
    /// Volumes of the pod.
    pub volumes: &'b PodVolumes<'a>,
    /// Labels of the node.
    pub labels: &'b Labels,
    /// Name of the node.
    pub node: &'b str,
}

/// A claim that has to find an existing volume, with the nodes it has to be reachable from.
struct Seeker<'b, 'a> {
    key: &'b ClaimKey,
    class: &'a StorageClass,
    spec: &'a PersistentVolumeClaimSpec,
    nodes: Vec<(&'b Labels, &'b str)>,
}

impl<'a> Storage<'a> {
    /// Why a volume of the pod cannot be reached from, or made for, its node. `others` are the placed pods
    /// that have waiting claims.
    pub fn reach_refusal<'b>(&self, pod: Place<'b, 'a>, others: &[Place<'b, 'a>]) -> Option<String> {
        let mut seeks = false;
        for claim in &pod.volumes.claims {
            match &claim.binding {
                Binding::Bound(volume) => {
                    if let Some(reason) = unreachable_reason(volume, pod.labels, pod.node) {
                        return Some(reason);
                    }
                }
                Binding::Waiting { class, .. } => {
                    if let Some(reason) = zone_conflict(&claim.key, class, pod, others) {
                        return Some(reason);
                    }
                    seeks |= !can_provision(class, pod.labels);
                }
            }
        }
        if !seeks || self.all_find_a_volume(pod, others) {
            return None;
        }
        Some("no volume exists, or can be made, for an unbound claim of the pod on this node".to_owned())
    }

    /// Whether every claim that cannot be provisioned where its pods are finds an existing volume of its own.
    fn all_find_a_volume<'b>(&self, pod: Place<'b, 'a>, others: &[Place<'b, 'a>]) -> bool {
        let mut seekers: BTreeMap<&ClaimKey, Seeker<'b, 'a>> = BTreeMap::new();
        for place in std::iter::once(&pod).chain(others) {
            for claim in &place.volumes.claims {
                if let Binding::Waiting { class, spec } = &claim.binding
                    && !can_provision(class, place.labels)
                {
                    let seeker = Seeker { key: &claim.key, class, spec, nodes: Vec::new() };
                    seekers.entry(&claim.key).or_insert(seeker).nodes.push((place.labels, place.node));
                }
            }
        }
        let choices: Vec<Vec<&str>> = seekers.values().map(|seeker| self.choices(seeker)).collect();
        let mut taken = BTreeMap::new();
        (0..choices.len()).all(|seeker| assign(seeker, &choices, &mut taken, &mut Vec::new()))
    }

    fn choices(&self, seeker: &Seeker<'_, 'a>) -> Vec<&'a str> {
        let fits = |volume: &PersistentVolume| {
            fits_claim(volume, seeker)
                && seeker.nodes.iter().all(|(labels, node)| unreachable_reason(volume, labels, node).is_none())
        };
        self.volumes.iter().filter(|(_, volume)| fits(volume)).map(|(name, _)| *name).collect()
    }
}

/// Gives a seeker a volume, moving others to another choice where that helps.
fn assign<'a>(
    seeker: usize,
    choices: &[Vec<&'a str>],
    taken: &mut BTreeMap<&'a str, usize>,
    tried: &mut Vec<&'a str>,
) -> bool {
    for volume in choices.get(seeker).into_iter().flatten() {
        if tried.contains(volume) {
            continue;
        }
        tried.push(volume);
        let holder = taken.get(volume).copied();
        if holder.is_none_or(|holder| assign(holder, choices, taken, tried)) {
            taken.insert(volume, seeker);
            return true;
        }
    }
    false
}

/// Whether an existing volume satisfies a claim, the node aside.
fn fits_claim(volume: &PersistentVolume, seeker: &Seeker<'_, '_>) -> bool {
    let Some(spec) = &volume.spec else { return false };
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let free = match &spec.claim_ref {
        None => matches!(phase, None | Some("" | "Available")),
        Some(claim) => {
            claim.namespace.as_deref() == Some(&seeker.key.0) && claim.name.as_deref() == Some(&seeker.key.1)
        }
    };
    let size = |amounts: Option<&BTreeMap<String, _>>| {
        let quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity = amounts?.get("storage")?;
        parse(&quantity.0).ok()
    };
    let wanted = seeker.spec.resources.as_ref().and_then(|resources| size(resources.requests.as_ref())).unwrap_or(0);
    let modes = spec.access_modes.as_deref().unwrap_or(&[]);
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let selected = seeker.spec.selector.as_ref().is_none_or(|selector| {
        let labels = volume.metadata.labels.clone().unwrap_or_default();
        Selector::compile(Some(selector)).is_ok_and(|selector| selector.matches(&labels))
    });
    free && selected
        && volume.metadata.deletion_timestamp.is_none()
        && spec.storage_class_name.as_deref() == seeker.class.metadata.name.as_deref()
        && size(spec.capacity.as_ref()).is_some_and(|capacity| capacity >= wanted)
        && seeker.spec.access_modes.iter().flatten().all(|wanted| modes.contains(wanted))
        && mode(&spec.volume_mode) == mode(&seeker.spec.volume_mode)
}

/// Whether the class can make a volume for a node.
fn can_provision(class: &StorageClass, labels: &Labels) -> bool {
    if class.provisioner == NO_PROVISIONER {
        return false;
    }
    let terms = class.allowed_topologies.as_deref().unwrap_or(&[]);
    terms.is_empty()
        || terms.iter().any(|term| {
            term.match_label_expressions
                .iter()
                .flatten()
                .all(|wanted| labels.get(&wanted.key).is_some_and(|value| wanted.values.contains(value)))
        })
}

/// Why a disk made for one pod is not where another pod that shares its claim is.
fn zone_conflict(key: &ClaimKey, class: &StorageClass, pod: Place<'_, '_>, others: &[Place<'_, '_>]) -> Option<String> {
    if !ZONAL.contains(&class.provisioner.as_str()) {
        return None;
    }
    let zone = pod.labels.get(ZONE)?;
    let sharing = others.iter().filter(|other| other.volumes.claims.iter().any(|claim| claim.key == *key));
    sharing.filter_map(|other| other.labels.get(ZONE)).find(|other| *other != zone).map(|other| {
        format!("claim `{}/{}` is shared with a pod in zone `{other}`, the node is in `{zone}`", key.0, key.1)
    })
}

/// Why a volume is out of a node's reach.
fn unreachable_reason(volume: &PersistentVolume, labels: &Labels, node: &str) -> Option<String> {
    let name = volume.metadata.name.as_deref().unwrap_or("");
    let required = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.node_affinity.as_ref())
        .and_then(|affinity| affinity.required.as_ref());
    match required.map(NodeTerms::compile) {
        Some(Err(reason)) => return Some(format!("volume `{name}`: {reason}")),
        Some(Ok(terms)) if !terms.matches(labels, node) => {
            return Some(format!("volume `{name}` is not reachable from the node (node affinity)"));
        }
        _ => {}
    }
    let on_node = |key: &str, other: &str| labels.get(key).or_else(|| labels.get(other));
    if ZONE_LABELS.iter().all(|(key, _)| !labels.contains_key(*key)) {
        return None;
    }
    ZONE_LABELS.iter().find_map(|(key, other)| {
        let wanted = volume.metadata.labels.as_ref()?.get(*key)?;
        let found = on_node(key, other).map_or("", String::as_str);
        (!wanted.split("__").any(|value| value == found))
            .then(|| format!("volume `{name}` is in `{key}={wanted}`, the node in `{found}`"))
    })
}
