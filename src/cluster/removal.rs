//! Takes an object away, and says what keeps it: whose finalizer is still on it, and whether whoever set it still runs.
//! A finalizer is taken off only when that one is gone and what it kept in AWS is proven to be gone too.

use std::sync::Arc;

use serde_json::Value;

use super::connection::Connection;
use super::object::Object;
use super::order::pod_template;
use super::way::Home;
use super::{leaving, objects};
use crate::aws::leftovers::load_balancer::LoadBalancer;
use crate::aws::{CloudError, Found, Kind, Reads, Work};
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
const OF_LOAD_BALANCERS: &[&str] =
    &["ingress.k8s.aws/", "group.ingress.k8s.aws/", "service.k8s.aws/", "elbv2.k8s.aws/", "gateway.k8s.aws/"];

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
        "Ingress" | "TargetGroupBinding" | "Gateway" => true,
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
    let finalizers = finalizers_of(&object);
    let (aws, others): (Vec<String>, Vec<String>) =
        finalizers.into_iter().partition(|name| OF_LOAD_BALANCERS.iter().any(|known| name.starts_with(known)));
    if aws.is_empty() {
        return Ok(Some(still_there(&target.id, &object, &others)));
    }
    if controller_runs(&connection).await? {
        return Ok(Some("the AWS Load Balancer Controller is taking its load balancer away".to_owned()));
    }
    let behind = load_balancers_behind(&target.id, work).await?;
    if !behind.is_empty() {
        return Ok(Some(format!(
            "no AWS Load Balancer Controller runs that could take its load balancer away; it goes once `{}` is gone",
            behind.join("`, `")
        )));
    }
    let Some(served) = connection.served(&target.id.kind).await? else { return Ok(None) };
    let action = format!("take finalizers from {}", target.id);
    objects::strip(&connection, &action, &target.id.path(&served), &others).await?;
    Ok(Some("its load balancer is gone, and so is who was to say so: its finalizers were taken off".to_owned()))
}

fn finalizers_of(object: &Value) -> Vec<String> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn still_there(id: &ObjectId, object: &Value, finalizers: &[String]) -> String {
    let contents = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let remaining = contents
        .filter(|condition| condition.get("status").and_then(Value::as_str) == Some("True"))
        .filter(|condition| {
            let name = condition.get("type").and_then(Value::as_str).unwrap_or_default();
            name.starts_with("NamespaceContentRemaining") || name.starts_with("NamespaceFinalizersRemaining")
        })
        .find_map(|condition| condition.get("message")?.as_str());
    match (remaining, finalizers) {
        (Some(what), _) => format!("still in it: {what}"),
        (None, []) => "Kubernetes is taking it down".to_owned(),
        (None, names) if names.iter().any(|name| name == "kubernetes.io/pvc-protection") => {
            format!("a pod still uses {id}")
        }
        (None, names) => format!("whoever set the finalizer `{}` has not taken it off yet", names.join("`, `")),
    }
}

/// Whether a pod of the AWS Load Balancer Controller is there to do its work.
async fn controller_runs(connection: &Arc<Connection>) -> Result<bool, CloudError> {
    let selector = "app.kubernetes.io/name=aws-load-balancer-controller";
    let deployments = connection.list("list Deployments", "/apis/apps/v1/deployments", selector).await?;
    Ok(deployments.iter().any(|deployment| {
        deployment.pointer("/status/availableReplicas").and_then(Value::as_i64).unwrap_or_default() > 0
    }))
}

/// The load balancers that the controller made for the object, by name.
async fn load_balancers_behind(id: &ObjectId, work: &Work) -> Result<Vec<String>, CloudError> {
    const STACKS: &[&str] =
        &["ingress.k8s.aws/stack", "service.k8s.aws/stack", "gateway.k8s.aws.alb/stack", "gateway.k8s.aws.nlb/stack"];
    let reads = Reads::new(work.cloud.clone(), &work.stack);
    let own = format!("{}/{}", id.namespace.as_deref().unwrap_or_default(), id.name);
    let found = LoadBalancer::find(&reads).await?;
    let behind = found.into_iter().filter(|balancer| {
        let stack = STACKS.iter().find_map(|key| balancer.tags.get(*key));
        // One with another name may be that of a group, which several share.
        stack.is_none_or(|stack| *stack == own || !stack.contains('/'))
    });
    Ok(behind.map(|balancer| balancer.body.name).collect())
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
