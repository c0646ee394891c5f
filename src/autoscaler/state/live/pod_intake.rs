//! Pods come in and go, and are read again when what they depend on changes.

use super::Live;
use super::intake::{precedes, version_of};
use super::pods::{Aside, LivePod, Owner, Uid, raw_of, standing};
use crate::state::intern::Symbol;
use crate::state::pod_reading::{Surroundings, as_bound, effective_limits, read_labels, read_pod};
use crate::state::pod_spec::PodSpec;
use crate::state::resources::{Amounts, PODS};
use crate::state::volumes::Volumes;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::borrow::Cow;
use std::sync::Arc;

impl Live {
    pub(super) fn apply_pod(&mut self, pod: &core::Pod, round: u32, now: Timestamp) -> bool {
        let uid = Uid::of(&pod.metadata);
        let version = version_of(&pod.metadata);
        if let Some(kept) = self.pods.get_mut(uid).filter(|kept| precedes(version, kept.version)) {
            kept.round = round;
            return false;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let Some(spec) = pod.spec.as_ref().filter(|_| !matches!(phase, Some("Succeeded" | "Failed"))) else {
            return self.remove_pod(uid, now);
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let name = format!("{namespace}/{}", pod.metadata.name.as_deref().unwrap_or_default());
        let controller = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let names = &mut self.base.names;
        let workload =
            controller.map(|owner| names.strings.intern(&format!("{namespace}/{}/{}", owner.kind, owner.name)));
        let place = |text: Option<&str>| text.filter(|name| !name.is_empty()).map(str::to_owned);
        let node = place(spec.node_name.as_deref()).map(|name| names.strings.intern(&name));
        let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
        let nominated = place(nominated).map(|name| names.strings.intern(&name));
        let labels = read_labels(names, pod.metadata.labels.as_ref());
        let raw = raw_of(pod);
        let (spec_id, fault) = self.read_spec(&pod.metadata, spec, workload, node.is_some());
        let labels = self.base.label_sets.take(labels);
        // A pod that cannot be read says so elsewhere.
        let limits = effective_limits(&mut self.base.names, spec).unwrap_or_default();
        let limits = self.limits.take(limits);
        let standing = standing(pod);
        let time = |time: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.map(|time| time.0);
        let is_refused = standing.unschedulable && nominated.is_none();
        let read = LivePod {
            uid,
            name: match self.pods.get(uid) {
                Some(before) if *before.name == *name => Arc::clone(&before.name),
                _ => name.into(),
            },
            node,
            nominated,
            spec: spec_id,
            labels,
            limits,
            workload,
            created: time(pod.metadata.creation_timestamp.as_ref()).unwrap_or_default(),
            bound: standing.bound,
            started: time(pod.status.as_ref().and_then(|status| status.start_time.as_ref())),
            deletion: time(pod.metadata.deletion_timestamp.as_ref()),
            grace_seconds: grace_of(pod),
            owner: standing.owner,
            phase: standing.phase,
            unschedulable: standing.unschedulable,
            refused: is_refused.then_some(now),
            gated: spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()),
            ready: standing.ready,
            do_not_disrupt: standing.do_not_disrupt,
            deletion_cost: standing.deletion_cost,
            own_deletion_cost: standing.own_deletion_cost,
            priority: spec.priority.unwrap_or(0),
            critical: standing.critical,
            round,
            version,
        };
        self.refused = self.refused.max(read.refused);
        self.put_pod(read, Aside { raw, fault: fault.map(Into::into) }, now)
    }

    fn put_pod(&mut self, pod: LivePod, aside: Aside, now: Timestamp) -> bool {
        let before = self.pods.get(pod.uid).cloned();
        let (uid, owner) = (pod.uid, pod.owner);
        let changed = before
            .as_ref()
            .is_none_or(|before| LivePod { round: pod.round, version: pod.version, ..before.clone() } != pod);
        let came = pod.node.filter(|_| before.as_ref().is_none_or(|before| before.node.is_none()));
        let leaves = pod.node.filter(|_| pod.leaving() && before.as_ref().is_some_and(|before| !before.leaving()));
        let event = came.map(|node| (node, pod.bound.unwrap_or(now))).or(leaves.map(|node| (node, now)));
        let moved = before.as_ref().is_none_or(|before| before.node != pod.node || before.workload != pod.workload);
        let name = Arc::clone(&pod.name);
        match self.pods.get_mut(uid) {
            Some(kept) if !moved => *kept = pod,
            _ => self.pods.put(pod),
        }
        debug_assert!(self.pods.named(&name).is_some());
        self.pods.set_aside(uid, aside);
        if let Some(before) = before {
            self.give_back(&before);
        }
        if let Some((node, at)) = event.filter(|_| owner != Owner::Daemon) {
            self.note_pod_event(node, at);
        }
        self.sweep_if_due();
        changed
    }

    pub(super) fn remove_pod(&mut self, uid: Uid, now: Timestamp) -> bool {
        let Some(pod) = self.pods.remove(uid) else { return false };
        self.give_back(&pod);
        // One that was leaving went then already, as far as others are concerned.
        if let Some(node) = pod.node.filter(|_| pod.owner != Owner::Daemon && !pod.leaving()) {
            self.note_pod_event(node, now);
        }
        true
    }

    fn give_back(&mut self, pod: &LivePod) {
        pod.spec.into_iter().for_each(|spec| self.base.specs.give_back(spec));
        self.base.label_sets.give_back(pod.labels);
        self.limits.give_back(pod.limits);
    }

    fn note_pod_event(&mut self, node: Symbol, at: Timestamp) {
        let name: Arc<str> = self.base.names.text(node).into();
        let last = self.pod_events.entry(name).or_insert(at);
        *last = (*last).max(at);
    }

    /// The number of what a pod asks for. One that is bound counts on its node, however strange it is.
    fn read_spec(
        &mut self,
        metadata: &ObjectMeta,
        spec: &core::PodSpec,
        workload: Option<Symbol>,
        bound: bool,
    ) -> (Option<u32>, Option<String>) {
        let names = &mut self.base.names;
        let around = Surroundings { namespaces: &self.base.namespaces, volumes: &self.base.volumes };
        let spec = if bound { as_bound(spec) } else { Cow::Borrowed(spec) };
        let mut read = read_pod(names, &around, metadata, &spec, workload);
        if bound && read.is_err() {
            let lax = Volumes::default();
            let around = Surroundings { namespaces: &self.base.namespaces, volumes: &lax };
            read = read_pod(names, &around, metadata, &spec, workload).or_else(|_| Ok(only_a_slot(workload)));
        }
        match read {
            Ok(read) => (Some(self.base.specs.take(read)), None),
            Err(reason) => (None, Some(reason)),
        }
    }

    /// Reads again what depends on volumes or namespaces, if these have changed.
    pub(super) fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        self.base.volumes = self.storage.index(&mut self.base.names);
        let again: Vec<(Uid, Box<(ObjectMeta, core::PodSpec)>)> =
            self.pods.all_aside().filter_map(|(uid, aside)| Some((uid, aside.raw.clone()?))).collect();
        for (uid, raw) in again {
            let Some(pod) = self.pods.get(uid) else { continue };
            let (before, workload, bound) = (pod.spec, pod.workload, pod.node.is_some());
            let (spec, fault) = self.read_spec(&raw.0, &raw.1, workload, bound);
            before.into_iter().for_each(|spec| self.base.specs.give_back(spec));
            if let Some(pod) = self.pods.get_mut(uid) {
                pod.spec = spec;
            }
            self.pods.set_aside(uid, Aside { raw: Some(raw), fault: fault.map(Into::into) });
        }
    }
}

/// A pod that cannot be read at all takes up a slot where it runs.
fn only_a_slot(workload: Option<Symbol>) -> PodSpec {
    let mut requests = Amounts::default();
    requests.set(PODS, 1);
    PodSpec { requests, node_terms: vec![Default::default()], workload, ..PodSpec::default() }
}

fn grace_of(pod: &core::Pod) -> u32 {
    let stated = pod.metadata.deletion_grace_period_seconds;
    let stated = stated.or(pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds));
    u32::try_from(stated.unwrap_or(30)).unwrap_or(0)
}
