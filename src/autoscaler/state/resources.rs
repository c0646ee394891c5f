//! Resource names as small integers, and sparse amounts of them.

use super::intern::FastMap;
use super::quantity::{LARGEST_AMOUNT, Quantity};

/// One resource name. CPU counts in thousandths of a core, all others in whole units (bytes, pieces).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u16);

/// `cpu`, in thousandths of a core.
pub const CPU: ResourceId = ResourceId(0);
/// `memory`, in bytes.
pub const MEMORY: ResourceId = ResourceId(1);
/// `pods`, the slots of a node.
pub const PODS: ResourceId = ResourceId(2);
/// `ephemeral-storage`, in bytes.
pub const EPHEMERAL_STORAGE: ResourceId = ResourceId(3);

/// The table of resource names in use.
#[derive(Clone, Debug)]
pub struct ResourceTable {
    ids: FastMap<String, u16>,
    names: Vec<String>,
}

impl Default for ResourceTable {
    fn default() -> Self {
        let mut table = Self { ids: FastMap::default(), names: Vec::new() };
        for name in ["cpu", "memory", "pods", "ephemeral-storage"] {
            table.id(name);
        }
        table
    }
}

impl ResourceTable {
    /// The id of a resource name, made when it is new.
    pub fn id(&mut self, name: &str) -> ResourceId {
        if let Some(&id) = self.ids.get(name) {
            return ResourceId(id);
        }
        let id = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        self.ids.insert(name.to_owned(), id);
        self.names.push(name.to_owned());
        ResourceId(id)
    }

    /// The name of a resource.
    pub fn name(&self, id: ResourceId) -> &str {
        self.names.get(usize::from(id.0)).map_or("", String::as_str)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never true: the four core resources are always there.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Sparse amounts, sorted by resource; absent means zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amounts(Vec<(ResourceId, i64)>);

impl Amounts {
    /// The amount of a resource, zero when absent.
    pub fn get(&self, id: ResourceId) -> i64 {
        self.0.binary_search_by_key(&id, |(known, _)| *known).map_or(0, |at| self.0[at].1)
    }

    /// The amount of a resource, `None` when it was never stated.
    pub fn stated(&self, id: ResourceId) -> Option<i64> {
        self.0.binary_search_by_key(&id, |(known, _)| *known).ok().map(|at| self.0[at].1)
    }

    /// How much it is in one number: thousandths of a core, with 4 GiB of memory counting as one core.
    pub fn size(&self) -> u64 {
        const UNIT: i64 = (4 << 30) / 1000;
        u64::try_from(self.get(CPU).saturating_add(self.get(MEMORY) / UNIT)).unwrap_or(0)
    }

    /// Replaces the amount of a resource.
    pub fn set(&mut self, id: ResourceId, amount: i64) {
        match self.0.binary_search_by_key(&id, |(known, _)| *known) {
            Ok(at) => self.0[at].1 = amount,
            Err(at) => self.0.insert(at, (id, amount)),
        }
    }

    /// Adds to the amount of a resource, within ±[`LARGEST_AMOUNT`].
    pub fn add(&mut self, id: ResourceId, amount: i64) {
        let sum = self.get(id).saturating_add(amount).clamp(-LARGEST_AMOUNT, LARGEST_AMOUNT);
        self.set(id, sum);
    }

    /// Adds all amounts of another set.
    pub fn add_all(&mut self, other: &Self) {
        for &(id, amount) in &other.0 {
            self.add(id, amount);
        }
    }

    /// Takes the larger amount, resource by resource.
    pub fn raise_to(&mut self, other: &Self) {
        for &(id, amount) in &other.0 {
            if amount > self.get(id) {
                self.set(id, amount);
            }
        }
    }

    /// All stated amounts in resource order.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceId, i64)> + '_ {
        self.0.iter().copied()
    }

    /// Drops resources of which nothing is asked.
    pub fn drop_zeros(&mut self) {
        self.0.retain(|(_, amount)| *amount != 0);
        self.0.shrink_to_fit();
    }
}

impl FromIterator<(ResourceId, i64)> for Amounts {
    fn from_iter<T: IntoIterator<Item = (ResourceId, i64)>>(pairs: T) -> Self {
        let mut amounts = Self::default();
        for (id, amount) in pairs {
            amounts.add(id, amount);
        }
        amounts
    }
}

/// Reads a quantity in the unit that its resource counts in.
///
/// # Errors
/// A sentence that names the resource and what is wrong.
pub fn read_amount(table: &mut ResourceTable, name: &str, text: &str) -> Result<(ResourceId, i64), String> {
    let quantity = Quantity::parse(text).map_err(|error| format!("resource `{name}`: {error}"))?;
    let id = table.id(name);
    Ok((id, if id == CPU { quantity.milli() } else { quantity.units() }))
}

/// An amount as Kubernetes writes it, exactly: `1500m`, `15831128Ki`, `2`.
pub fn write_amount(id: ResourceId, amount: i64) -> String {
    const UNITS: [(&str, i64); 3] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    if id == CPU {
        return if amount % 1000 == 0 { format!("{}", amount / 1000) } else { format!("{amount}m") };
    }
    if id != MEMORY && id != EPHEMERAL_STORAGE {
        return amount.to_string();
    }
    let unit = UNITS.iter().find(|(_, size)| amount != 0 && amount % size == 0);
    unit.map_or_else(|| amount.to_string(), |(suffix, size)| format!("{}{suffix}", amount / size))
}

/// An amount in the notation that people read: `1500m`, `3.5Gi`, `2`.
pub fn show_amount(id: ResourceId, amount: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    if id == CPU {
        return if amount % 1000 == 0 { format!("{}", amount / 1000) } else { format!("{amount}m") };
    }
    if id != MEMORY && id != EPHEMERAL_STORAGE {
        return amount.to_string();
    }
    for (suffix, size) in UNITS {
        if amount.abs() >= size {
            let value = amount as f64 / size as f64;
            return if value.fract() == 0.0 { format!("{value}{suffix}") } else { format!("{value:.1}{suffix}") };
        }
    }
    amount.to_string()
}
