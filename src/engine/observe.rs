//! One look at the cloud: every kind at once, each list asked for once.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::try_join_all;

use super::events::{Event, Events};
use crate::aws::{AnyKind, Cloud, CloudError, Reads, call, filter, subnet};
use crate::cluster::way;
use crate::phases::Surroundings;
use crate::plan::Observed;
use crate::spec::objects::ObjectKind;
use crate::spec::{AutoscalerEngine, Stack, Zones};

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
    for text in reads.notes() {
        events.say(Event::Noted { text });
    }
    events.say(Event::Observed { resources: observed.len() });
    Ok(observed)
}

/// The zones of the region that EKS does not take for its subnets.
const NOT_FOR_CLUSTERS: &[&str] = &["use1-az3", "usw1-az2", "cac1-az3"];

/// The names of the zones that `stack` can use: the region's, or those in which it stands where it wants no
/// others. A stack that makes no network of its own needs none.
///
/// # Errors
/// The failure of a call.
pub async fn zones(stack: &Stack, reads: &Reads) -> Result<Vec<String>, CloudError> {
    let Some(network) = stack.network.as_ref().filter(|network| network.existing.is_none()) else {
        return Ok(Vec::new());
    };
    let standing = subnet::zones(reads).await?;
    let enough = match &network.zones {
        Zones::Names(names) => names.iter().all(|name| standing.contains(name)),
        Zones::Count(count) => standing.len() >= usize::from(*count),
    };
    if enough { Ok(standing.into_iter().collect()) } else { zones_of_the_region(&reads.cloud).await }
}

async fn zones_of_the_region(cloud: &Cloud) -> Result<Vec<String>, CloudError> {
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

/// Whether the cluster of `stack` knows ServiceMonitors. Asked only where the stack would have one.
///
/// # Errors
/// The failure of a call or of a request.
pub async fn knows_monitors(stack: &Stack, reads: &Reads) -> Result<bool, CloudError> {
    if stack.autoscaler.as_ref().is_none_or(|autoscaler| autoscaler.engine != AutoscalerEngine::Eksup) {
        return Ok(false);
    }
    let Some(way) = way::into_stack(reads).await? else { return Ok(false) };
    let kind = ObjectKind::new("monitoring.coreos.com/v1", "ServiceMonitor");
    Ok(way.connection.served(&kind).await?.is_some())
}

/// What the phases have to know of the account. Zones in which the stack stands already come first,
/// so that a zone that AWS adds later moves nothing.
pub fn surroundings(cloud: &Cloud, zones: Vec<String>, monitors: bool, observed: &[Observed]) -> Surroundings {
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
        monitors,
    }
}
