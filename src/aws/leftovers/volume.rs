//! Volumes of PersistentVolumes that stayed when their cluster went. They hold data.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, Volume as Shown, VolumeState};
use serde::{Deserialize, Serialize};

use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::{Reads, filter};
use crate::aws::tagging;
use crate::cluster::claim;
use crate::plan::{Describe, Effect, Facts, Keeping, Loss, State, Tags};

/// A volume that a claim in the cluster asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its size in GiB.
    pub size: i32,
    /// The zone that it is in.
    pub zone: String,
    /// The claim that it was made for, as `NAMESPACE/NAME`.
    pub claim: Option<String>,
}

impl Describe for Volume {
    const FACTS: Facts = Facts {
        fields: &[("size", Effect::Replace), ("zone", Effect::Replace), ("claim", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        loss: Loss::Data("everything on the volume"),
        keeping: Some(Keeping::UnlessAsked {
            why: "it holds the data of a PersistentVolumeClaim",
            by_hand: |found| format!("aws ec2 delete-volume --volume-id {}", found.identity()),
        }),
        // A volume is let go of by the instance that it hangs on.
        outlives: &["node-group", "autoscaled-instance"],
        ..Facts::new("volume")
    };
}

impl Leftover for Volume {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let Some(key) = territory.ownership_key() else { return Ok(Vec::new()) };
        let by_tag = matching(filter(&format!("tag:{key}"), "owned"), reads).await?;
        let mut all: Vec<Found<Self>> = by_tag
            .iter()
            .filter(|volume| is_ours(&tagging::from_ec2(volume.tags()), &territory))
            .filter_map(shown)
            .collect();
        // A driver that was not told the cluster's name does not write it down: then the cluster itself knows.
        let known: BTreeSet<&str> = all.iter().map(|found| found.outputs.id.as_str()).collect();
        let disks = claim::disks(reads).await?.into_iter().filter(|disk| !known.contains(disk.as_str()));
        let disks: Vec<String> = disks.collect();
        if !disks.is_empty() {
            let by_id = Filter::builder().name("volume-id").set_values(Some(disks)).build();
            all.extend(matching(by_id, reads).await?.iter().filter_map(shown));
        }
        Ok(all)
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_volume().volume_id(&found.outputs.id);
        existing(call("ec2:DeleteVolume", sending.send()).await).map(drop)
    }
}

async fn matching(filter: Filter, reads: &Reads) -> Result<Vec<Shown>, CloudError> {
    let pages = reads.cloud.read.ec2.describe_volumes().filters(filter).into_paginator().items().send();
    call("ec2:DescribeVolumes", pages.collect::<Result<Vec<_>, _>>()).await
}

fn shown(volume: &Shown) -> Option<Found<Volume>> {
    let tags = tagging::from_ec2(volume.tags());
    let state = match volume.state() {
        Some(VolumeState::Deleted) => return None,
        Some(VolumeState::Deleting) => State::Deleting,
        _ => State::Ready,
    };
    let id = volume.volume_id()?;
    let body = Volume {
        size: volume.size().unwrap_or_default(),
        zone: volume.availability_zone().unwrap_or_default().to_owned(),
        claim: claim_in(&tags),
    };
    Some(found(id, id, body, tags, state))
}

/// The cluster's, and made by a driver for a claim: the root volumes of nodes go with their nodes.
pub fn is_ours(tags: &Tags, territory: &Territory) -> bool {
    const MARKS: &[&str] =
        &["ebs.csi.aws.com/cluster", "CSIVolumeName", "CSIVolumeSnapshotName", "kubernetes.io/created-for/pvc/name"];
    territory.owns(tags) && MARKS.iter().any(|mark| tags.contains_key(*mark))
}

fn claim_in(tags: &Tags) -> Option<String> {
    let part = |what: &str| tags.get(&format!("kubernetes.io/created-for/pvc/{what}"));
    Some(format!("{}/{}", part("namespace")?, part("name")?))
}

#[cfg(test)]
mod tests {
    use super::super::territory::tests::{shop, tags};
    use super::*;

    #[test]
    fn only_volumes_that_a_driver_made_for_this_cluster_count() {
        let owned = ("kubernetes.io/cluster/shop", "owned");
        assert!(is_ours(&tags(&[owned, ("CSIVolumeName", "pvc-1")]), &shop()));
        assert!(!is_ours(&tags(&[owned]), &shop()), "the root volume of a node");
        let of_another = [("kubernetes.io/cluster/other", "owned"), ("CSIVolumeName", "pvc-1")];
        assert!(!is_ours(&tags(&of_another), &shop()));
        assert!(!is_ours(&tags(&[("ebs.csi.aws.com/cluster", "true")]), &shop()), "it does not say which cluster");
    }

    #[test]
    fn the_claim_is_named_where_the_driver_says_it() {
        let pairs =
            [("kubernetes.io/created-for/pvc/namespace", "shop"), ("kubernetes.io/created-for/pvc/name", "data")];
        assert_eq!(claim_in(&tags(&pairs)).as_deref(), Some("shop/data"));
        assert_eq!(claim_in(&tags(&pairs[..1])), None);
    }
}
