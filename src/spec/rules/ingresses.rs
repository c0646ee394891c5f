//! Rules for Ingresses among the manifests: somebody makes their load balancer.

use serde_json::Value as Json;

use super::manifests::manifest_path;
use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::{Manifest, Stack};
use crate::spec::problem::quoted;

/// The class that eksup's controller has.
const CLASS: &str = "alb";

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let controller = stack.addons.as_ref().is_some_and(|addons| addons.load_balancer_controller.is_some());
    let Some(workloads) = stack.workloads.as_ref().filter(|_| !controller) else {
        return;
    };
    let objects = workloads.objects();
    let brings_its_own = objects.iter().any(|manifest| {
        manifest.object["kind"] == "IngressClass" && text(&manifest.object, "/metadata/name") == Some(CLASS)
    });
    for manifest in objects.iter().filter(|manifest| !brings_its_own && class(manifest) == Some(CLASS)) {
        let name = text(&manifest.object, "/metadata/name").unwrap_or_default();
        report.add(
            Finding::new(
                manifest_path(manifest.item),
                format!(
                    "nothing makes a load balancer for the Ingress {} in `{}:{}`",
                    quoted(name),
                    manifest.file,
                    manifest.line
                ),
                "add `addons: { loadBalancerController: {} }`",
            )
            .because("its class is `alb`, and the stack has no controller of that class")
            .given(Path::of("addons"))
            .warning(),
        );
    }
}

fn text<'a>(object: &'a Json, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Json::as_str)
}

/// The class of an Ingress, by its field or by the older annotation.
fn class(manifest: &Manifest) -> Option<&str> {
    let object = &manifest.object;
    let annotation = || text(object, "/metadata/annotations/kubernetes.io~1ingress.class");
    (object["kind"] == "Ingress").then(|| text(object, "/spec/ingressClassName").or_else(annotation))?
}
