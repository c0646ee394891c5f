//! What counts as this stack's when others have made it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::aws::error::CloudError;
use crate::aws::reads::Reads;
use crate::aws::{eks, vpc};
use crate::plan::{STACK, Tags};

/// By what the things of a stack are told that others have made: its cluster's name, and its own VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Territory {
    /// The cluster's name. None if a cluster of that name belongs to somebody else: then whatever
    /// carries the name is theirs.
    pub cluster: Option<String>,
    /// The region.
    pub region: String,
    /// The VPCs that the stack has made. One that it only uses is not among them.
    pub vpcs: BTreeSet<String>,
}

/// The tag that the load balancer controller puts on everything that it makes.
const CONTROLLER: &str = "elbv2.k8s.aws/cluster";

impl Territory {
    /// The territory of the stack that `reads` looks at.
    ///
    /// # Errors
    /// The failure of a call.
    pub async fn of(reads: &Reads) -> Result<Arc<Self>, CloudError> {
        reads
            .once("the stack's territory", || async {
                let (vpcs, cluster) = tokio::try_join!(vpc::ids(reads), eks::cluster(reads))?;
                let theirs = cluster
                    .as_ref()
                    .as_ref()
                    .is_some_and(|cluster| eks::tags(cluster.tags()).get(STACK) != Some(&reads.stack));
                Ok(Self {
                    cluster: (!theirs).then(|| reads.stack.clone()),
                    region: reads.cloud.region.clone(),
                    vpcs: vpcs.into_iter().collect(),
                })
            })
            .await
    }

    /// Whether something stands in a VPC that the stack has made.
    pub fn holds(&self, vpc: Option<&str>) -> bool {
        vpc.is_some_and(|vpc| self.vpcs.contains(vpc))
    }

    /// Whether something can be this stack's at all: where the stack has a VPC of its own, its
    /// cluster makes nothing elsewhere.
    pub fn may_hold(&self, vpc: Option<&str>) -> bool {
        self.cluster.is_some() && (self.vpcs.is_empty() || self.holds(vpc))
    }

    /// Whether the tag `key` names the stack's cluster.
    pub fn names_cluster(&self, tags: &Tags, key: &str) -> bool {
        self.cluster.is_some() && tags.get(key) == self.cluster.as_ref()
    }

    /// Whether the load balancer controller of the stack's cluster has made something.
    pub fn of_load_balancer_controller(&self, tags: &Tags) -> bool {
        self.names_cluster(tags, CONTROLLER)
    }

    /// The key of the tag by which Kubernetes marks what a cluster owns.
    pub fn ownership_key(&self) -> Option<String> {
        self.cluster.as_ref().map(|cluster| format!("kubernetes.io/cluster/{cluster}"))
    }

    /// Whether the stack's cluster owns something, by the tag of Kubernetes.
    pub fn owns(&self, tags: &Tags) -> bool {
        self.ownership_key().and_then(|key| tags.get(&key)).is_some_and(|value| value == "owned")
    }

    /// Whether an autoscaler of the stack's cluster has made something.
    pub fn of_autoscaler(&self, tags: &Tags) -> bool {
        self.names_cluster(tags, AUTOSCALED_CLUSTER)
    }
}

/// The tag with the cluster's name on everything that Karpenter and eksup's autoscaler make.
pub const AUTOSCALED_CLUSTER: &str = "eks:eks-cluster-name";
/// The tag with the name of the NodePool on the instances that they make.
pub const NODE_POOL: &str = "karpenter.sh/nodepool";

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The territory of the stack `shop`, with a VPC of its own.
    pub fn shop() -> Territory {
        Territory {
            cluster: Some("shop".into()),
            region: "eu-central-1".into(),
            vpcs: BTreeSet::from(["vpc-shop".to_owned()]),
        }
    }

    /// Tags from pairs.
    pub fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_the_tags_of_this_cluster_count() {
        assert!(shop().of_load_balancer_controller(&tags(&[("elbv2.k8s.aws/cluster", "shop")])));
        assert!(!shop().of_load_balancer_controller(&tags(&[("elbv2.k8s.aws/cluster", "shop2")])));
        assert!(!shop().of_load_balancer_controller(&tags(&[])));
        assert!(shop().owns(&tags(&[("kubernetes.io/cluster/shop", "owned")])));
        assert!(!shop().owns(&tags(&[("kubernetes.io/cluster/shop", "shared")])));
        assert!(!shop().owns(&tags(&[("kubernetes.io/cluster/other", "owned")])));
    }

    #[test]
    fn where_the_cluster_is_somebody_elses_nothing_that_carries_its_name_is_ours() {
        let territory = Territory { cluster: None, ..shop() };
        assert!(!territory.of_load_balancer_controller(&tags(&[("elbv2.k8s.aws/cluster", "shop")])));
        assert!(!territory.of_autoscaler(&tags(&[("eks:eks-cluster-name", "shop")])));
        assert!(!territory.owns(&tags(&[("kubernetes.io/cluster/shop", "owned")])));
        assert!(!territory.may_hold(Some("vpc-shop")));
    }

    #[test]
    fn a_stack_with_a_vpc_of_its_own_has_nothing_in_other_vpcs() {
        assert!(shop().may_hold(Some("vpc-shop")) && !shop().may_hold(Some("vpc-other")));
        let borrowing = Territory { vpcs: BTreeSet::new(), ..shop() };
        assert!(borrowing.may_hold(Some("vpc-other")) && !borrowing.holds(Some("vpc-other")));
    }
}
