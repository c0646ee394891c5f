//! Writes the names of node and claim on instances whose node has registered. Nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::conditions::REGISTERED;
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::cloud::instance_id;
use crate::autoscaler::runtime::{Context, writes};
use crate::autoscaler::state::live::{Kind, Observed};

/// Says on a claim that its instance has its tags.
const TAGGED: &str = "karpenter.k8s.aws/tagged";
/// After so long what failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Tags instances, one after the other.
pub async fn run(context: Context, stop: CancellationToken) -> anyhow::Result<()> {
    let mut changes = context.live.changes(&[Kind::Claim]);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = changes.next() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
        for (claim, id, node) in untagged(&context) {
            if stop.is_cancelled() {
                return Ok(());
            }
            tag(&context, &claim, &id, &node).await;
        }
    }
}

/// Claims that are registered and whose instance has no tags of its own: with its id, and the node's name.
fn untagged(context: &Context) -> Vec<(Arc<NodeClaim>, String, String)> {
    let live = context.live.lock();
    let open = live
        .claims()
        .filter(|claim| claim.is(REGISTERED) && claim.deletion().is_none() && claim.annotation(TAGGED) != Some("true"));
    open.filter_map(|claim| {
        let id = instance_id(claim.provider_id()?)?.to_owned();
        let node = claim.object.status.as_ref()?.node_name.clone()?;
        Some((Arc::clone(&claim.object), id, node))
    })
    .collect()
}

async fn tag(context: &Context, claim: &NodeClaim, id: &str, node: &str) {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    if let Err(error) = context.cloud.tag_registered(id, node, name).await {
        tracing::warn!(claim = name, instance = id, %error, "an instance could not be tagged yet");
        return;
    }
    let change = json!({ "metadata": { "uid": claim.metadata.uid, "annotations": { TAGGED: "true" } } });
    match writes::patch::<NodeClaim>(&context.client, name, &change).await {
        Ok(written) => context.live.apply(Observed::Claim(Box::new(written))),
        Err(error) => tracing::debug!(claim = name, %error, "a claim could not be told that its instance is tagged"),
    }
}
