//! What the user runs in the cluster: the objects of the manifests, and HorizontalPodAutoscalers for them.

use serde_json::Value;

use super::{Draft, objects, pod_role, references};
use crate::plan::{Address, Desired};
use crate::render::autoscaling;
use crate::spec::{IdentityMode, Manifest, Stack, Workloads};

const PREFIX: &str = "workloads";

/// Asks for the workloads of the stack.
pub fn declare(draft: &mut Draft<'_>) {
    let Some(workloads) = &draft.stack.workloads else { return };
    for manifest in workloads.objects() {
        let association = association(draft, &manifest.object);
        objects::add(draft, PREFIX, manifest.object.clone(), association);
    }
    for object in workloads.autoscaling.iter().filter_map(autoscaling::horizontal) {
        objects::add(draft, PREFIX, object, None);
    }
}

/// What gives the pods of an object their role, where that is a resource of its own: pods that start before it get
/// none.
fn association(draft: &Draft<'_>, object: &Value) -> Option<Address> {
    let pod = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec", "/spec"];
    let account = pod.iter().find_map(|place| object.pointer(place)?.get("serviceAccountName")?.as_str())?;
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default");
    let accounts = draft.stack.identity.iter().flat_map(|identity| &identity.service_accounts);
    let known = accounts.into_iter().any(|one| one.name == account && one.namespace == namespace);
    let by_association = pod_role::mode(draft.stack) == IdentityMode::PodIdentity;
    (known && by_association).then(|| Address::new(format!("identity/pod-identity/{namespace}/{account}")))
}

/// Where the manifest stands of the object at `address`: `k8s/web.yaml:7`.
pub fn place_of(stack: &Stack, address: &Address) -> Option<String> {
    let manifests = stack.workloads.as_ref().map(Workloads::objects).unwrap_or_default();
    let found = manifests.iter().find(|manifest| objects::address(PREFIX, &manifest.object) == address.as_str())?;
    Some(format!("{}:{}", found.file, found.line))
}

/// Why the manifests cannot be applied, if one refers to what no resource of the stack has.
pub fn impossible(stack: &Stack, resources: &[Desired]) -> Option<String> {
    let objects = stack.workloads.as_ref().map(Workloads::objects).unwrap_or_default();
    let complaints: Vec<String> = objects.iter().flat_map(|manifest| complaints(manifest, resources)).collect();
    (!complaints.is_empty()).then(|| complaints.join("; "))
}

fn complaints(manifest: &Manifest, resources: &[Desired]) -> Vec<String> {
    let Manifest { file, line, object, .. } = manifest;
    references::complaints(&format!("{file}:{line}"), object, resources)
}
