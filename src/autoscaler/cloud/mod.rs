//! EC2 for the autoscaler: what it sells, what a class means in it, and instances from launch to end.
//!
//! | file | holds |
//! |---|---|
//! | `ec2` | the door: everything that controllers ask for |
//! | `class` | an EC2NodeClass with what its selectors mean |
//! | `launch` | what a node is asked for with, and what comes back |
//! | `unavailable` | what EC2 could not give lately |
//! | `instances` | instances as EC2 shows them |
//! | `types` | EC2's description of an instance type, as facts for scheduling |
//! | `prices` | on-demand prices from the price list, spot prices from their history |

pub mod class;
mod ec2;
mod instances;
mod launch;
mod prices;
mod types;
mod unavailable;

pub use class::{ClassCondition, ClassFault, Family, Image, ResolvedClass, Subnet, Unmet};
pub use ec2::{CloudSettings, ClusterFacts, Ec2, IpFamily};
pub use instances::{Instance, InstanceHealth, InstanceState, ScheduledEvent, instance_id, provider_id};
pub use launch::{CapacityType, LaunchError, LaunchOption, LaunchRequest, Launched};
pub use unavailable::{Scope, Unavailable};

use std::collections::BTreeMap;

use aws_sdk_ec2::types::LocationType;

use super::state::instance_types::{Catalogue, Offering, describe};
use super::state::names::Names;
use super::state::overhead::KubeletReservation;
use crate::aws::{Cloud, CloudError, call, filter};
use prices::{Prices, on_demand, spot};

/// The zones of a region: name → id.
type Zones = BTreeMap<String, String>;

/// Everything that can be bought in the region of `cloud`, with what a kubelet set up like `kubelet` leaves
/// of it. Types that have no price, or that pods cannot run on, are left out.
///
/// # Errors
/// The first call that fails; and when the region sells nothing.
pub async fn catalogue(
    names: &mut Names,
    cloud: &Cloud,
    kubelet: &KubeletReservation,
) -> Result<Catalogue, CloudError> {
    let (types, sold, zones, on_demand, spot) =
        tokio::try_join!(types::read(cloud), sold(cloud), zones(cloud), on_demand(cloud), spot(cloud))?;
    let prices = Prices { on_demand, spot };
    let mut catalogue = Catalogue::default();
    for described in &types {
        let Some(facts) = types::facts(described) else { continue };
        let zones = sold.get(&facts.name).into_iter().flatten().filter_map(|name| zones.get_key_value(name));
        let offerings = offerings(names, &cloud.region, &facts.name, zones, &prices);
        if !offerings.is_empty() {
            catalogue.add(describe(names, &facts, kubelet, offerings));
        }
    }
    if catalogue.types.is_empty() {
        return Err(CloudError::incomplete("ec2:DescribeInstanceTypes", "instance type that is sold and has a price"));
    }
    Ok(catalogue)
}

/// One offering for each zone and capacity type that has a price.
fn offerings<'a>(
    names: &mut Names,
    region: &str,
    instance_type: &str,
    zones: impl Iterator<Item = (&'a String, &'a String)>,
    prices: &Prices,
) -> Vec<Offering> {
    let region = names.strings.intern(region);
    let mut offerings = Vec::new();
    for (zone, id) in zones {
        let mut labels =
            vec![(names.known.region, region), (names.key("topology.k8s.aws/zone-id"), names.strings.intern(id))];
        labels.sort_unstable();
        let spot = prices.spot.get(&(instance_type.to_owned(), zone.clone()));
        let capacity_types = [(names.known.on_demand, prices.on_demand.get(instance_type)), (names.known.spot, spot)];
        let zone = names.strings.intern(zone);
        offerings.extend(capacity_types.into_iter().filter_map(|(capacity_type, price)| {
            Some(Offering { zone, capacity_type, price: *price?, available: true, labels: labels.clone().into() })
        }));
    }
    offerings
}

/// The zones where each type is sold.
async fn sold(cloud: &Cloud) -> Result<BTreeMap<String, Vec<String>>, CloudError> {
    let request = cloud.read.ec2.describe_instance_type_offerings().location_type(LocationType::AvailabilityZone);
    let mut pages = request.into_paginator().send();
    let mut zones: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = call("ec2:DescribeInstanceTypeOfferings", async { page }).await?;
        for offer in page.instance_type_offerings() {
            if let (Some(name), Some(zone)) = (offer.instance_type(), offer.location()) {
                zones.entry(name.as_str().to_owned()).or_default().push(zone.to_owned());
            }
        }
    }
    Ok(zones)
}

/// The region's availability zones that can be used; local and wavelength zones are not for clusters.
async fn zones(cloud: &Cloud) -> Result<Zones, CloudError> {
    let request = cloud.read.ec2.describe_availability_zones().filters(filter("zone-type", "availability-zone"));
    let answer = call("ec2:DescribeAvailabilityZones", request.send()).await?;
    let named = answer.availability_zones().iter();
    Ok(named.filter_map(|zone| Some((zone.zone_name()?.to_owned(), zone.zone_id()?.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::state::instance_types::Price;

    #[test]
    fn a_zone_without_a_spot_price_sells_on_demand_only() {
        let mut names = Names::default();
        let price = |dollars| Price::from_dollars(dollars).unwrap_or_default();
        let prices = Prices {
            on_demand: BTreeMap::from([("m5.large".to_owned(), price(0.096))]),
            spot: BTreeMap::from([(("m5.large".to_owned(), "eu-west-1a".to_owned()), price(0.04))]),
        };
        let zones = Zones::from([
            ("eu-west-1a".to_owned(), "euw1-az3".to_owned()),
            ("eu-west-1b".to_owned(), "euw1-az1".to_owned()),
        ]);
        let found = offerings(&mut names, "eu-west-1", "m5.large", zones.iter(), &prices);
        let told: Vec<(&str, &str, f64)> = found
            .iter()
            .map(|offering| (names.text(offering.zone), names.text(offering.capacity_type), offering.price.dollars()))
            .collect();
        assert_eq!(
            told,
            [("eu-west-1a", "on-demand", 0.096), ("eu-west-1a", "spot", 0.04), ("eu-west-1b", "on-demand", 0.096)]
        );
        assert!(offerings(&mut names, "eu-west-1", "m9.large", zones.iter(), &prices).is_empty());
    }
}
