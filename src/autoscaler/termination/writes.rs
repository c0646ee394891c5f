//! What a termination writes to Kubernetes: marks, deletions, evictions, and letting go.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::drain::{DrainPod, short};
use super::view::{DISRUPTED, END, EXCLUDED, FINALIZER};
use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::runtime::Context;
use crate::autoscaler::runtime::writes::{self, is_missing};
use crate::autoscaler::state::live::Observed;

/// How asking a pod to go ended.
#[derive(Debug)]
pub enum Asked {
    /// It goes.
    Going,
    /// It is not there any more, or another one has its name.
    Absent,
    /// It does not go now; the API server's words.
    Refused(String),
}

impl Asked {
    /// The code of the API server's answer, as the metrics count it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Going => "200",
            Self::Absent => "404",
            Self::Refused(_) => "429",
        }
    }
}

/// Deletes a claim, unless another one has its name.
///
/// # Errors
/// The call's.
pub async fn delete_claim(client: &Client, claim: &NodeClaim) -> kube::Result<()> {
    writes::delete::<NodeClaim>(client, &claim.name_any(), claim.uid()).await
}

/// Deletes a node, unless another one has its name.
///
/// # Errors
/// The call's.
pub async fn delete_node(client: &Client, name: &str, uid: Option<&str>) -> kube::Result<()> {
    writes::delete::<Node>(client, name, uid.map(str::to_owned)).await
}

/// Writes on a claim when it has to be gone.
///
/// # Errors
/// The call's; a claim that is gone is none.
pub async fn set_end(context: &Context, claim: &NodeClaim, end: Timestamp) -> kube::Result<()> {
    let change = json!({ "metadata": { "uid": claim.uid(), "annotations": { END: short(end) } } });
    match writes::patch::<NodeClaim>(&context.client, &claim.name_any(), &change).await {
        Ok(claim) => context.live.apply(Observed::Claim(Box::new(claim))),
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Puts taint, label and finalizer on a node, where they are missing. Taints and finalizers are lists, so the node is
/// read first and written only if nobody has changed it since.
///
/// # Errors
/// The call's; a node that is gone is none.
pub async fn mark(context: &Context, name: &str) -> kube::Result<()> {
    let Some(node) = Api::<Node>::all(context.client.clone()).get_opt(name).await? else { return Ok(()) };
    let Some(change) = marks(&node) else { return Ok(()) };
    match writes::patch::<Node>(&context.client, name, &change).await {
        Ok(node) => context.live.apply(Observed::Node(Box::new(node))),
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What has to be changed on a node, if anything.
fn marks(node: &Node) -> Option<Value> {
    let mut taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let tainted = taints.iter().any(|taint| taint.key == DISRUPTED && taint.effect == "NoSchedule");
    let excluded = node.labels().get(EXCLUDED.0).is_some_and(|value| value == EXCLUDED.1);
    // Nothing can be added once it is being deleted.
    let held = node.finalizers().iter().any(|own| own == FINALIZER) || node.metadata.deletion_timestamp.is_some();
    if tainted && excluded && held {
        return None;
    }
    let mut metadata = json!({ "resourceVersion": node.resource_version(), "labels": { EXCLUDED.0: EXCLUDED.1 } });
    if !held {
        let finalizers: Vec<&str> = node.finalizers().iter().map(String::as_str).chain([FINALIZER]).collect();
        metadata["finalizers"] = json!(finalizers);
    }
    let mut change = json!({ "metadata": metadata });
    if !tainted {
        taints.push(Taint { key: DISRUPTED.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() });
        change["spec"] = json!({ "taints": taints });
    }
    Some(change)
}

/// Takes our finalizer from a node.
///
/// # Errors
/// The call's; a node that is gone is none.
pub async fn release_node(client: &Client, name: &str, uid: Option<&str>) -> kube::Result<()> {
    let node = Api::<Node>::all(client.clone()).get_opt(name).await?;
    match node.filter(|node| uid.is_none_or(|uid| node.uid().as_deref() == Some(uid))) {
        Some(node) => writes::remove_finalizer(client, &node, FINALIZER).await,
        None => Ok(()),
    }
}

/// Takes our finalizer from a claim.
///
/// # Errors
/// The call's; a claim that is gone is none.
pub async fn release_claim(client: &Client, claim: &NodeClaim) -> kube::Result<()> {
    let now = Api::<NodeClaim>::all(client.clone()).get_opt(&claim.name_any()).await?;
    match now.filter(|now| now.uid() == claim.uid()) {
        Some(now) => writes::remove_finalizer(client, &now, FINALIZER).await,
        None => Ok(()),
    }
}

/// Asks a pod to go by the eviction API.
///
/// # Errors
/// The call's, but for what [`Asked`] says.
pub async fn evict(client: &Client, namespace: &str, name: &str, uid: &str) -> kube::Result<Asked> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // kube's own eviction leaves the precondition out of what the API server reads.
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": name, "namespace": namespace },
        "deleteOptions": { "preconditions": { "uid": uid } },
    });
    let sent: kube::Result<Value> = api.create_subresource("eviction", name, &PostParams::default(), &eviction).await;
    match sent {
        Ok(_) => Ok(Asked::Going),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Asked::Absent),
        // 429 is the answer of a budget, 500 that for a pod that several budgets select.
        Err(kube::Error::Api(status)) if matches!(status.code, 429 | 500) => Ok(Asked::Refused(status.message.clone())),
        Err(error) => Err(error),
    }
}

/// Deletes a pod outright, with so many seconds of grace.
///
/// # Errors
/// The call's; a pod that is gone is none.
pub async fn delete_pod(client: &Client, pod: &DrainPod, grace: i64) -> kube::Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let preconditions = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
    let parameters = DeleteParams {
        grace_period_seconds: Some(u32::try_from(grace.max(1)).unwrap_or(u32::MAX)),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    match api.delete(&pod.name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        serde_json::from_value(value).expect("a node")
    }

    #[test]
    fn marks_are_added_to_what_is_there_and_only_where_they_are_missing() {
        let plain = node(json!({
            "metadata": { "name": "n", "resourceVersion": "7", "finalizers": ["theirs"] },
            "spec": { "taints": [{ "key": "own", "effect": "NoExecute" }] },
        }));
        let change = marks(&plain).expect("a change");
        assert_eq!(change["metadata"]["finalizers"], json!(["theirs", FINALIZER]));
        assert_eq!(change["metadata"]["resourceVersion"], "7");
        assert_eq!(change["spec"]["taints"][1]["key"], DISRUPTED);
        let marked = node(json!({
            "metadata": { "name": "n", "finalizers": [FINALIZER], "labels": { EXCLUDED.0: EXCLUDED.1 } },
            "spec": { "taints": [{ "key": DISRUPTED, "effect": "NoSchedule" }] },
        }));
        assert_eq!(marks(&marked), None);
        let going = node(json!({ "metadata": { "name": "n", "deletionTimestamp": "2026-03-01T10:00:00Z" } }));
        let change = marks(&going).expect("a change");
        assert!(change["metadata"].get("finalizers").is_none(), "nothing can be added to what is being deleted");
    }
}
