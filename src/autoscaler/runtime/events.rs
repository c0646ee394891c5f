//! What is said about objects: Kubernetes events, each said once in a while, never waited for.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::metrics::Metrics;

/// The same is not said again within this time.
const QUIET: Duration = Duration::from_secs(120);
/// No more than so many of one tone are waiting to be said.
const MOST_WAITING: usize = 512;
/// Between two events that nobody waits for, so many times as long passes as the API server took for the last one: the
/// busier it is, the more of its time goes to others.
const PAUSE: u32 = 3;
/// What is remembered is cleaned up beyond this number.
const MANY: usize = 4096;
const COMPONENT: &str = "karpenter";

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are Kubernetes' own")]
pub enum Tone {
    Normal,
    Warning,
}

/// Says events. Cloning it is cheap.
#[derive(Clone)]
pub struct Events {
    warnings: mpsc::Sender<Event>,
    others: mpsc::Sender<Event>,
    said: Arc<Mutex<HashMap<Said, Timestamp>>>,
    metrics: Arc<Metrics>,
}

/// What was said: the object, the reason, and a digest of the message.
type Said = (String, &'static str, u64);

impl Events {
    /// Says events through `client` for as long as one of its clones lives.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        let (warnings, urgent) = mpsc::channel(MOST_WAITING);
        let (others, rest) = mpsc::channel(MOST_WAITING);
        tokio::spawn(say_all(client, urgent, rest));
        Self { warnings, others, said: Arc::default(), metrics }
    }

    /// Says something about an object; not if the same was said in the last two minutes.
    pub fn publish(&self, about: ObjectReference, tone: Tone, reason: &'static str, message: &str) {
        self.publish_within(about, tone, reason, message, QUIET);
    }

    /// Says something about an object; not if the same was said within `quiet`.
    pub fn publish_within(
        &self,
        about: ObjectReference,
        tone: Tone,
        reason: &'static str,
        message: &str,
        quiet: Duration,
    ) {
        let now = Timestamp::now();
        let object = about.uid.clone().unwrap_or_else(|| {
            format!(
                "{}/{}/{}",
                about.kind.as_deref().unwrap_or_default(),
                about.namespace.as_deref().unwrap_or_default(),
                about.name.as_deref().unwrap_or_default()
            )
        });
        if !self.is_news((object, reason, digest(message)), now, quiet) {
            return;
        }
        let sender = if tone == Tone::Warning { &self.warnings } else { &self.others };
        if sender.try_send(event(about, tone, reason, message, now)).is_err() {
            self.metrics.events_dropped.count([]);
        }
    }

    fn is_news(&self, said: Said, now: Timestamp, quiet: Duration) -> bool {
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() > MANY {
            all.retain(|_, at| now.duration_since(*at).unsigned_abs() < QUIET.max(quiet));
        }
        match all.get(&said) {
            Some(at) if now.duration_since(*at).unsigned_abs() < quiet => false,
            _ => {
                all.insert(said, now);
                true
            }
        }
    }
}

fn digest(text: &str) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A reference to an object.
pub fn about<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}

/// A reference to a pod, from what is kept of it.
pub fn about_pod(pod: &crate::autoscaler::state::live::LivePod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace().to_owned()),
        name: Some(pod.own_name().to_owned()),
        uid: Some(pod.uid.to_string()),
        ..ObjectReference::default()
    }
}

/// A reference to a node, from what is kept of it. Its events are found by its name, as the kubelet's are.
pub fn about_node(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

fn event(about: ObjectReference, tone: Tone, reason: &str, message: &str, now: Timestamp) -> Event {
    // Events about what has no namespace stand in the default one.
    let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = about.name.as_deref().unwrap_or_default();
    let message: String = message.chars().take(1024).collect();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        involved_object: about,
        type_: Some(if tone == Tone::Normal { "Normal" } else { "Warning" }.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        event_time: Some(MicroTime(now)),
        action: Some(reason.to_owned()),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(COMPONENT.to_owned()),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: None }),
        ..Event::default()
    }
}

/// Says events one after another, warnings first.
async fn say_all(client: Client, mut warnings: mpsc::Receiver<Event>, mut others: mpsc::Receiver<Event>) {
    let mut rested = Instant::now();
    loop {
        let rest = tokio::time::sleep_until(rested);
        tokio::select! {
            biased;
            Some(event) = warnings.recv() => say(&client, event).await,
            Some(event) = async { rest.await; others.recv().await } => {
                let began = Instant::now();
                say(&client, event).await;
                rested = Instant::now() + began.elapsed() * PAUSE;
            }
            else => return,
        }
    }
}

async fn say(client: &Client, event: Event) {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let said = Api::<Event>::namespaced(client.clone(), &namespace).create(&PostParams::default(), &event).await;
    if let Err(error) = said {
        let reason = event.reason.as_deref().unwrap_or_default();
        tracing::debug!(reason, error = %error, "an event could not be said");
    }
}
