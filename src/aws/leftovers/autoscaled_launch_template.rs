//! Launch templates that an autoscaler of the cluster has made.

use serde::{Deserialize, Serialize};

use super::territory::AUTOSCALED_CLUSTER;
use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::{Reads, filter};
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, STACK, State, Tags};

/// What nodes are launched from that no node group makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaledLaunchTemplate {
    /// Its name.
    pub name: String,
}

impl Describe for AutoscaledLaunchTemplate {
    const FACTS: Facts = Facts {
        fields: &[("name", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        ..Facts::new("autoscaled-launch-template")
    };
}

impl Leftover for AutoscaledLaunchTemplate {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let Some(cluster) = &territory.cluster else { return Ok(Vec::new()) };
        let client = &reads.cloud.read.ec2;
        let by_tag = filter(&format!("tag:{AUTOSCALED_CLUSTER}"), cluster);
        let pages = client.describe_launch_templates().filters(by_tag).into_paginator().items().send();
        let all = call("ec2:DescribeLaunchTemplates", pages.collect::<Result<Vec<_>, _>>()).await?;
        let ours = all.iter().filter_map(|template| {
            let tags = tagging::from_ec2(template.tags());
            let (id, name) = (template.launch_template_id()?, template.launch_template_name()?);
            is_ours(&tags, &territory).then(|| found(id, id, Self { name: name.to_owned() }, tags, State::Ready))
        });
        Ok(ours.collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_launch_template().launch_template_id(&found.outputs.id);
        existing(call("ec2:DeleteLaunchTemplate", sending.send()).await).map(drop)
    }
}

/// The autoscaler's, and not one that the stack has itself.
fn is_ours(tags: &Tags, territory: &Territory) -> bool {
    territory.of_autoscaler(tags) && !tags.contains_key(STACK)
}

#[cfg(test)]
mod tests {
    use super::super::territory::tests::{shop, tags};
    use super::*;

    #[test]
    fn a_template_of_the_stack_itself_is_no_leftover() {
        assert!(is_ours(&tags(&[(AUTOSCALED_CLUSTER, "shop")]), &shop()));
        assert!(!is_ours(&tags(&[(AUTOSCALED_CLUSTER, "shop"), (STACK, "shop")]), &shop()));
        assert!(!is_ours(&tags(&[(AUTOSCALED_CLUSTER, "other")]), &shop()));
    }
}
