//! Target groups of the load balancer controller.

use serde::{Deserialize, Serialize};

use super::load_balancer::tags_of;
use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::Reads;
use crate::plan::{Describe, Effect, Facts, State};

/// The group of targets that a load balancer sends to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroup {
    /// Its name.
    pub name: String,
}

impl Describe for TargetGroup {
    const FACTS: Facts = Facts {
        fields: &[("name", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        // A listener that uses it goes with its load balancer.
        outlives: &["load-balancer"],
        ..Facts::new("target-group")
    };
}

impl Leftover for TargetGroup {
    /// A target group can stay behind when its VPC has gone, so it is told by its tag alone.
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let pages = reads.cloud.read.elbv2.describe_target_groups().into_paginator().items().send();
        let all = call("elasticloadbalancing:DescribeTargetGroups", pages.collect::<Result<Vec<_>, _>>()).await?;
        let arns = all.iter().filter_map(|each| each.target_group_arn.clone()).collect();
        let tags = tags_of(arns, reads).await?;
        let ours = all.iter().filter_map(|each| {
            let (arn, name) = (each.target_group_arn()?, each.target_group_name()?);
            let tags = tags.get(arn).filter(|tags| territory.of_load_balancer_controller(tags))?;
            Some(found(name, arn, Self { name: name.to_owned() }, tags.clone(), State::Ready))
        });
        Ok(ours.collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.elbv2.delete_target_group().target_group_arn(&found.outputs.id);
        existing(call("elasticloadbalancing:DeleteTargetGroup", sending.send()).await).map(drop)
    }
}
