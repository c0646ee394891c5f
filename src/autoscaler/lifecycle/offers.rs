//! What a claim is launched with, attempt by attempt. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::autoscaler::api::NodeClaim;
use crate::autoscaler::api::labels::RESERVATION_ID;
use crate::autoscaler::cloud::{CapacityType, LaunchOption};
use crate::autoscaler::state::instance_types::{Catalogue, InstanceType, Offering};
use crate::autoscaler::state::intern::Symbol;
use crate::autoscaler::state::names::Names;
use crate::autoscaler::state::requirements::{Requirements, ValueSet};
use crate::autoscaler::state::resources::{Amounts, read_amount};

/// Spot capacity up to this factor above the cheapest is as good as the cheapest.
const NEAR: f64 = 1.05;
/// If there is too little choice so near, it may be as dear as this.
const FAR: f64 = 1.25;
/// With so many types in zones EC2 has a choice.
const CHOICE: usize = 6;
/// The most instance types of one request.
const MOST_TYPES: usize = 60;

/// What is asked for first: one capacity type, at about the price that was planned. `options` are sorted by price;
/// `least` are the fewest types that the pool wants to leave to choose from.
pub fn choose(options: &[LaunchOption], one_zone: bool, least: usize) -> Vec<LaunchOption> {
    let Some(first) = options.first() else { return Vec::new() };
    let on_demand = options.iter().find(|option| option.capacity_type == CapacityType::OnDemand);
    let same = options
        .iter()
        .filter(|option| option.capacity_type == first.capacity_type && option.reservation == first.reservation)
        .filter(|option| !one_zone || option.zone == first.zone);
    let mut types: BTreeSet<&str> = BTreeSet::new();
    let mut chosen: Vec<LaunchOption> = Vec::new();
    for option in same {
        let enough = types.len() >= least;
        let new = !types.contains(&*option.instance_type);
        let ends = match option.capacity_type {
            CapacityType::OnDemand | CapacityType::Reserved => new && types.len() >= MOST_TYPES.max(least),
            CapacityType::Spot => {
                let factor = option.price.dollars() / first.price.dollars().max(f64::MIN_POSITIVE);
                let dearer_than_on_demand = on_demand.is_some_and(|other| option.price >= other.price);
                factor > FAR || dearer_than_on_demand || (factor > NEAR && chosen.len() >= CHOICE)
            }
        };
        if ends && enough {
            break;
        }
        types.insert(&option.instance_type);
        chosen.push(option.clone());
    }
    chosen
}

/// Everything that a claim says would do, cheapest first: for claims that were made by another process.
pub fn options_of(claim: &NodeClaim, catalogue: &Catalogue, names: &mut Names) -> Arc<[LaunchOption]> {
    let wanted = requirements(claim, names);
    let requests: Amounts = claim
        .spec
        .resources
        .requests
        .iter()
        .filter_map(|(name, amount)| read_amount(&mut names.resources, name, &amount.0).ok())
        .collect();
    let mut found: Vec<(&InstanceType, &Offering)> = Vec::new();
    for instance_type in &catalogue.types {
        if requests.iter().all(|(id, amount)| instance_type.allocatable.get(id) >= amount) {
            let fits = |offering: &&Offering| suits(names, &wanted, instance_type, offering);
            found.extend(instance_type.offerings.iter().filter(fits).map(|offering| (instance_type, offering)));
        }
    }
    found.sort_by_key(|(_, offering)| offering.price);
    let option = |(instance_type, offering): (&InstanceType, &Offering)| {
        Some(LaunchOption {
            instance_type: names.text(instance_type.name).into(),
            zone: names.text(offering.zone).into(),
            capacity_type: CapacityType::from_text(names.text(offering.capacity_type))?,
            reservation: offering.reservation(names).map(Into::into),
            price: offering.price,
        })
    };
    found.into_iter().filter_map(option).collect()
}

fn requirements(claim: &NodeClaim, names: &mut Names) -> Requirements {
    let mut all = Requirements::default();
    for requirement in &claim.spec.requirements {
        let operator = requirement.operator.text();
        if let Ok(set) = ValueSet::from_operator(&mut names.strings, &requirement.key, operator, &requirement.values) {
            let key = names.key(&requirement.key);
            all.add(key, set);
        }
    }
    all
}

/// Keys that neither type nor offering decide are the pool's own, and no obstacle. A reservation is for claims that name
/// it: others were made without counting what is left of it.
fn suits(names: &Names, wanted: &Requirements, instance_type: &InstanceType, offering: &Offering) -> bool {
    let label_of = |key: Symbol| instance_type.label(names, offering, key);
    let pinned = offering.reservation(names).is_none()
        || names.strings.find(RESERVATION_ID).is_some_and(|key| wanted.get(key).is_some());
    pinned && wanted.iter().all(|(key, set)| label_of(key).is_none_or(|value| set.allows(&names.strings, Some(value))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::state::catalogue_file::read_catalogue;
    use crate::autoscaler::state::instance_types::Price;

    fn option(text: &str) -> LaunchOption {
        let parts: Vec<&str> = text.split('/').collect();
        LaunchOption {
            instance_type: parts[0].into(),
            zone: parts[1].into(),
            capacity_type: CapacityType::from_text(parts[2]).expect("a capacity type"),
            reservation: None,
            price: Price::from_dollars(parts[3].parse().expect("a price")).expect("a price"),
        }
    }

    fn told(options: &[LaunchOption]) -> Vec<String> {
        options.iter().map(|option| format!("{}/{}", option.instance_type, option.zone)).collect()
    }

    #[test]
    fn on_demand_may_become_anything_since_the_cheapest_is_taken() {
        let options = ["m/a/on-demand/1", "m/b/on-demand/1", "x/a/on-demand/9"].map(option);
        assert_eq!(told(&choose(&options, false, 0)), ["m/a", "m/b", "x/a"]);
        assert_eq!(told(&choose(&options, true, 0)), ["m/a", "x/a"]);
    }

    #[test]
    fn spot_stays_near_the_price_and_below_on_demand() {
        let near: Vec<LaunchOption> =
            (0..8).map(|at| option(&format!("t{at}/a/spot/{}", 1.0 + 0.01 * f64::from(at)))).collect();
        assert_eq!(choose(&near, false, 0).len(), 6);
        let few = ["m/a/spot/1", "n/a/spot/1.2", "o/a/spot/1.3"].map(option);
        assert_eq!(told(&choose(&few, false, 0)), ["m/a", "n/a"]);
        let mixed = ["m/a/spot/1", "n/a/on-demand/1.1", "o/a/spot/1.2"].map(option);
        assert_eq!(told(&choose(&mixed, false, 0)), ["m/a"]);
    }

    #[test]
    fn a_pool_that_wants_a_choice_gets_it_at_any_price() {
        let few = ["m/a/spot/1", "n/a/spot/2", "o/a/spot/3"].map(option);
        assert_eq!(told(&choose(&few, false, 3)), ["m/a", "n/a", "o/a"]);
    }

    #[test]
    fn a_claim_that_names_no_reservation_is_launched_into_none() {
        let mut names = Names::default();
        let csv = "instance_type,vcpu,memory_mib,on_demand_usd,spot_a_usd,zones\nm5.large,2,8192,0.1,,a\n";
        let mut catalogue = read_catalogue(&mut names, csv, "z").expect("a catalogue");
        let label = (names.key(RESERVATION_ID), names.strings.intern("cr-1"));
        catalogue.types[0].offerings.push(Offering {
            zone: names.strings.intern("za"),
            capacity_type: names.known.reserved,
            price: Price(10),
            available: false,
            labels: vec![label].into(),
        });
        let claim = |requirements: serde_json::Value| -> NodeClaim {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "c" },
                "spec": { "requirements": requirements,
                    "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c" } },
            }))
            .expect("a claim")
        };
        let mut how = |requirements| -> Vec<CapacityType> {
            let options = options_of(&claim(requirements), &catalogue, &mut names);
            options.iter().map(|option| option.capacity_type).collect()
        };
        assert_eq!(how(serde_json::json!([])), [CapacityType::OnDemand]);
        let pinned = serde_json::json!([
            { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["reserved"] },
            { "key": RESERVATION_ID, "operator": "In", "values": ["cr-1"] },
        ]);
        assert_eq!(how(pinned), [CapacityType::Reserved]);
    }
}
