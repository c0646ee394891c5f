//! Which object waits for which.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn object(api_version: &str, kind: &str, namespace: Option<&str>, name: &str, rest: Value) -> Value {
    let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name } });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    if let (Some(fields), Value::Object(rest)) = (object.as_object_mut(), rest) {
        fields.extend(rest);
    }
    object
}

/// `LATER ← EARLIER EARLIER` for each object that waits.
fn said(manifests: &[Value]) -> Vec<String> {
    let name = |at: usize| ObjectId::of(&manifests[at]).map(|id| id.to_string()).unwrap_or_default();
    let needs = dependencies(manifests);
    let lines = needs.iter().enumerate().filter(|(_, needs)| !needs.is_empty());
    lines
        .map(|(at, needs)| {
            format!("{} ← {}", name(at), needs.iter().map(|need| name(*need)).collect::<Vec<_>>().join(", "))
        })
        .collect()
}

fn controller() -> Vec<Value> {
    let labels = json!({ "app": "lbc" });
    vec![
        object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            None,
            "lbc",
            json!({
                "roleRef": { "kind": "ClusterRole", "name": "lbc" },
                "subjects": [{ "kind": "ServiceAccount", "name": "lbc", "namespace": "kube-system" }],
            }),
        ),
        object(
            "apps/v1",
            "Deployment",
            Some("kube-system"),
            "lbc",
            json!({ "spec": { "template": {
            "metadata": { "labels": labels },
            "spec": { "serviceAccountName": "lbc", "priorityClassName": "system-cluster-critical",
                "volumes": [{ "name": "cert", "secret": { "secretName": "lbc-tls" } }] },
        } } }),
        ),
        object("v1", "ServiceAccount", Some("kube-system"), "lbc", json!({})),
        object("rbac.authorization.k8s.io/v1", "ClusterRole", None, "lbc", json!({})),
        object("v1", "Secret", Some("kube-system"), "lbc-tls", json!({})),
        object("v1", "Service", Some("kube-system"), "lbc-webhook", json!({ "spec": { "selector": labels } })),
        object(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            None,
            "lbc",
            json!({ "webhooks": [{
            "clientConfig": { "service": { "namespace": "kube-system", "name": "lbc-webhook" } },
            "rules": [
                { "operations": ["CREATE"], "apiGroups": ["networking.k8s.io"], "resources": ["ingresses"] },
                { "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "resources": ["services"] },
            ],
        }] }),
        ),
    ]
}

#[test]
fn a_controller_waits_for_its_rights_and_its_webhook_for_the_controller() {
    insta::assert_snapshot!(said(&controller()).join("\n"), @r"
    ClusterRoleBinding lbc ← ServiceAccount kube-system/lbc, ClusterRole lbc
    Deployment kube-system/lbc ← ClusterRoleBinding lbc, ServiceAccount kube-system/lbc, Secret kube-system/lbc-tls
    ValidatingWebhookConfiguration lbc ← Deployment kube-system/lbc, Service kube-system/lbc-webhook
    ");
}

#[test]
fn what_a_webhook_guards_waits_for_it_but_not_what_it_stands_on() {
    let mut all = controller();
    all.push(object("v1", "Service", Some("shop"), "backend", json!({})));
    all.push(object(
        "networking.k8s.io/v1",
        "Ingress",
        Some("shop"),
        "web",
        json!({ "spec": {
        "ingressClassName": "alb",
        "rules": [{ "http": { "paths": [{ "backend": { "service": { "name": "backend" } } }] } }],
    } }),
    ));
    all.push(object("networking.k8s.io/v1", "IngressClass", None, "alb", json!({})));
    let lines = said(&all);
    assert!(lines.contains(&"Service shop/backend ← ValidatingWebhookConfiguration lbc".to_owned()), "{lines:#?}");
    assert!(
        lines.contains(
            &"Ingress shop/web ← ValidatingWebhookConfiguration lbc, Service shop/backend, IngressClass alb".to_owned()
        ),
        "{lines:#?}"
    );
    assert!(!lines.iter().any(|line| line.starts_with("Service kube-system/lbc-webhook")), "{lines:#?}");
}

#[test]
fn a_webhook_that_passes_a_namespace_over_is_not_waited_for_there() {
    let mut all = controller();
    all[6]["webhooks"][0]["namespaceSelector"] =
        json!({ "matchExpressions": [{ "key": "guarded", "operator": "Exists" }] });
    all.push(object("v1", "Service", Some("shop"), "backend", json!({})));
    all.push(object(
        "v1",
        "Namespace",
        None,
        "guarded",
        json!({ "metadata": { "name": "guarded", "labels": { "guarded": "yes" } } }),
    ));
    all.push(object("v1", "Service", Some("guarded"), "backend", json!({})));
    let lines = said(&all);
    assert!(!lines.iter().any(|line| line.starts_with("Service shop/backend")), "{lines:#?}");
    assert!(
        lines.contains(&"Service guarded/backend ← ValidatingWebhookConfiguration lbc, Namespace guarded".to_owned())
    );
}

#[test]
fn an_object_waits_for_its_namespace_and_the_definition_of_its_kind() {
    let all = [
        object("example.org/v1", "Thing", Some("shop"), "a", json!({})),
        object("v1", "Namespace", None, "shop", json!({})),
        object(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            None,
            "things.example.org",
            json!({ "spec": {
            "group": "example.org", "scope": "Namespaced", "names": { "kind": "Thing", "plural": "things" },
            "versions": [{ "name": "v1", "served": true }],
        } }),
        ),
    ];
    assert_eq!(said(&all), ["Thing shop/a ← Namespace shop, CustomResourceDefinition things.example.org"]);
}

#[test]
fn an_autoscaler_waits_for_its_target_and_for_metrics() {
    let all = [
        object(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            Some("shop"),
            "backend",
            json!({ "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "backend" } } }),
        ),
        object("apps/v1", "Deployment", Some("shop"), "backend", json!({})),
        object(
            "apiregistration.k8s.io/v1",
            "APIService",
            None,
            "v1beta1.metrics.k8s.io",
            json!({ "spec": {
            "group": "metrics.k8s.io", "service": { "namespace": "kube-system", "name": "metrics-server" } } }),
        ),
    ];
    assert_eq!(
        said(&all),
        ["HorizontalPodAutoscaler shop/backend ← Deployment shop/backend, APIService v1beta1.metrics.k8s.io"]
    );
}

#[test]
fn two_webhooks_that_guard_each_others_services_make_no_circle() {
    let hook = |name: &str| {
        [
            object("v1", "Service", Some(name), "svc", json!({})),
            object(
                "admissionregistration.k8s.io/v1",
                "MutatingWebhookConfiguration",
                None,
                name,
                json!({ "webhooks": [{
                "clientConfig": { "service": { "namespace": name, "name": "svc" } },
                "rules": [{ "operations": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
            }] }),
            ),
        ]
    };
    let all: Vec<Value> = hook("a").into_iter().chain(hook("b")).collect();
    assert!(has_no_circle(&dependencies(&all)));
}

fn has_no_circle(needs: &[BTreeSet<usize>]) -> bool {
    let mut done: BTreeSet<usize> = BTreeSet::new();
    loop {
        let ready: Vec<usize> =
            (0..needs.len()).filter(|at| !done.contains(at) && needs[*at].is_subset(&done)).collect();
        if ready.is_empty() {
            return done.len() == needs.len();
        }
        done.extend(ready);
    }
}

fn any_object() -> impl Strategy<Value = Value> {
    let name = prop_oneof![Just("a"), Just("b")];
    let namespace = prop_oneof![Just("a"), Just("b")];
    (0..8_usize, namespace, name, any::<bool>()).prop_map(|(kind, namespace, name, flag)| match kind {
        0 => object("v1", "Namespace", None, name, json!({})),
        1 => object("v1", "Service", Some(namespace), name, json!({ "spec": { "selector": { "app": name } } })),
        2 => object("apps/v1", "Deployment", Some(namespace), name, json!({ "spec": { "template": {
            "metadata": { "labels": { "app": name } }, "spec": { "serviceAccountName": name } } } })),
        3 => object("v1", "ServiceAccount", Some(namespace), name, json!({})),
        4 => object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", None, name, json!({ "webhooks": [{
            "clientConfig": { "service": { "namespace": namespace, "name": name } },
            "rules": [{ "operations": ["*"], "apiGroups": ["*"], "resources": [if flag { "*" } else { "pods" }] }] }] })),
        5 => object("rbac.authorization.k8s.io/v1", "RoleBinding", Some(namespace), name, json!({
            "roleRef": { "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "namespace": namespace, "name": name }] })),
        6 => object("v1", "LimitRange", Some(namespace), name, json!({})),
        _ => object("networking.k8s.io/v1", "Ingress", Some(namespace), name, json!({ "spec": {
            "ingressClassName": name, "defaultBackend": { "service": { "name": name } } } })),
    })
}

proptest! {
    #[test]
    fn nothing_ever_waits_for_itself(objects in prop::collection::vec(any_object(), 0..24)) {
        prop_assert!(has_no_circle(&dependencies(&objects)));
    }
}
