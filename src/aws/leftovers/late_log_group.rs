//! Log groups that agents and services write on their own: Container Insights, RDS. The control
//! plane's own is a resource of the stack.

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Leftover, Territory, found};
use crate::aws::error::{CloudError, call, existing};
use crate::aws::kind::{Found, Work};
use crate::aws::reads::Reads;
use crate::phases::names;
use crate::plan::{Describe, Effect, Facts, Loss, State, Tags};

/// A log group that nobody declared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LateLogGroup {
    /// Its name.
    pub name: String,
}

impl Describe for LateLogGroup {
    const FACTS: Facts = Facts {
        fields: &[("name", Effect::Replace)],
        outputs: &["id"],
        taggable: false,
        loss: Loss::Data("the logs in it"),
        // What writes to it would make it anew.
        outlives: &["cluster", "node-group", "autoscaled-instance", "database"],
        ..Facts::new("late-log-group")
    };
}

impl Leftover for LateLogGroup {
    async fn look_for(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        let territory = Territory::of(reads).await?;
        let prefixes = prefixes(&territory, &names::database(&reads.stack));
        let groups = try_join_all(prefixes.iter().map(|prefix| beginning_with(prefix, reads))).await?;
        let found = groups.into_iter().flatten().map(|name| {
            found(name.trim_start_matches('/'), &name, Self { name: name.clone() }, Tags::new(), State::Ready)
        });
        Ok(found.collect())
    }

    async fn take_away(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let sending = work.cloud.write.logs.delete_log_group().log_group_name(&found.outputs.id);
        existing(call("logs:DeleteLogGroup", sending.send()).await).map(drop)
    }
}

/// What the names begin with. Each ends in a slash, so that `shop` does not find those of `shop2`.
fn prefixes(territory: &Territory, database: &str) -> Vec<String> {
    let insights = territory.cluster.as_ref().map(|cluster| format!("/aws/containerinsights/{cluster}/"));
    insights.into_iter().chain([format!("/aws/rds/instance/{database}/")]).collect()
}

async fn beginning_with(prefix: &str, reads: &Reads) -> Result<Vec<String>, CloudError> {
    let client = &reads.cloud.read.logs;
    let pages = client.describe_log_groups().log_group_name_prefix(prefix).into_paginator().items().send();
    let groups = call("logs:DescribeLogGroups", pages.collect::<Result<Vec<_>, _>>()).await?;
    Ok(groups.into_iter().filter_map(|group| group.log_group_name).collect())
}

#[cfg(test)]
mod tests {
    use super::super::territory::tests::shop;
    use super::*;

    #[test]
    fn a_stack_whose_name_begins_alike_keeps_its_logs() {
        let prefixes = prefixes(&shop(), "shop-database");
        let matches = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        assert!(matches("/aws/containerinsights/shop/performance") && matches("/aws/rds/instance/shop-database/error"));
        assert!(!matches("/aws/containerinsights/shop2/performance"));
        assert!(!matches("/aws/rds/instance/shop-database-2/error"));
        assert!(!matches("/aws/eks/shop/cluster"), "it is a resource of the stack");
    }
}
