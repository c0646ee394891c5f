//! What the region sells, as nodes of a class see it: types that one of its images suits, in zones where it has a
//! subnet, with what its kubelets leave to pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::class::suits::suits;
use super::class::{Family, Image, ResolvedClass};
use super::ec2::{CloudSettings, Ec2};
use super::launch::CapacityType;
use super::market::{self, Market, Sold};
use super::template::ephemeral_storage;
use super::unavailable::Unavailable;
use crate::autoscaler::api::ec2_node_class::KubeletConfiguration;
use crate::autoscaler::api::labels::{PLACEMENT_GROUP_ID, RESERVATION_ID, RESERVATION_INTERRUPTIBLE, RESERVATION_TYPE};
use crate::autoscaler::state::instance_types::{Catalogue, InstanceType, Offering, Price, describe};
use crate::autoscaler::state::intern::Symbol;
use crate::autoscaler::state::names::{Names, keys};
use crate::autoscaler::state::overhead::KubeletReservation;
use crate::autoscaler::state::quantity::Quantity;
use crate::autoscaler::state::resources::EPHEMERAL_STORAGE;
use crate::aws::{Cloud, CloudError};

const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";
const FAMILY: &str = "karpenter.k8s.aws/instance-family";
/// Pods of a Windows node: their addresses are secondary ones of a single interface.
const WINDOWS_PODS: i64 = 110;
const MIB: i64 = 1 << 20;

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
    let market = market::read(cloud).await?;
    let mut catalogue = Catalogue::default();
    for sold in &market.types {
        let id_of = |zone: &str| market.zones.iter().find(|(name, _)| name == zone).map(|(_, id)| id.as_str());
        let offerings = offerings(names, &cloud.region, &market, sold, id_of, |_, _| true);
        catalogue.add(describe(names, &sold.facts, kubelet, offerings));
    }
    Ok(catalogue)
}

impl Ec2 {
    /// What the region sells to nodes of a class. Kept for twelve hours; `names` takes up its words.
    ///
    /// # Errors
    /// The first call that fails while nothing is known yet.
    pub async fn catalogue(&self, names: &mut Names, class: &ResolvedClass) -> Result<Catalogue, CloudError> {
        let market = self.market().await?;
        Ok(of_class(names, &self.cloud.region, &market, class, &self.settings, &self.unavailable))
    }

    pub(super) async fn market(&self) -> Result<Arc<Market>, CloudError> {
        self.stall.market(&self.cloud, self.settings.isolated).await
    }
}

fn of_class(
    names: &mut Names,
    region: &str,
    market: &Market,
    class: &ResolvedClass,
    settings: &CloudSettings,
    unavailable: &Unavailable,
) -> Catalogue {
    let now = jiff::Timestamp::now();
    let has_room = |zone: &str| {
        let mut subnets = class.subnets.iter().filter(|subnet| subnet.zone == zone);
        subnets.any(|subnet| !unavailable.is_full(&subnet.id, now))
    };
    let rooms: BTreeMap<&str, bool> =
        class.subnets.iter().map(|subnet| (subnet.zone.as_str(), has_room(&subnet.zone))).collect();
    let ids: BTreeMap<&str, &str> =
        class.subnets.iter().map(|subnet| (subnet.zone.as_str(), subnet.zone_id.as_str())).collect();
    let mut catalogue = Catalogue::default();
    for sold in market.types.iter().filter(|sold| image_for(class, sold).is_some()) {
        let is_available = |capacity_type, zone: &str| {
            rooms.get(zone) == Some(&true) && unavailable.until(capacity_type, &sold.facts.name, zone, now).is_none()
        };
        let id_of = |zone: &str| ids.get(zone).copied();
        let mut offerings = offerings(names, region, market, sold, id_of, is_available);
        offerings.extend(reserved(names, region, class, sold, id_of));
        if !offerings.is_empty() {
            catalogue.add(type_of_class(names, class, settings, sold, offerings));
        }
    }
    catalogue
}

/// One offering for each capacity type that has a price, in each zone that has an id.
fn offerings<'a>(
    names: &mut Names,
    region: &str,
    market: &Market,
    sold: &Sold,
    id_of: impl Fn(&str) -> Option<&'a str>,
    is_available: impl Fn(CapacityType, &str) -> bool,
) -> Vec<Offering> {
    let region = names.strings.intern(region);
    let mut offerings = Vec::new();
    for (at, spot) in &sold.zones {
        let Some((zone, _)) = market.zones.get(usize::from(*at)) else { continue };
        let Some(id) = id_of(zone) else { continue };
        let mut labels = vec![(names.known.region, region), (names.key(keys::ZONE_ID), names.strings.intern(id))];
        labels.sort_unstable();
        let prices = [(CapacityType::OnDemand, sold.on_demand), (CapacityType::Spot, *spot)];
        let symbol = names.strings.intern(zone);
        offerings.extend(prices.into_iter().filter_map(|(capacity_type, price)| {
            Some(Offering {
                zone: symbol,
                capacity_type: match capacity_type {
                    CapacityType::OnDemand => names.known.on_demand,
                    CapacityType::Spot => names.known.spot,
                    CapacityType::Reserved => names.known.reserved,
                },
                price: price?,
                available: is_available(capacity_type, zone),
                labels: labels.clone().into(),
            })
        }));
    }
    offerings
}

/// The capacity reservations of a class with instances of a type. They cannot be bought as the other offerings can:
/// there are only so many instances in each, and whoever plans with them counts.
fn reserved<'a>(
    names: &mut Names,
    region: &str,
    class: &ResolvedClass,
    sold: &Sold,
    id_of: impl Fn(&str) -> Option<&'a str>,
) -> Vec<Offering> {
    let own = class.reservations.iter().filter(|one| one.instance_type == sold.facts.name);
    own.filter_map(|one| {
        let told = [
            (keys::REGION, region),
            (keys::ZONE_ID, id_of(&one.zone)?),
            (RESERVATION_ID, one.id.as_str()),
            (RESERVATION_TYPE, one.kind()),
            (RESERVATION_INTERRUPTIBLE, if one.interruptible { "true" } else { "false" }),
        ];
        let mut labels = told.map(|(key, value)| (names.key(key), names.strings.intern(value)));
        labels.sort_unstable();
        Some(Offering {
            zone: names.strings.intern(&one.zone),
            capacity_type: names.known.reserved,
            price: paid_already(sold.on_demand),
            available: false,
            labels: labels.into(),
        })
    })
    .collect()
}

/// The price of what is paid for whether it is used or not: next to nothing, but cheaper where the type is.
fn paid_already(on_demand: Option<Price>) -> Price {
    const SHARE: u64 = 10_000_000;
    Price((on_demand.unwrap_or_default().0 / SHARE).max(1))
}

/// The image that a type of a class runs: the newest that suits it.
pub fn image_for<'a>(class: &'a ResolvedClass, sold: &Sold) -> Option<&'a Image> {
    let family = sold.facts.name.split('.').next().unwrap_or_default();
    if class.family == Family::Al2023 && family == "a1" {
        return None;
    }
    class.images.iter().find(|image| {
        suits(&image.requirements, |key| match key {
            keys::ARCH => Some(sold.facts.architecture.as_str()),
            keys::OS => Some(class.family.operating_system()),
            keys::INSTANCE_TYPE => Some(sold.facts.name.as_str()),
            WINDOWS_BUILD => class.family.windows_build(),
            FAMILY => Some(family),
            key => sold.facts.labels.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str()),
        })
    })
}

/// The most pods of a type of a class.
pub fn max_pods(class: &ResolvedClass, settings: &CloudSettings, sold: &Sold) -> i64 {
    sold.facts.max_pods(&reservation(class, settings, sold))
}

fn type_of_class(
    names: &mut Names,
    class: &ResolvedClass,
    settings: &CloudSettings,
    sold: &Sold,
    offerings: Vec<Offering>,
) -> InstanceType {
    let mut facts = sold.facts.clone();
    facts.ephemeral_storage_bytes = ephemeral_storage(&class.spec, class.family, sold.instance_store);
    let mut described = describe(names, &facts, &reservation(class, settings, sold), offerings);
    let kubelet = class.spec.kubelet.clone().unwrap_or_default();
    let storage = (facts.ephemeral_storage_bytes - kept_storage(&kubelet, facts.ephemeral_storage_bytes)).max(0);
    described.allocatable.set(EPHEMERAL_STORAGE, storage);
    let windows =
        class.family.windows_build().map(|build| [(keys::OS, class.family.operating_system()), (WINDOWS_BUILD, build)]);
    let group = class.placement_group.as_deref().map(|id| (PLACEMENT_GROUP_ID, id));
    let own = windows.into_iter().flatten().chain(group);
    let mut labels: BTreeMap<Symbol, Symbol> = described.labels.iter().copied().collect();
    labels.extend(own.map(|(key, value)| (names.key(key), names.strings.intern(value))));
    described.labels = labels.into_iter().collect();
    described
}

/// What the kubelets of a class keep from pods on a type.
fn reservation(class: &ResolvedClass, settings: &CloudSettings, sold: &Sold) -> KubeletReservation {
    let kubelet = class.spec.kubelet.clone().unwrap_or_default();
    let fabric = class.spec.network_interfaces.iter();
    let fabric = fabric.filter(|each| each.network_card_index == 0 && each.interface_type == "efa-only").count();
    let windows_pods = class.family.is_windows().then_some(WINDOWS_PODS);
    let mut reservation = KubeletReservation {
        hypervisor_share: settings.memory_overhead,
        reserved_interfaces: settings.reserved_interfaces + i64::try_from(fabric).unwrap_or(0),
        max_pods: kubelet.max_pods.map(i64::from).or(windows_pods),
        pods_per_core: kubelet.pods_per_core.map(i64::from).filter(|_| class.family != Family::Bottlerocket),
        kube_cpu_milli: milli(&kubelet.kube_reserved, "cpu"),
        kube_memory_bytes: bytes(&kubelet.kube_reserved, "memory"),
        system_cpu_milli: milli(&kubelet.system_reserved, "cpu").unwrap_or(0),
        system_memory_bytes: bytes(&kubelet.system_reserved, "memory").unwrap_or(0),
        ..KubeletReservation::default()
    };
    let memory = sold.facts.usable_memory_bytes(settings.memory_overhead);
    if let Some(kept) = kubelet.eviction_hard.get("memory.available").and_then(|text| threshold(text, memory)) {
        reservation.eviction_memory_bytes = kept;
    }
    // These images compute from the pods that a node may really have.
    if reservation.kube_memory_bytes.is_none() && (class.family == Family::Bottlerocket || class.family.is_windows()) {
        let pods = sold.facts.max_pods(&reservation);
        reservation.kube_memory_bytes = Some((11 * pods + 255) * MIB);
    }
    reservation
}

/// Of ephemeral storage: 1 GiB for the kubelet and a tenth below which it evicts, unless the class says otherwise.
fn kept_storage(kubelet: &KubeletConfiguration, all: i64) -> i64 {
    let kube = bytes(&kubelet.kube_reserved, "ephemeral-storage").unwrap_or(1 << 30);
    let system = bytes(&kubelet.system_reserved, "ephemeral-storage").unwrap_or(0);
    let eviction = kubelet.eviction_hard.get("nodefs.available").and_then(|text| threshold(text, all));
    kube + system + eviction.unwrap_or(all / 10)
}

fn read(list: &BTreeMap<String, Text>, name: &str) -> Option<Quantity> {
    list.get(name).and_then(|text| Quantity::parse(&text.0).ok())
}

fn milli(list: &BTreeMap<String, Text>, name: &str) -> Option<i64> {
    read(list, name).map(|quantity| quantity.milli())
}

fn bytes(list: &BTreeMap<String, Text>, name: &str) -> Option<i64> {
    read(list, name).map(|quantity| quantity.units())
}

/// A threshold of eviction, absolute or a share of `all`; `100%` and `0%` switch it off.
fn threshold(text: &str, all: i64) -> Option<i64> {
    match text.strip_suffix('%') {
        Some(share) => {
            let share: f64 = share.trim().parse().ok()?;
            Some(if share >= 100.0 { 0 } else { (all as f64 * share / 100.0).ceil() as i64 })
        }
        None => Quantity::parse(text).ok().map(|quantity| quantity.units()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::api::requirement::{Operator, Requirement};
    use crate::autoscaler::cloud::class::Subnet;
    use crate::autoscaler::cloud::class::aliases::exactly;
    use crate::autoscaler::cloud::unavailable::Scope;
    use crate::autoscaler::state::instance_types::Price;
    use crate::autoscaler::state::overhead::InstanceFacts;
    use crate::autoscaler::state::resources::{CPU, MEMORY, PODS};

    fn sold(name: &str, architecture: &str, labels: &[(&str, &str)]) -> Sold {
        let facts = InstanceFacts {
            name: name.into(),
            architecture: architecture.into(),
            vcpus: 4,
            memory_mib: 16384,
            interfaces: 4,
            addresses_per_interface: 15,
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..InstanceFacts::default()
        };
        let price = |dollars| Price::from_dollars(dollars);
        Sold {
            facts,
            instance_store: 300_000_000_000,
            fabric: 0,
            zones: vec![(0, price(0.05)), (1, None)],
            on_demand: price(0.2),
        }
    }

    fn market() -> Market {
        let gpu = [("karpenter.k8s.aws/instance-gpu-count", "1")];
        Market {
            zones: vec![("a".into(), "az1".into()), ("b".into(), "az2".into())],
            types: vec![
                sold("a1.xlarge", "arm64", &[]),
                sold("g5.xlarge", "amd64", &gpu),
                sold("m5.xlarge", "amd64", &[]),
                sold("m7g.xlarge", "arm64", &[]),
            ],
            version: 1,
        }
    }

    fn image(id: &str, architecture: &str, gpu: Operator) -> Image {
        let gpu = Requirement {
            key: "karpenter.k8s.aws/instance-gpu-count".into(),
            operator: gpu,
            values: Vec::new(),
            min_values: None,
        };
        Image {
            id: id.into(),
            name: id.into(),
            deprecated: false,
            requirements: vec![exactly(keys::ARCH, architecture), gpu],
        }
    }

    fn class() -> ResolvedClass {
        let subnet = |id: &str, zone: &str| Subnet {
            id: id.into(),
            zone: zone.into(),
            zone_id: String::new(),
            free_addresses: 9,
        };
        ResolvedClass {
            images: vec![
                image("ami-amd", "amd64", Operator::DoesNotExist),
                image("ami-arm", "arm64", Operator::DoesNotExist),
                image("ami-gpu", "amd64", Operator::Exists),
            ],
            subnets: vec![subnet("subnet-a", "a"), subnet("subnet-b", "b")],
            ..ResolvedClass::empty()
        }
    }

    fn build(class: &ResolvedClass, unavailable: &Unavailable) -> (Names, Catalogue) {
        let mut names = Names::default();
        let found = of_class(&mut names, "eu-west-1", &market(), class, &CloudSettings::default(), unavailable);
        (names, found)
    }

    fn told(names: &Names, catalogue: &Catalogue, name: &str) -> Vec<String> {
        let found = catalogue.types.iter().find(|each| names.text(each.name) == name);
        let told = |offering: &Offering| {
            let mark = if offering.available { "" } else { " not now" };
            format!("{} {}{mark}", names.text(offering.capacity_type), names.text(offering.zone))
        };
        found.map(|found| found.offerings.iter().map(told).collect()).unwrap_or_default()
    }

    #[test]
    fn a_type_needs_an_image_that_suits_it_and_a_zone_with_a_subnet() {
        let (names, catalogue) = build(&class(), &Unavailable::default());
        let types: Vec<&str> = catalogue.types.iter().map(|each| names.text(each.name)).collect();
        assert_eq!(types, ["g5.xlarge", "m5.xlarge", "m7g.xlarge"], "AL2023 does not run on a1");
        assert_eq!(told(&names, &catalogue, "m5.xlarge"), ["on-demand a", "spot a", "on-demand b"]);
        let mut narrow = class();
        narrow.subnets.retain(|subnet| subnet.zone == "b");
        narrow.images.retain(|image| image.id == "ami-gpu");
        let (names, catalogue) = build(&narrow, &Unavailable::default());
        assert_eq!(told(&names, &catalogue, "g5.xlarge"), ["on-demand b"]);
        assert_eq!(catalogue.types.len(), 1);
        let market = market();
        let image = market.get("g5.xlarge").and_then(|sold| Some(image_for(&class(), sold)?.id.clone()));
        assert_eq!(image.as_deref(), Some("ami-gpu"));
    }

    #[test]
    fn what_ec2_could_not_give_is_marked() {
        let unavailable = Unavailable::default();
        let now = jiff::Timestamp::now();
        unavailable.mark(Scope::offering(CapacityType::Spot, "m5.xlarge", "a"), "none", now);
        unavailable.mark(Scope::Subnet("subnet-b".into()), "full", now);
        let (names, catalogue) = build(&class(), &unavailable);
        assert_eq!(told(&names, &catalogue, "m5.xlarge"), ["on-demand a", "spot a not now", "on-demand b not now"]);
        assert_eq!(told(&names, &catalogue, "m7g.xlarge"), ["on-demand a", "spot a", "on-demand b not now"]);
    }

    #[test]
    fn kubelet_disks_and_family_decide_what_is_left_to_pods() {
        let amounts = |class: &ResolvedClass| {
            let (_, catalogue) = build(class, &Unavailable::default());
            let found = &catalogue.types[1];
            let left = |id| found.allocatable.get(id);
            (left(CPU), left(MEMORY) / MIB, found.capacity.get(PODS), left(EPHEMERAL_STORAGE) >> 20)
        };
        let usable = 16384 - 1229;
        assert_eq!(amounts(&class()), (3920, usable - (11 * 58 + 255) - 100, 58, (20 << 10) - (1 << 10) - (2 << 10)));
        let mut set = class();
        let texts =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), Text((*v).to_owned()))).collect();
        set.spec.kubelet = Some(KubeletConfiguration {
            max_pods: Some(20),
            kube_reserved: texts(&[("cpu", "500m"), ("memory", "1Gi"), ("ephemeral-storage", "2Gi")]),
            system_reserved: texts(&[("cpu", "100m"), ("memory", "100Mi")]),
            eviction_hard: [("memory.available", "1Gi"), ("nodefs.available", "100%")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..KubeletConfiguration::default()
        });
        assert_eq!(amounts(&set), (3400, usable - 1024 - 100 - 1024, 20, 18 << 10));
        let mut raid = class();
        raid.spec.instance_store_policy = Some("RAID0".into());
        raid.spec.kubelet = Some(KubeletConfiguration { max_pods: Some(20), ..KubeletConfiguration::default() });
        raid.family = Family::Bottlerocket;
        let storage = 300_000_000_000_i64;
        assert_eq!(
            amounts(&raid),
            (3920, usable - (11 * 20 + 255) - 100, 20, (storage - (1 << 30) - storage / 10) >> 20)
        );
    }
}
