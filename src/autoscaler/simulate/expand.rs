//! Workloads as the pods that their controllers would make.

use super::manifests::Workload;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// The most pods that one workload is expanded to.
const MOST_REPLICAS: i32 = 200_000;

/// Calls `take` with every pod of a workload.
pub fn each_pod(workload: &Workload, mut take: impl FnMut(Pod)) {
    match workload {
        Workload::Deployment(object) => {
            let spec = Some(&object.spec);
            let count = spec.and_then(|spec| spec.replicas);
            expand(
                "Deployment",
                &object.metadata,
                spec.map(|spec| &spec.template),
                count,
                Some("pod-template-hash"),
                &mut take,
            );
        }
        Workload::ReplicaSet(object) => {
            let spec = Some(&object.spec);
            let template = spec.and_then(|spec| spec.template.as_ref());
            expand("ReplicaSet", &object.metadata, template, spec.and_then(|spec| spec.replicas), None, &mut take);
        }
        Workload::StatefulSet(object) => {
            let spec = Some(&object.spec);
            let count = spec.and_then(|spec| spec.replicas);
            expand(
                "StatefulSet",
                &object.metadata,
                spec.map(|spec| &spec.template),
                count,
                Some("controller-revision-hash"),
                &mut take,
            );
        }
        Workload::Job(object) => {
            let spec = object.spec.as_ref();
            let at_once = spec.map(|spec| spec.parallelism.unwrap_or(1).min(spec.completions.unwrap_or(i32::MAX)));
            expand("Job", &object.metadata, spec.map(|spec| &spec.template), at_once, None, &mut take);
        }
        Workload::Pod(pod) => take((**pod).clone()),
    }
}

fn expand(
    kind: &str,
    metadata: &ObjectMeta,
    template: Option<&PodTemplateSpec>,
    replicas: Option<i32>,
    hash_label: Option<&str>,
    take: &mut impl FnMut(Pod),
) {
    let Some(template) = template else { return };
    let name = metadata.name.clone().unwrap_or_default();
    let mut common = template.metadata.clone().unwrap_or_default();
    common.namespace.clone_from(&metadata.namespace);
    common.owner_references = Some(vec![OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: kind.to_owned(),
        name: name.clone(),
        uid: name.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    if let Some(label) = hash_label {
        common.labels.get_or_insert_default().insert(label.to_owned(), "simulated".to_owned());
    }
    for index in 0..replicas.unwrap_or(1).clamp(0, MOST_REPLICAS) {
        take(Pod {
            metadata: ObjectMeta { name: Some(format!("{name}-{index}")), ..common.clone() },
            spec: template.spec.clone(),
            status: None,
        });
    }
}
