//! Light checks of NodePool and EC2NodeClass specs: what nobody writes on purpose. The rest is for the API server,
//! which has the whole schema.

use serde_json::{Map, Value as Json};

use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::Stack;
use crate::spec::problem::{any_of, nearest, quoted};

type Spec = Map<String, Json>;

const POOL_KEYS: &[&str] = &["template", "disruption", "limits", "weight", "replicas"];
const TEMPLATE_SPEC_KEYS: &[&str] =
    &["taints", "startupTaints", "requirements", "nodeClassRef", "expireAfter", "terminationGracePeriod"];
const OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Gte", "Lte"];
const CONSOLIDATION_POLICIES: &[&str] = &["WhenEmptyOrUnderutilized", "WhenEmpty", "Balanced"];
/// More unknown keys than this are not those of a spec.
const MOST_KEYS: usize = 100;
const CLASS_KEYS: &[&str] = &[
    "subnetSelectorTerms",
    "securityGroupSelectorTerms",
    "amiSelectorTerms",
    "amiFamily",
    "capacityReservationSelectorTerms",
    "placementGroupSelector",
    "role",
    "instanceProfile",
    "userData",
    "context",
    "detailedMonitoring",
    "associatePublicIPAddress",
    "ipPrefixCount",
    "tags",
    "kubelet",
    "blockDeviceMappings",
    "instanceStorePolicy",
    "metadataOptions",
    "networkInterfaces",
    "connectionTracking",
    "cpuOptions",
];

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(autoscaler) = &stack.autoscaler else {
        return;
    };
    for (index, pool) in autoscaler.node_pools.iter().enumerate() {
        let path = Path::of("autoscaler.nodePools").index(index).key("spec");
        if is_a_spec(&pool.spec, &path, report) {
            pool_is_usable(&pool.spec, &path, report);
        }
    }
    for (index, class) in autoscaler.node_classes.iter().enumerate() {
        let path = Path::of("autoscaler.nodeClasses").index(index).key("spec");
        if is_a_spec(&class.spec, &path, report) {
            class_is_usable(&class.spec, &path, &stack.metadata.name, report);
        }
    }
}

/// A whole manifest under `spec` is a mistake that is easily made.
fn is_a_spec(spec: &Spec, path: &Path, report: &mut Report<'_>) -> bool {
    let manifest = ["apiVersion", "kind", "metadata", "spec"].iter().find(|key| spec.contains_key(**key));
    if let Some(key) = manifest {
        report.add(Finding::of_key(
            path.key(*key),
            format!("`{key}` is a part of the whole object, and this is only its spec"),
            "move up what is under the inner `spec`, and remove `apiVersion`, `kind` and `metadata`",
        ));
    }
    manifest.is_none()
}

fn keys_are_known(spec: &Spec, known: &[&str], what: &str, path: &Path, report: &mut Report<'_>) {
    let unknown = spec.keys().filter(|key| !known.contains(&key.as_str()));
    for key in unknown.take(MOST_KEYS) {
        let help = match (key.as_str(), nearest(key, known.iter().copied())) {
            ("provider" | "providerRef" | "requirements" | "ttlSecondsAfterEmpty" | "ttlSecondsUntilExpired", _)
                if what == "a NodePool" =>
            {
                "write the `karpenter.sh/v1` form: `template.spec` holds `requirements` and `nodeClassRef`".to_owned()
            }
            ("subnetSelector" | "securityGroupSelector", _) => {
                format!("write `{key}Terms: [{{ tags: {{ … }} }}]`")
            }
            (_, Some(likely)) => format!("write `{likely}`"),
            (_, None) => format!("remove it, or write {}", any_of(known)),
        };
        report.add(Finding::of_key(path.key(key), format!("{} is not a key of {what}", quoted(key)), help));
    }
}

fn pool_is_usable(spec: &Spec, path: &Path, report: &mut Report<'_>) {
    keys_are_known(spec, POOL_KEYS, "a NodePool", path, report);
    if !spec.contains_key("limits") {
        report.add(
            Finding::of_key(
                path.clone(),
                "the NodePool has no `limits`",
                "add `limits: { cpu: \"100\" }`, or what you are ready to pay for",
            )
            .because("without them a mistake in a workload can buy any number of nodes")
            .warning(),
        );
    }
    disruption_is_of_this_version(spec, path, report);
    let template = spec.get("template").and_then(|template| template.get("spec"));
    let Some(Json::Object(template)) = template else {
        report.add(Finding::of_key(
            path.clone(),
            "the NodePool lacks `template.spec`",
            "add `template: { spec: { nodeClassRef: …, requirements: … } }`",
        ));
        return;
    };
    let path = path.key("template").key("spec");
    template_spec_is_usable(template, &path, report);
}

fn disruption_is_of_this_version(spec: &Spec, path: &Path, report: &mut Report<'_>) {
    let Some(disruption) = spec.get("disruption") else {
        return;
    };
    let path = path.key("disruption");
    if disruption.get("expireAfter").is_some() {
        report.add(
            Finding::of_key(
                path.key("expireAfter"),
                "`expireAfter` does not belong to `disruption`",
                "move it to `template.spec`",
            )
            .because("it moved there in `karpenter.sh/v1`"),
        );
    }
    let policy = disruption.get("consolidationPolicy").and_then(Json::as_str);
    if let Some(policy) = policy.filter(|policy| !CONSOLIDATION_POLICIES.contains(policy)) {
        let help = match policy {
            "WhenUnderutilized" => "write `WhenEmptyOrUnderutilized`, its name since `karpenter.sh/v1`".to_owned(),
            _ => format!("write {}", any_of(CONSOLIDATION_POLICIES)),
        };
        report.add(Finding::new(
            path.key("consolidationPolicy"),
            format!("`consolidationPolicy` cannot be {}", quoted(policy)),
            help,
        ));
    }
}

fn template_spec_is_usable(spec: &Spec, path: &Path, report: &mut Report<'_>) {
    keys_are_known(spec, TEMPLATE_SPEC_KEYS, "a NodePool's template", path, report);
    class_reference_is_whole(spec.get("nodeClassRef"), path, report);
    match spec.get("requirements") {
        Some(Json::Array(requirements)) => {
            for (index, requirement) in requirements.iter().enumerate() {
                requirement_is_whole(requirement, &path.key("requirements").index(index), report);
            }
        }
        Some(_) => report.add(Finding::of_key(
            path.key("requirements"),
            "`requirements` is not a list",
            "write `requirements: [{ key: karpenter.sh/capacity-type, operator: In, values: [on-demand] }]`",
        )),
        None => report.add(Finding::of_key(
            path.clone(),
            "the NodePool's template lacks `requirements`",
            "add `requirements: []` for any instance type, or name what the nodes must be",
        )),
    }
}

fn class_reference_is_whole(reference: Option<&Json>, path: &Path, report: &mut Report<'_>) {
    let whole = "write `nodeClassRef: { group: karpenter.k8s.aws, kind: EC2NodeClass, name: default }`";
    let Some(reference) = reference else {
        report.add(Finding::of_key(path.clone(), "the NodePool's template lacks `nodeClassRef`", whole));
        return;
    };
    let path = path.key("nodeClassRef");
    if reference.get("apiVersion").is_some() {
        report.add(
            Finding::of_key(path.key("apiVersion"), "`nodeClassRef` has no `apiVersion`", whole)
                .because("since `karpenter.sh/v1` it names the `group` alone"),
        );
        return;
    }
    let missing: Vec<&str> = ["group", "kind", "name"]
        .into_iter()
        .filter(|key| reference.get(key).and_then(Json::as_str).is_none_or(str::is_empty))
        .collect();
    if !missing.is_empty() {
        let message = format!("`nodeClassRef` lacks {}", crate::spec::problem::list(&missing));
        report.add(Finding::of_key(path, message, whole));
    }
}

fn requirement_is_whole(requirement: &Json, path: &Path, report: &mut Report<'_>) {
    let example = "write `{ key: kubernetes.io/arch, operator: In, values: [amd64] }`";
    let Some(operator) = requirement.get("operator").and_then(Json::as_str) else {
        report.add(Finding::new(path.clone(), "this requirement has no `operator`", example));
        return;
    };
    if requirement.get("key").and_then(Json::as_str).is_none_or(str::is_empty) {
        report.add(Finding::new(path.clone(), "this requirement has no `key`", example));
    }
    if !OPERATORS.contains(&operator) {
        let help = match nearest(operator, OPERATORS.iter().copied()) {
            Some(likely) => format!("write `{likely}`"),
            None => format!("write {}", any_of(OPERATORS)),
        };
        report.add(Finding::new(path.key("operator"), format!("`operator` cannot be {}", quoted(operator)), help));
        return;
    }
    let Some(Json::Array(values)) = requirement.get("values") else {
        if operator == "In" {
            report.add(Finding::new(path.clone(), "this requirement has no list of `values`", example));
        }
        return;
    };
    if let Some(index) = values.iter().position(|value| !value.is_string()) {
        let written = values[index].to_string();
        report.add(
            Finding::new(
                path.key("values").index(index),
                format!("{} is not text", quoted(&written)),
                format!("write `\"{written}\"`"),
            )
            .because("values of requirements are label values, which are text"),
        );
    }
}

fn class_is_usable(spec: &Spec, path: &Path, stack: &str, report: &mut Report<'_>) {
    keys_are_known(spec, CLASS_KEYS, "an EC2NodeClass", path, report);
    let discovery = format!("[{{ tags: {{ karpenter.sh/discovery: {stack} }} }}]");
    let needed = [
        ("amiSelectorTerms", "[{ alias: al2023@latest }]".to_owned()),
        ("subnetSelectorTerms", discovery.clone()),
        ("securityGroupSelectorTerms", discovery),
    ];
    for (key, example) in needed {
        let old = spec.contains_key(key.trim_end_matches("Terms"));
        let terms = spec.get(key).and_then(Json::as_array);
        if !old && terms.is_none_or(Vec::is_empty) {
            let place = if spec.contains_key(key) { path.key(key) } else { path.clone() };
            report.add(Finding::of_key(
                place,
                format!("the EC2NodeClass lacks `{key}`"),
                format!("add `{key}: {example}`"),
            ));
        }
    }
    let (role, profile) = (spec.contains_key("role"), spec.contains_key("instanceProfile"));
    if role && profile {
        report.add(
            Finding::of_key(
                path.key("instanceProfile"),
                "`role` and `instanceProfile` exclude each other",
                "keep `role`",
            )
            .see(path.key("role"), "the role"),
        );
    } else if !role && !profile {
        report.add(
            Finding::of_key(
                path.clone(),
                "the EC2NodeClass lacks `role`",
                format!("add `role: KarpenterNodeRole-{stack}`, which eksup makes for these nodes"),
            )
            .given(Path::of("metadata.name")),
        );
    }
}
