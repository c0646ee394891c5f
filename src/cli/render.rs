//! `eksup render`: policies, user data, templates and Kubernetes objects as they would be used.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::arguments::StackFile;
use super::session::read_stack;
use super::{Exit, output};
use crate::phases::{self, PHASES, Surroundings};
use crate::plan::{Address, Desired};
use crate::render::yaml;

/// The arguments of `eksup render`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    stack: StackFile,
    /// Print only the resources whose address begins so: `bastion/`, `addons/metrics-server`, `workloads`.
    #[arg(long, value_name = "ADDRESS")]
    only: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let stack = match read_stack(&arguments.stack.path) {
        Ok(stack) => stack,
        Err(exit) => return exit,
    };
    let mut resources = phases::resources(&stack, &Surroundings::offline(&stack));
    if let Some(prefix) = &arguments.only {
        resources.retain(|resource| resource.address.as_str().starts_with(prefix.as_str()));
    }
    output::text(rendered(&resources));
    Exit::Done
}

/// The documents of AWS resources, then the Kubernetes objects as one stream of YAML.
fn rendered(resources: &[Desired]) -> String {
    let documents = resources.iter().flat_map(|resource| {
        documents(resource)
            .into_iter()
            .map(|(field, document)| format!("# {} {field}\n{document}\n\n", resource.address))
    });
    let mut objects: Vec<_> = resources.iter().filter_map(|one| Some((&one.address, object(one)?))).collect();
    objects.sort_by_key(|(address, object)| place(address, object));
    let objects = objects.iter().map(|(address, object)| format!("---\n# {address}\n{}", yaml::write(object)));
    documents.chain(objects).collect()
}

/// Where an object stands in the stream: by phase, and there what others stand in before the others.
fn place(address: &Address, object: &Value) -> (Option<usize>, bool) {
    let phase = PHASES.iter().position(|phase| *phase == address.phase());
    (phase, !matches!(object["kind"].as_str(), Some("Namespace" | "CustomResourceDefinition")))
}

/// The Kubernetes object of a resource, if it is one. What is known only later stands there as a placeholder.
fn object(resource: &Desired) -> Option<Value> {
    match resource.kind.as_str() {
        "object" => resource.body.get("manifest").cloned(),
        "webhook-certificate" => {
            Deserialize::deserialize(&resource.body).ok().as_ref().map(phases::certificate_outline)
        }
        _ => None,
    }
}

/// The fields of a resource that hold a document: a policy, a template, user data.
fn documents(resource: &Desired) -> Vec<(String, String)> {
    if object(resource).is_some() {
        return Vec::new();
    }
    let fields = resource.body.as_object().into_iter().flatten();
    fields
        .flat_map(|(field, value)| match value {
            Value::String(text) if text.contains('\n') => vec![(field.clone(), text.clone())],
            Value::Object(entries) if is_policy(value) || entries.contains_key("Resources") => {
                vec![(field.clone(), format!("{value:#}"))]
            }
            Value::Object(entries) => entries
                .iter()
                .filter(|(_, entry)| is_policy(entry))
                .map(|(name, entry)| (format!("{field} `{name}`"), format!("{entry:#}")))
                .collect(),
            _ => Vec::new(),
        })
        .collect()
}

fn is_policy(value: &Value) -> bool {
    value.get("Statement").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::Stack;

    fn shop() -> Stack {
        let mut stack: Stack = serde_json::from_value(json!({
            "apiVersion": "eksup.dev/v1", "kind": "Stack",
            "metadata": { "name": "shop", "region": "eu-central-1" },
            "network": {},
            "cluster": { "version": "1.35", "nodeGroups": [{ "name": "system", "instanceTypes": ["t3.medium"], "max": 3 }] },
            "addons": { "loadBalancerController": {}, "metricsServer": {} },
            "workloads": { "autoscaling": [{ "target": "deployment/web", "max": 4, "cpu": 60 }] },
        }))
        .expect("a stack");
        stack.identity.get_or_insert_default();
        stack
    }

    #[test]
    fn the_objects_are_one_stream_of_yaml_with_their_addresses() {
        let stack = shop();
        let mut resources = phases::resources(&stack, &Surroundings::offline(&stack));
        let text = rendered(&resources);
        assert_eq!(text, rendered(&phases::resources(&stack, &Surroundings::offline(&stack))), "always the same");
        let start = text.find("---\n").expect("objects");
        let read: Vec<Value> = serde_saphyr::from_multiple(&text[start..]).expect("YAML");
        resources.retain(|resource| object(resource).is_some());
        assert_eq!(read.len(), resources.len());
        assert!(resources.iter().filter_map(object).all(|object| read.contains(&object)));
        assert_eq!(read[0]["kind"], "CustomResourceDefinition", "what others stand in comes first");
        assert!(text.contains("# addons/metrics-server/deployment/kube-system/metrics-server\napiVersion: apps/v1\n"));
    }

    #[test]
    fn what_is_known_only_later_is_said_to_be() {
        let stack = shop();
        let text = rendered(&phases::resources(&stack, &Surroundings::offline(&stack)));
        let secret = "addons/load-balancer-controller/secret/kube-system/aws-load-balancer-tls";
        assert!(text.contains(&format!("caBundle: ${{output:{secret}#caBundle}}")), "{text}");
        assert!(text.contains("--aws-vpc-id=${output:network/vpc#id}"));
        assert!(text.contains("tls.key: <made when it is applied>") && !text.contains("PRIVATE KEY"));
    }
}
