//! A NodePool as the scheduler sees it.

use super::node_pool::NodePoolSpec;
use super::requirement::Requirement;
use super::validate::{Fault, Faults, node_pool};
use crate::state::names::Names;
use crate::state::pod_reading::{read_labels, read_taints};
use crate::state::pools::Pool;
use crate::state::requirements::{Requirements, ValueSet};
use crate::state::resources::{Amounts, read_amount};

/// Reads a pool.
///
/// # Errors
/// All faults that validation finds.
pub fn read_pool(names: &mut Names, name: &str, spec: &NodePoolSpec) -> Result<Pool, Vec<Fault>> {
    let faults = node_pool(spec);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut faults = Faults::at("spec");
    let mut requirements = Requirements::default();
    let mut min_values = Vec::new();
    for (at, requirement) in spec.template.spec.requirements.iter().enumerate() {
        match read_requirement(names, requirement) {
            Ok(set) => {
                let key = names.key(&requirement.key);
                requirements.add(key, set);
                if let Some(least) = requirement.min_values {
                    min_values.push((key, u32::try_from(least).unwrap_or(1)));
                }
            }
            Err(message) => faults.add(&format!("template.spec.requirements[{at}]"), message),
        }
    }
    let labels = read_labels(names, Some(&spec.template.metadata.labels));
    for (key, value) in &labels {
        requirements.add(*key, ValueSet::single(*value));
    }
    if let Some((key, _)) = requirements.iter().find(|(_, set)| set.is_empty()) {
        let key = names.text(key).to_owned();
        faults.add(
            "template.spec.requirements",
            format!("those on `{key}` contradict each other: no node can satisfy them"),
        );
    }
    let mut limits = Amounts::default();
    let mut node_limit = None;
    for (resource, quantity) in &spec.limits {
        match read_amount(&mut names.resources, resource, &quantity.0) {
            Ok((_, nodes)) if resource == "nodes" => node_limit = Some(nodes),
            Ok((id, amount)) => limits.set(id, amount),
            Err(message) => faults.add("limits", message),
        }
    }
    let taints = read_taints(names, &spec.template.spec.taints);
    let startup_taints = read_taints(names, &spec.template.spec.startup_taints);
    match (taints, startup_taints, faults.done()) {
        (Ok(taints), Ok(startup_taints), faults) if faults.is_empty() => Ok(Pool {
            name: names.strings.intern(name),
            weight: spec.weight.unwrap_or(0),
            requirements,
            min_values,
            labels,
            taints,
            startup_taints,
            limits,
            node_limit,
        }),
        (taints, startup, mut faults) => {
            for message in [taints.err(), startup.err()].into_iter().flatten() {
                faults.push(Fault { field: "spec.template.spec".to_owned(), message });
            }
            Err(faults)
        }
    }
}

fn read_requirement(names: &mut Names, requirement: &Requirement) -> Result<ValueSet, String> {
    ValueSet::from_operator(&mut names.strings, &requirement.key, requirement.operator.text(), &requirement.values)
        .map_err(|error| error.to_string())
}
