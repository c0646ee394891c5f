//! How the API server calls a kind in paths, and whether its objects live in namespaces. Of the kinds that every
//! cluster has this is known without a question.

use serde_json::Value;

use super::identity::ObjectKind;

/// How a kind is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its name in paths: `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// Every kind that is part of Kubernetes and can be applied: its group, its name, its name in paths.
const NAMESPACED: &[(&str, &str, &str)] = &[
    ("", "ConfigMap", "configmaps"),
    ("", "Endpoints", "endpoints"),
    ("", "Event", "events"),
    ("", "LimitRange", "limitranges"),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("", "Pod", "pods"),
    ("", "PodTemplate", "podtemplates"),
    ("", "ReplicationController", "replicationcontrollers"),
    ("", "ResourceQuota", "resourcequotas"),
    ("", "Secret", "secrets"),
    ("", "Service", "services"),
    ("", "ServiceAccount", "serviceaccounts"),
    ("apps", "ControllerRevision", "controllerrevisions"),
    ("apps", "DaemonSet", "daemonsets"),
    ("apps", "Deployment", "deployments"),
    ("apps", "ReplicaSet", "replicasets"),
    ("apps", "StatefulSet", "statefulsets"),
    ("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ("batch", "CronJob", "cronjobs"),
    ("batch", "Job", "jobs"),
    ("coordination.k8s.io", "Lease", "leases"),
    ("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    ("events.k8s.io", "Event", "events"),
    ("networking.k8s.io", "Ingress", "ingresses"),
    ("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
    ("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "Role", "roles"),
    ("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    ("resource.k8s.io", "ResourceClaim", "resourceclaims"),
    ("resource.k8s.io", "ResourceClaimTemplate", "resourceclaimtemplates"),
    ("storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities"),
];

const OF_THE_CLUSTER: &[(&str, &str, &str)] = &[
    ("", "Namespace", "namespaces"),
    ("", "Node", "nodes"),
    ("", "PersistentVolume", "persistentvolumes"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "APIService", "apiservices"),
    ("certificates.k8s.io", "CertificateSigningRequest", "certificatesigningrequests"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", "prioritylevelconfigurations"),
    ("networking.k8s.io", "IngressClass", "ingressclasses"),
    ("networking.k8s.io", "IPAddress", "ipaddresses"),
    ("networking.k8s.io", "ServiceCIDR", "servicecidrs"),
    ("node.k8s.io", "RuntimeClass", "runtimeclasses"),
    ("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings"),
    ("resource.k8s.io", "DeviceClass", "deviceclasses"),
    ("resource.k8s.io", "ResourceSlice", "resourceslices"),
    ("scheduling.k8s.io", "PriorityClass", "priorityclasses"),
    ("storage.k8s.io", "CSIDriver", "csidrivers"),
    ("storage.k8s.io", "CSINode", "csinodes"),
    ("storage.k8s.io", "StorageClass", "storageclasses"),
    ("storage.k8s.io", "VolumeAttachment", "volumeattachments"),
    ("storage.k8s.io", "VolumeAttributesClass", "volumeattributesclasses"),
];

/// How a kind is served that every cluster has.
pub fn built_in(kind: &ObjectKind) -> Option<Served> {
    if !versions(&kind.group).contains(&kind.version.as_str()) {
        return None;
    }
    let find = |table: &[(&str, &str, &str)], namespaced| {
        let row = table.iter().find(|(group, name, _)| *group == kind.group && *name == kind.kind)?;
        Some(Served { plural: row.2.to_owned(), namespaced })
    };
    find(NAMESPACED, true).or_else(|| find(OF_THE_CLUSTER, false))
}

/// What each group of these tables is served in, the version to write first.
const VERSIONS: &[(&str, &[&str])] = &[
    ("", &["v1"]),
    ("admissionregistration.k8s.io", &["v1"]),
    ("apiextensions.k8s.io", &["v1"]),
    ("apiregistration.k8s.io", &["v1"]),
    ("apps", &["v1"]),
    ("autoscaling", &["v2", "v1"]),
    ("batch", &["v1"]),
    ("certificates.k8s.io", &["v1"]),
    ("coordination.k8s.io", &["v1"]),
    ("discovery.k8s.io", &["v1"]),
    ("events.k8s.io", &["v1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1"]),
    ("networking.k8s.io", &["v1"]),
    ("node.k8s.io", &["v1"]),
    ("policy", &["v1"]),
    ("rbac.authorization.k8s.io", &["v1"]),
    ("resource.k8s.io", &["v1"]),
    ("scheduling.k8s.io", &["v1"]),
    ("storage.k8s.io", &["v1"]),
];

/// In place of a version: the kind is gone altogether.
const NOTHING: &str = "";

/// Versions that API servers no longer have, with the kinds that people still write in them.
const REMOVED: &[(&str, &[&str], &str)] = &[
    (
        "admissionregistration.k8s.io/v1beta1",
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        "admissionregistration.k8s.io/v1",
    ),
    ("apiextensions.k8s.io/v1beta1", &["CustomResourceDefinition"], "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", &["APIService"], "apiregistration.k8s.io/v1"),
    ("apps/v1beta1", &["Deployment", "StatefulSet"], "apps/v1"),
    ("apps/v1beta2", &["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"], "apps/v1"),
    ("autoscaling/v2beta1", &["HorizontalPodAutoscaler"], "autoscaling/v2"),
    ("autoscaling/v2beta2", &["HorizontalPodAutoscaler"], "autoscaling/v2"),
    ("batch/v1beta1", &["CronJob"], "batch/v1"),
    ("extensions/v1beta1", &["DaemonSet", "Deployment", "ReplicaSet"], "apps/v1"),
    ("extensions/v1beta1", &["Ingress", "NetworkPolicy"], "networking.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", &["Ingress", "IngressClass"], "networking.k8s.io/v1"),
    ("policy/v1beta1", &["PodDisruptionBudget"], "policy/v1"),
    ("policy/v1beta1", &["PodSecurityPolicy"], NOTHING),
    (
        "rbac.authorization.k8s.io/v1beta1",
        &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
        "rbac.authorization.k8s.io/v1",
    ),
    ("scheduling.k8s.io/v1beta1", &["PriorityClass"], "scheduling.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"], "storage.k8s.io/v1"),
];

/// A kind in a version that API servers no longer have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The kind.
    pub kind: &'static str,
    /// The version to write instead, if there is one.
    pub instead: Option<&'static str>,
}

/// What `kind` is, where it is of a version that is gone.
pub fn removed(kind: &ObjectKind) -> Option<Removed> {
    let version = kind.api_version();
    let rows = REMOVED.iter().filter(|(gone, ..)| *gone == version);
    let mut kinds = rows.flat_map(|(_, kinds, instead)| kinds.iter().map(move |name| (*name, *instead)));
    let (kind, instead) = kinds.find(|(name, _)| *name == kind.kind)?;
    Some(Removed { kind, instead: Some(instead).filter(|instead| *instead != NOTHING) })
}

/// The group of roles and what binds them.
pub const ROLES: &str = "rbac.authorization.k8s.io";

/// Whether every kind of a group is in the tables of this file.
pub fn is_closed_group(group: &str) -> bool {
    ["", "apps", "autoscaling", "batch", "policy", ROLES].contains(&group)
}

/// The version in which a kind of every cluster is written.
pub fn home_of(kind: &str) -> Option<String> {
    let (group, ..) = NAMESPACED.iter().chain(OF_THE_CLUSTER).find(|(_, name, _)| *name == kind)?;
    let version = versions(group).first()?;
    Some(ObjectKind { group: (*group).to_owned(), version: (*version).to_owned(), kind: kind.to_owned() }.api_version())
}

/// Every kind of the tables.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    NAMESPACED.iter().chain(OF_THE_CLUSTER).map(|(_, name, _)| *name)
}

/// The versions of a group that is part of Kubernetes, the one to write first.
pub fn versions(group: &str) -> &'static [&'static str] {
    VERSIONS.iter().find(|(name, _)| *name == group).map_or(&[], |(_, versions)| versions)
}

/// The kind that a CustomResourceDefinition brings, in each of its versions, and how it is served.
pub fn defined_by(definition: &Value) -> Vec<(ObjectKind, Served)> {
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("/kind") != "CustomResourceDefinition" {
        return Vec::new();
    }
    let served = Served { plural: text("/spec/names/plural"), namespaced: text("/spec/scope") == "Namespaced" };
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    versions
        .filter(|version| version.get("served") != Some(&Value::Bool(false)))
        .filter_map(|version| version.get("name")?.as_str())
        .map(|version| {
            let kind =
                ObjectKind { group: text("/spec/group"), version: version.to_owned(), kind: text("/spec/names/kind") };
            (kind, served.clone())
        })
        .collect()
}

/// How `kind` is served according to the API server's list of the resources of its group and version.
pub fn listed(kind: &str, resources: &Value) -> Option<Served> {
    let list = resources.get("resources")?.as_array()?;
    let row = list.iter().find(|row| {
        let name = row.get("name").and_then(Value::as_str).unwrap_or_default();
        row.get("kind").and_then(Value::as_str) == Some(kind) && !name.contains('/')
    })?;
    Some(Served { plural: row.get("name")?.as_str()?.to_owned(), namespaced: row.get("namespaced")?.as_bool()? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_of_every_cluster_needs_no_question() {
        let served = built_in(&ObjectKind::new("networking.k8s.io/v1", "Ingress")).expect("a built-in kind");
        assert_eq!(served, Served { plural: "ingresses".into(), namespaced: true });
        assert_eq!(built_in(&ObjectKind::new("v1", "Namespace")).map(|served| served.namespaced), Some(false));
        assert_eq!(built_in(&ObjectKind::new("karpenter.sh/v1", "NodePool")), None);
    }

    #[test]
    fn a_definition_brings_its_kind_in_every_served_version() {
        let definition = json!({
            "kind": "CustomResourceDefinition",
            "spec": {
                "group": "example.org", "scope": "Cluster", "names": { "kind": "Thing", "plural": "things" },
                "versions": [{ "name": "v1", "served": true }, { "name": "v1alpha1", "served": false }],
            },
        });
        let kinds = defined_by(&definition);
        assert_eq!(kinds.len(), 1);
        assert_eq!(kinds[0].0.api_version(), "example.org/v1");
        assert_eq!(kinds[0].1, Served { plural: "things".into(), namespaced: false });
    }

    #[test]
    fn what_is_gone_is_told_with_what_to_write_instead_if_there_is_anything() {
        let removed = |version: &str, kind: &str| removed(&ObjectKind::new(version, kind)).map(|found| found.instead);
        assert_eq!(removed("extensions/v1beta1", "Ingress"), Some(Some("networking.k8s.io/v1")));
        assert_eq!(removed("policy/v1beta1", "PodSecurityPolicy"), Some(None));
        assert_eq!(removed("networking.k8s.io/v1", "Ingress"), None);
    }

    #[test]
    fn a_subresource_is_not_taken_for_its_kind() {
        let list = json!({ "resources": [
            { "name": "things/status", "kind": "Thing", "namespaced": true },
            { "name": "things", "kind": "Thing", "namespaced": true },
        ] });
        assert_eq!(listed("Thing", &list).map(|served| served.plural).as_deref(), Some("things"));
        assert_eq!(listed("Other", &list), None);
    }
}
