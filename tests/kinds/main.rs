//! Every kind of resource goes through its whole life on the local cloud: created and read back
//! equal, changed in place, replaced, drifted and repaired, deleted. A new kind is one row.

mod harness;
mod rows;
#[path = "../support/mod.rs"]
mod support;

use harness::{Life, Row};

/// What is made in AWS.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_lives_a_whole_life() {
    live(&Life::start(false).await, rows::in_aws()).await;
}

/// What is made in a cluster, which is a real one.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_in_a_cluster_lives_a_whole_life() {
    live(&Life::start(true).await, rows::in_a_cluster()).await;
}

/// One row after the other on one cloud, each leaving nothing behind.
async fn live(life: &Life, rows: Vec<Row>) {
    let mut failures = Vec::new();
    let only = std::env::var("EKSUP_KIND").ok();
    for row in rows {
        if only.as_ref().is_some_and(|only| only != row.kind) {
            continue;
        }
        if let Err(why) = life.live(&row).await {
            failures.push(format!("{}: {why}", row.kind));
            life.reset().await;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A kind that nobody tests is a kind that does not work.
#[test]
fn every_kind_has_a_row() {
    let rows: Vec<&str> = rows::in_aws().iter().chain(&rows::in_a_cluster()).map(|row| row.kind).collect();
    let missing: Vec<&str> =
        eksup::aws::KINDS.iter().map(|kind| kind.facts().name).filter(|kind| !rows.contains(kind)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}
