//! What others put into the cluster and that has something of AWS behind it: Ingresses, Services and Gateways with a
//! load balancer, targets in target groups of others, accelerators, NodePools with their nodes. It goes while its
//! controllers run, so that they take the AWS side away.

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::removal::{self, Target, holds_aws_things};
use super::set;
use super::way::{self, Home, Way};
use crate::aws::leftovers::{Identity, Leftover};
use crate::aws::{CloudError, Found, Reads, Work};
use crate::plan::{Address, Describe, Effect, Facts, Loss, State, Tags};
use crate::spec::objects::{ObjectId, ObjectKind};

/// The kinds that are looked through: the last ones only where the cluster knows them.
const KINDS: &[(&str, &str)] = &[
    ("networking.k8s.io/v1", "Ingress"),
    ("v1", "Service"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("elbv2.k8s.aws/v1beta1", "TargetGroupBinding"),
    ("aga.k8s.aws/v1beta1", "GlobalAccelerator"),
    ("karpenter.sh/v1", "NodePool"),
    ("karpenter.sh/v1", "NodeClaim"),
    ("karpenter.k8s.aws/v1", "EC2NodeClass"),
];
/// How labels begin that say for which Ingress, Service or Gateway a controller has made an object: it goes with that.
const MADE_FOR: &[&str] = &["ingress.k8s.aws/", "service.k8s.aws/", "gateway.k8s.aws"];

/// An object that holds something of AWS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldObject {
    /// The cluster that it is in.
    pub cluster: Home,
    /// Which object it is.
    pub object: ObjectId,
    /// Tells it from another one of its name.
    pub uid: String,
    /// As much of it as says what it holds.
    pub manifest: Value,
}

impl Describe for HeldObject {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("object", Effect::Replace),
            ("uid", Effect::Replace),
            ("manifest", Effect::Replace),
        ],
        outputs: &["id"],
        taggable: false,
        loss: Loss::Outage("what it leads to cannot be reached any more, or its nodes go with the pods on them"),
        references: &[("cluster", &["cluster"])],
        goes_before: removal::goes_before,
        clears: removal::clears,
        ..Facts::new("held-object")
    };
}

impl HeldObject {
    fn target(&self) -> Target {
        Target { id: self.object.clone(), uid: self.uid.clone(), home: self.cluster.clone() }
    }
}

impl Leftover for HeldObject {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        way::forgiven(reads, look(reads).await)
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        removal::begin(&found.body.target(), work).await
    }

    async fn still_there(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        removal::remains(&found.body.target(), work).await
    }
}

async fn look(reads: &Reads) -> Result<Vec<Found<HeldObject>>, CloudError> {
    let Some(way) = way::into_stack(reads).await? else { return Ok(Vec::new()) };
    let lists = try_join_all(KINDS.iter().map(|(version, kind)| every(&way, ObjectKind::new(version, kind)))).await?;
    let strangers = lists.iter().flatten().filter(|object| set::address_of(object, &reads.stack).is_none());
    let holding = strangers.filter(|object| holds_aws_things(object) && !goes_with_another(object));
    Ok(holding.filter_map(|object| found(object, &way)).collect())
}

/// Whether an object goes with another one: a NodeClaim with the NodePool that owns it, others with what a controller has
/// made them for.
fn goes_with_another(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let has_a_pool = object["kind"] == "NodeClaim" && owners.into_iter().any(|owner| owner["kind"] == "NodePool");
    has_a_pool || is_made_for_another(object)
}

fn is_made_for_another(object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let mut keys = labels.into_iter().flatten().map(|(key, _)| key);
    keys.any(|key| MADE_FOR.iter().any(|start| key.starts_with(start)))
}

/// Every object of a kind in the cluster.
///
/// # Errors
/// The request failed.
pub async fn every(way: &Way, kind: ObjectKind) -> Result<Vec<Value>, CloudError> {
    let Some(served) = way.connection.served(&kind).await? else { return Ok(Vec::new()) };
    let mut list = way.connection.list(&format!("list {}", served.plural), &kind.path(&served, None), "").await?;
    for object in list.iter_mut().filter_map(Value::as_object_mut) {
        object.insert("apiVersion".to_owned(), kind.api_version().into());
        object.insert("kind".to_owned(), kind.kind.clone().into());
    }
    Ok(list)
}

fn found(object: &Value, way: &Way) -> Option<Found<HeldObject>> {
    let id = ObjectId::of(object)?;
    let deleting = object.pointer("/metadata/deletionTimestamp").is_some();
    let manifest = serde_json::json!({
        "kind": id.kind.kind,
        "spec": { "type": object.pointer("/spec/type").cloned().unwrap_or_default() },
    });
    Some(Found {
        address: Address::new(format!("leftovers/held-object/{}", id.key())),
        outputs: Identity { id: id.key() },
        body: HeldObject {
            cluster: way.home.clone(),
            uid: object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            object: id,
            manifest,
        },
        tags: Tags::new(),
        state: if deleting { State::Deleting } else { State::Ready },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_binding_that_the_controller_made_goes_with_what_it_was_made_for() {
        let binding = |labels: Value| json!({ "kind": "TargetGroupBinding", "metadata": { "labels": labels } });
        assert!(is_made_for_another(&binding(json!({ "ingress.k8s.aws/stack-name": "web" }))));
        assert!(is_made_for_another(&binding(json!({ "gateway.k8s.aws.alb/stack": "web" }))));
        assert!(!is_made_for_another(&binding(json!({ "app": "web" }))));
        assert!(!is_made_for_another(&json!({ "metadata": {} })));
    }
}
