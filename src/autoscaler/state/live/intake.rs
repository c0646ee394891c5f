//! Objects come in and go.

use super::observed::{Kind, Observed};
use super::pools::{LiveClass, LivePool};
use super::{Live, LiveDaemon, Uid, budgets, claims, nodes, replicas, storage};
use crate::api::pool_reading::read_pool;
use crate::api::{EC2NodeClass, NodeClaim, NodePool};
use crate::state::pod_reading::{Surroundings, read_daemon};
use crate::state::pod_spec::PodSpec;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `name`, or `namespace/name`.
pub(super) fn key_of(metadata: &ObjectMeta) -> String {
    let name = metadata.name.as_deref().unwrap_or_default();
    metadata.namespace.as_deref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// Whether `new` is older than what is kept: a watch lags behind the answer to a write, or the answer behind the watch.
fn is_older(new: &ObjectMeta, kept: &ObjectMeta) -> bool {
    new.uid == kept.uid && precedes(version_of(new), version_of(kept))
}

/// The version of an object; 0 when it has none that can be compared.
pub(super) fn version_of(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether one version of an object comes before another one.
pub(super) fn precedes(new: u64, kept: u64) -> bool {
    new != 0 && new < kept
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
                self.settled &= !changed;
                changed
            }
            Observed::Volume(volume) => {
                let kept = storage::bare_volume(&volume);
                let changed = keep(&mut self.storage.volumes, key_of(&volume.metadata), kept, round);
                self.settled &= !changed;
                changed
            }
            Observed::VolumeClaim(claim) => {
                let kept = storage::bare_claim(&claim);
                let changed = keep(&mut self.storage.claims, key_of(&claim.metadata), kept, round);
                self.settled &= !changed;
                changed
            }
            Observed::StorageClass(class) => {
                let kept = storage::bare_class(&class);
                let changed = keep(&mut self.storage.classes, key_of(&class.metadata), kept, round);
                self.settled &= !changed;
                changed
            }
            Observed::CsiNode(node) => {
                keep(&mut self.storage.limits, key_of(&node.metadata), storage::limits(&node), round)
            }
            Observed::Attachment(attachment) => self.storage.attach(key_of(&attachment.metadata), &attachment, round),
            Observed::Replicas(set) => self.apply_replicas(&set, round, now),
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
            Kind::Replicas => self.remove_replicas(&replicas::workload_of(key)),
        };
        known || quarantined
    }

    fn mark_stale(&mut self) -> bool {
        self.settled = false;
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
            Kind::Replicas => {
                let gone = old(&self.replicas, |set| set.round != round);
                gone.iter().map(|workload| workload.replacen("/ReplicaSet/", "/", 1)).collect()
            }
        };
        self.synced[kind as usize] = true;
        let mut changed = false;
        for key in &gone {
            changed |= self.remove(kind, key, now);
        }
        changed
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

    fn apply_node(&mut self, node: &core::Node, round: u32) -> bool {
        let key = key_of(&node.metadata);
        let read = nodes::read(&mut self.base.names, node, round);
        if let Some(kept) = self.nodes.get_mut(key.as_str())
            && kept.uid == Uid::of(&node.metadata)
            && precedes(version_of(&node.metadata), kept.version)
        {
            kept.round = round;
            return false;
        }
        let Some(read) = self.usable(Kind::Node, &key, read) else { return self.drop_node(&key) };
        let version = read.version;
        let before = self.nodes.get(&*read.name).map(|before| nodes::LiveNode { round, version, ..before.clone() });
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

/// Keeps an object; whether that changes anything.
fn keep<T: PartialEq>(map: &mut BTreeMap<String, (u32, T)>, key: String, value: T, round: u32) -> bool {
    let changed = map.get(&key).is_none_or(|(_, before)| *before != value);
    map.insert(key, (round, value));
    changed
}
