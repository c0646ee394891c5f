//! Kubernetes objects as resources of the stack: where they stand, in which cluster, and what has to run first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Cluster, Draft};
use crate::aws::ids::Text;
use crate::cluster::declare::{self, SET, Wanted};
use crate::cluster::way::Home;
use crate::cluster::webhook_certificate::WebhookCertificate;
use crate::plan::{Address, Handle, Reference};
use crate::render::certificate;

/// What phases have asked for in the cluster.
#[derive(Debug, Default)]
pub struct Asked {
    objects: Vec<Wanted>,
    /// The Secrets of certificates, as far as they are known.
    secrets: Vec<Value>,
}

/// Asks for an object below `prefix`, which comes after `first` and after what pods need to run; and gives its
/// address.
pub fn add(draft: &mut Draft<'_>, prefix: &str, manifest: Value, first: impl IntoIterator<Item = Address>) -> Address {
    let address = Address::new(address(prefix, &manifest));
    let after = ground(draft).into_iter().chain(first).collect();
    draft.asked.objects.push(Wanted { address: address.clone(), manifest, after });
    address
}

/// The Secret of a webhook's certificate.
#[derive(Debug)]
pub struct WebhookSecret<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The names that the certificate is for.
    pub names: Vec<String>,
}

/// Declares a webhook's certificate below `prefix`.
pub fn add_certificate(
    draft: &mut Draft<'_>,
    cluster: &Cluster,
    prefix: &str,
    secret: WebhookSecret<'_>,
) -> Handle<WebhookCertificate> {
    let WebhookSecret { namespace, name, labels, names } = secret;
    let body = WebhookCertificate {
        cluster: home(draft, cluster),
        set: Reference::output(&Address::new(SET), "id"),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels,
        names: names.into_iter().collect::<BTreeSet<_>>(),
        state: certificate::GOOD.to_owned(),
    };
    draft.asked.secrets.push(certificate_outline(&body));
    draft.resources.add(format!("{prefix}/secret/{namespace}/{name}"), body)
}

/// The Secret of a certificate, as far as it is known before it is made.
pub fn certificate_outline(certificate: &WebhookCertificate) -> Value {
    let parts = ["ca.crt", "tls.crt", "tls.key"];
    let data: BTreeMap<&str, &str> = parts.map(|part| (part, "<made when it is applied>")).into();
    certificate::outline(&certificate.name, &certificate.namespace, &certificate.labels, serde_json::json!(data))
}

/// Declares every object that phases have asked for: only all of them together tell which waits for which.
pub fn declare(draft: &mut Draft<'_>, cluster: &Cluster) {
    let Asked { objects, secrets } = std::mem::take(&mut draft.asked);
    let home = home(draft, cluster);
    declare::objects(&mut draft.resources, &home, &objects, &secrets);
}

/// The way to the stack's cluster.
fn home(draft: &Draft<'_>, cluster: &Cluster) -> Home {
    Home {
        name: cluster.name.clone(),
        region: draft.region().to_owned(),
        endpoint: Reference::<Text>::output(&cluster.address, "endpoint"),
        certificate_authority: Reference::<Text>::output(&cluster.address, "certificateAuthority"),
    }
}

/// The node groups and the add-ons of EKS: without them no pod runs.
fn ground(draft: &Draft<'_>) -> Vec<Address> {
    let clusters = draft.stack.cluster.iter();
    let places = clusters.flat_map(|cluster| {
        let groups = cluster.node_groups.iter().map(|group| format!("nodes/group/{}", group.name));
        groups.chain(cluster.addons.iter().map(|addon| format!("nodes/addon/{}", addon.name)))
    });
    places.map(Address::new).collect()
}

/// Where an object stands: `addons/metrics-server/deployment/kube-system/metrics-server`.
///
/// A kind of somebody's own has its group behind it, as there may be two of one name.
pub fn address(prefix: &str, manifest: &Value) -> String {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut kind = text("/kind").to_lowercase();
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    if group.contains('.') && !group.ends_with(".k8s.io") {
        kind = format!("{kind}.{group}");
    }
    let parts = [prefix, &kind, text("/metadata/namespace"), text("/metadata/name")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_tells_objects_apart() {
        let object = |version: &str, kind: &str, namespace: Option<&str>| json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "a", "namespace": namespace } });
        assert_eq!(address("workloads", &object("apps/v1", "Deployment", Some("web"))), "workloads/deployment/web/a");
        assert_eq!(address("workloads", &object("v1", "Namespace", None)), "workloads/namespace/a");
        let service = address("workloads", &object("serving.knative.dev/v1", "Service", Some("web")));
        assert_eq!(service, "workloads/service.serving.knative.dev/web/a");
        let ingress = address("workloads", &object("networking.k8s.io/v1", "Ingress", Some("web")));
        assert_eq!(ingress, "workloads/ingress/web/a");
    }
}
