//! One look at the cloud: every kind at once, each list asked for once.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::try_join_all;

use super::events::{Event, Events};
use crate::aws::{AnyKind, Cloud, CloudError, Reads, call, filter};
use crate::phases::Surroundings;
use crate::plan::Observed;

/// Everything of the stack that `kinds` can find.
///
/// # Errors
/// The first call that fails for good: a half look is no look.
pub async fn observe(
    reads: &Arc<Reads>,
    kinds: &[&'static dyn AnyKind],
    events: &Events,
) -> Result<Vec<Observed>, CloudError> {
    events.say(Event::Observing { stack: reads.stack.clone(), region: reads.cloud.region.clone() });
    let found = try_join_all(kinds.iter().map(|kind| kind.find(reads))).await?;
    let observed: Vec<Observed> = found.into_iter().flatten().collect();
    events.say(Event::Observed { resources: observed.len() });
    Ok(observed)
}

/// The zones of the region that EKS does not take for its subnets.
const NOT_FOR_CLUSTERS: &[&str] = &["use1-az3", "usw1-az2", "cac1-az3"];

/// The names of the region's zones that a stack can use.
///
/// # Errors
/// The failure of the call.
pub async fn zones(cloud: &Cloud) -> Result<Vec<String>, CloudError> {
    let sending = cloud
        .read
        .ec2
        .describe_availability_zones()
        .filters(filter("zone-type", "availability-zone"))
        .filters(filter("state", "available"));
    let answer = call("ec2:DescribeAvailabilityZones", sending.send()).await?;
    let usable = answer
        .availability_zones()
        .iter()
        .filter(|zone| zone.zone_id().is_none_or(|id| !NOT_FOR_CLUSTERS.contains(&id)));
    let mut names: Vec<String> = usable.filter_map(|zone| zone.zone_name().map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

/// What the phases have to know of the account. Zones in which the stack stands already come first,
/// so that a zone that AWS adds later moves nothing.
pub fn surroundings(cloud: &Cloud, zones: Vec<String>, observed: &[Observed]) -> Surroundings {
    let taken: BTreeSet<&str> = observed
        .iter()
        .filter(|resource| resource.kind == "subnet")
        .filter_map(|subnet| subnet.body.get("zone")?.as_str())
        .collect();
    let (first, rest): (Vec<String>, Vec<String>) = zones.into_iter().partition(|zone| taken.contains(zone.as_str()));
    Surroundings {
        account: cloud.account.clone(),
        partition: cloud.partition.clone(),
        zones: first.into_iter().chain(rest).collect(),
        caller: cloud.caller.clone(),
    }
}
