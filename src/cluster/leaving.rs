//! NodePools, NodeClaims and EC2NodeClasses on their way out: an object has gone when the nodes behind it have. While an
//! autoscaler runs, it drains and ends them; where none does, the instances are ended here, and finalizers are taken off
//! once nothing of AWS is left behind them.

use serde_json::Value;

use super::connection::Connection;
use super::objects;
use super::removal::Target;
use crate::aws::leftovers::Leftover;
use crate::aws::leftovers::autoscaled_instance::AutoscaledInstance;
use crate::aws::leftovers::autoscaled_instance_profile::AutoscaledInstanceProfile;
use crate::aws::leftovers::autoscaled_launch_template::AutoscaledLaunchTemplate;
use crate::aws::{CloudError, Found, Reads, Work};
use crate::plan::State;
use crate::spec::objects::{ObjectId, ObjectKind};

/// The kinds behind which there are nodes.
const KINDS: &[&str] = &["EC2NodeClass", "NodeClaim", "NodePool"];
/// The label with the name of the pool.
const POOL: &str = "karpenter.sh/nodepool";
/// The tag with the name of the class.
const CLASS: &str = "karpenter.k8s.aws/ec2nodeclass";
/// The finalizers of an autoscaler: on claims and nodes, and on classes.
const FINALIZERS: &[&str] = &["karpenter.sh/termination", "karpenter.k8s.aws/termination"];
/// Autoscalers, by the label that says what their pods are.
const AUTOSCALERS: &str = "app.kubernetes.io/name in (eksup-autoscaler,karpenter)";

/// Whether nodes stand behind an object of this kind.
pub fn has_nodes(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str).is_some_and(|kind| KINDS.contains(&kind))
}

/// What is still there of `target`, or of the nodes behind it. `object` is the target as it stands.
///
/// # Errors
/// A request or a call failed.
pub async fn remains(
    target: &Target,
    object: Option<&Value>,
    connection: &Connection,
    work: &Work,
) -> Result<Option<String>, CloudError> {
    let claims = claims_of(&target.id, object, connection).await?;
    if object.is_none() && claims.is_empty() {
        return Ok(None);
    }
    if autoscaler_runs(connection).await? {
        return Ok(Some(match claims.as_slice() {
            [] => format!("the autoscaler is taking down what it made for {}", target.id),
            claims => leaving(claims, connection).await?,
        }));
    }
    match claims.as_slice() {
        [] => end_object(target, object, connection, work).await.map(Some),
        claims => end_nodes(claims, connection, work).await.map(Some),
    }
}

/// The NodeClaims behind an object.
async fn claims_of(id: &ObjectId, object: Option<&Value>, connection: &Connection) -> Result<Vec<Value>, CloudError> {
    if id.kind.kind == "NodeClaim" {
        return Ok(object.cloned().into_iter().collect());
    }
    let kind = ObjectKind::new("karpenter.sh/v1", "NodeClaim");
    let Some(served) = connection.served(&kind).await? else { return Ok(Vec::new()) };
    let selector = if id.kind.kind == "NodePool" { format!("{POOL}={}", id.name) } else { String::new() };
    let mut claims = connection.list("list nodeclaims", &kind.path(&served, None), &selector).await?;
    if id.kind.kind == "EC2NodeClass" {
        claims.retain(|claim| text(claim, "/spec/nodeClassRef/name") == id.name);
    }
    Ok(claims)
}

/// Whether a pod of an autoscaler is there to do its work.
async fn autoscaler_runs(connection: &Connection) -> Result<bool, CloudError> {
    let deployments = connection.list("list Deployments", "/apis/apps/v1/deployments", AUTOSCALERS).await?;
    Ok(deployments.iter().any(|deployment| {
        deployment.pointer("/status/availableReplicas").and_then(Value::as_i64).unwrap_or_default() > 0
    }))
}

/// How many nodes are leaving, and what the first of them waits for.
async fn leaving(claims: &[Value], connection: &Connection) -> Result<String, CloudError> {
    let count = match claims.len() {
        1 => "1 node is leaving".to_owned(),
        more => format!("{more} nodes are leaving"),
    };
    let Some(first) = claims.iter().min_by_key(|claim| text(claim, "/metadata/creationTimestamp")) else {
        return Ok(count);
    };
    let name = text(first, "/metadata/name");
    Ok(match waits_for(first, connection).await? {
        Some(why) => format!("{count}; `{name}`: {why}"),
        None => format!("{count}; the oldest is `{name}`"),
    })
}

/// What a claim that is leaving waits for: the last warning about it or its node, or the step that it has come to.
async fn waits_for(claim: &Value, connection: &Connection) -> Result<Option<String>, CloudError> {
    let mut warnings = Vec::new();
    for name in [text(claim, "/metadata/name"), text(claim, "/status/nodeName")].iter().filter(|name| !name.is_empty())
    {
        let path = format!("/api/v1/events?fieldSelector=type%3DWarning%2CinvolvedObject.name%3D{name}");
        warnings.extend(connection.list("list Events", &path, "").await?);
    }
    let last = warnings.iter().max_by_key(|event| {
        [text(event, "/lastTimestamp"), text(event, "/eventTime")].into_iter().max().unwrap_or_default().to_owned()
    });
    let warning = last.map(|event| said(text(event, "/message"), text(event, "/reason")));
    Ok(warning.or_else(|| step_of(claim)))
}

/// The first step out that a claim has not done.
fn step_of(claim: &Value) -> Option<String> {
    let conditions = || claim.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let steps = ["Drained", "VolumesDetached", "InstanceTerminating"];
    let open = steps.iter().find_map(|step| {
        conditions().find(|condition| text(condition, "/type") == *step && text(condition, "/status") != "True")
    })?;
    Some(said(text(open, "/message"), text(open, "/type")))
}

fn said(message: &str, reason: &str) -> String {
    let message = message.trim_end_matches('.');
    if message.is_empty() { reason.to_owned() } else { format!("{message} ({reason})") }
}

/// Ends the instances of `claims`, and takes finalizers from those that have none any more.
async fn end_nodes(claims: &[Value], connection: &Connection, work: &Work) -> Result<String, CloudError> {
    let reads = Reads::new(work.cloud.clone(), &work.stack);
    let instances = AutoscaledInstance::look_for(&reads).await?;
    let mut waiting = Vec::new();
    for claim in claims {
        match instances.iter().find(|instance| is_of(instance, claim)) {
            Some(instance) => {
                if instance.state != State::Deleting {
                    AutoscaledInstance::take_away(instance, work).await?;
                }
                waiting.push(instance.outputs.id.clone());
            }
            None => release(claim, connection).await?,
        }
    }
    Ok(match waiting.as_slice() {
        [] => "no autoscaler runs, and the instances are gone: finalizers were taken off".to_owned(),
        ids => format!("no autoscaler runs that could end its instances, so that is done here: `{}`", ids.join("`, `")),
    })
}

fn is_of(instance: &Found<AutoscaledInstance>, claim: &Value) -> bool {
    let by_id = text(claim, "/status/providerID").rsplit('/').next() == Some(instance.outputs.id.as_str());
    let by_tag = instance.tags.get("karpenter.sh/nodeclaim").is_some_and(|name| name == text(claim, "/metadata/name"));
    by_id || by_tag
}

/// Takes an autoscaler's finalizers from a claim without an instance, and from its node.
async fn release(claim: &Value, connection: &Connection) -> Result<(), CloudError> {
    let node = text(claim, "/status/nodeName");
    if !node.is_empty() {
        let path = format!("/api/v1/nodes/{node}");
        if let Some(node) = connection.look("get the node", &path).await? {
            strip(&node, &path, connection).await?;
        }
    }
    let path = format!("/apis/karpenter.sh/v1/nodeclaims/{}", text(claim, "/metadata/name"));
    strip(claim, &path, connection).await
}

/// Takes an autoscaler's finalizers from `object`, if it has any.
async fn strip(object: &Value, path: &str, connection: &Connection) -> Result<(), CloudError> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    let all: Vec<String> = list.filter_map(Value::as_str).map(str::to_owned).collect();
    let keep: Vec<String> = all.iter().filter(|name| !FINALIZERS.contains(&name.as_str())).cloned().collect();
    if keep.len() == all.len() {
        return Ok(());
    }
    let action = format!("take finalizers from {}", text(object, "/metadata/name"));
    objects::strip(connection, &action, path, &keep).await
}

/// Takes away what an autoscaler left for an object without nodes, then its finalizers.
async fn end_object(
    target: &Target,
    object: Option<&Value>,
    connection: &Connection,
    work: &Work,
) -> Result<String, CloudError> {
    if target.id.kind.kind == "EC2NodeClass" {
        let reads = Reads::new(work.cloud.clone(), &work.stack);
        let of_class = |tags: &crate::plan::Tags| tags.get(CLASS).is_some_and(|name| *name == target.id.name);
        for template in AutoscaledLaunchTemplate::look_for(&reads).await?.iter().filter(|one| of_class(&one.tags)) {
            AutoscaledLaunchTemplate::take_away(template, work).await?;
        }
        for profile in AutoscaledInstanceProfile::look_for(&reads).await?.iter().filter(|one| of_class(&one.tags)) {
            AutoscaledInstanceProfile::take_away(profile, work).await?;
        }
    }
    if let (Some(object), Some(served)) = (object, connection.served(&target.id.kind).await?) {
        strip(object, &target.id.path(&served), connection).await?;
    }
    Ok("no autoscaler runs, and nothing is left behind it: Kubernetes is taking it down".to_owned())
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_that_leaves_says_which_step_it_waits_for() {
        let condition =
            |name: &str, status: &str, message: &str| json!({ "type": name, "status": status, "message": message });
        let claim = json!({ "status": { "conditions": [
            condition("Ready", "False", "ready"),
            condition("Drained", "True", ""),
            condition("VolumesDetached", "False", "vol-1 is attached."),
        ] } });
        assert_eq!(step_of(&claim).as_deref(), Some("vol-1 is attached (VolumesDetached)"));
        assert_eq!(step_of(&json!({})), None);
    }

    #[test]
    fn only_kinds_of_an_autoscaler_have_nodes_behind_them() {
        assert!(has_nodes(&json!({ "kind": "NodePool" })) && has_nodes(&json!({ "kind": "EC2NodeClass" })));
        assert!(!has_nodes(&json!({ "kind": "Node" })) && !has_nodes(&json!({ "kind": "Deployment" })));
    }
}
