//! Kinds inside the cluster.

use eksup::aws::cluster::Cluster;
use eksup::cluster::declare::{self, Wanted};
use eksup::cluster::object_set::ObjectSet;
use eksup::cluster::way::Home;
use eksup::cluster::webhook_certificate::WebhookCertificate;
use eksup::plan::Handle;
use eksup::render::certificate;
use http::Method;
use serde_json::{Value, json};

use super::eks::cluster;
use crate::harness::{Form, REGION, Row, STACK};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "object",
            address: "workloads/config-map/default/settings",
            declare: |resources, form| {
                let cluster = cluster(resources, Form::Original);
                let manifest = settings(if form == Form::Changed { "green" } else { "blue" });
                let address = "workloads/config-map/default/settings".into();
                let wanted = [Wanted { address, manifest, after: Vec::new() }];
                declare::objects(resources, &home(&cluster), &wanted, &[]);
            },
            changes: true,
            replaces: false,
            drift: Some(|cloud, object| {
                Box::pin(async move {
                    let name = object.outputs["cluster"].as_str().expect("a cluster").to_owned();
                    let connection = cloud.clusters.opened(&name).await.expect("a way in");
                    let path = "/api/v1/namespaces/default/configmaps/settings?fieldManager=kubectl-edit";
                    let change = json!({ "data": { "colour": "red" } });
                    let sending = connection.send(Method::PATCH, path, Some(&change), "application/merge-patch+json");
                    sending.await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "object-set",
            address: declare::SET,
            declare: |resources, form| {
                let cluster = cluster(resources, Form::Original);
                let mut manifests = vec![settings("blue")];
                if form == Form::Changed {
                    manifests.push(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }));
                }
                resources.add(declare::SET, ObjectSet::of(home(&cluster), &manifests));
            },
            changes: true,
            replaces: false,
            drift: None,
        },
        Row {
            kind: "webhook-certificate",
            address: "addons/secret/kube-system/webhook",
            declare: |resources, form| {
                let cluster = cluster(resources, Form::Original);
                let names = if form == Form::Changed {
                    &["a.kube-system.svc", "b.kube-system.svc"][..]
                } else {
                    &["a.kube-system.svc"][..]
                };
                let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "webhook", "namespace": "kube-system" } });
                let set = resources.add(declare::SET, ObjectSet::of(home(&cluster), [&secret]));
                resources.add(
                    "addons/secret/kube-system/webhook",
                    WebhookCertificate {
                        cluster: home(&cluster),
                        set: set.id(),
                        namespace: "kube-system".to_owned(),
                        name: "webhook".to_owned(),
                        labels: [("app".to_owned(), "webhook".to_owned())].into(),
                        names: names.iter().map(|name| (*name).to_owned()).collect(),
                        state: certificate::GOOD.to_owned(),
                    },
                );
            },
            changes: true,
            replaces: false,
            // Somebody empties the Secret.
            drift: Some(|cloud, _| {
                Box::pin(async move {
                    let connection = cloud.clusters.opened(STACK).await.expect("a way in");
                    let path = "/api/v1/namespaces/kube-system/secrets/webhook?fieldManager=kubectl-edit";
                    let change = json!({ "data": { "tls.crt": "", "tls.key": "" } });
                    let sending = connection.send(Method::PATCH, path, Some(&change), "application/merge-patch+json");
                    sending.await.expect("the drift");
                })
            }),
        },
    ]
}

fn settings(colour: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "namespace": "default" },
        "data": { "colour": colour },
    })
}

fn home(cluster: &Handle<Cluster>) -> Home {
    Home {
        name: cluster.name(),
        region: REGION.to_owned(),
        endpoint: cluster.endpoint(),
        certificate_authority: cluster.certificate_authority(),
    }
}
