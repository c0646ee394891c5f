//! Replica sets: how many of their pods are still to come.
//!
//! A replica set says at once how many pods it wants; making them takes a while. Who knows what will come can decide
//! about all of it, rather than about what has come so far.

use super::intake::key_of;
use super::{Live, LivePod};
use crate::state::intern::Symbol;
use crate::state::pod_reading::{Surroundings, read_labels, read_pod};
use crate::state::resources::Amounts;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So long after more pods were asked for they are believed to come.
const BELIEVED: SignedDuration = SignedDuration::from_secs(30);

/// A replica set that wants pods.
#[derive(Clone, Debug)]
pub(super) struct LiveReplicas {
    desired: usize,
    /// Index into the specs, and into the label sets.
    spec: u32,
    labels: u32,
    /// When it last wanted more than before.
    raised: Timestamp,
    /// When all that it wanted then had been made. What it makes later takes the place of others.
    made: Option<Timestamp>,
    /// Whether its pods are refused, by a quota for instance.
    failing: bool,
    pub(super) round: u32,
}

/// Pods of a workload that are still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coming {
    /// As [`LivePod::workload`] names it.
    pub workload: Arc<str>,
    /// Index into the specs.
    pub spec: u32,
    /// Index into the label sets.
    pub labels: u32,
    /// How many.
    pub pods: usize,
}

/// As pods name a replica set, from `namespace/name`.
pub(super) fn workload_of(key: &str) -> String {
    key.split_once('/').map_or_else(String::new, |(namespace, name)| format!("{namespace}/ReplicaSet/{name}"))
}

impl Live {
    pub(super) fn apply_replicas(&mut self, set: &ReplicaSet, round: u32, now: Timestamp) -> bool {
        let workload = workload_of(&key_of(&set.metadata));
        let desired = set.spec.replicas.and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
        let before = self.replicas.get(workload.as_str()).map(|set| (set.desired, set.raised, set.made, set.failing));
        let template = set.spec.template.as_ref();
        let pod = template.and_then(|template| template.spec.as_ref());
        let gated = pod.is_none_or(|pod| pod.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()));
        let (Some(template), Some(pod)) = (template.filter(|_| desired > 0 && !gated), pod) else {
            return self.remove_replicas(&workload);
        };
        let mut metadata = template.metadata.clone().unwrap_or_default();
        metadata.namespace.clone_from(&set.metadata.namespace);
        let owner = self.base.names.strings.intern(&workload);
        let around = Surroundings { namespaces: &self.base.namespaces, volumes: &self.base.volumes };
        let Ok(spec) = read_pod(&mut self.base.names, &around, &metadata, pod, Some(owner)) else {
            return self.remove_replicas(&workload);
        };
        let labels = read_labels(&mut self.base.names, metadata.labels.as_ref());
        let conditions = set.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let failing = conditions
            .iter()
            .any(|one| one.type_.as_deref() == Some("ReplicaFailure") && one.status.as_deref() == Some("True"));
        let (spec, labels) = (self.base.specs.take(spec), self.base.label_sets.take(labels));
        let raised = match before {
            Some((known, raised, ..)) if desired <= known => raised,
            // What was there at the start has its pods.
            None if !self.synced(super::Kind::Replicas) => Timestamp::MIN,
            _ => now,
        };
        let counted = set.status.as_ref().and_then(|status| usize::try_from(status.replicas).ok()).unwrap_or(0);
        let made = before.filter(|(known, ..)| desired <= *known).and_then(|(_, _, made, _)| made);
        let made = made.or_else(|| (counted >= desired).then_some(now));
        self.remove_replicas(&workload);
        self.replicas.insert(workload.into(), LiveReplicas { desired, spec, labels, raised, made, failing, round });
        before != Some((desired, raised, made, failing))
    }

    pub(super) fn remove_replicas(&mut self, workload: &str) -> bool {
        let Some(set) = self.replicas.remove(workload) else { return false };
        self.base.specs.give_back(set.spec);
        self.base.label_sets.give_back(set.labels);
        true
    }

    /// A symbol, if the text is known.
    pub fn symbol(&self, text: &str) -> Option<Symbol> {
        self.base.names.strings.find(text)
    }

    fn alive(&self, workload: &str) -> impl Iterator<Item = &LivePod> {
        let pods = self.symbol(workload).into_iter().flat_map(|workload| self.pods_of(workload));
        pods.filter(|pod| !pod.leaving())
    }

    /// How many pods of a workload are still to come, as far as that is known.
    pub fn to_come(&self, workload: &str) -> usize {
        let Some(set) = self.replicas.get(workload).filter(|set| !set.failing) else { return 0 };
        set.desired.saturating_sub(self.alive(workload).count())
    }

    /// What pods of a workload ask for: index into the specs, and into the label sets.
    pub fn template(&self, workload: &str) -> Option<(u32, u32)> {
        self.replicas.get(workload).map(|set| (set.spec, set.labels))
    }

    /// What a pod of a workload takes.
    pub fn requests_of(&self, workload: &str) -> Option<&Amounts> {
        self.template(workload).map(|(spec, _)| &self.base.spec(spec).requests)
    }

    /// Workloads that have asked for more pods just now, and get them.
    fn fresh_ones(&self, now: Timestamp) -> impl Iterator<Item = (&Arc<str>, &LiveReplicas)> {
        let fresh = move |set: &LiveReplicas| {
            !set.failing && set.raised.saturating_add(BELIEVED).is_ok_and(|until| now < until)
        };
        let open = self.replicas.iter().filter(move |(_, set)| fresh(set));
        open.filter(|(workload, _)| !self.alive(workload).any(|pod| pod.gated))
    }

    /// The workloads whose pods are counted on without waiting for what kube-scheduler says about each of them, and
    /// until when these were made.
    pub fn fresh(&self, now: Timestamp) -> BTreeMap<Symbol, Timestamp> {
        let made = |set: &LiveReplicas| set.made.unwrap_or(Timestamp::MAX);
        self.fresh_ones(now).filter_map(|(workload, set)| Some((self.symbol(workload)?, made(set)))).collect()
    }

    /// The pods that are still to come of workloads that have asked for more just now.
    pub fn coming(&self, now: Timestamp) -> Vec<Coming> {
        let coming = self.fresh_ones(now).filter(|(_, set)| set.made.is_none()).map(|(workload, set)| {
            let pods = set.desired.saturating_sub(self.alive(workload).count());
            Coming { workload: Arc::clone(workload), spec: set.spec, labels: set.labels, pods }
        });
        coming.filter(|coming| coming.pods > 0).collect()
    }
}
