//! Network interfaces that the VPC CNI left behind when a node died.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::NetworkInterface;
use serde::{Deserialize, Serialize};

use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call};
use crate::aws::ids::{SecurityGroupId, SubnetId, VpcId};
use crate::aws::kind::{Found, Work};
use crate::aws::network_interface;
use crate::aws::reads::{Reads, filter};
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Reference, State, Tags};

/// An interface that nothing is attached to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StrayInterface {
    /// The VPC that it is in.
    pub vpc: Reference<VpcId>,
    /// The subnet that it is in.
    pub subnet: Reference<SubnetId>,
    /// Its security groups.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
}

impl Describe for StrayInterface {
    const FACTS: Facts = Facts {
        fields: &[("vpc", Effect::Replace), ("subnet", Effect::Replace), ("securityGroups", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        references: &[
            ("vpc", &["vpc"]),
            ("subnet", &["subnet"]),
            ("securityGroups", &["security-group", "foreign-security-group"]),
        ],
        ..Facts::new("stray-interface")
    };
}

/// The tag with the cluster's name that the VPC CNI puts on its interfaces.
const CLUSTER: &str = "cluster.k8s.amazonaws.com/name";

impl Leftover for StrayInterface {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let client = &reads.cloud.read.ec2;
        let pages = client.describe_network_interfaces().filters(filter("status", "available")).into_paginator();
        let all = call("ec2:DescribeNetworkInterfaces", pages.items().send().collect::<Result<Vec<_>, _>>()).await?;
        Ok(all.iter().filter_map(|interface| ours(interface, &territory)).collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        network_interface::delete(&found.outputs.id, work).await
    }
}

fn ours(interface: &NetworkInterface, territory: &Territory) -> Option<Found<StrayInterface>> {
    let tags = tagging::from_ec2(interface.tag_set());
    let id = interface.network_interface_id()?;
    is_ours(interface, &tags, territory).then(|| found(id, id, body(interface), tags, State::Ready))
}

/// The VPC CNI's, and in the stack's own VPC or marked with its cluster.
fn is_ours(interface: &NetworkInterface, tags: &Tags, territory: &Territory) -> bool {
    let of_another_cluster = tags.get(CLUSTER).is_some_and(|cluster| Some(cluster) != territory.cluster.as_ref());
    let here = territory.holds(interface.vpc_id()) && !of_another_cluster;
    network_interface::is_stray(interface) && (here || territory.names_cluster(tags, CLUSTER))
}

fn body(interface: &NetworkInterface) -> StrayInterface {
    StrayInterface {
        vpc: Reference::known(interface.vpc_id().unwrap_or_default()),
        subnet: Reference::known(interface.subnet_id().unwrap_or_default()),
        security_groups: interface.groups().iter().filter_map(|group| group.group_id()).map(Reference::known).collect(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::NetworkInterfaceStatus;

    use super::super::territory::tests::{shop, tags};
    use super::*;

    fn interface(description: &str, vpc: &str, status: NetworkInterfaceStatus) -> NetworkInterface {
        NetworkInterface::builder().description(description).vpc_id(vpc).status(status).build()
    }

    #[test]
    fn only_detached_interfaces_of_the_cni_in_our_vpc_or_of_our_cluster_are_taken_away() {
        let stray = |vpc| interface("aws-K8S-i-0123", vpc, NetworkInterfaceStatus::Available);
        assert!(is_ours(&stray("vpc-shop"), &tags(&[]), &shop()));
        assert!(!is_ours(&stray("vpc-other"), &tags(&[]), &shop()));
        assert!(is_ours(&stray("vpc-other"), &tags(&[(CLUSTER, "shop")]), &shop()));
        assert!(!is_ours(&stray("vpc-shop"), &tags(&[(CLUSTER, "other")]), &shop()), "another cluster in our VPC");
        let attached = interface("aws-K8S-i-0123", "vpc-shop", NetworkInterfaceStatus::InUse);
        assert!(!is_ours(&attached, &tags(&[]), &shop()));
        let by_hand = interface("made by hand", "vpc-shop", NetworkInterfaceStatus::Available);
        assert!(!is_ours(&by_hand, &tags(&[]), &shop()));
    }
}
