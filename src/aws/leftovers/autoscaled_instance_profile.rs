//! Instance profiles that an autoscaler of the cluster has made. They hold the role for nodes, which
//! cannot be deleted before they have let go of it.

use std::collections::BTreeSet;

use aws_sdk_iam::types::InstanceProfile as Shown;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::ids::RoleName;
use crate::aws::kind::{Found, Work};
use crate::aws::reads::Reads;
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Reference, State, Tags};

/// What gives nodes their role that no node group makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaledInstanceProfile {
    /// The roles that it holds.
    pub roles: BTreeSet<Reference<RoleName>>,
}

impl Describe for AutoscaledInstanceProfile {
    const FACTS: Facts = Facts {
        fields: &[("roles", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        references: &[("roles", &["role"])],
        ..Facts::new("autoscaled-instance-profile")
    };
}

/// The tag with the name of the EC2NodeClass that a profile is for.
const NODE_CLASS: &str = "karpenter.k8s.aws/ec2nodeclass";
/// The tag with the region, which IAM does not know.
const REGION: &str = "topology.kubernetes.io/region";

impl Leftover for AutoscaledInstanceProfile {
    /// A list of profiles has no tags: those that may be ours by path or name are asked for theirs.
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let pages = reads.cloud.read.iam.list_instance_profiles().into_paginator().items().send();
        let all = call("iam:ListInstanceProfiles", pages.collect::<Result<Vec<_>, _>>()).await?;
        let candidates = all.iter().filter(|profile| may_be_ours(profile, &territory));
        let found = try_join_all(candidates.map(|profile| read(profile, &territory, reads))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let (client, name) = (&work.cloud.write.iam, &found.outputs.id);
        for role in &found.body.roles {
            let sending =
                client.remove_role_from_instance_profile().instance_profile_name(name).role_name(role.as_str());
            existing(call("iam:RemoveRoleFromInstanceProfile", sending.send()).await)?;
        }
        let sending = client.delete_instance_profile().instance_profile_name(name);
        existing(call("iam:DeleteInstanceProfile", sending.send()).await).map(drop)
    }
}

/// By its path `/karpenter/REGION/CLUSTER/…`, or as older versions name it: `CLUSTER_NUMBER`.
fn may_be_ours(profile: &Shown, territory: &Territory) -> bool {
    let Some(cluster) = &territory.cluster else { return false };
    let number = profile.instance_profile_name().strip_prefix(cluster).and_then(|rest| rest.strip_prefix('_'));
    let by_name = number.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    profile.path().starts_with(&format!("/karpenter/{}/{cluster}/", territory.region)) || by_name
}

fn is_ours(tags: &Tags, territory: &Territory) -> bool {
    territory.owns(tags) && tags.contains_key(NODE_CLASS) && tags.get(REGION) == Some(&territory.region)
}

async fn read(
    profile: &Shown,
    territory: &Territory,
    reads: &Reads,
) -> Result<Option<Found<AutoscaledInstanceProfile>>, CloudError> {
    let name = profile.instance_profile_name();
    let sending = reads.cloud.read.iam.list_instance_profile_tags().instance_profile_name(name);
    let Some(answer) = existing(call("iam:ListInstanceProfileTags", sending.send()).await)? else { return Ok(None) };
    let tags = tagging::from_iam(answer.tags());
    let roles = profile.roles().iter().map(|role| Reference::known(role.role_name())).collect();
    Ok(is_ours(&tags, territory).then(|| found(name, name, AutoscaledInstanceProfile { roles }, tags, State::Ready)))
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;

    use super::super::territory::tests::{shop, tags};
    use super::*;

    fn profile(path: &str, name: &str) -> Option<Shown> {
        Shown::builder()
            .path(path)
            .instance_profile_name(name)
            .instance_profile_id("AIPA")
            .arn("arn")
            .create_date(DateTime::from_secs(0))
            .set_roles(Some(Vec::new()))
            .build()
            .ok()
    }

    #[test]
    fn a_profile_is_told_by_its_path_or_its_old_name() {
        let may = |path: &str, name: &str| profile(path, name).is_some_and(|profile| may_be_ours(&profile, &shop()));
        assert!(may("/karpenter/eu-central-1/shop/1234/", "shop_17"));
        assert!(may("/", "shop_17"));
        assert!(!may("/", "shop_admin") && !may("/", "shop") && !may("/", "shop_"));
        assert!(!may("/karpenter/eu-central-1/shop2/1234/", "shop2_17"));
        assert!(!may("/karpenter/us-east-1/shop/1234/", "other"));
    }

    #[test]
    fn and_only_its_tags_make_it_ours() {
        let all = [("kubernetes.io/cluster/shop", "owned"), (NODE_CLASS, "default"), (REGION, "eu-central-1")];
        assert!(is_ours(&tags(&all), &shop()));
        assert!(!is_ours(&tags(&all[..2]), &shop()));
        let elsewhere = [all[0], all[1], (REGION, "us-east-1")];
        assert!(!is_ours(&tags(&elsewhere), &shop()));
    }
}
