//! From the API server into the state: one watch for each kind, for as long as the process lives.
//!
//! The first list is streamed where the API server can, and paged where it cannot. What a watch loses it lists
//! again; everything is listed again once in a while. Kinds whose definition is missing are waited for.

use super::shared::Shared;
use crate::autoscaler::api::{EC2NodeClass, NodeClaim, NodePool};
use crate::autoscaler::state::live::{Kind, Live, Observed};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass, VolumeAttachment};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A connection over which nothing has come for so long is opened anew.
const SILENCE_SECONDS: u32 = 60;
/// Everything is listed again after so long, in case something was missed.
const RESYNC: Duration = Duration::from_secs(3600);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const PAGE: u32 = 100;

/// Finished pods say nothing about nodes.
const UNFINISHED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Starts all watches; they end with `stop`.
pub fn start(client: &Client, live: &Shared<Live>, stop: &CancellationToken, tasks: &TaskTracker) {
    let start = Starter { client, live, stop, tasks };
    start.typed::<Pod>(Kind::Pod, Some(UNFINISHED), |object| Observed::Pod(Box::new(object)));
    start.typed::<Node>(Kind::Node, None, |object| Observed::Node(Box::new(object)));
    start.typed::<DaemonSet>(Kind::Daemon, None, |object| Observed::Daemon(Box::new(object)));
    start.typed::<PodDisruptionBudget>(Kind::Budget, None, |object| Observed::Budget(Box::new(object)));
    start.typed::<Namespace>(Kind::Namespace, None, |object| Observed::Namespace(Box::new(object)));
    start.typed::<PersistentVolume>(Kind::Volume, None, |object| Observed::Volume(Box::new(object)));
    start.typed::<PersistentVolumeClaim>(Kind::VolumeClaim, None, |object| Observed::VolumeClaim(Box::new(object)));
    start.typed::<StorageClass>(Kind::StorageClass, None, |object| Observed::StorageClass(Box::new(object)));
    start.typed::<CSINode>(Kind::CsiNode, None, |object| Observed::CsiNode(Box::new(object)));
    start.typed::<VolumeAttachment>(Kind::Attachment, None, |object| Observed::Attachment(Box::new(object)));
    start.typed::<ReplicaSet>(Kind::Replicas, None, |object| Observed::Replicas(Box::new(object)));
    start.lenient::<NodeClaim>(Kind::Claim, |object| Observed::Claim(Box::new(object)));
    start.lenient::<NodePool>(Kind::Pool, |object| Observed::Pool(Box::new(object)));
    start.lenient::<EC2NodeClass>(Kind::Class, |object| Observed::Class(Box::new(object)));
}

struct Starter<'a> {
    client: &'a Client,
    live: &'a Shared<Live>,
    stop: &'a CancellationToken,
    tasks: &'a TaskTracker,
}

impl Starter<'_> {
    fn typed<K>(&self, kind: Kind, fields: Option<&str>, read: fn(K) -> Observed)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let mut config = watcher::Config::default();
        if let Some(fields) = fields {
            config = config.fields(fields);
        }
        self.start(Api::<K>::all(self.client.clone()), config, kind, move |object, _| read(object));
    }

    /// Objects of custom kinds may be anything: those that are not as their kind says are named, and left out.
    fn lenient<K>(&self, kind: Kind, read: fn(K) -> Observed)
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
    {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &ApiResource::erase::<K>(&()));
        self.start(api, watcher::Config::default(), kind, move |object, name| match parse::<K>(object) {
            Ok(object) => read(object),
            Err(error) => Observed::Unreadable { kind, name, reason: format!("it is not as its kind says: {error}") },
        });
    }

    fn start<K>(
        &self,
        api: Api<K>,
        config: watcher::Config,
        kind: Kind,
        read: impl Fn(K, String) -> Observed + Send + 'static,
    ) where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let watch = Watch { kind, live: self.live.clone(), read, pause: FIRST_PAUSE, trouble: false };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = watch.run(api, config) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

fn parse<K: DeserializeOwned>(object: DynamicObject) -> Result<K, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(object)?)
}

/// One watch.
struct Watch<R> {
    kind: Kind,
    live: Shared<Live>,
    read: R,
    pause: Duration,
    trouble: bool,
}

impl<R> Watch<R> {
    async fn run<K>(mut self, api: Api<K>, config: watcher::Config)
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        R: Fn(K, String) -> Observed,
    {
        let config = config.timeout(SILENCE_SECONDS);
        let (streamed, paged) = (config.clone().streaming_lists(), config.page_size(PAGE));
        let mut streams = true;
        loop {
            let config = if streams { streamed.clone() } else { paged.clone() };
            let until = Instant::now() + RESYNC;
            let mut events = watcher(api.clone(), config).boxed();
            while let Ok(Some(event)) = tokio::time::timeout_at(until, events.next()).await {
                match event {
                    Ok(event) => self.take(event),
                    Err(error) if streams && cannot_stream(&error) => {
                        tracing::debug!(kind = self.kind.name(), "lists are read page by page");
                        streams = false;
                        break;
                    }
                    Err(error) => self.stumble(&error).await,
                }
            }
        }
    }

    fn take<K>(&mut self, event: Event<K>)
    where
        K: Resource,
        R: Fn(K, String) -> Observed,
    {
        if std::mem::take(&mut self.trouble) {
            tracing::info!(kind = self.kind.name(), "watching again");
        }
        self.pause = FIRST_PAUSE;
        let now = Timestamp::now();
        let (tell, changed) = match event {
            Event::Apply(object) => (true, self.apply(object, now)),
            Event::InitApply(object) => {
                let changed = self.apply(object, now);
                (self.live.lock().synced(self.kind), changed)
            }
            Event::Delete(object) => (true, self.live.lock().remove(self.kind, &key_of(&object), now)),
            Event::Init => {
                self.live.lock().begin(self.kind);
                (false, false)
            }
            Event::InitDone => {
                self.live.lock().finish(self.kind, now);
                (true, true)
            }
        };
        if tell && changed {
            self.live.notify(self.kind);
        }
    }

    fn apply<K>(&self, object: K, now: Timestamp) -> bool
    where
        K: Resource,
        R: Fn(K, String) -> Observed,
    {
        let name = key_of(&object);
        let observed = (self.read)(object, name);
        self.live.lock().apply(observed, now)
    }

    async fn stumble(&mut self, error: &watcher::Error) {
        let missing = matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 404);
        if !std::mem::replace(&mut self.trouble, true) {
            match missing {
                true => tracing::info!(kind = self.kind.name(), "waiting for the definition of this kind"),
                false => tracing::warn!(kind = self.kind.name(), %error, "cannot watch, and tries again"),
            }
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// `name`, or `namespace/name`.
fn key_of<K: Resource>(object: &K) -> String {
    let name = object.name_any();
    object.namespace().map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"))
}

/// Whether the API server does not stream lists.
fn cannot_stream(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 405 | 422))
}
