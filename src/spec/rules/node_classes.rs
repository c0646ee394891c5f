//! How the node classes of a stack fit its cluster: whether nodes get a role that is let in, and a place to stand.

use serde_json::Value as Json;

use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::{InterruptionEngine, NodeClass, Stack};
use crate::spec::problem::{list, quoted};

/// The tag by which the nodes of an autoscaler find their place.
const DISCOVERY: &str = "karpenter.sh/discovery";
/// The longest name of a role.
const LONGEST_ROLE: usize = 64;

pub(super) fn check(stack: &Stack, class: &NodeClass, path: &Path, report: &mut Report<'_>) {
    role_is_one_of_nodes(stack, class, path, report);
    profile_is_let_in(class, path, report);
    if stack.network.as_ref().is_some_and(|network| network.existing.is_none()) {
        selectors_find_something(stack, class, path, report);
    }
}

fn role_is_one_of_nodes(stack: &Stack, class: &NodeClass, path: &Path, report: &mut Report<'_>) {
    let path = path.key("role");
    let Some(role) = class.spec.get("role").and_then(Json::as_str).filter(|role| !role.is_empty()) else { return };
    let name = role.rsplit('/').next().unwrap_or(role);
    let allowed = |character: char| character.is_ascii_alphanumeric() || "+=,.@_-".contains(character);
    if name != role || role.starts_with("arn:") {
        report.add(
            Finding::new(path, format!("{} is not the name of a role", quoted(role)), format!("write `{name}`"))
                .because("an instance profile takes the role by its name alone"),
        );
        return;
    }
    if role.len() > LONGEST_ROLE || !role.chars().all(allowed) {
        let help = "write the name of a role: up to 64 letters, digits and `+=,.@_-`";
        report.add(Finding::new(path, format!("{} cannot name a role", quoted(role)), help));
        return;
    }
    let own = format!("{}-{}-", stack.metadata.name, stack.metadata.region);
    if let Some(purpose) = role.strip_prefix(&own).filter(|purpose| *purpose != "nodes") {
        report.add(
            Finding::new(
                path,
                format!("{} is not a role for nodes", quoted(role)),
                "leave `role` out, or write another",
            )
            .because(format!("the stack has it for `{purpose}`, and EC2 may not take it"))
            .given(Path::of("metadata.name"))
            .given(Path::of("metadata.region")),
        );
        return;
    }
    let by_cloudformation =
        stack.interruption.as_ref().is_some_and(|one| one.engine == InterruptionEngine::Cloudformation);
    if role == format!("KarpenterNodeRole-{}", stack.metadata.name)
        && !by_cloudformation
        && stack.interruption.is_some()
    {
        report.add(
            Finding::new(
                path,
                format!("nothing in this stack makes the role {}", quoted(role)),
                "leave `role` out for the one that the stack makes, unless the account has this one already",
            )
            .because("only `interruption: { engine: cloudformation }` makes it")
            .given(Path::of("interruption.engine"))
            .given(Path::of("metadata.name"))
            .warning(),
        );
    }
}

/// The role behind a profile is not known here, so nobody lets it in.
fn profile_is_let_in(class: &NodeClass, path: &Path, report: &mut Report<'_>) {
    if class.spec.contains_key("instanceProfile") && !class.spec.contains_key("role") {
        report.add(
            Finding::of_key(
                path.key("instanceProfile"),
                "the role in this profile has to be let into the cluster, and eksup does not know it",
                "write `role` instead, or make an access entry of type EC2_LINUX and a permission to pass the role",
            )
            .because("the profile's role is known to the account only")
            .warning(),
        );
    }
}

/// In a network of the stack's own the tags of subnets and of the cluster's security group are known.
fn selectors_find_something(stack: &Stack, class: &NodeClass, path: &Path, report: &mut Report<'_>) {
    let name = stack.metadata.name.as_str();
    let mut common = vec![("eksup.dev/stack", name), ("eksup.dev/resource", "*"), ("Name", "*")];
    common.extend(stack.metadata.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let mut subnets = common.clone();
    subnets.extend([(DISCOVERY, name), ("kubernetes.io/role/internal-elb", "1"), ("kubernetes.io/role/elb", "1")]);
    let cluster = format!("kubernetes.io/cluster/{name}");
    let groups = [
        (DISCOVERY, name),
        (cluster.as_str(), "owned"),
        ("aws:eks:cluster-name", name),
        ("Name", "*"),
        ("eksup.dev/stack", name),
    ];
    selector_finds("subnetSelectorTerms", "subnet", &subnets, name, class, path, report);
    selector_finds("securityGroupSelectorTerms", "security group", &groups, name, class, path, report);
}

/// Warns where none of the terms can find anything of the stack. What selects by id or name is left to AWS.
fn selector_finds(
    key: &str,
    what: &str,
    known: &[(&str, &str)],
    stack: &str,
    class: &NodeClass,
    path: &Path,
    report: &mut Report<'_>,
) {
    let Some(terms) = class.spec.get(key).and_then(Json::as_array).filter(|terms| !terms.is_empty()) else { return };
    let finds = |term: &Json| match term.get("tags").and_then(Json::as_object) {
        Some(tags) => tags.iter().all(|(key, wanted)| {
            let wanted = wanted.as_str().unwrap_or_default();
            known.iter().any(|(known, value)| known == key && (wanted == "*" || *value == "*" || *value == wanted))
        }),
        None => true,
    };
    if terms.iter().any(finds) {
        return;
    }
    let tags = terms.iter().filter_map(|term| term["tags"].as_object()).flatten();
    let tags: Vec<String> = tags.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    report.add(
        Finding::of_key(
            path.key(key),
            format!("no {what} of this stack has {}", list(&tags)),
            format!("write `[{{ tags: {{ {DISCOVERY}: {stack} }} }}]`, unless something else sets these tags"),
        )
        .because(format!("without a {what} the autoscaler launches nothing"))
        .given(Path::of("metadata.name"))
        .given(Path::of("metadata.tags"))
        .warning(),
    );
}
