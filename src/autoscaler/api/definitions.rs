//! The custom resource definitions, generated from the types.

use super::{EC2NodeClass, NodeClaim, NodePool};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The three definitions: all cluster-scoped, with a status of their own.
pub fn definitions() -> [CustomResourceDefinition; 3] {
    [NodePool::crd(), NodeClaim::crd(), EC2NodeClass::crd()]
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
    fn group_names_are_those_that_existing_manifests_use() {
        let names: Vec<_> = definitions().iter().filter_map(|d| d.metadata.name.clone()).collect();
        assert_eq!(names, ["nodepools.karpenter.sh", "nodeclaims.karpenter.sh", "ec2nodeclasses.karpenter.k8s.aws"]);
    }
}
