//! Says which objects are left out because they cannot be used, and why: in the log, as an event, as a count.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::events::Tone;
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
            }
        }
        said = now;
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
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
