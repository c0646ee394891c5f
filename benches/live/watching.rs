//! What happens in the cluster, as the API server tells it: pods made and run, claims made and gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};
use tokio::task::JoinHandle;

use super::field::Field;

/// A pod or a claim, from when it was first seen.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its name.
    pub name: String,
    /// When it was first seen, in seconds since 1970.
    pub made: f64,
    /// When it was first seen ready.
    pub ready: Option<f64>,
    /// When somebody asked for its end.
    pub leaving: Option<f64>,
    /// When it was gone.
    pub gone: Option<f64>,
    /// The node that a pod is bound to.
    pub node: Option<String>,
}

/// Everything that was seen so far, by UID.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Pods.
    pub pods: BTreeMap<String, Life>,
    /// Claims.
    pub claims: BTreeMap<String, Life>,
    /// When anything of this changed last.
    pub changed: f64,
}

impl Seen {
    /// Pods that are neither leaving nor gone.
    pub fn standing(&self) -> usize {
        self.pods.values().filter(|pod| pod.leaving.is_none() && pod.gone.is_none()).count()
    }

    /// Those of them that are ready.
    pub fn running(&self) -> usize {
        let stands = |pod: &&Life| pod.leaving.is_none() && pod.gone.is_none();
        self.pods.values().filter(stands).filter(|pod| pod.ready.is_some()).count()
    }

    /// Pods that were made after `moment`: each stands for one that had to leave its node.
    pub fn made_after(&self, moment: f64) -> usize {
        self.pods.values().filter(|pod| pod.made > moment).count()
    }

    /// Claims made, and claims asked to go, after `moment`.
    pub fn claims_changed_after(&self, moment: f64) -> (usize, usize) {
        let made = self.claims.values().filter(|claim| claim.made > moment).count();
        let left = self.claims.values().filter(|claim| claim.leaving.or(claim.gone).is_some_and(|at| at > moment));
        (made, left.count())
    }

    /// When the first claim was made after `moment`.
    pub fn first_claim_after(&self, moment: f64) -> Option<f64> {
        self.claims.values().map(|claim| claim.made).filter(|made| *made > moment).min_by(f64::total_cmp)
    }
}

/// Watches in the background until it is dropped.
pub struct Watching {
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watching {
    /// Begins to watch the pods of the default namespace, and claims.
    pub fn begin(field: &Field) -> Self {
        let seen = Arc::new(Mutex::new(Seen { changed: now(), ..Seen::default() }));
        let pods: Api<Pod> = Api::default_namespaced(field.client.clone());
        let claims = field.api("karpenter.sh/v1", "NodeClaim");
        let tasks = vec![
            tokio::spawn(follow_pods(pods, Arc::clone(&seen))),
            tokio::spawn(follow_claims(claims, Arc::clone(&seen))),
        ];
        Self { seen, tasks }
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.look(Seen::clone)
    }

    /// Something about what was seen so far.
    pub fn look<T>(&self, question: impl FnOnce(&Seen) -> T) -> T {
        question(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn follow_pods(api: Api<Pod>, seen: Arc<Mutex<Seen>>) {
    let is_ready = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True")
    };
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        take(&seen, |seen| &mut seen.pods, event, is_ready, node);
    }
}

async fn follow_claims(api: Api<DynamicObject>, seen: Arc<Mutex<Seen>>) {
    let is_ready = |claim: &DynamicObject| {
        let conditions = claim.data["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|one| one["type"] == "Initialized" && one["status"] == "True")
    };
    let node = |claim: &DynamicObject| claim.data["status"]["nodeName"].as_str().map(str::to_owned);
    let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        take(&seen, |seen| &mut seen.claims, event, is_ready, node);
    }
}

/// Takes an event over. A watch that breaks is taken up again by itself.
fn take<K: Resource>(
    seen: &Mutex<Seen>,
    lives: impl Fn(&mut Seen) -> &mut BTreeMap<String, Life>,
    event: watcher::Result<Event<K>>,
    is_ready: impl Fn(&K) -> bool,
    node: impl Fn(&K) -> Option<String>,
) {
    let (object, gone) = match event {
        Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
        Ok(Event::Delete(object)) => (object, true),
        Ok(Event::Init | Event::InitDone) | Err(_) => return,
    };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, Some(id)) = (now(), object.uid()) else { return };
    let life = lives(&mut seen).entry(id);
    let fresh = || Life { name: object.name_any(), made: now, ready: None, leaving: None, gone: None, node: None };
    let mut life = life.or_insert_with(fresh).clone();
    let before = (life.made, life.ready, life.leaving, life.gone);
    if is_ready(&object) {
        life.ready.get_or_insert(now);
    }
    if object.meta().deletion_timestamp.is_some() {
        life.leaving.get_or_insert(now);
    }
    if gone {
        life.gone.get_or_insert(now);
    }
    life.node = node(&object).or(life.node);
    let changed = life.made == now || before != (life.made, life.ready, life.leaving, life.gone);
    if let Some(id) = object.uid() {
        lives(&mut seen).insert(id, life);
    }
    if changed {
        seen.changed = now;
    }
}

/// Seconds since 1970, as the cloud's log of calls counts.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Waits until `question` has an answer about what was seen; `None` when it does not within `patience` seconds.
///
/// # Errors
/// Those of looking.
pub async fn wait<T>(
    watching: &Watching,
    patience: f64,
    mut question: impl FnMut(&Seen) -> Option<T>,
) -> Result<Option<T>> {
    let until = now() + patience;
    loop {
        if let Some(answer) = watching.look(&mut question) {
            return Ok(Some(answer));
        }
        if now() > until {
            return Ok(None);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
