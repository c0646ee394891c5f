//! Snapshots of the stack's database. They are there to outlive it.

use aws_sdk_rds::types::DbSnapshot;
use serde::{Deserialize, Serialize};

use super::{Leftover, found};
use crate::aws::database::is_final_snapshot_of;
use crate::aws::error::{CloudError, call, existing};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::Reads;
use crate::aws::tagging;
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Keeping, STACK, State, Tags};

/// A snapshot that somebody took, or that was taken when the database was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSnapshot {
    /// The database that it was taken of.
    pub of: String,
    /// The size of its volume in GiB.
    pub size: i32,
}

impl Describe for DatabaseSnapshot {
    const FACTS: Facts = Facts {
        fields: &[("of", Effect::Replace), ("size", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        keeping: Some(Keeping::Always {
            why: "a snapshot of the database is there to outlive it",
            by_hand: |found| format!("aws rds delete-db-snapshot --db-snapshot-identifier {}", found.identity()),
        }),
        ..Facts::new("database-snapshot")
    };
}

impl Leftover for DatabaseSnapshot {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let identifier = names::database(&reads.stack);
        let client = &reads.cloud.read.rds;
        let sending = client.describe_db_snapshots().db_instance_identifier(&identifier).snapshot_type("manual");
        let pages = sending.into_paginator().items().send();
        let answer = existing(call("rds:DescribeDBSnapshots", pages.collect::<Result<Vec<_>, _>>()).await)?;
        Ok(answer.iter().flatten().filter_map(|snapshot| ours(snapshot, &reads.stack)).collect())
    }

    async fn take_away(_: &Found<Self>, _: &Work) -> Result<(), CloudError> {
        Err(CloudError::refused("rds:DeleteDBSnapshot", "a snapshot of the database is kept on purpose"))
    }
}

fn ours(snapshot: &DbSnapshot, stack: &str) -> Option<Found<DatabaseSnapshot>> {
    let tags = tagging::from_rds(snapshot.tag_list());
    let id = snapshot.db_snapshot_identifier()?;
    let body = DatabaseSnapshot {
        of: snapshot.db_instance_identifier().unwrap_or_default().to_owned(),
        size: snapshot.allocated_storage().unwrap_or_default(),
    };
    is_ours(id, &body.of, &tags, stack).then(|| found(id, id, body, tags, State::Ready))
}

/// A snapshot carries the tags of its database; the last one is told by its name as well.
fn is_ours(id: &str, of: &str, tags: &Tags, stack: &str) -> bool {
    match tags.get(STACK) {
        Some(owner) => owner == stack,
        None => is_final_snapshot_of(of, id),
    }
}

#[cfg(test)]
mod tests {
    use super::super::territory::tests::tags;
    use super::*;

    #[test]
    fn a_snapshot_of_a_stranger_with_the_same_name_is_not_listed() {
        assert!(is_ours("by-hand", "shop-database", &tags(&[(STACK, "shop")]), "shop"));
        assert!(is_ours("shop-database-final-0a1b2c3d", "shop-database", &tags(&[]), "shop"));
        assert!(!is_ours("by-hand", "shop-database", &tags(&[]), "shop"));
        assert!(!is_ours("shop-database-final-0a1b2c3d", "shop-database", &tags(&[(STACK, "other")]), "shop"));
    }
}
