//! Tags of what is launched. IAM policies that are made for Karpenter have conditions on just these keys.

use std::collections::BTreeMap;

use super::class::ResolvedClass;

/// The NodePool that an instance was launched for.
pub const NODE_POOL: &str = "karpenter.sh/nodepool";
/// The claim of an instance, once its node is registered.
pub const NODE_CLAIM: &str = "karpenter.sh/nodeclaim";
/// The class that something was made for.
pub const NODE_CLASS: &str = "karpenter.k8s.aws/ec2nodeclass";
/// The cluster's name.
pub const CLUSTER_NAME: &str = "eks:eks-cluster-name";
/// The region of an instance profile: those are the same in all regions.
pub const REGION: &str = "topology.kubernetes.io/region";

/// The key that says whose cluster something belongs to; its value is `owned`.
pub fn cluster_key(cluster: &str) -> String {
    format!("kubernetes.io/cluster/{cluster}")
}

/// What everything carries that is made for a class.
fn of_class(cluster: &str, class: &str, users: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut tags = users.clone();
    tags.insert(cluster_key(cluster), "owned".to_owned());
    tags.insert(CLUSTER_NAME.to_owned(), cluster.to_owned());
    tags.insert(NODE_CLASS.to_owned(), class.to_owned());
    tags
}

/// Tags of launch templates, fleets, instances, volumes, interfaces and spot requests.
pub fn of_launch(cluster: &str, class: &ResolvedClass, pool: &str) -> BTreeMap<String, String> {
    let mut tags = of_class(cluster, &class.name, &class.spec.tags);
    tags.insert(NODE_POOL.to_owned(), pool.to_owned());
    tags
}

/// Tags of instance profiles.
pub fn of_profile(
    cluster: &str,
    region: &str,
    class: &str,
    users: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut tags = of_class(cluster, class, users);
    tags.insert(REGION.to_owned(), region.to_owned());
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tags: &BTreeMap<String, String>) -> Vec<String> {
        tags.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn launches_and_profiles_carry_the_tags_that_policies_ask_for() {
        let class = ResolvedClass {
            name: "general".to_owned(),
            spec: crate::autoscaler::api::EC2NodeClassSpec {
                tags: BTreeMap::from([
                    ("team".to_owned(), "web".to_owned()),
                    (NODE_POOL.to_owned(), "of a liar".to_owned()),
                ]),
                ..Default::default()
            },
            ..ResolvedClass::empty()
        };
        assert_eq!(
            shown(&of_launch("shop", &class, "default")),
            [
                "eks:eks-cluster-name=shop",
                "karpenter.k8s.aws/ec2nodeclass=general",
                "karpenter.sh/nodepool=default",
                "kubernetes.io/cluster/shop=owned",
                "team=web",
            ]
        );
        assert_eq!(
            shown(&of_profile("shop", "eu-west-1", "general", &BTreeMap::new())),
            [
                "eks:eks-cluster-name=shop",
                "karpenter.k8s.aws/ec2nodeclass=general",
                "kubernetes.io/cluster/shop=owned",
                "topology.kubernetes.io/region=eu-west-1",
            ]
        );
    }
}
