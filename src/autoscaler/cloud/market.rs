//! What the region sells: types as facts, the zones that have them, and prices. Read twice a day and held compactly;
//! EC2's own descriptions are dropped page by page.
//!
//! When prices cannot be read, those that were read last go on to hold. Before any were read, on-demand prices are
//! estimated from the size of the machine, so that nodes can be bought while the price list is away; spot counts
//! like on demand. Each is said in the log.

use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_ec2::types::LocationType;

use super::prices;
use super::types;
use crate::autoscaler::state::instance_types::Price;
use crate::autoscaler::state::overhead::InstanceFacts;
use crate::aws::{Cloud, CloudError, call, filter};

/// How long it holds.
const KEPT: Duration = Duration::from_secs(12 * 3600);
/// How soon prices are asked for again that could not be read.
const PRICES_AGAIN: Duration = Duration::from_secs(300);

/// A type where it is sold.
#[derive(Clone, Debug)]
pub struct Sold {
    /// The type.
    pub facts: InstanceFacts,
    /// Bytes of its own disks.
    pub instance_store: i64,
    /// Elastic fabric adapters.
    pub fabric: i64,
    /// Zones, as numbers of [`Market::zones`], with the price of spot there.
    pub zones: Vec<(u8, Option<Price>)>,
    /// The price on demand.
    pub on_demand: Option<Price>,
}

/// What the region sells.
#[derive(Clone, Debug, Default)]
pub struct Market {
    /// Zones by name, with their ids where those were asked for.
    pub zones: Vec<(String, String)>,
    /// Types by name.
    pub types: Vec<Sold>,
    /// Moves whenever it is read anew.
    pub version: u64,
}

impl Market {
    /// A type by its name.
    pub fn get(&self, name: &str) -> Option<&Sold> {
        let at = self.types.binary_search_by(|sold| sold.facts.name.as_str().cmp(name)).ok()?;
        self.types.get(at)
    }
}

/// The market as it was read last, and when it is to be read again.
#[derive(Debug, Default)]
pub struct Stand {
    market: Arc<Market>,
    due: Option<Instant>,
    on_demand: Option<BTreeMap<String, Price>>,
    spot: Option<BTreeMap<(String, String), Price>>,
}

/// What was read last, and when it was to be read again.
type Shown = Option<(Arc<Market>, Instant)>;

/// What the region sells, as everybody reads it. What was read last holds while it is being read again.
#[derive(Debug, Default)]
pub struct Stall {
    stand: Arc<tokio::sync::Mutex<Stand>>,
    shown: Arc<Mutex<Shown>>,
}

impl Stall {
    /// What the region sells, read when that is due.
    ///
    /// # Errors
    /// The first call that fails while nothing is known at all; and when the region sells nothing.
    pub async fn market(&self, cloud: &Cloud, isolated: bool) -> Result<Arc<Market>, CloudError> {
        let Some((market, due)) = self.shown() else {
            return refresh(self.stand.lock().await, &self.shown, cloud, isolated).await;
        };
        if Instant::now() >= due
            && let Ok(stand) = Arc::clone(&self.stand).try_lock_owned()
        {
            let (shown, cloud) = (Arc::clone(&self.shown), cloud.clone());
            tokio::spawn(async move { refresh(stand, &shown, &cloud, isolated).await });
        }
        Ok(market)
    }

    /// The version of what was read last.
    pub fn version(&self) -> u64 {
        self.shown().map_or(0, |(market, _)| market.version)
    }

    fn shown(&self) -> Option<(Arc<Market>, Instant)> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn refresh(
    mut stand: impl DerefMut<Target = Stand>,
    shown: &Mutex<Option<(Arc<Market>, Instant)>>,
    cloud: &Cloud,
    isolated: bool,
) -> Result<Arc<Market>, CloudError> {
    let market = stand.market(cloud, isolated).await?;
    let due = stand.due.unwrap_or_else(Instant::now);
    *shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&market), due));
    Ok(market)
}

impl Stand {
    async fn market(&mut self, cloud: &Cloud, isolated: bool) -> Result<Arc<Market>, CloudError> {
        if self.due.is_some_and(|due| Instant::now() < due) {
            return Ok(Arc::clone(&self.market));
        }
        match self.read(cloud, isolated).await {
            Ok(()) => {}
            Err(error) if self.due.is_some() => {
                tracing::warn!("what EC2 sells was not read again, what was read last holds: {error}");
                self.due = Some(Instant::now() + PRICES_AGAIN);
            }
            Err(error) => return Err(error),
        }
        Ok(Arc::clone(&self.market))
    }

    async fn read(&mut self, cloud: &Cloud, isolated: bool) -> Result<(), CloudError> {
        let on_demand = async {
            match isolated {
                true => None,
                false => Some(prices::on_demand(cloud).await),
            }
        };
        let goods = async { tokio::try_join!(types::read(cloud), sold(cloud)) };
        let (goods, on_demand, spot) = tokio::join!(goods, on_demand, prices::spot(cloud));
        let (types, sold) = goods?;
        // The ids of zones come with the subnets of a class.
        let zones = sold.values().flatten().map(|zone| (zone.clone(), String::new())).collect();
        let mut complete = true;
        for (what, failed) in [
            ("on-demand prices", on_demand.as_ref().and_then(|prices| prices.as_ref().err())),
            ("spot prices", spot.as_ref().err()),
        ] {
            if let Some(error) = failed {
                complete = false;
                tracing::warn!("{what} were not read, those that were read last hold: {error}");
            }
        }
        self.on_demand = on_demand.and_then(Result::ok).filter(|prices| !prices.is_empty()).or(self.on_demand.take());
        self.spot = spot.ok().or(self.spot.take());
        let known = Known { on_demand: self.on_demand.as_ref(), spot: self.spot.as_ref() };
        let market = assemble(types, &sold, zones, &known, self.market.version + 1);
        if market.types.is_empty() {
            let what = "instance type that is sold and has a price";
            return Err(CloudError::incomplete("ec2:DescribeInstanceTypes", what));
        }
        self.market = Arc::new(market);
        self.due = Some(Instant::now() + if complete { KEPT } else { PRICES_AGAIN });
        Ok(())
    }
}

/// What the region sells, for whoever asks once.
///
/// # Errors
/// The first call that fails; and when the region sells nothing.
pub async fn read(cloud: &Cloud) -> Result<Market, CloudError> {
    let (types, sold, zones, on_demand, spot) =
        tokio::try_join!(types::read(cloud), sold(cloud), zones(cloud), prices::on_demand(cloud), prices::spot(cloud))?;
    let market = assemble(types, &sold, zones, &Known { on_demand: Some(&on_demand), spot: Some(&spot) }, 1);
    if market.types.is_empty() {
        return Err(CloudError::incomplete("ec2:DescribeInstanceTypes", "instance type that is sold and has a price"));
    }
    Ok(market)
}

/// Prices as far as they are known.
struct Known<'a> {
    on_demand: Option<&'a BTreeMap<String, Price>>,
    spot: Option<&'a BTreeMap<(String, String), Price>>,
}

fn assemble(
    described: Vec<types::Described>,
    sold: &BTreeMap<String, Vec<String>>,
    zones: BTreeMap<String, String>,
    known: &Known<'_>,
    version: u64,
) -> Market {
    let zones: Vec<(String, String)> = zones.into_iter().collect();
    let mut unpriced: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for types::Described { facts, instance_store, fabric } in described {
        let on_demand = match known.on_demand {
            Some(prices) => prices.get(&facts.name).copied(),
            None => Some(estimate(&facts)),
        };
        let at = sold.get(&facts.name).into_iter().flatten();
        let at = at.filter_map(|name| Some((name, zones.iter().position(|(zone, _)| zone == name)?)));
        let mut places: Vec<(u8, Option<Price>)> = at
            .map(|(name, at)| {
                let spot = match known.spot {
                    Some(prices) => prices.get(&(facts.name.clone(), name.clone())).copied(),
                    None => on_demand,
                };
                (u8::try_from(at).unwrap_or(u8::MAX), spot)
            })
            .collect();
        places.sort_unstable();
        if on_demand.is_none() && places.iter().all(|(_, spot)| spot.is_none()) {
            unpriced.push(facts.name);
        } else if !places.is_empty() {
            all.push(Sold { facts, instance_store, fabric, zones: places, on_demand });
        }
    }
    if !unpriced.is_empty() {
        tracing::info!(count = unpriced.len(), "types without any price are left out: {}", unpriced.join(" "));
    }
    all.sort_by(|a, b| a.facts.name.cmp(&b.facts.name));
    Market { zones, types: all, version }
}

/// What a machine of this size costs, more or less, where nobody says: only for comparing.
fn estimate(facts: &InstanceFacts) -> Price {
    let special: i64 = facts.extended.iter().filter(|(name, _)| !name.ends_with("/efa")).map(|(_, count)| *count).sum();
    let dollars = 0.03 * facts.vcpus as f64 + 0.0045 * facts.memory_mib as f64 / 1024.0 + 1.0 * special as f64;
    Price::from_dollars(dollars).unwrap_or_default()
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
async fn zones(cloud: &Cloud) -> Result<BTreeMap<String, String>, CloudError> {
    let request = cloud.read.ec2.describe_availability_zones().filters(filter("zone-type", "availability-zone"));
    let answer = call("ec2:DescribeAvailabilityZones", request.send()).await?;
    let named = answer.availability_zones().iter();
    Ok(named.filter_map(|zone| Some((zone.zone_name()?.to_owned(), zone.zone_id()?.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, vcpus: i64) -> types::Described {
        let facts = InstanceFacts { name: name.into(), vcpus, memory_mib: vcpus * 4096, ..InstanceFacts::default() };
        types::Described { facts, instance_store: 0, fabric: 0 }
    }

    fn market(on_demand: Option<&[(&str, f64)]>, spot: Option<&[(&str, &str, f64)]>) -> Market {
        let price = |dollars| Price::from_dollars(dollars).unwrap_or_default();
        let on_demand = on_demand.map(|all| all.iter().map(|(name, d)| ((*name).to_owned(), price(*d))).collect());
        let spot = spot.map(|all| {
            all.iter().map(|(name, zone, d)| (((*name).to_owned(), (*zone).to_owned()), price(*d))).collect()
        });
        let everywhere = vec!["eu-west-1b".to_owned(), "eu-west-1a".to_owned(), "eu-west-1-local".to_owned()];
        let sold = ["m5.large", "m5.xlarge", "x9.large"].map(|name| (name.to_owned(), everywhere.clone()));
        let zones = [("eu-west-1a", "euw1-az3"), ("eu-west-1b", "euw1-az1")];
        let zones = zones.map(|(name, id)| (name.to_owned(), id.to_owned()));
        assemble(
            vec![described("x9.large", 2), described("m5.xlarge", 4), described("m5.large", 2)],
            &sold.into(),
            zones.into(),
            &Known { on_demand: on_demand.as_ref(), spot: spot.as_ref() },
            1,
        )
    }

    #[test]
    fn a_type_without_any_price_is_left_out_and_a_zone_without_one_sells_no_spot() {
        let market = market(
            Some(&[("m5.large", 0.096)]),
            Some(&[("m5.large", "eu-west-1a", 0.04), ("m5.xlarge", "eu-west-1b", 0.08)]),
        );
        let names: Vec<&str> = market.types.iter().map(|sold| sold.facts.name.as_str()).collect();
        assert_eq!(names, ["m5.large", "m5.xlarge"]);
        let large = market.get("m5.large").unwrap_or_else(|| panic!("it is there"));
        assert_eq!(large.zones, [(0, Price::from_dollars(0.04)), (1, None)]);
        assert_eq!(market.get("m5.xlarge").map(|sold| sold.on_demand), Some(None));
        assert!(market.get("x9.large").is_none());
    }

    #[test]
    fn while_no_price_was_ever_read_bigger_machines_count_as_dearer_and_spot_as_on_demand() {
        let market = market(None, None);
        let price = |name: &str| market.get(name).and_then(|sold| sold.on_demand);
        assert!(price("m5.large") < price("m5.xlarge") && price("m5.large") > Some(Price(0)));
        assert_eq!(market.get("m5.large").map(|sold| sold.zones[0].1), Some(price("m5.large")));
    }
}
