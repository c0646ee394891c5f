//! What else could hold the pods of a planned node: other types, zones and capacity types of its pool.
//!
//! A launch that may choose survives a type that is sold out. Whatever is on the list holds the same pods
//! and keeps every rule that the plan keeps, so that the rest of the plan need not change with the choice.

use std::collections::BTreeSet;

use super::daemons::{daemons_of, overhead};
use super::problem::Problem;
use super::shapes::{pool_view, type_allowed};
use super::solution::PlannedNode;
use crate::state::instance_types::{InstanceType, Offering, Price};
use crate::state::intern::{FastMap, Symbol};
use crate::state::pod_spec::{HostPort, Labels, PodSelector, PodSpec, label};
use crate::state::pools::Pool;
use crate::state::resources::Amounts;

/// One way to buy a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// Index of the instance type in the catalogue.
    pub instance_type: u32,
    /// Index of the offering of the type.
    pub offering: u32,
    /// Price per hour.
    pub price: Price,
}

/// What could hold the pods of a planned node, cheapest first; at one price what is most like the plan first.
/// Empty when the plan's own offering cannot be had any more and no other would do.
pub fn alternatives(problem: &Problem<'_>, planned: &PlannedNode) -> Vec<Alternative> {
    Alternatives::new(problem).of(planned)
}

/// A problem, made ready to be asked about many planned nodes.
pub struct Alternatives<'a> {
    problem: &'a Problem<'a>,
    /// Required terms between pods over something wider than a host: the topology key, and whom they speak of.
    terms: Vec<(Symbol, &'a PodSelector)>,
    /// What may be bought, by pool and the labels that it gives.
    wares: FastMap<(u32, Labels), Vec<Ware>>,
}

/// A type that a pool may buy.
struct Ware {
    instance_type: u32,
    /// What daemons take of it.
    taken: Amounts,
    ports: Vec<HostPort>,
    /// The offerings that the pool accepts.
    offerings: Vec<u32>,
}

impl<'a> Alternatives<'a> {
    /// Reads the terms of a problem.
    pub fn new(problem: &'a Problem<'a>) -> Self {
        let cluster = problem.cluster;
        let mut counts = vec![false; cluster.spec_count()];
        for pod in &problem.pending {
            counts[cluster.pods[*pod as usize].spec as usize] = true;
        }
        for pod in cluster.pods.iter().filter(|pod| pod.node.is_some()) {
            counts[pod.spec as usize] = true;
        }
        let specs = (0_u32..).zip(counts).filter(|(_, counts)| *counts).map(|(at, _)| cluster.spec(at));
        let terms: BTreeSet<(Symbol, &PodSelector)> =
            specs.flat_map(required_terms).filter(|(key, _)| *key != cluster.names.known.hostname).collect();
        Self { problem, terms: terms.into_iter().collect(), wares: FastMap::default() }
    }

    /// See [`alternatives`].
    pub fn of(&mut self, planned: &PlannedNode) -> Vec<Alternative> {
        let key = (planned.pool, planned.labels.clone());
        if !self.wares.contains_key(&key) {
            let wares = self.wares_of(planned);
            self.wares.insert(key.clone(), wares);
        }
        let cluster = self.problem.cluster;
        let names = &cluster.names;
        let pods = Pods::new(self, planned);
        let mut found = Vec::new();
        for ware in &self.wares[&key] {
            let instance_type = &cluster.catalogue.types[ware.instance_type as usize];
            let mut own_ports = pods.specs.iter().flat_map(|spec| &spec.host_ports);
            if !self.holds(instance_type, &ware.taken, &pods.requests)
                || own_ports.any(|own| ware.ports.iter().any(|port| port.conflicts(own)))
            {
                continue;
            }
            for at in &ware.offerings {
                let offering = &instance_type.offerings[*at as usize];
                let label_of =
                    |key: Symbol| label(&planned.labels, key).or_else(|| instance_type.label(names, offering, key));
                let suits = |spec: &&PodSpec| spec.node_terms.iter().any(|term| term.met_by(&names.strings, label_of));
                if pods.pinned.iter().all(|(key, value)| label_of(*key) == *value) && pods.specs.iter().all(suits) {
                    let price = offering.price;
                    found.push(Alternative { instance_type: ware.instance_type, offering: *at, price });
                }
            }
        }
        self.sort(&mut found, planned);
        found
    }

    /// Types and offerings that the pool of a planned node may buy, with its labels.
    fn wares_of(&self, planned: &PlannedNode) -> Vec<Ware> {
        let cluster = self.problem.cluster;
        let names = &cluster.names;
        let pool = &cluster.pools[planned.pool as usize];
        let daemons = daemons_of(self.problem, pool);
        let types = (0_u32..).zip(&cluster.catalogue.types);
        let allowed = types.filter(|(_, instance_type)| type_allowed(self.problem, pool, instance_type));
        let ware = |(at, instance_type): (u32, &InstanceType)| {
            let type_label = |key: Symbol| label(&planned.labels, key).or_else(|| label(&instance_type.labels, key));
            let (taken, ports) = overhead(names, &daemons, &type_label);
            let sold = (0_u32..).zip(&instance_type.offerings).filter(|(_, offering)| {
                let label_of =
                    |key: Symbol| label(&planned.labels, key).or_else(|| instance_type.label(names, offering, key));
                let view = pool_view(names.known.node_pool, pool.name, &label_of);
                offering.available && pool.requirements.met_by(&names.strings, view)
            });
            Ware { instance_type: at, taken, ports, offerings: sold.map(|(at, _)| at).collect() }
        };
        allowed.map(ware).collect()
    }

    fn holds(&self, instance_type: &InstanceType, taken: &Amounts, requests: &Amounts) -> bool {
        requests.iter().all(|(id, amount)| {
            let room = instance_type.allocatable.stated(id);
            // Volumes are only limited where a machine says how many it takes.
            let open =
                room.is_none() && self.problem.cluster.names.resources.name(id).starts_with("attachable-volumes-");
            open || room.unwrap_or(0) - taken.get(id) >= amount
        })
    }

    fn offering(&self, alternative: &Alternative) -> (&InstanceType, &Offering) {
        let instance_type = &self.problem.cluster.catalogue.types[alternative.instance_type as usize];
        (instance_type, &instance_type.offerings[alternative.offering as usize])
    }

    fn sort(&self, found: &mut [Alternative], planned: &PlannedNode) {
        let wanted =
            Alternative { instance_type: planned.instance_type, offering: planned.offering, price: planned.price };
        let (_, own) = self.offering(&wanted);
        found.sort_by_cached_key(|alternative| {
            let (_, offering) = self.offering(alternative);
            (
                alternative.price,
                alternative.instance_type != planned.instance_type,
                offering.zone != own.zone,
                offering.capacity_type != own.capacity_type,
                alternative.instance_type,
                alternative.offering,
            )
        });
    }

    /// What no node of a pool may be larger than beyond the plan, so that the limits of the pool hold whatever
    /// each of its planned nodes becomes: the room that is left is shared out evenly among `nodes`.
    pub fn within_limits(&self, planned: &PlannedNode, spare: &Amounts, alternative: &Alternative) -> bool {
        let types = &self.problem.cluster.catalogue.types;
        let own = &types[planned.instance_type as usize].capacity;
        let other = &types[alternative.instance_type as usize].capacity;
        let limits = &self.problem.cluster.pools[planned.pool as usize].limits;
        limits.iter().all(|(id, _)| other.get(id) - own.get(id) <= spare.get(id))
    }

    /// What the limits of a pool leave beside the nodes that there are and those that are planned, per planned
    /// node; nothing where a limit is used up.
    pub fn spare(&self, pool: u32, planned: &[PlannedNode]) -> Amounts {
        let cluster = self.problem.cluster;
        let Pool { name, limits, .. } = &cluster.pools[pool as usize];
        let own: Vec<&PlannedNode> = planned.iter().filter(|node| node.pool == pool).collect();
        let running = cluster
            .nodes
            .iter()
            .zip(&self.problem.without)
            .filter(|(node, gone)| !**gone && label(&node.labels, cluster.names.known.node_pool) == Some(*name));
        let mut spare = limits.clone();
        let planned = own.iter().map(|node| &cluster.catalogue.types[node.instance_type as usize].capacity);
        for capacity in running.map(|(node, _)| &node.capacity).chain(planned) {
            for (id, _) in limits.iter() {
                spare.add(id, -capacity.get(id));
            }
        }
        let share = i64::try_from(own.len().max(1)).unwrap_or(i64::MAX);
        limits.iter().map(|(id, _)| (id, spare.get(id).max(0) / share)).collect()
    }
}

/// What the pods of a planned node ask of it together.
struct Pods<'a> {
    requests: Amounts,
    specs: Vec<&'a PodSpec>,
    /// Labels that have to stay as planned, for terms between pods that count on them.
    pinned: Vec<(Symbol, Option<Symbol>)>,
}

impl<'a> Pods<'a> {
    fn new(all: &Alternatives<'a>, planned: &PlannedNode) -> Self {
        let cluster = all.problem.cluster;
        let mut requests = Amounts::default();
        let mut kinds = BTreeSet::new();
        for pod in &planned.pods {
            let entry = &cluster.pods[*pod as usize];
            requests.add_all(&cluster.spec(entry.spec).requests);
            kinds.insert((entry.spec, entry.labels));
        }
        let concerned = |(key, selector): &(Symbol, &PodSelector)| {
            kinds.iter().any(|(spec, labels)| {
                let spec = cluster.spec(*spec);
                required_terms(spec).any(|(own, _)| own == *key)
                    || selector.matches(&cluster.names.strings, Symbol(spec.namespace), cluster.label_set(*labels))
            })
        };
        let mut keys: Vec<Symbol> = all.terms.iter().filter(|term| concerned(term)).map(|(key, _)| *key).collect();
        keys.dedup();
        let value = |key| super::export::node_label(all.problem, planned, key);
        let mut specs: Vec<u32> = kinds.into_iter().map(|(spec, _)| spec).collect();
        specs.dedup();
        Self {
            requests,
            specs: specs.into_iter().map(|spec| cluster.spec(spec)).collect(),
            pinned: keys.into_iter().map(|key| (key, value(key))).collect(),
        }
    }
}

/// Required terms between pods: spreads, affinity, anti-affinity.
fn required_terms(spec: &PodSpec) -> impl Iterator<Item = (Symbol, &PodSelector)> {
    let spreads = spec.spreads.iter().filter(|spread| spread.required);
    let terms = spec.affinity.iter().chain(&spec.anti_affinity).map(|term| (term.topology_key, &term.selector));
    spreads.map(|spread| (spread.topology_key, &spread.selector)).chain(terms)
}

#[cfg(test)]
mod tests {
    use super::super::{Budget, Settings, solve};
    use super::*;
    use crate::api::NodePoolSpec;
    use crate::api::pool_reading::read_pool;
    use crate::state::catalogue_file::read_catalogue;
    use crate::state::cluster::Cluster;
    use crate::state::resources::CPU;
    use serde_json::{Value, json};

    const TYPES: &str = "instance_type,vcpu,memory_mib,on_demand_usd,spot_a_usd,spot_b_usd,zones\n\
        small,2,4096,0.1,0.05,0.04,ab\n\
        large,4,8192,0.2,0.09,0.12,ab\n\
        roomy,2,16384,0.15,,0.06,ab\n";

    /// Pods of one CPU each, of the given specs.
    fn cluster(pool: Value, pods: &[Value]) -> Cluster {
        let mut cluster = Cluster::default();
        cluster.catalogue = read_catalogue(&mut cluster.names, TYPES, "z").expect("a catalogue");
        let mut spec = json!({ "template": { "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
            "requirements": [{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] }] } } });
        for (key, value) in pool.as_object().into_iter().flatten() {
            if key == "requirements" {
                spec["template"]["spec"][key] = value.clone();
            } else {
                spec[key] = value.clone();
            }
        }
        let spec: NodePoolSpec = serde_json::from_value(spec).expect("a pool");
        let read = read_pool(&mut cluster.names, "default", &spec).expect("a pool without faults");
        cluster.pools.push(read);
        for (at, pod) in pods.iter().enumerate() {
            let mut spec = json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1" } } }] });
            for (key, value) in pod.as_object().into_iter().flatten() {
                spec[key] = value.clone();
            }
            let pod = json!({ "metadata": { "name": format!("p{at}"), "namespace": "default", "labels": { "app": "web" } }, "spec": spec });
            cluster.add_pod(&serde_json::from_value(pod).expect("a pod"));
        }
        cluster
    }

    fn told(cluster: &Cluster) -> Vec<Vec<String>> {
        let problem = Problem::provision(cluster, Settings::default());
        let solution = solve(&problem, Budget::rounds(20));
        assert!(solution.unplaced.is_empty(), "{:?}", solution.unplaced);
        let mut all = Alternatives::new(&problem);
        solution
            .nodes
            .iter()
            .map(|node| {
                let found = all.of(node);
                let text = |a: &Alternative| {
                    let (instance_type, offering) = all.offering(a);
                    let names = &cluster.names;
                    format!(
                        "{}/{}/{}",
                        names.text(instance_type.name),
                        names.text(offering.zone),
                        names.text(offering.capacity_type)
                    )
                };
                found.iter().map(text).collect()
            })
            .collect()
    }

    #[test]
    fn every_type_that_holds_the_pods_is_there_and_the_cheapest_is_first() {
        let one = told(&cluster(json!({}), &[json!({})]));
        assert_eq!(one.len(), 1);
        let types: Vec<&str> = one[0].iter().map(|text| text.split('/').next().unwrap_or_default()).collect();
        assert_eq!(types, ["small", "small", "roomy", "roomy", "large", "large"]);
        let three = told(&cluster(json!({}), &vec![json!({}); 3]));
        let larger: Vec<&Vec<String>> = three.iter().filter(|list| list[0].starts_with("large")).collect();
        assert!(larger.iter().all(|list| list.iter().all(|text| text.starts_with("large"))), "{three:?}");
    }

    #[test]
    fn a_pod_that_counts_zones_keeps_its_node_in_the_zone_that_was_planned() {
        let spread = json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "web" } } }] });
        for list in told(&cluster(json!({}), &[spread.clone(), spread])) {
            let zones: BTreeSet<&str> = list.iter().filter_map(|text| text.split('/').nth(1)).collect();
            assert_eq!(zones.len(), 1, "{list:?}");
        }
    }

    #[test]
    fn a_pod_that_others_count_is_pinned_too_and_one_without_terms_is_not() {
        let counts = json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "topologyKey": "topology.kubernetes.io/zone", "labelSelector": { "matchLabels": { "app": "web" } } }] } } });
        for list in told(&cluster(json!({}), &[counts, json!({})])) {
            let zones: BTreeSet<&str> = list.iter().filter_map(|text| text.split('/').nth(1)).collect();
            assert_eq!(zones.len(), 1, "{list:?}");
        }
        let free = told(&cluster(json!({}), &[json!({})]));
        assert!(free[0].iter().any(|text| text.contains("/za/")) && free[0].iter().any(|text| text.contains("/zb/")));
    }

    #[test]
    fn node_terms_are_kept_and_spot_stands_beside_on_demand_where_the_pool_has_both() {
        let both = json!({ "requirements": [{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand", "spot"] }] });
        let zonal = json!({ "nodeSelector": { "topology.kubernetes.io/zone": "za" } });
        let list = &told(&cluster(both, &[zonal]))[0];
        assert_eq!(list[..2], ["small/za/spot", "large/za/spot"]);
        assert!(list.iter().all(|text| text.contains("/za/")) && list.contains(&"small/za/on-demand".to_owned()));
    }

    #[test]
    fn limits_leave_each_node_its_share_of_what_is_left() {
        let cluster = cluster(json!({ "limits": { "cpu": "3" } }), &[json!({})]);
        let problem = Problem::provision(&cluster, Settings::default());
        let solution = solve(&problem, Budget::rounds(20));
        let mut all = Alternatives::new(&problem);
        let node = &solution.nodes[0];
        let spare = all.spare(0, &solution.nodes);
        assert_eq!(spare.get(CPU), 1000);
        let fitting: Vec<Alternative> =
            all.of(node).into_iter().filter(|other| all.within_limits(node, &spare, other)).collect();
        assert!(fitting.iter().all(|a| cluster.names.text(all.offering(a).0.name) != "large"));
        assert_eq!(fitting.len(), 4);
    }
}
