//! Instance types and prices from a CSV file, for use without a cloud.
//!
//! Columns are found by name, in any order: `instance_type`, `arch`, `vcpu`, `memory_mib`,
//! `max_pods`, `gpus`, `allocatable_cpu_m`, `allocatable_memory_mib`, `on_demand_usd`,
//! `spot_<letter>_usd` (empty: not sold there), `zones` (letters), `metal`.

use super::instance_types::{Catalogue, InstanceType, Offering, Price, type_labels};
use super::names::Names;
use super::overhead::InstanceFacts;
use super::resources::{Amounts, CPU, EPHEMERAL_STORAGE, MEMORY, PODS};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a catalogue file cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CatalogueError {
    /// A column that must be there is not.
    #[error("the catalogue has no column `{0}`")]
    MissingColumn(String),
    /// A cell that must be a number is not.
    #[error("line {line} of the catalogue: `{column}` is `{value}`, which is not a number of zero or more")]
    NotANumber {
        /// Line number, the heading being line 1.
        line: usize,
        /// Column name.
        column: String,
        /// The cell.
        value: String,
    },
    /// No line besides the heading.
    #[error("the catalogue has no instance types")]
    Empty,
}

const MIB: i64 = 1 << 20;
/// The root volume of the EKS image, less what the kubelet keeps of it.
const DEFAULT_STORAGE_BYTES: i64 = 17 << 30;

/// Reads a catalogue; `region` is put before the zone letters.
///
/// # Errors
/// When a column is missing or a number cannot be read.
pub fn read_catalogue(names: &mut Names, csv: &str, region: &str) -> Result<Catalogue, CatalogueError> {
    let mut lines = csv.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, heading) = lines.next().ok_or(CatalogueError::Empty)?;
    let columns: BTreeMap<&str, usize> = heading.split(',').enumerate().map(|(at, name)| (name.trim(), at)).collect();
    for needed in ["instance_type", "vcpu", "memory_mib", "on_demand_usd", "zones"] {
        if !columns.contains_key(needed) {
            return Err(CatalogueError::MissingColumn(needed.to_owned()));
        }
    }
    let mut catalogue = Catalogue::default();
    for (index, line) in lines {
        let row = Row { columns: &columns, cells: line.split(',').collect(), line: index + 1 };
        catalogue.add(read_row(names, &row, region)?);
    }
    if catalogue.types.is_empty() { Err(CatalogueError::Empty) } else { Ok(catalogue) }
}

struct Row<'a> {
    columns: &'a BTreeMap<&'a str, usize>,
    cells: Vec<&'a str>,
    line: usize,
}

impl Row<'_> {
    fn text(&self, column: &str) -> &str {
        self.columns.get(column).and_then(|at| self.cells.get(*at)).map_or("", |cell| cell.trim())
    }

    fn number(&self, column: &str) -> Result<Option<f64>, CatalogueError> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && (0.0..1e12).contains(&value) => Ok(Some(value)),
            _ => Err(CatalogueError::NotANumber { line: self.line, column: column.to_owned(), value: text.to_owned() }),
        }
    }

    fn whole(&self, column: &str, otherwise: i64) -> Result<i64, CatalogueError> {
        Ok(self.number(column)?.map_or(otherwise, |value| value as i64))
    }
}

fn read_row(names: &mut Names, row: &Row<'_>, region: &str) -> Result<InstanceType, CatalogueError> {
    let vcpus = row.whole("vcpu", 0)?;
    let memory_mib = row.whole("memory_mib", 0)?;
    let metal = row.text("metal") == "true";
    let gpus = row.whole("gpus", 0)?;
    let mut labels = Vec::new();
    if gpus > 0 {
        labels.push(("karpenter.k8s.aws/instance-gpu-count".to_owned(), gpus.to_string()));
    }
    let facts = InstanceFacts {
        name: row.text("instance_type").to_owned(),
        architecture: if row.text("arch").is_empty() { "amd64".into() } else { row.text("arch").to_owned() },
        hypervisor: if metal { String::new() } else { "nitro".into() },
        vcpus,
        memory_mib,
        labels,
        ..InstanceFacts::default()
    };
    let mut capacity = Amounts::default();
    capacity.set(CPU, vcpus * 1000);
    capacity.set(MEMORY, memory_mib * MIB);
    capacity.set(PODS, row.whole("max_pods", 110)?);
    capacity.set(EPHEMERAL_STORAGE, DEFAULT_STORAGE_BYTES);
    if gpus > 0 {
        let id = names.resources.id("nvidia.com/gpu");
        capacity.set(id, gpus);
    }
    let mut allocatable = capacity.clone();
    allocatable.set(CPU, row.whole("allocatable_cpu_m", vcpus * 1000)?);
    allocatable.set(MEMORY, row.whole("allocatable_memory_mib", memory_mib)? * MIB);
    Ok(InstanceType {
        name: names.strings.intern(&facts.name),
        labels: type_labels(names, &facts),
        capacity,
        allocatable,
        offerings: read_offerings(names, row, region)?,
    })
}

fn read_offerings(names: &mut Names, row: &Row<'_>, region: &str) -> Result<Vec<Offering>, CatalogueError> {
    let mut offerings = Vec::new();
    let region_label = (names.known.region, names.strings.intern(region));
    let on_demand = row.number("on_demand_usd")?.and_then(Price::from_dollars);
    for letter in row.text("zones").chars().filter(char::is_ascii_lowercase) {
        let zone = names.strings.intern(&format!("{region}{letter}"));
        let spot = row.number(&format!("spot_{letter}_usd"))?.and_then(Price::from_dollars);
        for (capacity_type, price) in [(names.known.on_demand, on_demand), (names.known.spot, spot)] {
            if let Some(price) = price {
                offerings.push(Offering {
                    zone,
                    capacity_type,
                    price,
                    available: true,
                    labels: Box::new([region_label]),
                });
            }
        }
    }
    Ok(offerings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_spot_cell_means_no_spot_offering_there() {
        let mut names = Names::default();
        let csv = "instance_type,vcpu,memory_mib,on_demand_usd,spot_a_usd,spot_b_usd,zones\n\
                   m5.large,2,8192,0.096,0.04,,ab\n";
        let catalogue = read_catalogue(&mut names, csv, "us-east-1").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(catalogue.types[0].offerings.len(), 3);
        assert_eq!(names.text(catalogue.types[0].offerings[0].zone), "us-east-1a");
    }

    #[test]
    fn missing_columns_and_bad_numbers_are_named() {
        let mut names = Names::default();
        let missing = read_catalogue(&mut names, "instance_type,vcpu\n", "r");
        assert_eq!(missing.err(), Some(CatalogueError::MissingColumn("memory_mib".into())));
        let bad = read_catalogue(&mut names, "instance_type,vcpu,memory_mib,on_demand_usd,zones\nx,two,1,1,a\n", "r");
        assert!(bad.is_err_and(|error| error.to_string().contains("line 2") && error.to_string().contains("`two`")));
        assert_eq!(read_catalogue(&mut names, "", "r").err(), Some(CatalogueError::Empty));
    }
}
