//! What a load balancer controller that is gone was to take away: done in its stead, and only then is the object let go.

use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthDescription, TargetHealthStateEnum};
use serde_json::{Value, json};

use crate::aws::leftovers::Leftover;
use crate::aws::leftovers::load_balancer::LoadBalancer;
use crate::aws::{CloudError, Found, Reads, Work, call, existing};
use crate::cluster::connection::Connection;
use crate::cluster::failure::Purpose;
use crate::cluster::{objects, refusal};
use crate::plan::Tags;
use crate::spec::objects::{ObjectId, ObjectKind};

/// The tags that name what a load balancer was made for: `NAMESPACE/NAME`, or a group of Ingresses.
const STACKS: &[&str] =
    &["ingress.k8s.aws/stack", "service.k8s.aws/stack", "gateway.k8s.aws.alb/stack", "gateway.k8s.aws.nlb/stack"];
/// How the finalizer of an Ingress begins that shares its load balancer with others.
const GROUP: &str = "group.ingress.k8s.aws/";
/// How the names of the controller's webhooks end.
const WEBHOOKS: &str = ".k8s.aws";

/// Whether a pod of the AWS Load Balancer Controller is there to do its work.
///
/// # Errors
/// The request failed.
pub(super) async fn controller_runs(connection: &Connection) -> Result<bool, CloudError> {
    let selector = "app.kubernetes.io/name=aws-load-balancer-controller";
    let deployments = connection.list("list Deployments", "/apis/apps/v1/deployments", selector).await?;
    Ok(deployments.iter().any(|deployment| {
        deployment.pointer("/status/availableReplicas").and_then(Value::as_i64).unwrap_or_default() > 0
    }))
}

/// What is left in AWS behind `object`, in words, while it is taken away here; nothing once it is gone.
///
/// # Errors
/// A call failed.
pub(super) async fn what_is_left(
    object: &Value,
    finalizers: &[String],
    connection: &Connection,
    work: &Work,
) -> Result<Option<String>, CloudError> {
    match text(object, "/kind") {
        "TargetGroupBinding" => targets(object, work).await,
        "GlobalAccelerator" => Ok(Some(
            "delete its accelerator in the console of Global Accelerator, and take the finalizer off it".to_owned(),
        )),
        _ => load_balancers(object, finalizers, connection, work).await,
    }
}

async fn load_balancers(
    object: &Value,
    finalizers: &[String],
    connection: &Connection,
    work: &Work,
) -> Result<Option<String>, CloudError> {
    let own = format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    let group = finalizers.iter().find_map(|name| name.strip_prefix(GROUP));
    let reads = Reads::new(work.cloud.clone(), &work.stack);
    let found = LoadBalancer::look_for(&reads).await?;
    let behind: Vec<&Found<LoadBalancer>> =
        found.iter().filter(|balancer| is_behind(&balancer.tags, &own, group)).collect();
    if behind.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = behind.iter().map(|balancer| balancer.body.name.as_str()).collect();
    let names = names.join("`, `");
    if let Some(group) = group
        && let Some(user) = other_user_of(group, connection).await?
    {
        return Ok(Some(format!("Ingress {user} still uses the load balancer `{names}` of its group `{group}`")));
    }
    for balancer in &behind {
        if let Some(why) = LoadBalancer::held_by(balancer, work).await? {
            return Ok(Some(format!("its load balancer `{}` stays: {why}", balancer.body.name)));
        }
        LoadBalancer::take_away(balancer, work).await?;
    }
    Ok(Some(format!("its load balancer `{names}` is taken away in its stead")))
}

/// Whether a load balancer with these tags was made for the object `own`, or for the group of Ingresses that it is in.
fn is_behind(tags: &Tags, own: &str, group: Option<&str>) -> bool {
    let stack = STACKS.iter().find_map(|key| tags.get(*key)).map(String::as_str);
    stack.is_some_and(|stack| stack == own || Some(stack) == group)
}

/// An Ingress of the group that stays.
async fn other_user_of(group: &str, connection: &Connection) -> Result<Option<String>, CloudError> {
    let finalizer = json!(format!("{GROUP}{group}"));
    let ingresses = connection.list("list ingresses", "/apis/networking.k8s.io/v1/ingresses", "").await?;
    let stays = |ingress: &&Value| {
        let held = ingress.pointer("/metadata/finalizers").and_then(Value::as_array);
        ingress.pointer("/metadata/deletionTimestamp").is_none() && held.is_some_and(|held| held.contains(&finalizer))
    };
    let named =
        |ingress: &Value| format!("{}/{}", text(ingress, "/metadata/namespace"), text(ingress, "/metadata/name"));
    Ok(ingresses.iter().find(stays).map(named))
}

async fn targets(binding: &Value, work: &Work) -> Result<Option<String>, CloudError> {
    let group = text(binding, "/spec/targetGroupARN");
    let asking = work.cloud.read.elbv2.describe_target_health().target_group_arn(group);
    let answer = existing(call("elasticloadbalancing:DescribeTargetHealth", asking.send()).await)?;
    let registered: Vec<TargetDescription> =
        answer.iter().flat_map(|answer| answer.target_health_descriptions()).filter_map(still_registered).collect();
    if registered.is_empty() {
        return Ok(None);
    }
    if binding.pointer("/spec/multiClusterTargetGroup") == Some(&Value::Bool(true)) {
        return Ok(Some(format!(
            "other clusters have targets in `{group}` too: take this cluster's out with `aws elbv2 deregister-targets`"
        )));
    }
    let sending = work.cloud.write.elbv2.deregister_targets().target_group_arn(group);
    let sending = sending.set_targets(Some(registered));
    existing(call("elasticloadbalancing:DeregisterTargets", sending.send()).await)?;
    Ok(Some(format!("its targets are taken out of `{group}` in its stead")))
}

/// A target that has not been let go yet: of one that drains, nothing is left to be done.
fn still_registered(shown: &TargetHealthDescription) -> Option<TargetDescription> {
    let state = shown.target_health().and_then(|health| health.state());
    shown.target().filter(|_| state != Some(&TargetHealthStateEnum::Draining)).cloned()
}

/// Takes the controller's finalizers off the object; those to `keep` are others'. Says what was done.
///
/// # Errors
/// The API server's refusal.
pub(super) async fn let_go(id: &ObjectId, keep: &[String], connection: &Connection) -> Result<String, CloudError> {
    let Some(served) = connection.served(&id.kind).await? else { return Ok("its kind is gone".to_owned()) };
    let Err(failure) = objects::stripped(connection, &id.path(&served), keep).await else {
        return Ok("what it had in AWS is gone, and so is who was to say so: its finalizers were taken off".to_owned());
    };
    let webhook = match &failure {
        kube::Error::Api(status) => refusal::webhook(&status.message),
        _ => None,
    };
    match webhook.filter(|webhook| webhook.name.ends_with(WEBHOOKS)) {
        Some(webhook) => {
            retire(&webhook.name, connection).await?;
            Ok(format!("the webhook `{}` of a controller that is gone had to agree: it was deleted", webhook.name))
        }
        None => Err(connection.explain(&format!("take finalizers from {id}"), &failure, Purpose::Change).await),
    }
}

/// Deletes the configuration of the webhook called `name`: nobody is there any more who could answer.
async fn retire(name: &str, connection: &Connection) -> Result<(), CloudError> {
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let kind = ObjectKind::new("admissionregistration.k8s.io/v1", kind);
        let Some(served) = connection.served(&kind).await? else { continue };
        let all = connection.list(&format!("list {}", served.plural), &kind.path(&served, None), "").await?;
        for configuration in all.iter().filter(|configuration| asks(configuration, name)) {
            let own = text(configuration, "/metadata/name");
            let path = kind.path(&served, None);
            let action = format!("delete {} {own}", kind.kind);
            let uid = text(configuration, "/metadata/uid");
            objects::delete(connection, &action, &format!("{path}/{own}"), uid).await?;
        }
    }
    Ok(())
}

fn asks(configuration: &Value, name: &str) -> bool {
    let webhooks = configuration.pointer("/webhooks").and_then(Value::as_array).into_iter().flatten();
    webhooks.into_iter().any(|webhook| text(webhook, "/name") == name)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::TargetHealth;

    use super::*;

    fn tags(stack: &str) -> Tags {
        Tags::from([("ingress.k8s.aws/stack".to_owned(), stack.to_owned())])
    }

    #[test]
    fn only_the_load_balancer_of_an_object_or_of_its_group_is_behind_it() {
        assert!(is_behind(&tags("shop/web"), "shop/web", None));
        assert!(!is_behind(&tags("shop/other"), "shop/web", None));
        assert!(is_behind(&tags("public"), "shop/web", Some("public")));
        assert!(!is_behind(&tags("public"), "shop/web", None));
        assert!(!is_behind(&Tags::new(), "shop/web", None), "nobody says for whom it was made");
    }

    #[test]
    fn a_target_that_drains_is_let_go_already() {
        let shown = |state| {
            TargetHealthDescription::builder()
                .target(TargetDescription::builder().id("10.0.1.7").build())
                .target_health(TargetHealth::builder().state(state).build())
                .build()
        };
        assert!(still_registered(&shown(TargetHealthStateEnum::Unhealthy)).is_some());
        assert!(still_registered(&shown(TargetHealthStateEnum::Draining)).is_none());
    }
}
