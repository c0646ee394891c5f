//! Security groups that others made for the stack's cluster or in its VPC.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, SecurityGroup as Shown, UserIdGroupPair};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Leftover, Territory, found};
use crate::aws::error::{Class, CloudError, call, existing};
use crate::aws::ids::{ClusterName, SecurityGroupId, VpcId};
use crate::aws::kind::{Found, Work};
use crate::aws::network_interface;
use crate::aws::reads::{Reads, filter};
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Reference, STACK, State, Tags};

/// A security group that eksup has not made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignSecurityGroup {
    /// Its name.
    pub name: String,
    /// Who made it.
    pub maker: Maker,
    /// The VPC that it is in.
    pub vpc: Reference<VpcId>,
    /// The cluster that it goes with by itself, where it is the cluster's own.
    pub cluster: Option<Reference<ClusterName>>,
    /// The groups that its rules name.
    pub names: BTreeSet<Reference<SecurityGroupId>>,
}

/// Who makes security groups for a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// EKS, for the cluster and its nodes. It goes with the cluster, or stays when that goes wrong.
    Eks,
    /// The load balancer controller, for load balancers and for the nodes behind them.
    LoadBalancerController,
    /// Kubernetes itself, for a classic load balancer.
    Kubernetes,
    /// GuardDuty, for its endpoint in the VPC.
    GuardDuty,
}

impl Describe for ForeignSecurityGroup {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("maker", Effect::Replace),
            ("vpc", Effect::Replace),
            ("cluster", Effect::Replace),
            ("names", Effect::Replace),
        ],
        outputs: &["id"],
        taggable: false,
        references: &[("vpc", &["vpc"]), ("cluster", &["cluster"]), ("names", &["security-group"])],
        dies_with: Some("cluster"),
        outlives: &["load-balancer", "classic-load-balancer", "autoscaled-instance", "guard-duty-endpoint"],
        ..Facts::new("foreign-security-group")
    };
}

/// The tag with the cluster's name on the group that EKS makes.
const EKS: &str = "aws:eks:cluster-name";
/// What the load balancer controller writes on the rules that it adds to groups of others.
const SHARED_RULE: &str = "elbv2.k8s.aws/targetGroupBinding=shared";

impl Leftover for ForeignSecurityGroup {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let groups = candidates(&territory, reads).await?;
        Ok(groups.iter().filter_map(|group| ours(group, &territory)).collect())
    }

    /// Deletes it; where rules of other groups name it, those that may go go first.
    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        match delete(&found.outputs.id, work).await {
            Err(error) if error.class == Class::Busy => {
                if !revoke_rules_that_name(found, work).await? {
                    return Err(error);
                }
                delete(&found.outputs.id, work).await
            }
            other => other,
        }
    }

    async fn held_by(found: &Found<Self>, work: &Work) -> Result<Option<String>, CloudError> {
        let id = &found.outputs.id;
        if let Some(interfaces) = network_interface::blocker("group-id", id, work).await? {
            return Ok(Some(interfaces));
        }
        let naming: Vec<String> =
            groups_that_name(id, work).await?.into_iter().filter_map(|group| group.group_id).collect();
        Ok((!naming.is_empty()).then(|| format!("rules of other security groups name it: `{}`", naming.join("`, `"))))
    }
}

/// The groups to choose from: all of the stack's own VPC, or else those with one of the tags.
async fn candidates(territory: &Territory, reads: &Reads) -> Result<Vec<Shown>, CloudError> {
    let of_vpc = |vpc: &String| ("vpc-id".to_owned(), vpc.clone());
    let mut questions: Vec<(String, String)> = territory.vpcs.iter().map(of_vpc).collect();
    if let (true, Some(cluster)) = (questions.is_empty(), &territory.cluster) {
        questions.extend([EKS, "elbv2.k8s.aws/cluster"].map(|key| (format!("tag:{key}"), cluster.clone())));
        questions.extend(territory.ownership_key().map(|key| (format!("tag:{key}"), "owned".to_owned())));
    }
    let asking = questions.iter().map(|(name, value)| async move {
        let client = &reads.cloud.read.ec2;
        let pages = client.describe_security_groups().filters(filter(name, value)).into_paginator().items().send();
        call("ec2:DescribeSecurityGroups", pages.collect::<Result<Vec<_>, _>>()).await
    });
    let mut groups: Vec<Shown> = try_join_all(asking).await?.into_iter().flatten().collect();
    groups.sort_by(|one, other| one.group_id().cmp(&other.group_id()));
    groups.dedup_by(|one, other| one.group_id() == other.group_id());
    Ok(groups)
}

fn ours(group: &Shown, territory: &Territory) -> Option<Found<ForeignSecurityGroup>> {
    let tags = tagging::from_ec2(group.tags());
    let (id, name) = (group.group_id()?, group.group_name()?);
    let maker = maker(group, &tags, territory)?;
    let body = ForeignSecurityGroup {
        name: name.to_owned(),
        maker,
        vpc: Reference::known(group.vpc_id().unwrap_or_default()),
        cluster: territory.cluster.as_ref().filter(|_| maker == Maker::Eks).map(Reference::known),
        names: named_by(group).filter(|named| *named != id).map(Reference::known).collect(),
    };
    // GuardDuty's groups of several VPCs have similar names, and others may share theirs.
    Some(found(&format!("{name}-{id}"), id, body, tags, State::Ready))
}

/// Who made a group, if it was made for this stack by somebody who is known to leave some behind.
fn maker(group: &Shown, tags: &Tags, territory: &Territory) -> Option<Maker> {
    if tags.contains_key(STACK) {
        return None;
    }
    let name = group.group_name().unwrap_or_default();
    let guard_duty = group.vpc_id().map(|vpc| format!("GuardDutyManagedSecurityGroup-{vpc}"));
    if territory.names_cluster(tags, EKS) && name.starts_with("eks-cluster-sg-") {
        Some(Maker::Eks)
    } else if territory.of_load_balancer_controller(tags) {
        Some(Maker::LoadBalancerController)
    } else if territory.owns(tags) && name.starts_with("k8s-elb-") {
        Some(Maker::Kubernetes)
    } else if territory.holds(group.vpc_id()) && guard_duty.as_deref() == Some(name) {
        Some(Maker::GuardDuty)
    } else {
        None
    }
}

fn named_by(group: &Shown) -> impl Iterator<Item = &str> {
    let permissions = group.ip_permissions().iter().chain(group.ip_permissions_egress());
    permissions.flat_map(|permission| permission.user_id_group_pairs()).filter_map(|pair| pair.group_id())
}

async fn delete(id: &str, work: &Work) -> Result<(), CloudError> {
    let sending = work.cloud.write.ec2.delete_security_group().group_id(id);
    existing(call("ec2:DeleteSecurityGroup", sending.send()).await).map(drop)
}

/// The groups with a rule that names the group `id`, other than itself.
async fn groups_that_name(id: &str, work: &Work) -> Result<Vec<Shown>, CloudError> {
    let client = &work.cloud.read.ec2;
    let asking = ["ip-permission.group-id", "egress.ip-permission.group-id"].map(|name| async move {
        let pages = client.describe_security_groups().filters(filter(name, id)).into_paginator().items().send();
        call("ec2:DescribeSecurityGroups", pages.collect::<Result<Vec<_>, _>>()).await
    });
    let groups = try_join_all(asking).await?.into_iter().flatten();
    Ok(groups.filter(|group| group.group_id() != Some(id)).collect())
}

/// Revokes the rules that name the group and may go, and says whether there was one.
async fn revoke_rules_that_name(found: &Found<ForeignSecurityGroup>, work: &Work) -> Result<bool, CloudError> {
    let id = &found.outputs.id;
    let territory = Territory {
        cluster: Some(work.stack.clone()),
        region: work.cloud.region.clone(),
        vpcs: BTreeSet::from([found.body.vpc.to_string()]),
    };
    let mut any = false;
    for group in groups_that_name(id, work).await? {
        let Some(group_id) = group.group_id() else { continue };
        let whole = is_ours_to_change(&group, &work.stack, &territory);
        let (ingress, egress) =
            (naming(group.ip_permissions(), id, whole), naming(group.ip_permissions_egress(), id, whole));
        any |= !ingress.is_empty() || !egress.is_empty();
        let client = &work.cloud.write.ec2;
        if !ingress.is_empty() {
            let sending = client.revoke_security_group_ingress().group_id(group_id).set_ip_permissions(Some(ingress));
            existing(call("ec2:RevokeSecurityGroupIngress", sending.send()).await)?;
        }
        if !egress.is_empty() {
            let sending = client.revoke_security_group_egress().group_id(group_id).set_ip_permissions(Some(egress));
            existing(call("ec2:RevokeSecurityGroupEgress", sending.send()).await)?;
        }
    }
    Ok(any)
}

/// Whether any rule of a group may go with the stack: it is the stack's own, or a leftover itself.
fn is_ours_to_change(group: &Shown, stack: &str, territory: &Territory) -> bool {
    let tags = tagging::from_ec2(group.tags());
    tags.get(STACK).is_some_and(|owner| owner == stack) || maker(group, &tags, territory).is_some()
}

/// The part of `permissions` that names the group `id`. In a group of somebody else, only the rules
/// that the load balancer controller has written.
fn naming(permissions: &[IpPermission], id: &str, whole: bool) -> Vec<IpPermission> {
    let may_go =
        |pair: &&UserIdGroupPair| pair.group_id() == Some(id) && (whole || pair.description() == Some(SHARED_RULE));
    let part = |permission: &IpPermission| {
        let pairs: Vec<UserIdGroupPair> = permission.user_id_group_pairs().iter().filter(may_go).cloned().collect();
        (!pairs.is_empty()).then(|| {
            IpPermission::builder()
                .set_ip_protocol(permission.ip_protocol.clone())
                .set_from_port(permission.from_port)
                .set_to_port(permission.to_port)
                .set_user_id_group_pairs(Some(pairs))
                .build()
        })
    };
    permissions.iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::super::territory::tests::{shop, tags};
    use super::*;

    fn group(name: &str, vpc: &str, pairs: &[(&str, &str)]) -> Shown {
        Shown::builder()
            .group_id("sg-1")
            .group_name(name)
            .vpc_id(vpc)
            .set_tags(Some(tagging::ec2(&tags(pairs))))
            .build()
    }

    type Pairs = &'static [(&'static str, &'static str)];

    fn made_by(name: &str, vpc: &str, pairs: &[(&str, &str)]) -> Option<Maker> {
        maker(&group(name, vpc, pairs), &tags(pairs), &shop())
    }

    #[test]
    fn each_maker_is_told_by_its_own_marks() {
        let cases: [(&str, &str, Pairs, Maker); 4] = [
            ("eks-cluster-sg-shop-1", "vpc-shop", &[("aws:eks:cluster-name", "shop")], Maker::Eks),
            ("k8s-traffic-shop-1", "vpc-other", &[("elbv2.k8s.aws/cluster", "shop")], Maker::LoadBalancerController),
            ("k8s-elb-a1", "vpc-shop", &[("kubernetes.io/cluster/shop", "owned")], Maker::Kubernetes),
            ("GuardDutyManagedSecurityGroup-vpc-shop", "vpc-shop", &[], Maker::GuardDuty),
        ];
        for (name, vpc, pairs, expected) in cases {
            assert_eq!(made_by(name, vpc, pairs), Some(expected), "{name}");
        }
    }

    #[test]
    fn nothing_else_is_taken_for_a_leftover() {
        let cases: [(&str, &str, Pairs); 7] = [
            ("by-hand", "vpc-shop", &[]),
            ("default", "vpc-shop", &[]),
            ("k8s-traffic-other-1", "vpc-shop", &[("elbv2.k8s.aws/cluster", "other")]),
            ("nodes-of-shop", "vpc-shop", &[("kubernetes.io/cluster/shop", "owned")]),
            ("k8s-elb-a1", "vpc-shop", &[("kubernetes.io/cluster/shop", "shared")]),
            ("GuardDutyManagedSecurityGroup-vpc-other", "vpc-other", &[]),
            ("shop-database", "vpc-shop", &[("eksup.dev/stack", "shop"), ("elbv2.k8s.aws/cluster", "shop")]),
        ];
        for (name, vpc, pairs) in cases {
            assert_eq!(made_by(name, vpc, pairs), None, "{name}");
        }
    }

    #[test]
    fn only_the_clusters_own_group_goes_with_the_cluster() {
        let cluster = |name, pairs| ours(&group(name, "vpc-shop", pairs), &shop()).map(|found| found.body.cluster);
        assert_eq!(
            cluster("eks-cluster-sg-shop-1", &[("aws:eks:cluster-name", "shop")]),
            Some(Some(Reference::known("shop")))
        );
        assert_eq!(cluster("k8s-traffic-shop-1", &[("elbv2.k8s.aws/cluster", "shop")]), Some(None));
    }

    #[test]
    fn in_a_strangers_group_only_the_controllers_own_rules_go() {
        let pair = |group: &str, description: &str| {
            UserIdGroupPair::builder().group_id(group).description(description).build()
        };
        let permission = IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(8080)
            .to_port(8080)
            .user_id_group_pairs(pair("sg-1", SHARED_RULE))
            .user_id_group_pairs(pair("sg-1", "by hand"))
            .user_id_group_pairs(pair("sg-2", SHARED_RULE))
            .build();
        let count = |whole| {
            let parts = naming(std::slice::from_ref(&permission), "sg-1", whole);
            parts.iter().map(|part| part.user_id_group_pairs().len()).sum::<usize>()
        };
        assert_eq!((count(false), count(true)), (1, 2));
    }
}
