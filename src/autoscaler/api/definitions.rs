//! The custom resource definitions, generated from the types, with the rules of each kind.

use super::{EC2NodeClass, NodeClaim, NodePool, rules};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

/// The three definitions: all cluster-scoped, with a status of their own.
pub fn definitions() -> [CustomResourceDefinition; 3] {
    [
        with_rules(NodePool::crd(), rules::node_pool),
        with_rules(NodeClaim::crd(), rules::node_claim),
        with_rules(EC2NodeClass::crd(), rules::ec2_node_class),
    ]
}

/// The definition with the rules that `add` adds to its schema.
fn with_rules(mut definition: CustomResourceDefinition, add: fn(&mut Value)) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let Some(validation) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        let Ok(mut schema) = serde_json::to_value(&*validation) else { continue };
        add(&mut schema);
        rules::without_null_defaults(&mut schema);
        if let Ok(complete) = serde_json::from_value(schema) {
            *validation = complete;
        }
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_are_cluster_scoped_with_status_and_category() {
        for definition in definitions() {
            let name = definition.metadata.name.clone().unwrap_or_default();
            assert_eq!(definition.spec.scope, "Cluster", "{name}");
            let version = &definition.spec.versions[0];
            assert!(version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()), "{name}");
            assert!(version.schema.is_some(), "{name}");
            assert!(definition.spec.names.categories.iter().flatten().any(|c| c == "karpenter"), "{name}");
        }
    }

    #[test]
    fn no_rule_is_about_a_field_that_there_is_not() {
        for definition in definitions() {
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).expect("a schema");
            let invented = rules::invented(&schema["openAPIV3Schema"]);
            assert!(invented.is_empty(), "{:?}: {invented:?}", definition.metadata.name);
            assert!(schema.to_string().contains("x-kubernetes-validations"), "{:?}", definition.metadata.name);
        }
    }

    #[test]
    fn group_names_are_those_that_existing_manifests_use() {
        let names: Vec<_> = definitions().iter().filter_map(|d| d.metadata.name.clone()).collect();
        assert_eq!(names, ["nodepools.karpenter.sh", "nodeclaims.karpenter.sh", "ec2nodeclasses.karpenter.k8s.aws"]);
    }
}
