//! From what the scheduler decided to the claims that ask for it. Pure.
//!
//! A claim stays open for everything that holds its pods, so that a type which is sold out does not end it;
//! and it asks for nothing that would make the fleet dearer than planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::autoscaler::api::NodePool;
use crate::autoscaler::api::requirement::{Operator, Requirement};
use crate::autoscaler::cloud::{CapacityType, LaunchOption};
use crate::autoscaler::scheduling::alternatives::Alternatives;
use crate::autoscaler::scheduling::daemons::{daemons_of, overhead};
use crate::autoscaler::scheduling::{Alternative, PlannedNode, Problem};
use crate::autoscaler::state::instance_types::{InstanceType, Offering, Price};
use crate::autoscaler::state::intern::Symbol;
use crate::autoscaler::state::live::Uid;
use crate::autoscaler::state::names::keys;
use crate::autoscaler::state::pod_spec::label;
use crate::autoscaler::state::resources::{Amounts, CPU, MEMORY, ResourceId};

/// The most instance types that a claim names.
const MOST_TYPES: usize = 60;

/// A claim that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedClaim {
    /// Its pool.
    pub pool: String,
    /// The pool's class.
    pub class: String,
    /// Labels that are settled already.
    pub labels: BTreeMap<String, String>,
    /// What the node has to be like.
    pub requirements: Vec<Requirement>,
    /// What the node has to have room for: pods and daemons.
    pub requests: BTreeMap<String, Quantity>,
    /// What would do, cheapest first.
    pub options: Arc<[LaunchOption]>,
    /// What it is planned to have; limits and the next plan count this until it is known.
    pub expected: Expected,
    /// Whether pods of it would rather be in the zone of the first option than in another.
    pub prefers_zone: bool,
    /// Whether it has fewer values to choose from than its pool asks for.
    pub relaxed: bool,
    /// The pods that it is for.
    pub pods: Vec<Uid>,
    /// The workloads of pods that it is for and that are still to come, one for each.
    pub coming: Vec<Arc<str>>,
    /// Why it is made, as the metrics have it: `provisioned`, or the reason of a disruption.
    pub reason: &'static str,
}

/// What a planned node is expected to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The planned instance type.
    pub instance_type: Arc<str>,
    /// The planned zone.
    pub zone: Arc<str>,
    /// The planned capacity type.
    pub capacity_type: CapacityType,
    /// The planned price.
    pub price: Price,
    /// What a node of the type has.
    pub capacity: Amounts,
}

impl PlannedClaim {
    /// The capacity reservation that it is pinned to.
    pub fn reservation(&self) -> Option<&Arc<str>> {
        self.options.first().and_then(|option| option.reservation.as_ref())
    }
}

/// What planning claims has to look up beside the problem.
pub trait Lookup {
    /// A pool by its name.
    fn pool(&self, name: &str) -> Option<&NodePool>;
    /// The id of a pod of the problem.
    fn uid(&self, pod: u32) -> Option<Uid>;
}

/// Why a planned node became no claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Index of the node in the plan.
    pub node: usize,
    /// Why.
    pub reason: String,
}

/// A claim for every planned node, in the order of the plan.
pub fn plan_claims(
    problem: &Problem<'_>,
    nodes: &[PlannedNode],
    lookup: &impl Lookup,
    reason: &'static str,
) -> (Vec<PlannedClaim>, Vec<Refused>) {
    let mut all = Alternatives::new(problem);
    let mut spare: BTreeMap<u32, Amounts> = BTreeMap::new();
    let (mut claims, mut refused) = (Vec::with_capacity(nodes.len()), Vec::new());
    for (at, node) in nodes.iter().enumerate() {
        let spare = &*spare.entry(node.pool).or_insert_with(|| all.spare(node.pool, nodes));
        let found = match is_reserved(problem, node) {
            // Nothing else is what was planned: there are only so many of it, and it is paid for.
            true => vec![own(node)],
            false => {
                let mut found = all.of(node);
                found.retain(|other| all.within_limits(node, spare, other));
                found
            }
        };
        match claim(problem, node, &found, lookup, reason) {
            Ok(claim) => claims.push(claim),
            Err(reason) => refused.push(Refused { node: at, reason }),
        }
    }
    (claims, refused)
}

fn own(node: &PlannedNode) -> Alternative {
    Alternative { instance_type: node.instance_type, offering: node.offering, price: node.price }
}

fn is_reserved(problem: &Problem<'_>, node: &PlannedNode) -> bool {
    bought(problem, node.instance_type, node.offering).1.capacity_type == problem.cluster.names.known.reserved
}

fn claim(
    problem: &Problem<'_>,
    node: &PlannedNode,
    found: &[Alternative],
    lookup: &impl Lookup,
    reason: &'static str,
) -> Result<PlannedClaim, String> {
    let cluster = problem.cluster;
    let names = &cluster.names;
    let pool = names.text(cluster.pools[node.pool as usize].name);
    let object = lookup.pool(pool).ok_or_else(|| format!("the NodePool `{pool}` is gone"))?;
    let chosen = choose(problem, node, found);
    if chosen.is_empty() {
        return Err(format!("nothing that NodePool `{pool}` may buy can be had for these pods now"));
    }
    let types: Vec<u32> = chosen.iter().map(|other| other.instance_type).collect();
    if !problem.settings.fewer_values && !has_choice(problem, node, &chosen, &types) {
        return Err(format!("what is left does not offer the minimum of values that NodePool `{pool}` asks for"));
    }
    let (own_type, own) = bought(problem, node.instance_type, node.offering);
    let requirements = requirements(problem, node, object, &chosen);
    let asked = &object.spec.template.spec.requirements;
    let relaxed = asked.iter().any(|own| {
        let kept = requirements.iter().filter(|kept| kept.key == own.key).filter_map(|kept| kept.min_values).max();
        own.min_values.is_some_and(|asked| kept.is_some_and(|kept| kept < asked))
    });
    Ok(PlannedClaim {
        relaxed,
        coming: Vec::new(),
        pool: pool.to_owned(),
        class: object.spec.template.spec.node_class_ref.name.clone(),
        labels: labels(problem, node, object),
        requirements,
        requests: requests(problem, node, own_type),
        options: options(problem, &chosen),
        expected: Expected {
            instance_type: names.text(own_type.name).into(),
            zone: names.text(own.zone).into(),
            capacity_type: CapacityType::from_text(names.text(own.capacity_type)).unwrap_or(CapacityType::OnDemand),
            price: node.price,
            capacity: own_type.capacity.clone(),
        },
        prefers_zone: prefers_zone(problem, node),
        pods: node.pods.iter().filter_map(|pod| lookup.uid(*pod)).collect(),
        reason,
    })
}

fn bought<'a>(problem: &Problem<'a>, instance_type: u32, offering: u32) -> (&'a InstanceType, &'a Offering) {
    let instance_type = &problem.cluster.catalogue.types[instance_type as usize];
    (instance_type, &instance_type.offerings[offering as usize])
}

/// What a claim may name, so that everything that its requirements allow is on the list: a claim names types,
/// zones and capacity types apart from each other, and is read again by whoever comes after.
fn choose(problem: &Problem<'_>, node: &PlannedNode, found: &[Alternative]) -> Vec<Alternative> {
    let found = cheapest_types(problem, node, found);
    if covers_its_product(problem, node, &found) {
        return found;
    }
    let (_, own) = bought(problem, node.instance_type, node.offering);
    let same_zone: Vec<Alternative> = found
        .iter()
        .filter(|other| bought(problem, other.instance_type, other.offering).1.zone == own.zone)
        .copied()
        .collect();
    if covers_its_product(problem, node, &same_zone) {
        return same_zone;
    }
    let same_offering = same_zone
        .into_iter()
        .filter(|other| bought(problem, other.instance_type, other.offering).1.capacity_type == own.capacity_type);
    same_offering.collect()
}

/// The cheapest types, and as many more as the pool wants to be able to choose from.
fn cheapest_types(problem: &Problem<'_>, node: &PlannedNode, found: &[Alternative]) -> Vec<Alternative> {
    let mut types: Vec<u32> = Vec::new();
    for other in found {
        if !types.contains(&other.instance_type) {
            if types.len() >= MOST_TYPES && has_choice(problem, node, found, &types) {
                break;
            }
            types.push(other.instance_type);
        }
    }
    found.iter().filter(|other| types.contains(&other.instance_type)).copied().collect()
}

/// Whether these types leave as many values as the pool asks for.
fn has_choice(problem: &Problem<'_>, node: &PlannedNode, found: &[Alternative], types: &[u32]) -> bool {
    let cluster = problem.cluster;
    cluster.pools[node.pool as usize].min_values.iter().all(|(key, least)| {
        let kept = found.iter().filter(|other| types.contains(&other.instance_type));
        let values: BTreeSet<Symbol> = kept
            .filter_map(|other| {
                let (instance_type, offering) = bought(problem, other.instance_type, other.offering);
                instance_type.label(&cluster.names, offering, *key)
            })
            .collect();
        values.len() >= *least as usize
    })
}

/// Whether every offering of the named types in the named zones and capacity types is on the list, as far as
/// the pool accepts it.
fn covers_its_product(problem: &Problem<'_>, node: &PlannedNode, chosen: &[Alternative]) -> bool {
    let cluster = problem.cluster;
    let names = &cluster.names;
    let pool = &cluster.pools[node.pool as usize];
    let offerings = || chosen.iter().map(|other| bought(problem, other.instance_type, other.offering).1);
    let zones: BTreeSet<Symbol> = offerings().map(|offering| offering.zone).collect();
    let capacity_types: BTreeSet<Symbol> = offerings().map(|offering| offering.capacity_type).collect();
    let known: BTreeSet<(u32, u32)> = chosen.iter().map(|other| (other.instance_type, other.offering)).collect();
    let types: BTreeSet<u32> = chosen.iter().map(|other| other.instance_type).collect();
    types.into_iter().all(|at| {
        let instance_type = &cluster.catalogue.types[at as usize];
        (0_u32..).zip(&instance_type.offerings).all(|(offering_at, offering)| {
            let label_of = |key: Symbol| {
                if key == names.known.node_pool { Some(pool.name) } else { None }
                    .or_else(|| label(&node.labels, key))
                    .or_else(|| instance_type.label(names, offering, key))
            };
            known.contains(&(at, offering_at))
                || !offering.available
                || !zones.contains(&offering.zone)
                || !capacity_types.contains(&offering.capacity_type)
                || !pool.requirements.met_by(&names.strings, label_of)
        })
    })
}

fn labels(problem: &Problem<'_>, node: &PlannedNode, pool: &NodePool) -> BTreeMap<String, String> {
    let names = &problem.cluster.names;
    let mut labels = pool.spec.template.metadata.labels.clone();
    for (key, value) in &node.labels {
        labels.insert(names.text(*key).to_owned(), names.text(*value).to_owned());
    }
    labels.insert(keys::NODE_POOL.to_owned(), pool.metadata.name.clone().unwrap_or_default());
    labels.insert(NODE_CLASS.to_owned(), pool.spec.template.spec.node_class_ref.name.clone());
    labels
}

/// The label that names the class of a node.
pub const NODE_CLASS: &str = "karpenter.k8s.aws/ec2nodeclass";

/// The pool's requirements, with those keys settled that the plan settles.
fn requirements(
    problem: &Problem<'_>,
    node: &PlannedNode,
    pool: &NodePool,
    chosen: &[Alternative],
) -> Vec<Requirement> {
    let names = &problem.cluster.names;
    let mut settled: BTreeMap<String, BTreeSet<String>> =
        labels(problem, node, pool).into_iter().map(|(key, value)| (key, BTreeSet::from([value]))).collect();
    for other in chosen {
        let (instance_type, offering) = bought(problem, other.instance_type, other.offering);
        for (key, value) in [
            (keys::INSTANCE_TYPE, instance_type.name),
            (keys::ZONE, offering.zone),
            (keys::CAPACITY_TYPE, offering.capacity_type),
        ] {
            settled.entry(key.to_owned()).or_default().insert(names.text(value).to_owned());
        }
    }
    let of_pool = &pool.spec.template.spec.requirements;
    let least = |key: &str| of_pool.iter().filter(|own| own.key == key).filter_map(|own| own.min_values).max();
    let mut all: Vec<Requirement> = settled
        .iter()
        .map(|(key, values)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: values.iter().cloned().collect(),
            // There are fewer values than asked for only where the pool may have fewer.
            min_values: least(key).map(|least| least.min(i32::try_from(values.len()).unwrap_or(i32::MAX))),
        })
        .collect();
    all.extend(of_pool.iter().filter(|own| !settled.contains_key(&own.key)).cloned());
    all
}

/// What pods and daemons ask for together, in Kubernetes' notation.
fn requests(problem: &Problem<'_>, node: &PlannedNode, instance_type: &InstanceType) -> BTreeMap<String, Quantity> {
    let cluster = problem.cluster;
    let names = &cluster.names;
    let pool = &cluster.pools[node.pool as usize];
    let label_of = |key: Symbol| label(&node.labels, key).or_else(|| label(&instance_type.labels, key));
    let (mut sum, _) = overhead(names, &daemons_of(problem, pool), &label_of);
    for pod in &node.pods {
        sum.add_all(&cluster.spec(cluster.pods[*pod as usize].spec).requests);
    }
    sum.iter()
        .filter(|(id, amount)| *amount > 0 && !names.resources.name(*id).starts_with("attachable-volumes-"))
        .map(|(id, amount)| (names.resources.name(id).to_owned(), quantity(id, amount)))
        .collect()
}

/// An amount in a notation that loses nothing.
pub fn quantity(id: ResourceId, amount: i64) -> Quantity {
    const MIB: i64 = 1 << 20;
    Quantity(match id {
        CPU if amount % 1000 != 0 => format!("{amount}m"),
        CPU => (amount / 1000).to_string(),
        MEMORY if amount % MIB == 0 => format!("{}Mi", amount / MIB),
        _ => amount.to_string(),
    })
}

fn options(problem: &Problem<'_>, chosen: &[Alternative]) -> Arc<[LaunchOption]> {
    let names = &problem.cluster.names;
    let mut known: BTreeMap<Symbol, Arc<str>> = BTreeMap::new();
    let mut text = |symbol: Symbol| known.entry(symbol).or_insert_with(|| names.text(symbol).into()).clone();
    let option = |other: &Alternative| {
        let (instance_type, offering) = bought(problem, other.instance_type, other.offering);
        Some(LaunchOption {
            instance_type: text(instance_type.name),
            zone: text(offering.zone),
            capacity_type: CapacityType::from_text(names.text(offering.capacity_type))?,
            reservation: offering.reservation(names).map(Into::into),
            price: other.price,
        })
    };
    chosen.iter().filter_map(option).collect()
}

/// Whether pods of a node have wishes about zones that are no rules.
fn prefers_zone(problem: &Problem<'_>, node: &PlannedNode) -> bool {
    let cluster = problem.cluster;
    let zone = cluster.names.known.zone;
    let mut specs: Vec<u32> = node.pods.iter().map(|pod| cluster.pods[*pod as usize].spec).collect();
    specs.sort_unstable();
    specs.dedup();
    problem.settings.preferences
        && specs.into_iter().map(|spec| cluster.spec(spec)).any(|spec| {
            spec.spreads.iter().any(|spread| !spread.required && spread.topology_key == zone)
                || spec.preferred_nodes.iter().any(|(_, term)| term.get(zone).is_some())
                || spec.preferred_pods.iter().any(|(_, term)| term.topology_key == zone)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::api::labels::RESERVATION_ID;
    use crate::autoscaler::api::pool_reading::read_pool;
    use crate::autoscaler::scheduling::places::{Vacancy, furnish};
    use crate::autoscaler::scheduling::{Budget, Settings, solve};
    use crate::autoscaler::state::catalogue_file::read_catalogue;
    use crate::autoscaler::state::cluster::Cluster;
    use serde_json::{Value, json};

    const TYPES: &str = "instance_type,vcpu,memory_mib,on_demand_usd,spot_a_usd,spot_b_usd,zones\n\
        m5.large,2,4096,0.1,0.05,0.04,ab\n\
        m5.xlarge,4,8192,0.2,0.09,0.12,ab\n\
        r5.large,2,16384,0.15,,0.06,ab\n";

    struct Given {
        pool: NodePool,
        cluster: Cluster,
    }

    impl Lookup for Given {
        fn pool(&self, name: &str) -> Option<&NodePool> {
            (self.pool.metadata.name.as_deref() == Some(name)).then_some(&self.pool)
        }

        fn uid(&self, pod: u32) -> Option<Uid> {
            Some(Uid::read(&pod.to_string()))
        }
    }

    fn given(requirements: Value, pods: usize) -> Given {
        let pool: NodePool = serde_json::from_value(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "default" },
            "spec": { "template": { "metadata": { "labels": { "team": "web" } }, "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c" },
                "requirements": requirements } } },
        }))
        .expect("a pool");
        let mut cluster = Cluster::default();
        cluster.catalogue = read_catalogue(&mut cluster.names, TYPES, "z").expect("a catalogue");
        let read = read_pool(&mut cluster.names, "default", &pool.spec).expect("a pool without faults");
        cluster.pools.push(read);
        for at in 0..pods {
            let pod = json!({ "metadata": { "name": format!("p{at}"), "namespace": "default" },
                "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "900m", "memory": "512Mi" } } }] } });
            cluster.add_pod(&serde_json::from_value(pod).expect("a pod"));
        }
        Given { pool, cluster }
    }

    fn planned(given: &Given) -> (Vec<PlannedClaim>, Vec<Refused>) {
        let problem = Problem::provision(&given.cluster, Settings::default());
        let solution = solve(&problem, Budget::rounds(20));
        plan_claims(&problem, &solution.nodes, given, "provisioned")
    }

    fn values<'a>(claim: &'a PlannedClaim, key: &str) -> &'a [String] {
        claim.requirements.iter().find(|own| own.key == key).map_or(&[], |own| &own.values)
    }

    fn on_demand() -> Value {
        json!([{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] }])
    }

    #[test]
    fn a_claim_names_what_would_do_and_what_it_is_for() {
        let given = given(on_demand(), 2);
        let (claims, refused) = planned(&given);
        assert!(refused.is_empty());
        let [claim] = claims.as_slice() else { panic!("{claims:?}") };
        assert_eq!(values(claim, keys::INSTANCE_TYPE), ["m5.large", "m5.xlarge", "r5.large"]);
        assert_eq!(values(claim, keys::ZONE), ["za", "zb"]);
        assert_eq!(values(claim, keys::CAPACITY_TYPE), ["on-demand"]);
        assert_eq!(values(claim, "team"), ["web"]);
        assert_eq!((claim.labels["team"].as_str(), claim.labels[keys::NODE_POOL].as_str()), ("web", "default"));
        assert_eq!(claim.labels[NODE_CLASS], "c");
        assert_eq!(claim.requests["cpu"].0, "1800m");
        assert_eq!(claim.requests["memory"].0, "1024Mi");
        assert_eq!(claim.pods.len(), 2);
        assert_eq!((&*claim.options[0].instance_type, claim.options[0].price), ("m5.large", claim.expected.price));
    }

    #[test]
    fn a_product_that_would_hold_more_than_the_list_is_narrowed() {
        // `r5.large` is sold as spot in one zone only, so that a claim for both zones would be a claim for less than it says.
        let both = json!([{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand", "spot"] }]);
        let given = given(both, 1);
        let (claims, _) = planned(&given);
        let claim = &claims[0];
        for option in &*claim.options {
            assert!(values(claim, keys::INSTANCE_TYPE).contains(&option.instance_type.to_string()));
            assert!(values(claim, keys::ZONE).contains(&option.zone.to_string()));
        }
    }

    #[test]
    fn a_minimum_of_values_stands_on_the_claim() {
        let wanted = json!([
            { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
            { "key": "node.kubernetes.io/instance-type", "operator": "Exists", "minValues": 2 },
        ]);
        let given = given(wanted, 1);
        let (claims, _) = planned(&given);
        let own = claims[0].requirements.iter().find(|own| own.key == keys::INSTANCE_TYPE);
        assert_eq!(own.and_then(|own| own.min_values), Some(2));
    }

    #[test]
    fn a_pool_that_may_have_fewer_values_than_it_asks_for_gets_what_there_is() {
        let wanted = json!([
            { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
            { "key": "node.kubernetes.io/instance-type", "operator": "Exists", "minValues": 9 },
        ]);
        let given = given(wanted, 1);
        let problem = Problem::provision(&given.cluster, Settings::default());
        let strict = solve(&problem, Budget::rounds(20));
        assert!(strict.nodes.is_empty(), "nine types are not to be had");
        assert!(strict.unplaced[0].reason.contains("`minValues`"), "{:?}", strict.unplaced);
        let settings = Settings { fewer_values: true, ..Settings::default() };
        let problem = Problem::provision(&given.cluster, settings);
        let solution = solve(&problem, Budget::rounds(20));
        assert!(solution.unplaced.is_empty(), "{:?}", solution.unplaced);
        let (claims, refused) = plan_claims(&problem, &solution.nodes, &given, "provisioned");
        assert!(refused.is_empty(), "{refused:?}");
        let own = claims[0].requirements.iter().find(|own| own.key == keys::INSTANCE_TYPE);
        assert_eq!(own.and_then(|own| own.min_values), Some(3), "there are three types");
        assert!(claims[0].relaxed);
    }

    #[test]
    fn hardware_is_shared_unless_pool_or_pod_asks_for_its_own() {
        let told = |given: &Given| -> Vec<String> {
            let (claims, refused) = planned(given);
            assert!(refused.is_empty(), "{refused:?}");
            claims
                .iter()
                .for_each(|claim| assert_eq!(values(claim, keys::TENANCY), [claim.labels[keys::TENANCY].clone()]));
            claims.iter().map(|claim| claim.labels[keys::TENANCY].clone()).collect()
        };
        let of_pool = |operator: &str, value: &str| {
            let mut wanted = on_demand();
            let own = json!({ "key": keys::TENANCY, "operator": operator, "values": [value] });
            wanted.as_array_mut().expect("a list").push(own);
            given(wanted, 2)
        };
        assert_eq!(told(&given(on_demand(), 2)), ["default"]);
        assert_eq!(told(&of_pool("In", "dedicated")), ["dedicated"]);
        assert_eq!(told(&of_pool("NotIn", "default")), ["dedicated"]);
        assert_eq!(told(&of_pool("In", "default")), ["default"]);
        let mut mixed = given(on_demand(), 0);
        for (at, wanted) in ["default", "dedicated"].into_iter().enumerate() {
            let pod = json!({ "metadata": { "name": format!("q{at}"), "namespace": "default" },
                "spec": { "nodeSelector": { keys::TENANCY: wanted },
                    "containers": [{ "name": "c", "resources": { "requests": { "cpu": "900m" } } }] } });
            mixed.cluster.add_pod(&serde_json::from_value(pod).expect("a pod"));
        }
        let mut both = told(&mixed);
        both.sort_unstable();
        assert_eq!(both, ["dedicated", "default"]);
    }

    #[test]
    fn without_its_pool_a_planned_node_becomes_no_claim() {
        let mut given = given(on_demand(), 1);
        given.pool.metadata.name = Some("other".to_owned());
        let (claims, refused) = planned(&given);
        assert!(claims.is_empty());
        assert!(refused[0].reason.contains("`default` is gone"));
    }

    #[test]
    fn a_claim_for_reserved_capacity_names_its_reservation_and_nothing_else() {
        let both =
            json!([{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand", "reserved"] }]);
        let mut given = given(both, 1);
        let names = &mut given.cluster.names;
        let label = (names.key(RESERVATION_ID), names.strings.intern("cr-1"));
        let mut types = std::mem::take(&mut given.cluster.catalogue).types;
        types[0].offerings.push(Offering {
            zone: names.strings.intern("za"),
            capacity_type: names.known.reserved,
            price: Price(10),
            available: false,
            labels: vec![label].into(),
        });
        types.into_iter().for_each(|one| given.cluster.catalogue.add(one));
        let (mut without, settings) = (Vec::new(), Settings::default());
        let vacancies = [Vacancy { reservation: "cr-1".into(), pools: vec![0], count: 1 }];
        furnish(&mut given.cluster, &[0], &mut without, &vacancies, settings);
        let problem = Problem { cluster: &given.cluster, pending: vec![0], without, settings };
        let solution = solve(&problem, Budget::rounds(20));
        let (claims, refused) = plan_claims(&problem, &solution.nodes, &given, "provisioned");
        assert!(refused.is_empty(), "{refused:?}");
        let [claim] = claims.as_slice() else { panic!("{claims:?}") };
        assert_eq!(values(claim, keys::CAPACITY_TYPE), ["reserved"]);
        assert_eq!(values(claim, RESERVATION_ID), ["cr-1"]);
        assert_eq!(values(claim, keys::INSTANCE_TYPE), ["m5.large"]);
        assert_eq!(values(claim, keys::ZONE), ["za"]);
        assert_eq!(claim.labels[RESERVATION_ID], "cr-1");
        let options: Vec<_> = claim.options.iter().map(|option| (option.capacity_type, &option.reservation)).collect();
        assert_eq!(options, [(CapacityType::Reserved, &Some("cr-1".into()))]);
        assert_eq!(claim.reservation().map(|id| &**id), Some("cr-1"));
        assert!(!claim.labels.contains_key("kubernetes.io/hostname"), "a node has its own name");
    }
}
