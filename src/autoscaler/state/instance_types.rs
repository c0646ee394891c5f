//! Instance types with their offerings: what a machine gives, where it is sold, and for how much.

use super::intern::Symbol;
use super::names::Names;
use super::overhead::{InstanceFacts, KubeletReservation};
use super::pod_spec::{Labels, label};
use super::resources::{Amounts, CPU, EPHEMERAL_STORAGE, MEMORY, PODS};

/// An hourly price in billionths of a dollar, so that sums are exact and comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub u64);

impl Price {
    /// A price from dollars per hour; anything but a positive finite number is no price.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        let billionths = (dollars * 1e9).round();
        (billionths.is_finite() && (0.0..1e15).contains(&billionths)).then_some(Self(billionths as u64))
    }

    /// Dollars per hour.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// One way to buy an instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offering {
    /// Availability zone.
    pub zone: Symbol,
    /// `spot`, `on-demand` or `reserved`.
    pub capacity_type: Symbol,
    /// Price per hour.
    pub price: Price,
    /// Whether it can be had now.
    pub available: bool,
    /// Further labels of nodes from this offering (zone id, reservation id).
    pub labels: Labels,
}

impl Offering {
    /// The capacity reservation that it is a place of, by id.
    pub fn reservation<'a>(&self, names: &'a Names) -> Option<&'a str> {
        if self.capacity_type != names.known.reserved {
            return None;
        }
        let key = names.strings.find(crate::api::labels::RESERVATION_ID)?;
        label(&self.labels, key).map(|id| names.text(id))
    }
}

/// An instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceType {
    /// Its name, `m7i.large`.
    pub name: Symbol,
    /// Labels that every node of this type has; zone and capacity type come from the offering.
    pub labels: Labels,
    /// Everything the machine has; pool limits count this.
    pub capacity: Amounts,
    /// What is left for pods, daemons included.
    pub allocatable: Amounts,
    /// Where and how it is sold.
    pub offerings: Vec<Offering>,
}

impl InstanceType {
    /// The value that a node from this type and offering has for a label.
    pub fn label(&self, names: &Names, offering: &Offering, key: Symbol) -> Option<Symbol> {
        if key == names.known.zone {
            Some(offering.zone)
        } else if key == names.known.capacity_type {
            Some(offering.capacity_type)
        } else {
            label(&self.labels, key).or_else(|| label(&offering.labels, key))
        }
    }
}

impl InstanceType {
    fn translated(&self, from: &Names, to: &mut Names) -> Self {
        let mut word = |symbol: Symbol| to.strings.intern(from.text(symbol));
        let labels = |labels: &Labels, word: &mut dyn FnMut(Symbol) -> Symbol| -> Labels {
            let mut labels: Vec<_> = labels.iter().map(|(key, value)| (word(*key), word(*value))).collect();
            labels.sort_unstable();
            labels.into()
        };
        let offering = |offering: &Offering, word: &mut dyn FnMut(Symbol) -> Symbol| Offering {
            zone: word(offering.zone),
            capacity_type: word(offering.capacity_type),
            labels: labels(&offering.labels, word),
            ..offering.clone()
        };
        let (name, own) = (word(self.name), labels(&self.labels, &mut word));
        let offerings = self.offerings.iter().map(|each| offering(each, &mut word)).collect();
        let mut amounts = |list: &Amounts| {
            list.iter().map(|(id, amount)| (to.resources.id(from.resources.name(id)), amount)).collect()
        };
        let (capacity, allocatable) = (amounts(&self.capacity), amounts(&self.allocatable));
        Self { name, labels: own, capacity, allocatable, offerings }
    }
}

/// All instance types.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The types, in the order in which they were added.
    pub types: Vec<InstanceType>,
    label_keys: Vec<Symbol>,
}

impl Catalogue {
    /// Adds a type.
    pub fn add(&mut self, instance_type: InstanceType) {
        let offered = instance_type.offerings.iter().flat_map(|offering| offering.labels.iter());
        for (key, _) in instance_type.labels.iter().chain(offered) {
            if let Err(at) = self.label_keys.binary_search(key) {
                self.label_keys.insert(at, *key);
            }
        }
        self.types.push(instance_type);
    }

    /// The same in the words of another table of names.
    pub fn translated(&self, from: &Names, to: &mut Names) -> Self {
        let mut catalogue = Self::default();
        for instance_type in &self.types {
            catalogue.add(instance_type.translated(from, to));
        }
        catalogue
    }

    /// Whether a label key is decided by the type or offering, not by the pool.
    pub fn decides(&self, names: &Names, key: Symbol) -> bool {
        key == names.known.zone || key == names.known.capacity_type || self.label_keys.binary_search(&key).is_ok()
    }
}

/// Builds the type that a cloud's description stands for: labels by the usual names, memory less
/// the hypervisor's share, pods by network interfaces, and the kubelet's reservations.
pub fn describe(
    names: &mut Names,
    facts: &InstanceFacts,
    kubelet: &KubeletReservation,
    offerings: Vec<Offering>,
) -> InstanceType {
    let mut capacity = Amounts::default();
    capacity.set(CPU, facts.vcpus.saturating_mul(1000));
    capacity.set(MEMORY, facts.usable_memory_bytes(kubelet.hypervisor_share));
    capacity.set(PODS, facts.max_pods(kubelet));
    capacity.set(EPHEMERAL_STORAGE, facts.ephemeral_storage_bytes);
    for (name, amount) in &facts.extended {
        let id = names.resources.id(name);
        capacity.set(id, *amount);
    }
    let mut allocatable = capacity.clone();
    for (id, reserved) in kubelet.reserved(facts) {
        allocatable.set(id, allocatable.get(id).saturating_sub(reserved).max(0));
    }
    InstanceType {
        name: names.strings.intern(&facts.name),
        labels: type_labels(names, facts),
        capacity,
        allocatable,
        offerings,
    }
}

/// The labels that follow from a type's name and description.
pub fn type_labels(names: &mut Names, facts: &InstanceFacts) -> Labels {
    const PREFIX: &str = "karpenter.k8s.aws/instance-";
    let parts = TypeName::parse(&facts.name);
    let mut pairs: Vec<(String, String)> = vec![
        (super::names::keys::INSTANCE_TYPE.into(), facts.name.clone()),
        (super::names::keys::ARCH.into(), facts.architecture.clone()),
        (super::names::keys::OS.into(), "linux".into()),
        (format!("{PREFIX}cpu"), facts.vcpus.to_string()),
        (format!("{PREFIX}memory"), facts.memory_mib.to_string()),
        (format!("{PREFIX}category"), parts.category.into()),
        (format!("{PREFIX}family"), parts.family.into()),
        (format!("{PREFIX}generation"), parts.generation.into()),
        (format!("{PREFIX}size"), parts.size.into()),
        (format!("{PREFIX}hypervisor"), facts.hypervisor.clone()),
    ];
    pairs.extend(facts.labels.iter().cloned());
    let mut labels: Vec<(Symbol, Symbol)> =
        pairs.into_iter().map(|(key, value)| (names.key(&key), names.strings.intern(&value))).collect();
    labels.sort_unstable();
    labels.dedup_by_key(|(key, _)| *key);
    labels.into()
}

/// The parts of a name such as `c7gn.2xlarge` or `u-6tb1.56xlarge`.
struct TypeName<'a> {
    category: &'a str,
    family: &'a str,
    generation: &'a str,
    size: &'a str,
}

impl<'a> TypeName<'a> {
    fn parse(name: &'a str) -> Self {
        let (family, size) = name.split_once('.').unwrap_or((name, ""));
        let letters = family.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(family.len());
        // `u-6tb1`: the size of the memory stands between series and generation.
        let after_memory = family.find("tb").filter(|_| family.contains('-')).map_or(letters, |at| at + 2);
        let rest = &family[after_memory..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Self { category: &family[..letters], family, generation: &rest[..digits], size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_into_category_family_generation_and_size() {
        for (name, category, family, generation, size) in [
            ("c7gn.2xlarge", "c", "c7gn", "7", "2xlarge"),
            ("m5.large", "m", "m5", "5", "large"),
            ("u-6tb1.56xlarge", "u", "u-6tb1", "1", "56xlarge"),
            ("inf2.xlarge", "inf", "inf2", "2", "xlarge"),
            ("i4i.metal", "i", "i4i", "4", "metal"),
            ("fake-it-3", "fake", "fake-it-3", "", ""),
        ] {
            let parts = TypeName::parse(name);
            assert_eq!(
                (parts.category, parts.family, parts.generation, parts.size),
                (category, family, generation, size)
            );
        }
    }
}
