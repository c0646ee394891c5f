//! For tests: objects read and written by the types that Kubernetes publishes.

use crate::autoscaler::api::{EC2NodeClass, NodePool};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Checks that the type of an object's kind knows every field of it.
///
/// # Panics
/// When it does not, or when nobody has said which type the kind has.
pub fn assert_known(object: &Value) {
    assert_eq!(without_empty(&known(object)), without_empty(object), "{}", object["metadata"]["name"]);
}

/// The object as its type reads and writes it again.
fn round_trip<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let read: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object:#}"));
    serde_json::to_value(read).expect("JSON")
}

/// Every kind that the templates have. `IngressClassParams` and `ServiceMonitor` are kinds of controllers.
fn known(object: &Value) -> Value {
    match object["kind"].as_str().unwrap_or_default() {
        "APIService" => round_trip::<APIService>(object),
        "ClusterRole" => round_trip::<ClusterRole>(object),
        "ClusterRoleBinding" => round_trip::<ClusterRoleBinding>(object),
        "CustomResourceDefinition" => round_trip::<CustomResourceDefinition>(object),
        "Deployment" => round_trip::<Deployment>(object),
        "HorizontalPodAutoscaler" => round_trip::<HorizontalPodAutoscaler>(object),
        "Ingress" => round_trip::<Ingress>(object),
        "IngressClass" => round_trip::<IngressClass>(object),
        "IngressClassParams" | "ServiceMonitor" => object.clone(),
        "MutatingWebhookConfiguration" => round_trip::<MutatingWebhookConfiguration>(object),
        "EC2NodeClass" => round_trip::<EC2NodeClass>(object),
        "Namespace" => round_trip::<Namespace>(object),
        "NodePool" => round_trip::<NodePool>(object),
        "PodDisruptionBudget" => round_trip::<PodDisruptionBudget>(object),
        "Role" => round_trip::<Role>(object),
        "RoleBinding" => round_trip::<RoleBinding>(object),
        "Service" => round_trip::<Service>(object),
        "ServiceAccount" => round_trip::<ServiceAccount>(object),
        "ValidatingWebhookConfiguration" => round_trip::<ValidatingWebhookConfiguration>(object),
        other => panic!("nobody has said how `{other}` is read"),
    }
}

/// Without fields that say nothing, which types leave out; and `0` is the number that `0.0` is.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, field)| (key.clone(), without_empty(field)));
            Value::Object(fields.filter(|(_, field)| *field != json!({}) && *field != json!([])).collect())
        }
        Value::Array(items) => items.iter().map(without_empty).collect(),
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}
