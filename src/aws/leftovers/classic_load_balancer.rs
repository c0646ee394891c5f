//! Classic load balancers, which Kubernetes itself makes for Services where no controller does.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancing::types::LoadBalancerDescription as Shown;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::ids::{SecurityGroupId, SubnetId, VpcId};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::Reads;
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Loss, Reference, State, Tags};

/// A classic load balancer of a Service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassicLoadBalancer {
    /// Its name.
    pub name: String,
    /// The VPC that it stands in.
    pub vpc: Reference<VpcId>,
    /// The subnets that it stands in.
    pub subnets: BTreeSet<Reference<SubnetId>>,
    /// Its security groups.
    pub security_groups: BTreeSet<Reference<SecurityGroupId>>,
}

impl Describe for ClassicLoadBalancer {
    const FACTS: Facts = Facts {
        fields: &[
            ("name", Effect::Replace),
            ("vpc", Effect::Replace),
            ("subnets", Effect::Replace),
            ("securityGroups", Effect::Replace),
        ],
        outputs: &["id"],
        taggable: false,
        loss: Loss::Outage("what it serves cannot be reached any more"),
        references: &[
            ("vpc", &["vpc"]),
            ("subnets", &["subnet"]),
            ("securityGroups", &["security-group", "foreign-security-group"]),
        ],
        ..Facts::new("classic-load-balancer")
    };
}

/// How many load balancers one call tells the tags of.
const TAGS_AT_ONCE: usize = 20;

impl Leftover for ClassicLoadBalancer {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let client = &reads.cloud.read.elb;
        let pages = client.describe_load_balancers().into_paginator().items().send();
        let all = call("elasticloadbalancing:DescribeLoadBalancers", pages.collect::<Result<Vec<_>, _>>()).await?;
        let candidates: Vec<Shown> = all.into_iter().filter(|each| territory.may_hold(each.vpc_id())).collect();
        let asking = candidates.chunks(TAGS_AT_ONCE).map(|some| async {
            let names = some.iter().filter_map(|each| each.load_balancer_name.clone()).collect();
            let sending = client.describe_tags().set_load_balancer_names(Some(names));
            existing(call("elasticloadbalancing:DescribeTags", sending.send()).await)
        });
        let answers = try_join_all(asking).await?;
        let descriptions = answers.iter().flatten().flat_map(|answer| answer.tag_descriptions());
        let ours = descriptions.filter_map(|each| {
            let (name, tags) = (each.load_balancer_name()?, tagging::from_elb(each.tags()));
            let shown = candidates.iter().find(|candidate| candidate.load_balancer_name() == Some(name))?;
            is_ours(&tags, &territory).then(|| found(name, name, body(shown), tags, State::Ready))
        });
        Ok(ours.collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.elb.delete_load_balancer().load_balancer_name(&found.outputs.id);
        existing(call("elasticloadbalancing:DeleteLoadBalancer", sending.send()).await).map(drop)
    }
}

fn is_ours(tags: &Tags, territory: &Territory) -> bool {
    territory.owns(tags)
}

fn body(shown: &Shown) -> ClassicLoadBalancer {
    ClassicLoadBalancer {
        name: shown.load_balancer_name().unwrap_or_default().to_owned(),
        vpc: Reference::known(shown.vpc_id().unwrap_or_default()),
        subnets: shown.subnets().iter().map(Reference::known).collect(),
        security_groups: shown.security_groups().iter().map(Reference::known).collect(),
    }
}
