//! Objects come in and go.

use super::observed::{Kind, Observed};
use super::pods::{Aside, LivePod, Uid, raw_of, standing};
use super::pools::{LiveClass, LivePool};
use super::{Live, LiveDaemon, budgets, claims, nodes, storage};
use crate::autoscaler::api::pool_reading::read_pool;
use crate::autoscaler::api::{EC2NodeClass, NodeClaim, NodePool};
use crate::autoscaler::state::pod_reading::{Surroundings, read_daemon, read_labels, read_pod};
use crate::autoscaler::state::pod_spec::PodSpec;
use crate::autoscaler::state::resources::{Amounts, PODS};
use crate::autoscaler::state::volumes::Volumes;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `name`, or `namespace/name`.
fn key_of(metadata: &ObjectMeta) -> String {
    let name = metadata.name.as_deref().unwrap_or_default();
    metadata.namespace.as_deref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// Whether `new` is older than what is kept: a watch lags behind the answer to a write.
fn is_older(new: &ObjectMeta, kept: &ObjectMeta) -> bool {
    let version = |metadata: &ObjectMeta| metadata.resource_version.as_ref().and_then(|text| text.parse::<u64>().ok());
    new.uid == kept.uid && matches!((version(new), version(kept)), (Some(new), Some(kept)) if new < kept)
}

impl Live {
    /// Takes in an object as it is now; whether that changed anything. One that cannot be used is quarantined.
    pub fn apply(&mut self, object: Observed, now: Timestamp) -> bool {
        let (round, quarantines) = (self.rounds[object.kind() as usize], self.quarantines);
        let changed = self.take_in(object, round, now);
        changed || self.quarantines != quarantines
    }

    fn take_in(&mut self, object: Observed, round: u32, now: Timestamp) -> bool {
        match object {
            Observed::Pod(pod) => self.apply_pod(&pod, round, now),
            Observed::Node(node) => self.apply_node(&node, round),
            Observed::Claim(claim) => self.apply_claim(*claim, round),
            Observed::Pool(pool) => self.apply_pool(*pool, round),
            Observed::Class(class) => self.apply_class(*class, round),
            Observed::Daemon(daemon) => {
                let around = Surroundings { namespaces: &self.base.namespaces, volumes: &self.base.volumes };
                let read = read_daemon(&mut self.base.names, &around, &daemon);
                self.keep_daemon(
                    &key_of(&daemon.metadata),
                    read.unwrap_or_else(|| Err("it has no template".to_owned())),
                    round,
                )
            }
            Observed::Budget(budget) => {
                let key = key_of(&budget.metadata);
                let read = budgets::read(&mut self.base.names, key.as_str().into(), &budget, round);
                let Some(read) = self.usable(Kind::Budget, &key, read) else {
                    return self.remove(Kind::Budget, &key, now);
                };
                let before = self.budgets.insert(Arc::clone(&read.name), read.clone());
                before.is_none_or(|before| budgets::LiveBudget { round, ..before } != read)
            }
            Observed::Namespace(namespace) => {
                let name = key_of(&namespace.metadata);
                self.namespace_rounds.insert(name.clone(), round);
                let labels = namespace.metadata.labels.clone().unwrap_or_default();
                let changed = self.base.namespaces.get(&name) != Some(&labels);
                self.base.namespaces.insert(name, labels);
                self.stale |= changed;
                changed
            }
            Observed::Volume(volume) => {
                let kept = storage::bare_volume(&volume);
                let changed = keep(&mut self.storage.volumes, key_of(&volume.metadata), kept, round);
                self.stale |= changed;
                changed
            }
            Observed::VolumeClaim(claim) => {
                let kept = storage::bare_claim(&claim);
                let changed = keep(&mut self.storage.claims, key_of(&claim.metadata), kept, round);
                self.stale |= changed;
                changed
            }
            Observed::StorageClass(class) => {
                let kept = storage::bare_class(&class);
                let changed = keep(&mut self.storage.classes, key_of(&class.metadata), kept, round);
                self.stale |= changed;
                changed
            }
            Observed::CsiNode(node) => {
                keep(&mut self.storage.limits, key_of(&node.metadata), storage::limits(&node), round)
            }
            Observed::Attachment(attachment) => self.storage.attach(key_of(&attachment.metadata), &attachment, round),
            Observed::Unreadable { kind, name, reason } => {
                // What is known of it from better days stays: it is still there.
                self.see(kind, &name, round);
                self.put_aside(kind, name, reason)
            }
        }
    }

    /// Forgets an object, by `name` or `namespace/name`; whether it was known.
    pub fn remove(&mut self, kind: Kind, key: &str, now: Timestamp) -> bool {
        let quarantined = self.quarantine.remove(&(kind, key.to_owned())).is_some();
        let known = match kind {
            Kind::Pod => self.pods.named(key).map(|pod| pod.uid).is_some_and(|uid| self.remove_pod(uid, now)),
            Kind::Node => self.remove_node(key),
            Kind::Claim => match self.claims.remove(key) {
                Some(claim) => {
                    if let Some(id) = claim.provider_id()
                        && self.claims_by_provider.get(id).is_some_and(|name| **name == *key)
                    {
                        self.claims_by_provider.remove(id);
                    }
                    true
                }
                None => false,
            },
            Kind::Pool => self.pools.remove(key).is_some(),
            Kind::Class => self.classes.remove(key).is_some(),
            Kind::Daemon => match self.daemons.remove(key) {
                Some(daemon) => {
                    daemon.spec.into_iter().for_each(|spec| self.base.specs.give_back(spec));
                    true
                }
                None => false,
            },
            Kind::Budget => self.budgets.remove(key).is_some(),
            Kind::Namespace => {
                self.namespace_rounds.remove(key);
                self.base.namespaces.remove(key).is_some() && self.mark_stale()
            }
            Kind::Volume => self.storage.volumes.remove(key).is_some() && self.mark_stale(),
            Kind::VolumeClaim => self.storage.claims.remove(key).is_some() && self.mark_stale(),
            Kind::StorageClass => self.storage.classes.remove(key).is_some() && self.mark_stale(),
            Kind::CsiNode => self.storage.limits.remove(key).is_some(),
            Kind::Attachment => self.storage.detach(key),
        };
        known || quarantined
    }

    fn mark_stale(&mut self) -> bool {
        self.stale = true;
        true
    }

    /// Everything of a kind will be told again: what is not told until [`Live::finish`] is gone.
    pub fn begin(&mut self, kind: Kind) {
        self.rounds[kind as usize] = self.rounds[kind as usize].wrapping_add(1);
    }

    /// Everything of a kind has been told; whether anything went.
    pub fn finish(&mut self, kind: Kind, now: Timestamp) -> bool {
        fn old<V>(map: &BTreeMap<impl AsRef<str>, V>, is_old: impl Fn(&V) -> bool) -> Vec<String> {
            map.iter().filter(|(_, value)| is_old(value)).map(|(key, _)| key.as_ref().to_owned()).collect()
        }
        let round = self.rounds[kind as usize];
        let gone = match kind {
            Kind::Pod => self.pods.iter().filter(|pod| pod.round != round).map(|pod| pod.name.to_string()).collect(),
            Kind::Node => old(&self.nodes, |node| node.round != round),
            Kind::Claim => old(&self.claims, |claim| claim.round != round),
            Kind::Pool => old(&self.pools, |pool| pool.round != round),
            Kind::Class => old(&self.classes, |class| class.round != round),
            Kind::Daemon => old(&self.daemons, |daemon| daemon.round != round),
            Kind::Budget => old(&self.budgets, |budget| budget.round != round),
            Kind::Namespace => old(&self.namespace_rounds, |seen| *seen != round),
            Kind::Volume => old(&self.storage.volumes, |(seen, _)| *seen != round),
            Kind::VolumeClaim => old(&self.storage.claims, |(seen, _)| *seen != round),
            Kind::StorageClass => old(&self.storage.classes, |(seen, _)| *seen != round),
            Kind::CsiNode => old(&self.storage.limits, |(seen, _)| *seen != round),
            Kind::Attachment => old(&self.storage.attachments, |(seen, _)| *seen != round),
        };
        self.synced[kind as usize] = true;
        gone.iter().fold(false, |changed, key| self.remove(kind, key, now) || changed)
    }

    /// What was read, or nothing and a note in the quarantine.
    fn usable<T>(&mut self, kind: Kind, key: &str, read: Result<T, String>) -> Option<T> {
        match read {
            Ok(read) => {
                self.quarantine.remove(&(kind, key.to_owned()));
                Some(read)
            }
            Err(reason) => {
                self.put_aside(kind, key.to_owned(), reason);
                None
            }
        }
    }

    fn put_aside(&mut self, kind: Kind, key: String, reason: String) -> bool {
        let new = self.quarantine.get(&(kind, key.clone())) != Some(&reason);
        if new {
            self.quarantines += 1;
            self.quarantine.insert((kind, key), reason);
        }
        new
    }

    /// Notes that an object that cannot be read is still there.
    fn see(&mut self, kind: Kind, key: &str, round: u32) {
        match kind {
            Kind::Claim => self.claims.get_mut(key).into_iter().for_each(|claim| claim.round = round),
            Kind::Pool => self.pools.get_mut(key).into_iter().for_each(|pool| pool.round = round),
            Kind::Class => self.classes.get_mut(key).into_iter().for_each(|class| class.round = round),
            _ => {}
        }
    }

    // ---- pods -----------------------------------------------------------------------------------

    fn apply_pod(&mut self, pod: &core::Pod, round: u32, now: Timestamp) -> bool {
        let uid = Uid::of(&pod.metadata);
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
        let standing = standing(pod);
        let time = |time: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.map(|time| time.0);
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
            workload,
            created: time(pod.metadata.creation_timestamp.as_ref()).unwrap_or_default(),
            bound: standing.bound,
            started: time(pod.status.as_ref().and_then(|status| status.start_time.as_ref())),
            deletion: time(pod.metadata.deletion_timestamp.as_ref()),
            grace_seconds: grace_of(pod),
            owner: standing.owner,
            phase: standing.phase,
            unschedulable: standing.unschedulable,
            ready: standing.ready,
            do_not_disrupt: standing.do_not_disrupt,
            deletion_cost: standing.deletion_cost,
            priority: spec.priority.unwrap_or(0),
            critical: standing.critical,
            round,
        };
        self.put_pod(read, Aside { raw, fault: fault.map(Into::into) }, now)
    }

    fn put_pod(&mut self, pod: LivePod, aside: Aside, now: Timestamp) -> bool {
        let before = self.pods.get(pod.uid).cloned();
        let (uid, owner) = (pod.uid, pod.owner);
        let changed = before.as_ref().is_none_or(|before| LivePod { round: pod.round, ..before.clone() } != pod);
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
        if let Some((node, at)) = event.filter(|_| owner != super::Owner::Daemon) {
            self.note_pod_event(node, at);
        }
        self.sweep_if_due();
        changed
    }

    fn remove_pod(&mut self, uid: Uid, now: Timestamp) -> bool {
        let Some(pod) = self.pods.remove(uid) else { return false };
        self.give_back(&pod);
        if let Some(node) = pod.node.filter(|_| pod.owner != super::Owner::Daemon) {
            self.note_pod_event(node, now);
        }
        true
    }

    fn give_back(&mut self, pod: &LivePod) {
        pod.spec.into_iter().for_each(|spec| self.base.specs.give_back(spec));
        self.base.label_sets.give_back(pod.labels);
    }

    fn note_pod_event(&mut self, node: crate::autoscaler::state::intern::Symbol, at: Timestamp) {
        let name: Arc<str> = self.base.names.text(node).into();
        let last = self.pod_events.entry(name).or_insert(at);
        *last = (*last).max(at);
    }

    /// The number of what a pod asks for. One that is bound counts on its node, however strange it is.
    fn read_spec(
        &mut self,
        metadata: &ObjectMeta,
        spec: &core::PodSpec,
        workload: Option<crate::autoscaler::state::intern::Symbol>,
        bound: bool,
    ) -> (Option<u32>, Option<String>) {
        let names = &mut self.base.names;
        let around = Surroundings { namespaces: &self.base.namespaces, volumes: &self.base.volumes };
        let mut read = read_pod(names, &around, metadata, spec, workload);
        if bound && read.is_err() {
            let lax = Volumes::default();
            let around = Surroundings { namespaces: &self.base.namespaces, volumes: &lax };
            read = read_pod(names, &around, metadata, spec, workload).or_else(|_| Ok(only_a_slot(workload)));
        }
        match read {
            Ok(read) => (Some(self.base.specs.take(read)), None),
            Err(reason) => (None, Some(reason)),
        }
    }

    /// Reads again what depends on volumes or namespaces, if these have changed.
    pub(super) fn settle(&mut self) {
        if !std::mem::take(&mut self.stale) {
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

    // ---- nodes, claims, pools, classes, daemons -------------------------------------------------

    fn apply_node(&mut self, node: &core::Node, round: u32) -> bool {
        let key = key_of(&node.metadata);
        let read = nodes::read(&mut self.base.names, node, round);
        let Some(read) = self.usable(Kind::Node, &key, read) else { return self.drop_node(&key) };
        let before = self.nodes.get(&*read.name).map(|before| nodes::LiveNode { round, ..before.clone() });
        let changed = before.as_ref() != Some(&read);
        if let Some(id) = before.and_then(|before| before.provider_id) {
            self.nodes_by_provider.remove(&id);
        }
        if let Some(id) = &read.provider_id {
            self.nodes_by_provider.insert(Arc::clone(id), Arc::clone(&read.name));
        }
        self.nodes.insert(Arc::clone(&read.name), read);
        changed
    }

    fn drop_node(&mut self, key: &str) -> bool {
        let Some(node) = self.nodes.remove(key) else { return false };
        if let Some(id) = node.provider_id
            && self.nodes_by_provider.get(&id).is_some_and(|name| **name == *key)
        {
            self.nodes_by_provider.remove(&id);
        }
        true
    }

    fn remove_node(&mut self, key: &str) -> bool {
        self.pod_events.remove(key);
        self.drop_node(key)
    }

    fn apply_claim(&mut self, claim: NodeClaim, round: u32) -> bool {
        let key = key_of(&claim.metadata);
        if let Some(kept) = self.claims.get_mut(key.as_str())
            && is_older(&claim.metadata, &kept.object.metadata)
        {
            kept.round = round;
            return false;
        }
        let read = claims::read(&mut self.base.names, claim, round);
        let Some(read) = self.usable(Kind::Claim, &key, read) else {
            self.see(Kind::Claim, &key, round);
            return false;
        };
        let before = self.claims.get(&*read.name).map(|before| Arc::clone(&before.object));
        let changed = before
            .as_ref()
            .is_none_or(|before| before.metadata != read.object.metadata || before.status != read.object.status);
        if let Some(id) = before.as_ref().and_then(|before| before.status.as_ref()?.provider_id.as_deref()) {
            self.claims_by_provider.remove(id);
        }
        if let Some(id) = read.provider_id() {
            self.claims_by_provider.insert(id.into(), Arc::clone(&read.name));
        }
        self.claims.insert(Arc::clone(&read.name), read);
        changed
    }

    fn apply_pool(&mut self, mut pool: NodePool, round: u32) -> bool {
        pool.metadata.managed_fields = None;
        let key = key_of(&pool.metadata);
        if let Some(kept) = self.pools.get_mut(key.as_str())
            && is_older(&pool.metadata, &kept.object.metadata)
        {
            kept.round = round;
            return false;
        }
        self.quarantine.remove(&(Kind::Pool, key.clone()));
        let read = self.with_names(|names| read_pool(names, &key, &pool.spec));
        let before = self.pools.get(key.as_str()).map(|before| Arc::clone(&before.object));
        let changed = before.is_none_or(|before| *before != pool);
        let name: Arc<str> = key.into();
        self.pools.insert(Arc::clone(&name), LivePool { name, object: Arc::new(pool), read, round });
        changed
    }

    fn apply_class(&mut self, mut class: EC2NodeClass, round: u32) -> bool {
        class.metadata.managed_fields = None;
        let key = key_of(&class.metadata);
        if let Some(kept) = self.classes.get_mut(key.as_str())
            && is_older(&class.metadata, &kept.object.metadata)
        {
            kept.round = round;
            return false;
        }
        self.quarantine.remove(&(Kind::Class, key.clone()));
        let before = self.classes.get(key.as_str()).map(|before| Arc::clone(&before.object));
        let changed = before.is_none_or(|before| *before != class);
        let name: Arc<str> = key.into();
        self.classes.insert(Arc::clone(&name), LiveClass { name, object: Arc::new(class), round });
        changed
    }

    fn keep_daemon(&mut self, key: &str, read: Result<PodSpec, String>, round: u32) -> bool {
        let (spec, fault) = match read {
            Ok(spec) => (Some(self.base.specs.take(spec)), None),
            Err(reason) => (None, Some(reason.into())),
        };
        let kept = LiveDaemon { spec, fault, round };
        let before = self.daemons.insert(key.into(), kept.clone());
        let changed = before.as_ref().is_none_or(|before| LiveDaemon { round, ..before.clone() } != kept);
        before.and_then(|before| before.spec).into_iter().for_each(|spec| self.base.specs.give_back(spec));
        changed
    }
}

/// A pod that cannot be read at all takes up a slot where it runs.
fn only_a_slot(workload: Option<crate::autoscaler::state::intern::Symbol>) -> PodSpec {
    let mut requests = Amounts::default();
    requests.set(PODS, 1);
    PodSpec { requests, node_terms: vec![Default::default()], workload, ..PodSpec::default() }
}

fn grace_of(pod: &core::Pod) -> u32 {
    let stated = pod.metadata.deletion_grace_period_seconds;
    let stated = stated.or(pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds));
    u32::try_from(stated.unwrap_or(30)).unwrap_or(0)
}

/// Keeps an object; whether that changes anything.
fn keep<T: PartialEq>(map: &mut BTreeMap<String, (u32, T)>, key: String, value: T, round: u32) -> bool {
    let changed = map.get(&key).is_none_or(|(_, before)| *before != value);
    map.insert(key, (round, value));
    changed
}
