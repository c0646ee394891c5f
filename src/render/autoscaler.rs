//! The Kubernetes objects of eksup's node autoscaler: the definitions of its kinds, from its own types, the rest from a
//! template, and the NodePools and EC2NodeClasses of a stack.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::addons::{image, labels, objects, resources, selector};
use crate::autoscaler::api::definitions::definitions;
use crate::spec::{Autoscaler, NodeClass, NodePool};

/// The image that releases of eksup are published as.
pub const IMAGE: &str = "ghcr.io/eksup-dev/eksup";
/// The release that this is.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The Lease that says which replica acts, unless a setting names another.
pub const LEASE: &str = "karpenter-leader-election";

const METRICS_PORT: &str = "8080";
const PROBE_PORT: &str = "8081";

/// What the autoscaler has to know of its surroundings. Any of it can be a placeholder.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The name of its service account and of its own objects.
    pub name: &'a str,
    /// The namespace that it runs in.
    pub namespace: &'a str,
    /// The name of the cluster.
    pub cluster: &'a str,
    /// Where the cluster's API answers.
    pub endpoint: &'a str,
    /// The region of the cluster.
    pub region: &'a str,
    /// The queue that tells of interruptions.
    pub queue: Option<&'a str>,
    /// The role of its service account, where an annotation says it.
    pub role: Option<&'a str>,
    /// Whether the cluster knows ServiceMonitors.
    pub monitored: bool,
}

#[derive(Serialize)]
struct Values<'a> {
    name: &'a str,
    namespace: &'a str,
    labels: BTreeMap<String, String>,
    selector: BTreeMap<&'static str, &'a str>,
    role: Option<&'a str>,
    image: String,
    replicas: u32,
    resources: Value,
    limits_memory: bool,
    environment: BTreeMap<&'a str, &'a str>,
    metrics_port: &'a str,
    probe_port: &'a str,
    lease: &'a str,
    monitored: bool,
}

/// The definitions of NodePool, NodeClaim and EC2NodeClass.
pub fn kinds(wanted: &Autoscaler, name: &str) -> Vec<Value> {
    let labels = labels(name, version(wanted), "node-autoscaler");
    let definitions = definitions().into_iter().map(|definition| {
        let mut definition = serde_json::to_value(definition).unwrap_or_default();
        definition["metadata"]["labels"] = json!(labels);
        definition
    });
    definitions.collect()
}

/// The autoscaler itself, in an order in which its objects can be applied.
pub fn controller(wanted: &Autoscaler, around: &Surroundings<'_>) -> Vec<Value> {
    let setting = |key: &str, usual: &'static str| wanted.settings.get(key).map_or(usual, String::as_str);
    let resources = resources(wanted.resources.as_ref(), ("200m", "128Mi"), Some("512Mi"));
    let values = Values {
        name: around.name,
        namespace: around.namespace,
        labels: labels(around.name, version(wanted), "node-autoscaler"),
        selector: selector(around.name),
        role: around.role,
        image: image(wanted.image.as_deref().unwrap_or(IMAGE), version(wanted)),
        replicas: wanted.replicas.unwrap_or(2),
        limits_memory: resources.pointer("/limits/memory").is_some(),
        resources,
        environment: environment(wanted, around),
        metrics_port: setting("METRICS_PORT", METRICS_PORT),
        probe_port: setting("HEALTH_PROBE_PORT", PROBE_PORT),
        lease: setting("LEADER_ELECTION_NAME", LEASE),
        monitored: around.monitored,
    };
    objects(include_str!("../../templates/addons/autoscaler.yaml"), &values)
}

fn version(wanted: &Autoscaler) -> &str {
    wanted.version.as_deref().unwrap_or(VERSION)
}

/// What the stack says, and what follows from the rest of it. The region is given: pods cannot ask the metadata service.
fn environment<'a>(wanted: &'a Autoscaler, around: &Surroundings<'a>) -> BTreeMap<&'a str, &'a str> {
    let given = wanted.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let own = [("AWS_REGION", around.region), ("CLUSTER_NAME", around.cluster), ("CLUSTER_ENDPOINT", around.endpoint)];
    given.chain(own).chain(around.queue.map(|queue| ("INTERRUPTION_QUEUE", queue))).collect()
}

/// A NodePool of a stack as an object.
pub fn node_pool(pool: &NodePool) -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": { "name": pool.name, "labels": { "app.kubernetes.io/managed-by": "eksup" } },
        "spec": pool.spec,
    })
}

/// An EC2NodeClass of a stack as an object. `role` is that of nodes whose class names none, and `tags` are those of
/// everything in the stack.
pub fn node_class(class: &NodeClass, role: &str, tags: &BTreeMap<String, String>) -> Value {
    let mut spec = class.spec.clone();
    if !spec.contains_key("role") && !spec.contains_key("instanceProfile") {
        spec.insert("role".to_owned(), role.into());
    }
    let own = spec.get("tags").and_then(Value::as_object).cloned().unwrap_or_default();
    let tags: serde_json::Map<String, Value> =
        tags.iter().map(|(key, value)| (key.clone(), value.as_str().into())).chain(own).collect();
    if !tags.is_empty() {
        spec.insert("tags".to_owned(), tags.into());
    }
    json!({
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": { "name": class.name, "labels": { "app.kubernetes.io/managed-by": "eksup" } },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::assert_known;
    use crate::render::yaml;

    fn wanted(fields: Value) -> Autoscaler {
        let mut all = json!({ "engine": "eksup" });
        for (key, value) in fields.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).expect("an autoscaler")
    }

    fn around() -> Surroundings<'static> {
        Surroundings {
            name: "eksup-autoscaler",
            namespace: "kube-system",
            cluster: "shop",
            endpoint: "${output:cluster/cluster#endpoint}",
            region: "eu-central-1",
            queue: Some("${output:interruption/queue#name}"),
            role: Some("${output:autoscaler/role/autoscaler#arn}"),
            monitored: false,
        }
    }

    fn find<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
        objects.iter().find(|object| object["kind"] == kind).expect("an object of the kind")
    }

    fn variables(objects: &[Value]) -> BTreeMap<String, Value> {
        let list = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"].clone();
        let list = list.as_array().cloned().unwrap_or_default();
        list.into_iter()
            .map(|one| (one["name"].as_str().unwrap_or_default().to_owned(), one["value"].clone()))
            .collect()
    }

    #[test]
    fn every_object_has_the_shape_that_kubernetes_publishes_and_no_field_beside_it() {
        let wanted = wanted(json!({}));
        let objects = controller(&wanted, &around());
        assert_eq!(objects.len(), 8, "{:#?}", objects.iter().map(|one| &one["kind"]).collect::<Vec<_>>());
        objects.iter().chain(&kinds(&wanted, "eksup-autoscaler")).for_each(assert_known);
    }

    #[test]
    fn it_survives_the_loss_of_a_node_and_never_runs_on_its_own() {
        let objects = controller(&wanted(json!({})), &around());
        let deployment = find(&objects, "Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(
            (&deployment["spec"]["replicas"], &pod["priorityClassName"]),
            (&json!(2), &json!("system-cluster-critical"))
        );
        let terms =
            &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        assert_eq!(
            *terms,
            json!([{ "matchExpressions": [{ "key": "karpenter.sh/nodepool", "operator": "DoesNotExist" }] }])
        );
        assert_eq!(find(&objects, "PodDisruptionBudget")["spec"]["selector"], deployment["spec"]["selector"]);
        assert_eq!(pod["topologySpreadConstraints"].as_array().map(Vec::len), Some(2));
        let container = &pod["containers"][0];
        assert_eq!(container["args"], json!(["autoscaler", "run"]));
        assert_eq!(container["image"], format!("{IMAGE}:{VERSION}"));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    }

    #[test]
    fn settings_reach_it_and_move_what_depends_on_them() {
        let wanted = wanted(json!({
            "version": "1.2.3", "image": "registry.example.com/eksup", "replicas": 1,
            "resources": { "requests": { "memory": "1Gi" } },
            "settings": { "BATCH_IDLE_DURATION": "500ms", "METRICS_PORT": "9000", "LEADER_ELECTION_NAME": "mine" },
        }));
        let objects = controller(&wanted, &around());
        let variables = variables(&objects);
        assert_eq!(variables["BATCH_IDLE_DURATION"], "500ms");
        assert_eq!(variables["INTERRUPTION_QUEUE"], "${output:interruption/queue#name}");
        assert_eq!(variables["CLUSTER_NAME"], "shop");
        assert!(!variables.contains_key("MEMORY_LIMIT"), "there is no limit");
        let container = &find(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example.com/eksup:1.2.3");
        assert_eq!(container["ports"][0]["containerPort"], 9000);
        assert_eq!(find(&objects, "Service")["spec"]["ports"][0]["port"], 9000);
        assert_eq!(find(&objects, "Role")["rules"][1]["resourceNames"], json!(["mine"]));
    }

    #[test]
    fn nothing_may_do_everything_or_read_secrets() {
        let objects = controller(&wanted(json!({})), &around());
        for rule in objects.iter().filter_map(|object| object["rules"].as_array()).flatten() {
            let text = rule.to_string();
            assert!(!text.contains("\"*\"") && !text.contains("\"secrets\""), "{text}");
        }
        let leases = |object: &Value| object["rules"].to_string().contains("leases");
        assert!(!leases(find(&objects, "ClusterRole")), "a Lease is its own, in its own namespace");
    }

    #[test]
    fn with_pod_identity_no_annotation_names_a_role_and_without_a_queue_none_is_named() {
        let quiet = Surroundings { role: None, queue: None, ..around() };
        let objects = controller(&wanted(json!({})), &quiet);
        assert!(find(&objects, "ServiceAccount")["metadata"].get("annotations").is_none());
        assert!(!variables(&objects).contains_key("INTERRUPTION_QUEUE"));
    }

    #[test]
    fn it_is_monitored_where_the_cluster_knows_how() {
        let objects = controller(&wanted(json!({})), &Surroundings { monitored: true, ..around() });
        let monitor = find(&objects, "ServiceMonitor");
        assert_eq!(monitor["spec"]["endpoints"][0]["port"], find(&objects, "Service")["spec"]["ports"][0]["name"]);
        assert_eq!(monitor["spec"]["selector"]["matchLabels"], find(&objects, "Service")["spec"]["selector"]);
    }

    #[test]
    fn a_class_without_a_role_gets_the_stacks_and_all_get_its_tags() {
        let class = |spec: Value| NodeClass { name: "a".into(), spec: spec.as_object().cloned().unwrap_or_default() };
        let tags = BTreeMap::from([("team".to_owned(), "web".to_owned()), ("cost".to_owned(), "1".to_owned())]);
        let own = node_class(&class(json!({ "role": "mine", "tags": { "cost": "2" } })), "nodes", &tags);
        assert_eq!(own["spec"], json!({ "role": "mine", "tags": { "team": "web", "cost": "2" } }));
        let none = node_class(&class(json!({ "instanceProfile": "p" })), "nodes", &BTreeMap::new());
        assert_eq!(none["spec"], json!({ "instanceProfile": "p" }));
        assert_eq!(node_class(&class(json!({})), "nodes", &BTreeMap::new())["spec"]["role"], "nodes");
    }

    /// All of it, so that a change of a template or of a type is seen.
    #[test]
    fn the_autoscaler_is_what_was_reviewed() {
        let text = |objects: Vec<Value>| objects.iter().map(yaml::write).collect::<Vec<_>>().join("---\n");
        let pinned = wanted(json!({ "version": "1.2.3" }));
        insta::assert_snapshot!("controller", text(controller(&pinned, &around())));
        insta::assert_snapshot!("kinds", text(kinds(&pinned, "eksup-autoscaler")));
    }
}
