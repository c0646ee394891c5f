//! Takes an object away, and says what keeps it: whose finalizer is still on it, and whether whoever set it still runs.
//! A finalizer is taken off only when that one is gone and what it kept in AWS is proven to be gone too.

mod abandoned;

use serde_json::Value;

use super::object::Object;
use super::order::pod_template;
use super::way::Home;
use super::{leaving, objects};
use crate::aws::{CloudError, Found, Work};
use crate::spec::objects::ObjectId;

/// What has to stay until whatever has something of AWS behind it has gone: the controllers that take it away, the
/// nodes that these run on, and what both need to reach AWS.
const TAKERS: &[&str] = &[
    "access-entry",
    "addon",
    "autoscaled-instance",
    "autoscaled-instance-profile",
    "autoscaled-launch-template",
    "borrowed-tags",
    "cluster",
    "instance",
    "internet-gateway",
    "nat-gateway",
    "network-acl-association",
    "node-group",
    "object-set",
    "oidc-provider",
    "pod-identity-association",
    "queue",
    "role",
    "route",
    "route-table-association",
    "security-group",
    "security-group-rule",
    "subnet",
    "vpc-endpoint",
];

/// The finalizers of the AWS Load Balancer Controller.
const OF_CONTROLLER: &[&str] = &[
    "aga.k8s.aws/",
    "elbv2.k8s.aws/",
    "gateway.k8s.aws/",
    "group.ingress.k8s.aws/",
    "ingress.k8s.aws/",
    "service.k8s.aws/",
];

/// The kinds that have to stay until an object with this body has gone.
pub fn goes_before(body: &Value) -> &'static [&'static str] {
    match body.get("manifest").is_some_and(holds_aws_things) {
        true => TAKERS,
        false => &[],
    }
}

/// Whether something in AWS goes with the object.
pub fn holds_aws_things(object: &Value) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/kind") {
        "Ingress" | "TargetGroupBinding" | "Gateway" | "GlobalAccelerator" => true,
        "Service" => text("/spec/type") == "LoadBalancer",
        _ => leaving::has_nodes(object),
    }
}

/// Whether an object with the first body has to be gone before one with the second: workloads, and whatever holds a
/// load balancer, before the NodePools whose nodes would have to be drained of them.
pub fn clears(earlier: &Value, later: &Value) -> bool {
    let (Some(earlier), Some(later)) = (earlier.get("manifest"), later.get("manifest")) else { return false };
    leaving::has_nodes(later)
        && !leaving::has_nodes(earlier)
        && (holds_aws_things(earlier) || (pod_template(earlier).is_some() && !is_a_controller(earlier)))
}

/// Whether pods of this object are to work to the end: controllers of eksup's, and what runs on every node.
fn is_a_controller(object: &Value) -> bool {
    let label = object.pointer("/metadata/labels").and_then(|labels| labels.get("app.kubernetes.io/managed-by"));
    label.and_then(Value::as_str) == Some("eksup") || object.get("kind").and_then(Value::as_str) == Some("DaemonSet")
}

/// The object that goes.
pub struct Target {
    /// Which one.
    pub id: ObjectId,
    /// Tells it from another one of its name.
    pub uid: String,
    /// The cluster that it is in.
    pub home: Home,
}

impl Target {
    /// The object that was found.
    ///
    /// # Errors
    /// It has no kind or no name.
    pub fn of(found: &Found<Object>) -> Result<Self, CloudError> {
        Ok(Self { id: found.body.id()?, uid: found.outputs.uid.clone(), home: found.body.cluster.clone() })
    }

    fn has_nodes(&self) -> bool {
        leaving::has_nodes(&serde_json::json!({ "kind": self.id.kind.kind }))
    }
}

/// Deletes it.
///
/// # Errors
/// The API server's refusal.
pub async fn begin(target: &Target, work: &Work) -> Result<(), CloudError> {
    let connection = target.home.connection(work).await?;
    let Some(served) = connection.served(&target.id.kind).await? else { return Ok(()) };
    let action = format!("delete {}", target.id);
    objects::delete(&connection, &action, &target.id.path(&served), &target.uid).await
}

/// What is still there of it.
///
/// # Errors
/// The request failed.
pub async fn remains(target: &Target, work: &Work) -> Result<Option<String>, CloudError> {
    let connection = target.home.connection(work).await?;
    let object = objects::look(&connection, &target.id).await?;
    let object = object.filter(|object| object.pointer("/metadata/uid").and_then(Value::as_str) == Some(&target.uid));
    if target.has_nodes() {
        return leaving::remains(target, object.as_ref(), &connection, work).await;
    }
    let Some(object) = object else { return Ok(None) };
    let (of_controller, others): (Vec<String>, Vec<String>) =
        finalizers_of(&object).into_iter().partition(|name| OF_CONTROLLER.iter().any(|known| name.starts_with(known)));
    if of_controller.is_empty() {
        return Ok(Some(still_there(&target.id, &object, &others)));
    }
    if abandoned::controller_runs(&connection).await? {
        let what = behind(&target.id.kind.kind);
        let doing = format!("the AWS Load Balancer Controller is taking {what} away");
        let why = objects::signs(&connection, &object).await?.reason();
        return Ok(Some(why.map_or_else(|| doing.clone(), |why| format!("{doing}: {why}"))));
    }
    if let Some(left) = abandoned::what_is_left(&object, &of_controller, &connection, work).await? {
        return Ok(Some(format!("no AWS Load Balancer Controller runs any more: {left}")));
    }
    abandoned::let_go(&target.id, &others, &connection).await.map(Some)
}

/// What of AWS an object of this kind has behind it, in words.
fn behind(kind: &str) -> &'static str {
    match kind {
        "TargetGroupBinding" => "its targets",
        "GlobalAccelerator" => "its accelerator",
        _ => "its load balancer",
    }
}

fn finalizers_of(object: &Value) -> Vec<String> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The conditions of a namespace that say why it stays.
const TELLING: &[&str] =
    &["NamespaceDeletionDiscoveryFailure", "NamespaceContentRemaining", "NamespaceFinalizersRemaining"];

fn still_there(id: &ObjectId, object: &Value, finalizers: &[String]) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let is = |condition: &Value, key: &str, text: &str| condition.get(key).and_then(Value::as_str) == Some(text);
    let holding: Vec<&Value> = conditions.filter(|condition| is(condition, "status", "True")).collect();
    let telling = TELLING.iter().find_map(|name| holding.iter().find(|condition| is(condition, "type", name)));
    let words = telling.and_then(|condition| condition.get("message")?.as_str());
    match (words, finalizers) {
        (Some(what), _) if telling.is_some_and(|condition| is(condition, "type", TELLING[0])) => {
            format!("an API of the cluster does not answer, so nobody knows what is in it: {what}")
        }
        (Some(what), _) => format!("still in it: {what}"),
        (None, []) => "Kubernetes is taking it down".to_owned(),
        (None, names) if names.iter().any(|name| name == "kubernetes.io/pvc-protection") => {
            format!("a pod still uses {id}")
        }
        (None, names) => format!("whoever set the finalizer `{}` has not taken it off yet", names.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_holds_something_of_aws_goes_before_who_takes_it_away() {
        let body = |manifest: Value| json!({ "manifest": manifest });
        assert!(goes_before(&body(json!({ "kind": "Ingress" }))).contains(&"node-group"));
        assert!(
            goes_before(&body(json!({ "kind": "Service", "spec": { "type": "LoadBalancer" } })))
                .contains(&"nat-gateway")
        );
        assert!(goes_before(&body(json!({ "kind": "Service" }))).is_empty());
        assert!(goes_before(&body(json!({ "kind": "Deployment" }))).is_empty());
    }

    #[test]
    fn workloads_go_before_node_pools_and_controllers_stay() {
        let body = |kind: &str, manager: &str| {
            json!({ "manifest": { "kind": kind, "metadata": { "labels": { "app.kubernetes.io/managed-by": manager } },
                                  "spec": { "template": {} } } })
        };
        let pool = body("NodePool", "eksup");
        for earlier in [body("Deployment", "me"), body("StatefulSet", "me"), body("Ingress", "eksup")] {
            assert!(clears(&earlier, &pool), "{earlier}");
        }
        for other in [body("Deployment", "eksup"), body("DaemonSet", "me"), body("ConfigMap", "me"), pool.clone()] {
            assert!(!clears(&other, &pool), "{other}");
        }
        assert!(!clears(&body("Deployment", "me"), &body("Ingress", "me")));
        assert!(goes_before(&pool).contains(&"autoscaled-instance"));
    }

    #[test]
    fn a_namespace_that_does_not_go_says_what_is_in_it() {
        let id = ObjectId::of(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }))
            .expect("an id");
        let namespace = json!({ "status": { "conditions": [
            { "type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: ingresses" } ] } });
        assert_eq!(still_there(&id, &namespace, &[]), "still in it: Some resources are remaining: ingresses");
        let unknown = json!({ "status": { "conditions": [
            { "type": "NamespaceDeletionDiscoveryFailure", "status": "True", "message": "v1.weather.example.org: down" } ] } });
        assert_eq!(
            still_there(&id, &unknown, &[]),
            "an API of the cluster does not answer, so nobody knows what is in it: v1.weather.example.org: down"
        );
    }

    #[test]
    fn a_claim_in_use_says_so() {
        let id = ObjectId::of(&json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "namespace": "shop", "name": "data" } }))
        .expect("an id");
        let words = still_there(&id, &json!({}), &["kubernetes.io/pvc-protection".to_owned()]);
        assert_eq!(words, "a pod still uses PersistentVolumeClaim shop/data");
    }
}
