//! What can be bought, worked out whenever somebody asks for metrics.

use std::collections::BTreeMap;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::gauges::{Labels, Rows, write};
use super::shared::Shared;
use crate::autoscaler::lifecycle::market::{Market, Stock};
use crate::autoscaler::state::instance_types::{InstanceType, Offering};
use crate::autoscaler::state::live::Live;
use crate::autoscaler::state::names::Names;
use crate::autoscaler::state::resources::{CPU, MEMORY};

/// Gauges over what can be bought.
#[derive(Debug)]
pub struct Goods {
    /// In whose words the stock is.
    live: Shared<Live>,
    market: Market,
}

impl Goods {
    /// Over `market`.
    pub fn of(live: &Shared<Live>, market: &Market) -> Self {
        Self { live: live.clone(), market: market.clone() }
    }
}

impl Collector for Goods {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> std::fmt::Result {
        // While it is being read anew there is nothing to tell: nobody waits for that here.
        let Some(stock) = self.market.last() else { return Ok(()) };
        let rows = Told::read(&stock, self.live.lock().names());
        let mut gauge = |name: &str, help: &str, rows: Rows| write(&mut out, name, help, rows);
        gauge("cloudprovider_instance_type_cpu_cores", "Processors of an instance type", rows.cores)?;
        gauge("cloudprovider_instance_type_memory_bytes", "Memory of an instance type", rows.memory)?;
        gauge(
            "cloudprovider_instance_type_offering_available",
            "Whether an instance type can be had in a zone",
            rows.available,
        )?;
        gauge(
            "cloudprovider_instance_type_offering_price_estimate",
            "What an instance type costs in a zone, in dollars an hour",
            rows.price,
        )
    }
}

#[derive(Default)]
struct Told {
    cores: Rows,
    memory: Rows,
    available: Rows,
    price: Rows,
}

impl Told {
    /// Each type once, and each of its offerings, although the stock may have it once for each class.
    fn read(stock: &Stock, names: &Names) -> Self {
        let mut types: BTreeMap<&str, &InstanceType> = BTreeMap::new();
        let mut offerings: BTreeMap<[&str; 3], &Offering> = BTreeMap::new();
        for each in &stock.catalogue.types {
            let name = names.text(each.name);
            types.entry(name).or_insert(each);
            // What is left of reservations is no matter of the market.
            for offering in each.offerings.iter().filter(|one| one.capacity_type != names.known.reserved) {
                let key = [name, names.text(offering.capacity_type), names.text(offering.zone)];
                let known = offerings.entry(key).or_insert(offering);
                if !known.available {
                    *known = offering;
                }
            }
        }
        let mut told = Self::default();
        for (name, each) in types {
            let labels: Labels = vec![("instance_type", name.to_owned())];
            told.cores.push((labels.clone(), each.capacity.get(CPU) as f64 / 1000.0));
            told.memory.push((labels, each.capacity.get(MEMORY) as f64));
        }
        for (values, offering) in offerings {
            let keys = ["instance_type", "capacity_type", "zone"];
            let labels: Labels = keys.into_iter().zip(values.map(str::to_owned)).collect();
            told.available.push((labels.clone(), f64::from(u8::from(offering.available))));
            told.price.push((labels, offering.price.dollars()));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::state::instance_types::Price;

    #[test]
    fn a_type_that_is_there_for_several_classes_is_told_once_and_can_be_had_if_one_of_them_can_have_it() {
        let mut names = Names::default();
        let (name, zone) = (names.strings.intern("m5.large"), names.strings.intern("eu-west-1a"));
        let capacity_type = names.strings.intern("spot");
        let mut stock = Stock::default();
        for available in [false, true, false] {
            let price = Price::from_dollars(0.04).expect("a price");
            let offering = Offering { zone, capacity_type, price, available, labels: [].into() };
            stock.catalogue.add(InstanceType {
                name,
                labels: [].into(),
                capacity: [(CPU, 2000), (MEMORY, 8 << 30)].into_iter().collect(),
                allocatable: [].into_iter().collect(),
                offerings: vec![offering],
            });
        }
        let told = Told::read(&stock, &names);
        let of_type = vec![("instance_type", "m5.large".to_owned())];
        assert_eq!(told.cores, [(of_type.clone(), 2.0)]);
        assert_eq!(told.memory, [(of_type.clone(), 8.0 * 1024.0 * 1024.0 * 1024.0)]);
        let more = [("capacity_type", "spot".to_owned()), ("zone", "eu-west-1a".to_owned())];
        let of_offering: Labels = of_type.into_iter().chain(more).collect();
        assert_eq!(told.available, [(of_offering.clone(), 1.0)]);
        assert_eq!(told.price, [(of_offering, 0.04)]);
    }
}
