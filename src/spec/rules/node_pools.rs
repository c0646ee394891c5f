//! NodePool and EC2NodeClass specs: everything that the API server or the autoscaler would refuse, each mistake at its
//! place in the file.

use std::sync::OnceLock;

use serde_json::{Map, Value as Json, json};

use super::structural::{self, Mismatch};
use super::{Finding, Report, node_classes};
use crate::autoscaler::api::definitions::definitions;
use crate::autoscaler::api::pool_reading::read_pool;
use crate::autoscaler::api::{EC2NodeClassSpec, Fault, NodePoolSpec, validate_class};
use crate::autoscaler::state::names::Names;
use crate::spec::document::Path;
use crate::spec::model::{NodeClass, NodePool, Stack};
use crate::spec::problem::quoted;

type Spec = Map<String, Json>;

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(autoscaler) = &stack.autoscaler else {
        return;
    };
    for (index, pool) in autoscaler.node_pools.iter().enumerate() {
        let path = Path::of("autoscaler.nodePools").index(index).key("spec");
        if is_a_spec(&pool.spec, &path, report) {
            pool_is_usable(pool, &path, report);
        }
    }
    for (index, class) in autoscaler.node_classes.iter().enumerate() {
        let path = Path::of("autoscaler.nodeClasses").index(index).key("spec");
        if is_a_spec(&class.spec, &path, report) {
            class_is_usable(class, &path, &stack.metadata.name, report);
            node_classes::check(stack, class, &path, report);
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

fn pool_is_usable(pool: &NodePool, path: &Path, report: &mut Report<'_>) {
    if !pool.spec.contains_key("limits") && !pool.spec.contains_key("replicas") {
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
    let mut spec = Json::Object(pool.spec.clone());
    let said = fits(&schemas().pool, &mut spec, path, "a NodePool", report);
    let faults = match serde_json::from_value::<NodePoolSpec>(spec) {
        Ok(spec) => read_pool(&mut Names::default(), &pool.name, &spec).err().unwrap_or_default(),
        Err(error) => undecoded(&error.to_string(), &said),
    };
    tell(&faults, path, &said, report);
}

fn class_is_usable(class: &NodeClass, path: &Path, stack: &str, report: &mut Report<'_>) {
    let mut spec = class.spec.clone();
    let mut said = terms_are_there(&mut spec, path, stack, report);
    if spec.contains_key("role") && spec.contains_key("instanceProfile") {
        report.add(
            Finding::of_key(
                path.key("instanceProfile"),
                "`role` and `instanceProfile` exclude each other",
                "keep `role`",
            )
            .see(path.key("role"), "the role"),
        );
        said.push(path.key("role"));
    } else if !spec.contains_key("instanceProfile") {
        // The stack's own role stands in for one that is left out.
        spec.entry("role").or_insert_with(|| "nodes".into());
    }
    let mut spec = Json::Object(spec);
    said.extend(fits(&schemas().class, &mut spec, path, "an EC2NodeClass", report));
    let faults = match serde_json::from_value::<EC2NodeClassSpec>(spec) {
        Ok(spec) => validate_class::ec2_node_class(&spec),
        Err(error) => undecoded(&error.to_string(), &said),
    };
    tell(&faults, path, &said, report);
}

/// Says which selectors are missing, with what to write, and puts examples in their places; gives the places that have
/// been spoken of.
fn terms_are_there(spec: &mut Spec, path: &Path, stack: &str, report: &mut Report<'_>) -> Vec<Path> {
    let discovery = format!("[{{ tags: {{ karpenter.sh/discovery: {stack} }} }}]");
    let by_tag = json!([{ "tags": { "karpenter.sh/discovery": stack } }]);
    let needed = [
        ("amiSelectorTerms", "[{ alias: al2023@latest }]".to_owned(), json!([{ "alias": "al2023@latest" }])),
        ("subnetSelectorTerms", discovery.clone(), by_tag.clone()),
        ("securityGroupSelectorTerms", discovery, by_tag),
    ];
    let mut said = Vec::new();
    for (key, example, stand_in) in needed {
        let old = spec.contains_key(key.trim_end_matches("Terms"));
        let given = spec.get(key).is_some_and(|terms| !terms.as_array().is_some_and(Vec::is_empty));
        if given {
            continue;
        }
        said.push(path.key(key));
        if key == "amiSelectorTerms" {
            said.push(path.key("amiFamily"));
        }
        if !old {
            let place = if spec.contains_key(key) { path.key(key) } else { path.clone() };
            report.add(Finding::of_key(
                place,
                format!("the EC2NodeClass lacks `{key}`"),
                format!("add `{key}: {example}`"),
            ));
        }
        spec.insert(key.to_owned(), stand_in);
    }
    said
}

/// The schemas of the two specs.
struct Schemas {
    pool: Json,
    class: Json,
}

fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let [pool, _, class] = definitions();
        let spec = |definition| {
            let definition = serde_json::to_value(definition).unwrap_or_default();
            let place = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
            definition.pointer(place).cloned().unwrap_or_default()
        };
        Schemas { pool: spec(pool), class: spec(class) }
    })
}

/// Says what in `spec` has not the shape of its kind, and takes it out; gives the places that have been spoken of.
fn fits(schema: &Json, spec: &mut Json, path: &Path, what: &str, report: &mut Report<'_>) -> Vec<Path> {
    let mismatches = structural::mend(schema, spec, path, what);
    let said: Vec<Path> = mismatches.iter().map(|one| one.path.clone()).collect();
    // A version instead of a group is one mistake.
    let reference = path.key("template").key("spec").key("nodeClassRef");
    let by_version = said.contains(&reference.key("apiVersion"));
    for mismatch in mismatches.into_iter().filter(|one| !(by_version && one.path == reference)) {
        report.add(explained(mismatch, path));
    }
    said
}

/// A mismatch in the words of those who know where it comes from.
fn explained(mismatch: Mismatch, spec: &Path) -> Finding {
    let Mismatch { path, at_key, message, help } = mismatch;
    let below = path.to_string();
    let below = below.strip_prefix(&spec.to_string()).unwrap_or(&below).trim_start_matches('.').to_owned();
    let finding = |message: String, help: &str| match at_key {
        true => Finding::of_key(path.clone(), message, help),
        false => Finding::new(path.clone(), message, help),
    };
    match below.as_str() {
        "" | "template" if message.contains("lacks") => finding(
            "the NodePool lacks `template.spec`".to_owned(),
            "add `template: { spec: { nodeClassRef: …, requirements: … } }`",
        ),
        "template.spec" if message.contains("`requirements`") => {
            finding(message, "add `requirements: []` for any instance type, or name what the nodes must be")
        }
        "disruption.expireAfter" => {
            finding("`expireAfter` does not belong to `disruption`".to_owned(), "move it to `template.spec`")
                .because("it moved there in `karpenter.sh/v1`")
        }
        "disruption.consolidationPolicy" if message.contains("`WhenUnderutilized`") => {
            finding(message, "write `WhenEmptyOrUnderutilized`, its name since `karpenter.sh/v1`")
        }
        "template.spec.nodeClassRef.apiVersion" => {
            finding("`nodeClassRef` has no `apiVersion`".to_owned(), CLASS_REFERENCE)
                .because("since `karpenter.sh/v1` it names the `group` alone")
        }
        "template.spec.nodeClassRef" | "template.spec.nodeClassRef.group" => finding(message, CLASS_REFERENCE),
        "provider" | "providerRef" | "requirements" | "ttlSecondsAfterEmpty" | "ttlSecondsUntilExpired" => finding(
            message,
            "write the `karpenter.sh/v1` form: `template.spec` holds `requirements` and `nodeClassRef`",
        ),
        "subnetSelector" | "securityGroupSelector" => {
            finding(message, &format!("write `{below}Terms: [{{ tags: {{ … }} }}]`"))
        }
        "template.spec.requirements" => {
            finding(message, "write `requirements: [{ key: kubernetes.io/arch, operator: In, values: [amd64] }]`")
        }
        _ if below.starts_with("template.spec.requirements[") && message.contains("lacks") => {
            finding(message, "write `{ key: kubernetes.io/arch, operator: In, values: [amd64] }`")
        }
        _ if below.contains("requirements[") && below.contains(".values[") => {
            finding(message, &help).because("values of requirements are label values, which are text")
        }
        _ => finding(message, &help),
    }
}

const CLASS_REFERENCE: &str = "write `nodeClassRef: { group: karpenter.k8s.aws, kind: EC2NodeClass, name: default }`";

/// A spec that fits its schema can be decoded; where something was taken out that it needs, that has been said.
fn undecoded(error: &str, said: &[Path]) -> Vec<Fault> {
    let fault = || Fault { field: "spec".to_owned(), message: format!("it cannot be understood: {error}") };
    if said.is_empty() { vec![fault()] } else { Vec::new() }
}

/// Says every fault at its place, unless something has been said of that place.
fn tell(faults: &[Fault], spec: &Path, said: &[Path], report: &mut Report<'_>) {
    for fault in faults {
        let path = place(&fault.field, spec);
        if !said.iter().any(|said| said.touches(&path)) {
            let (message, help) = worded(&fault.message, &path);
            report.add(Finding::new(path, message, help));
        }
    }
}

/// The place in the file of a field such as `spec.template.spec.requirements[0].key` or `spec.limits[cpu]`.
fn place(field: &str, spec: &Path) -> Path {
    let mut path = spec.clone();
    let mut rest = field.strip_prefix("spec").unwrap_or(field);
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (name, after) = inside.split_once(']').unwrap_or((inside, ""));
            path = name.parse().map_or_else(|_| path.key(name), |index| path.index(index));
            rest = after;
        } else {
            let inside = rest.trim_start_matches('.');
            let end = inside.find(['.', '[']).unwrap_or(inside.len());
            if end > 0 {
                path = path.key(&inside[..end]);
            }
            rest = &inside[end..];
        }
    }
    path
}

/// A fault's words as a message and what to do. `is 0; it must be from 1 to 100` becomes two sentences.
fn worded(fault: &str, path: &Path) -> (String, String) {
    const ADVICE: &[&str] = &["give ", "it begins ", "make ", "use ", "write "];
    let advised = |what: &str, rest: &str| (what.to_owned(), rest.to_owned());
    let (what, instead) = fault
        .split_once("; ")
        .or_else(|| fault.split_once(": ").filter(|(_, rest)| ADVICE.iter().any(|word| rest.starts_with(word))))
        .map_or_else(|| advised(fault, "correct it; the cluster would refuse it"), |(what, rest)| advised(what, rest));
    // What goes on after the name of the field; anything else is a sentence of its own.
    let goes_on = ["cannot ", "excludes ", "has ", "is ", "must ", "needs "].iter().any(|verb| what.starts_with(verb));
    let message = match path.last_key() {
        Some(key) if goes_on => format!("{} {what}", quoted(key)),
        _ => what,
    };
    (message, instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_fault_is_a_place_in_the_file() {
        let spec = Path::of("autoscaler.nodePools").index(1).key("spec");
        let at = |field: &str| place(field, &spec);
        assert_eq!(
            at("spec.template.spec.requirements[0].key").to_string(),
            "autoscaler.nodePools[1].spec.template.spec.requirements[0].key"
        );
        assert_eq!(at("spec.limits[example.com/gpu]"), spec.key("limits").key("example.com/gpu"));
        assert_eq!(at("spec"), spec);
    }

    #[test]
    fn faults_become_a_message_and_what_to_do() {
        let at = Path::of("spec.weight");
        let said = |fault: &str| worded(fault, &at);
        assert_eq!(
            said("is 0; it must be from 1 to 100, or left out"),
            ("`weight` is 0".to_owned(), "it must be from 1 to 100, or left out".to_owned())
        );
        assert_eq!(said("`x` is unknown: use A or B"), ("`x` is unknown".to_owned(), "use A or B".to_owned()));
        assert_eq!(said("must not be empty").0, "`weight` must not be empty");
    }
}
