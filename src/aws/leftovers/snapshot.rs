//! Snapshots of PersistentVolumes. They hold data.

use serde::{Deserialize, Serialize};

use super::volume::is_ours;
use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::{Reads, filter};
use crate::aws::tagging;
use crate::plan::{Describe, Effect, Facts, Keeping, Loss, State};

/// A snapshot that a VolumeSnapshot in the cluster asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The size of the volume that it was taken of, in GiB.
    pub size: i32,
    /// The volume that it was taken of.
    pub of: String,
}

impl Describe for Snapshot {
    const FACTS: Facts = Facts {
        fields: &[("size", Effect::Replace), ("of", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        loss: Loss::Data("everything in the snapshot"),
        keeping: Some(Keeping::UnlessAsked {
            why: "it holds the data of a VolumeSnapshot",
            by_hand: |found| format!("aws ec2 delete-snapshot --snapshot-id {}", found.identity()),
        }),
        ..Facts::new("snapshot")
    };
}

impl Leftover for Snapshot {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let Some(key) = territory.ownership_key() else { return Ok(Vec::new()) };
        let by_tag = filter(&format!("tag:{key}"), "owned");
        let client = &reads.cloud.read.ec2;
        let pages = client.describe_snapshots().owner_ids("self").filters(by_tag).into_paginator().items().send();
        let all = call("ec2:DescribeSnapshots", pages.collect::<Result<Vec<_>, _>>()).await?;
        let ours = all.iter().filter_map(|snapshot| {
            let (tags, id) = (tagging::from_ec2(snapshot.tags()), snapshot.snapshot_id()?);
            let of = snapshot.volume_id().unwrap_or_default().to_owned();
            let body = Self { size: snapshot.volume_size().unwrap_or_default(), of };
            is_ours(&tags, &territory).then(|| found(id, id, body, tags, State::Ready))
        });
        Ok(ours.collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.ec2.delete_snapshot().snapshot_id(&found.outputs.id);
        existing(call("ec2:DeleteSnapshot", sending.send()).await).map(drop)
    }
}
