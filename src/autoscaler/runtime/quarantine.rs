//! Says which objects are left out because they cannot be used, and why: in the log, as an event, as a count, and as
//! conditions of pools and classes.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::events::Tone;
use super::writes::{Truth, is_missing, set_condition};
use crate::autoscaler::api::{EC2NodeClass, NodeClaim, NodePool};
use crate::autoscaler::state::live::Kind;

/// Says each once, and again when the reason changes.
///
/// # Errors
/// None.
pub async fn run(context: Context, stop: CancellationToken) -> Result<()> {
    let mut changes = context.live.changes(&Kind::ALL);
    let mut said = BTreeMap::<(Kind, String), String>::new();
    loop {
        tokio::select! {
            () = changes.next() => {}
            () = stop.cancelled() => return Ok(()),
        }
        let now: BTreeMap<(Kind, String), String> = {
            let live = context.live.lock();
            live.quarantined().map(|(kind, name, why)| ((kind, name.to_owned()), why.to_owned())).collect()
        };
        for ((kind, name), why) in &now {
            if said.get(&(*kind, name.clone())) != Some(why) {
                tracing::warn!(kind = kind.name(), name, why, "an object cannot be used, and is left out");
                context.metrics.quarantined.count([kind.name()]);
                let message = format!("The autoscaler leaves this {} out: {why}", kind.name());
                context.events.publish(reference(*kind, name), Tone::Warning, "Quarantined", &message);
                if let Err(error) = put_on(&context, *kind, name, why).await
                    && !is_missing(&error)
                {
                    tracing::warn!(kind = kind.name(), name, %error, "an object cannot be told that it is left out");
                }
            }
        }
        said = now;
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Says it on the object itself, where the object has conditions. Whoever can read it again takes them back.
async fn put_on(context: &Context, kind: Kind, name: &str, why: &str) -> kube::Result<()> {
    let resource = match kind {
        Kind::Pool => ApiResource::erase::<NodePool>(&()),
        Kind::Class => ApiResource::erase::<EC2NodeClass>(&()),
        _ => return Ok(()),
    };
    let api = Api::<DynamicObject>::all_with(context.client.clone(), &resource);
    let Some(object) = api.get_opt(name).await? else { return Ok(()) };
    let conditions = object.data["status"]["conditions"].clone();
    let mut conditions = serde_json::from_value::<Vec<Condition>>(conditions).unwrap_or_default();
    let (generation, now) = (object.metadata.generation, context.now());
    for condition in ["ValidationSucceeded", "Ready"] {
        set_condition(&mut conditions, condition, Truth::False, "Unreadable", why, generation, now);
    }
    let version = object.resource_version();
    let change = json!({ "metadata": { "resourceVersion": version }, "status": { "conditions": conditions } });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&change)).await.map(drop)
}

fn reference(kind: Kind, name: &str) -> ObjectReference {
    let version = match kind {
        Kind::Claim => NodeClaim::api_version(&()),
        Kind::Pool => NodePool::api_version(&()),
        Kind::Class => EC2NodeClass::api_version(&()),
        Kind::Budget => "policy/v1".into(),
        Kind::Daemon | Kind::Replicas => "apps/v1".into(),
        _ => "v1".into(),
    };
    let (namespace, own) = name.split_once('/').map_or((None, name), |(namespace, own)| (Some(namespace), own));
    ObjectReference {
        api_version: Some(version.into_owned()),
        kind: Some(kind.name().to_owned()),
        name: Some(own.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ObjectReference::default()
    }
}
