//! The Kubernetes objects of the controllers that eksup installs, from the templates in `templates/addons/`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{fill, yaml};
use crate::spec::{ContainerResources, LoadBalancerController, MetricsServer, Quantities};

/// The AWS Load Balancer Controller that this eksup was made for.
pub const LOAD_BALANCER_CONTROLLER_VERSION: &str = "v3.5.0";
const LOAD_BALANCER_CONTROLLER_IMAGE: &str = "public.ecr.aws/eks/aws-load-balancer-controller";

/// The metrics-server that this eksup was made for.
pub const METRICS_SERVER_VERSION: &str = "v0.9.0";
const METRICS_SERVER_IMAGE: &str = "registry.k8s.io/metrics-server/metrics-server";

/// The Service by which the API server reaches the controller's webhooks.
pub const WEBHOOK_SERVICE: &str = "aws-load-balancer-webhook-service";
/// The Secret with the certificate of the webhooks.
pub const WEBHOOK_SECRET: &str = "aws-load-balancer-tls";
/// The class of the Ingresses that the controller makes load balancers for.
const INGRESS_CLASS: &str = "alb";

/// What the AWS Load Balancer Controller has to know of its surroundings. Any of it can be a placeholder.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The name of its service account and of its own objects.
    pub name: &'a str,
    /// The namespace that it runs in.
    pub namespace: &'a str,
    /// The name of the cluster.
    pub cluster: &'a str,
    /// The region of the cluster.
    pub region: &'a str,
    /// The VPC of the cluster.
    pub vpc: &'a str,
    /// The role of its service account, where an annotation says it.
    pub role: Option<&'a str>,
    /// The authorities of its webhooks' certificate, in base64.
    pub authority: &'a str,
    /// The tags of everything that it makes in AWS.
    pub tags: &'a BTreeMap<String, String>,
    /// Whether it reaches services of AWS that have no endpoint in the VPC.
    pub has_way_out: bool,
}

#[derive(Serialize)]
struct ControllerValues<'a> {
    name: &'a str,
    namespace: &'a str,
    labels: BTreeMap<String, String>,
    selector: BTreeMap<&'static str, &'a str>,
    role: Option<&'a str>,
    image: String,
    arguments: Vec<String>,
    replicas: u32,
    resources: Value,
    ingress_class: &'static str,
    default_class: bool,
    webhook: Webhook<'a>,
}

#[derive(Serialize)]
struct Webhook<'a> {
    service: &'static str,
    secret: &'static str,
    authority: &'a str,
}

/// The objects of the AWS Load Balancer Controller, but for the Secret of its webhooks, in an order in which they can
/// be applied.
pub fn load_balancer_controller(wanted: &LoadBalancerController, around: &Surroundings<'_>) -> Vec<Value> {
    let version = wanted.version.as_deref().unwrap_or(LOAD_BALANCER_CONTROLLER_VERSION);
    let values = ControllerValues {
        name: around.name,
        namespace: around.namespace,
        labels: labels(around.name, version, "controller"),
        selector: selector(around.name),
        role: around.role,
        image: image(wanted.image.as_deref().unwrap_or(LOAD_BALANCER_CONTROLLER_IMAGE), version),
        arguments: arguments(wanted, around),
        replicas: wanted.replicas,
        resources: resources(wanted.resources.as_ref(), ("100m", "128Mi"), Some("512Mi")),
        ingress_class: INGRESS_CLASS,
        default_class: wanted.default_class,
        webhook: Webhook { service: WEBHOOK_SERVICE, secret: WEBHOOK_SECRET, authority: around.authority },
    };
    let mut objects = objects(include_str!("../../templates/addons/load-balancer-controller-crds.yaml"), &values);
    objects.extend(self::objects(include_str!("../../templates/addons/load-balancer-controller.yaml"), &values));
    objects
}

/// The labels of the controller's Secret, like those of its other objects.
pub fn load_balancer_controller_labels(wanted: &LoadBalancerController, name: &str) -> BTreeMap<String, String> {
    labels(name, wanted.version.as_deref().unwrap_or(LOAD_BALANCER_CONTROLLER_VERSION), "controller")
}

/// Region and VPC are given: without them the controller asks the instance metadata service, which pods cannot reach.
fn arguments(wanted: &LoadBalancerController, around: &Surroundings<'_>) -> Vec<String> {
    let shield = wanted.shield.unwrap_or(around.has_way_out);
    let waf = wanted.waf.unwrap_or(around.has_way_out);
    let mut arguments = vec![
        format!("--cluster-name={}", around.cluster),
        format!("--aws-region={}", around.region),
        format!("--aws-vpc-id={}", around.vpc),
        format!("--ingress-class={INGRESS_CLASS}"),
        format!("--default-target-type={}", wanted.default_target_type.as_str()),
        format!("--enable-shield={shield}"),
        format!("--enable-waf={waf}"),
        format!("--enable-wafv2={waf}"),
    ];
    let tags = tags(around.tags);
    if !tags.is_empty() {
        arguments.push(format!("--default-tags={tags}"));
    }
    arguments
}

/// Tags as the flag takes them: pairs with commas between them. What its own signs stand in cannot be said.
fn tags(tags: &BTreeMap<String, String>) -> String {
    let fits = |text: &str| !text.contains([',', '=', '"', '\n']);
    let pairs = tags.iter().filter(|(key, value)| fits(key) && fits(value));
    pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[derive(Serialize)]
struct MetricsValues<'a> {
    name: &'a str,
    namespace: &'a str,
    labels: BTreeMap<String, String>,
    selector: BTreeMap<&'static str, &'a str>,
    image: String,
    replicas: u32,
    resources: Value,
    resolution: u32,
}

/// The objects of metrics-server, in an order in which they can be applied.
pub fn metrics_server(wanted: &MetricsServer) -> Vec<Value> {
    let name = "metrics-server";
    let version = wanted.version.as_deref().unwrap_or(METRICS_SERVER_VERSION);
    let values = MetricsValues {
        name,
        namespace: "kube-system",
        labels: labels(name, version, "metrics"),
        selector: selector(name),
        image: image(wanted.image.as_deref().unwrap_or(METRICS_SERVER_IMAGE), version),
        replicas: wanted.replicas,
        resources: resources(wanted.resources.as_ref(), ("100m", "200Mi"), None),
        resolution: wanted.resolution,
    };
    objects(include_str!("../../templates/addons/metrics-server.yaml"), &values)
}

/// The objects of a template of ours.
pub(super) fn objects(template: &str, values: &impl Serialize) -> Vec<Value> {
    yaml::documents(&fill(template, values))
}

/// The labels of everything that belongs to an add-on.
pub(super) fn labels(name: &str, version: &str, component: &str) -> BTreeMap<String, String> {
    let labels =
        [("name", name), ("instance", name), ("version", version), ("component", component), ("managed-by", "eksup")];
    labels.map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned())).into()
}

/// The labels by which an add-on's pods are found: those that never change.
pub(super) fn selector(name: &str) -> BTreeMap<&'static str, &str> {
    BTreeMap::from([("app.kubernetes.io/name", name), ("app.kubernetes.io/instance", name)])
}

/// An image with its tag.
pub(super) fn image(name: &str, version: &str) -> String {
    format!("{name}:{version}")
}

/// What a container asks for and may use: as wanted, and where nothing is, the usual requests. Usual limits hold only
/// where the file says nothing at all: they could be less than what it requests.
pub(super) fn resources(wanted: Option<&ContainerResources>, usual: (&str, &str), usual_limit: Option<&str>) -> Value {
    let (cpu, memory) = usual;
    let requests = wanted.map(|wanted| wanted.requests.clone()).unwrap_or_default();
    let limits = match wanted {
        Some(wanted) => wanted.limits.clone(),
        None => Quantities { cpu: None, memory: usual_limit.map(str::to_owned) },
    };
    let mut resources = Map::new();
    resources.insert(
        "requests".to_owned(),
        json!({ "cpu": requests.cpu.as_deref().unwrap_or(cpu), "memory": requests.memory.as_deref().unwrap_or(memory) }),
    );
    let limits = [("cpu", limits.cpu), ("memory", limits.memory)];
    let limits: Map<String, Value> =
        limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into()))).collect();
    if !limits.is_empty() {
        resources.insert("limits".to_owned(), limits.into());
    }
    resources.into()
}

#[cfg(test)]
mod tests;
