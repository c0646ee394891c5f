//! Where the volumes of a pod can be used: zones of volumes that exist, allowed topologies of
//! storage classes for those that do not yet, and how many volumes of a driver a pod attaches.

use super::intern::FastMap;
use super::names::Names;
use super::requirements::{Requirements, ValueSet};
use k8s_openapi::api::core::v1::{NodeSelector, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use std::collections::BTreeMap;

/// What is known about one claim.
#[derive(Clone, Debug)]
enum ClaimState {
    /// Usable where one of the alternatives holds.
    Usable { alternatives: Vec<Requirements>, driver: Option<String> },
    /// Not usable now, and why.
    Unusable(String),
}

/// The volumes of the cluster, indexed by claim.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    claims: FastMap<String, ClaimState>,
    /// Whether unknown claims are an error. Offline input often leaves storage out.
    pub strict: bool,
}

impl Volumes {
    /// Indexes claims by what their volumes and classes allow.
    pub fn new(
        names: &mut Names,
        claims: &[PersistentVolumeClaim],
        volumes: &[PersistentVolume],
        classes: &[StorageClass],
    ) -> Self {
        let volumes: BTreeMap<&str, &PersistentVolume> =
            volumes.iter().filter_map(|v| Some((v.metadata.name.as_deref()?, v))).collect();
        let classes: BTreeMap<&str, &StorageClass> =
            classes.iter().filter_map(|c| Some((c.metadata.name.as_deref()?, c))).collect();
        let mut index = Self { claims: FastMap::default(), strict: true };
        for claim in claims {
            let namespace = claim.metadata.namespace.as_deref().unwrap_or("default");
            let Some(name) = claim.metadata.name.as_deref() else {
                continue;
            };
            let state = read_claim(names, claim, &volumes, &classes);
            index.claims.insert(format!("{namespace}/{name}"), state);
        }
        index
    }

    /// The alternatives under which a claim can be used, and the driver that attaches it.
    ///
    /// # Errors
    /// A sentence that says why the claim cannot be used.
    pub fn claim(&self, namespace: &str, name: &str) -> Result<(Vec<Requirements>, Option<String>), String> {
        match self.claims.get(&format!("{namespace}/{name}")) {
            Some(ClaimState::Usable { alternatives, driver }) => Ok((alternatives.clone(), driver.clone())),
            Some(ClaimState::Unusable(reason)) => Err(reason.clone()),
            None if self.strict => Err(format!("volume claim `{namespace}/{name}` does not exist")),
            None => Ok((vec![Requirements::default()], None)),
        }
    }
}

fn read_claim(
    names: &mut Names,
    claim: &PersistentVolumeClaim,
    volumes: &BTreeMap<&str, &PersistentVolume>,
    classes: &BTreeMap<&str, &StorageClass>,
) -> ClaimState {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let unusable = |reason: &str| ClaimState::Unusable(format!("volume claim `{name}` {reason}"));
    if claim.metadata.deletion_timestamp.is_some() {
        return unusable("is being deleted");
    }
    if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost") {
        return unusable("has lost its volume");
    }
    let Some(spec) = &claim.spec else {
        return unusable("has no spec");
    };
    if let Some(volume_name) = spec.volume_name.as_deref().filter(|v| !v.is_empty()) {
        let Some(volume) = volumes.get(volume_name) else {
            return unusable(&format!("names the volume `{volume_name}`, which does not exist"));
        };
        return bound_volume(names, volume);
    }
    let class = spec.storage_class_name.as_deref().filter(|c| !c.is_empty());
    match class.map(|c| (c, classes.get(c))) {
        Some((class, None)) => unusable(&format!("names the storage class `{class}`, which does not exist")),
        Some((_, Some(class))) if class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer") => {
            unusable("is not bound yet, and its storage class binds at once")
        }
        Some((_, Some(class))) => {
            let mut alternatives = Vec::new();
            for term in class.allowed_topologies.iter().flatten() {
                let mut all = Requirements::default();
                for expression in term.match_label_expressions.iter().flatten() {
                    let key = names.key(&expression.key);
                    if let Ok(set) =
                        ValueSet::from_operator(&mut names.strings, &expression.key, "In", &expression.values)
                    {
                        all.add(key, set);
                    }
                }
                alternatives.push(all);
            }
            if alternatives.is_empty() {
                alternatives.push(Requirements::default());
            }
            ClaimState::Usable { alternatives, driver: Some(class.provisioner.clone()) }
        }
        None => unusable("is not bound and has no storage class"),
    }
}

fn bound_volume(names: &mut Names, volume: &PersistentVolume) -> ClaimState {
    let spec = volume.spec.as_ref();
    let local = spec.is_some_and(|s| s.local.is_some() || s.host_path.is_some());
    let driver = spec.and_then(|s| s.csi.as_ref()).map(|csi| csi.driver.clone());
    let selector: Option<&NodeSelector> = spec.and_then(|s| s.node_affinity.as_ref()).and_then(|a| a.required.as_ref());
    let mut alternatives = Vec::new();
    for term in selector.map(|s| s.node_selector_terms.as_slice()).unwrap_or_default() {
        match super::pod_reading::node_term(names, term) {
            Ok(all) if local => {
                // A local volume goes with its node: only the wider topology can be asked of a new one.
                let hostname = names.known.hostname;
                let mut kept = Requirements::default();
                for (key, set) in all.iter().filter(|(key, _)| *key != hostname) {
                    kept.add(key, set.clone());
                }
                alternatives.push(kept);
            }
            Ok(all) => alternatives.push(all),
            Err(reason) => return ClaimState::Unusable(reason),
        }
    }
    if alternatives.is_empty() {
        alternatives.push(Requirements::default());
    }
    ClaimState::Usable { alternatives, driver }
}
