//! Kubernetes objects as resources of the stack: where they stand, in which cluster, and what has to run first.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{Cluster, Draft};
use crate::aws::ids::{ClusterName, Text};
use crate::plan::{Address, Describe, Effect, Facts, Handle, Reference};
#[cfg(doc)]
use crate::render::certificate;

/// The way to a cluster's API server.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAccess {
    /// The cluster's name, which its tokens are for.
    pub name: Reference<ClusterName>,
    /// Its region.
    pub region: String,
    /// Its URL.
    pub endpoint: Reference<Text>,
    /// Who signs for it, as PEM in base64.
    pub certificate_authority: Reference<Text>,
}

/// One Kubernetes object.
#[derive(Debug, Clone, Serialize)]
pub struct Object {
    /// Where it stands.
    pub cluster: ClusterAccess,
    /// The whole object. Its texts may hold placeholders.
    pub manifest: Value,
}

impl Describe for Object {
    const FACTS: Facts = Facts {
        fields: &[("cluster", Effect::Replace), ("manifest", Effect::InPlace)],
        references: &[("cluster", &["cluster"])],
        dies_with: Some("cluster"),
        taggable: false,
        ..Facts::new("object")
    };
}

/// A webhook's certificate and the Secret that holds it.
///
/// What stands in the Secret is kept while it is good, so the wish names no certificate: keys and certificates are
/// in no plan. Whoever reads the cluster says of the live Secret for which names it is ([`certificate::names`]) and how
/// it stands ([`certificate::state`]), and gives out [`certificate::bundle`]; whoever makes or changes one asks
/// [`certificate::settle`] with the live Secret and applies [`certificate::secret`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookCertificate {
    /// Where it stands.
    pub cluster: ClusterAccess,
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret.
    pub name: String,
    /// The labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// The names that the certificate is for.
    pub names: Vec<String>,
    /// [`certificate::GOOD`], or why it is not: `ends on 2036-11-17`.
    pub state: String,
}

impl Describe for WebhookCertificate {
    const FACTS: Facts = Facts {
        fields: &[
            ("cluster", Effect::Replace),
            ("namespace", Effect::Replace),
            ("name", Effect::Replace),
            ("labels", Effect::InPlace),
            ("names", Effect::InPlace),
            ("state", Effect::InPlace),
        ],
        outputs: &["caBundle"],
        references: &[("cluster", &["cluster"])],
        volatile: &["caBundle"],
        dies_with: Some("cluster"),
        taggable: false,
        ..Facts::new("webhook-certificate")
    };
}

impl Handle<WebhookCertificate> {
    /// What a webhook configuration holds as its `caBundle`.
    pub fn ca_bundle(&self) -> Reference<Text> {
        self.output("caBundle")
    }
}

/// The way to the stack's cluster.
pub fn access(draft: &Draft<'_>, cluster: &Cluster) -> ClusterAccess {
    ClusterAccess {
        name: cluster.name.clone(),
        region: draft.region().to_owned(),
        endpoint: Reference::output(&cluster.address, "endpoint"),
        certificate_authority: Reference::output(&cluster.address, "certificateAuthority"),
    }
}

/// An object that a phase has asked for.
#[derive(Debug)]
pub struct Asked {
    address: Address,
    manifest: Value,
    after: BTreeSet<Address>,
}

/// Asks for an object below `prefix`, which comes after `first` and after what pods need to run; and gives its
/// address.
pub fn add(draft: &mut Draft<'_>, prefix: &str, manifest: Value, first: impl IntoIterator<Item = Address>) -> Address {
    let address = Address::new(address(prefix, &manifest));
    let after = ground(draft).into_iter().chain(first).collect();
    draft.objects.push(Asked { address: address.clone(), manifest, after });
    address
}

/// Declares every object that phases have asked for: only all of them together tell which waits for which.
pub fn declare(draft: &mut Draft<'_>, cluster: &Cluster) {
    for Asked { address, manifest, after } in std::mem::take(&mut draft.objects) {
        let body = Object { cluster: access(draft, cluster), manifest };
        let handle = draft.resources.add(address.as_str(), body);
        for earlier in after {
            draft.resources.order(&handle, &earlier);
        }
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
