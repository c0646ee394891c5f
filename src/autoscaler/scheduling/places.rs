//! What is left of capacity reservations, as nodes that are not there yet and that pods may be put onto.
//!
//! A reservation has so many instances and is paid for whether they run or not. So its instances are no offering among
//! others that could be bought any number of times: each is an empty node of the cluster, in one of the pools that may
//! have it, and is filled before anything is bought. Those that pods were put onto become nodes to have; the others
//! never were.
//!
//! An instance that several pools may have goes to the one with the most weight first, and to the next one if that has
//! no use for it.

use super::groups::Groups;
use super::improve::Budget;
use super::problem::{Problem, Settings};
use super::shapes::{pool_view, type_allowed};
use super::solution::Solution;
use super::solve;
use super::variants::{Variant, Wanted, variants};
use crate::api::labels::RESERVATION_ID;
use crate::state::cluster::{Cluster, NodeEntry, Place};
use crate::state::intern::Symbol;
use crate::state::names::keys;
use crate::state::pod_spec::{Labels, label};
use crate::state::resources::{Amounts, ResourceId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How often places are handed on from a pool to the next one.
const MOST_ROUNDS: usize = 8;

/// What is left of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vacancy {
    /// `cr-…`
    pub reservation: String,
    /// The pools that may have it, by index.
    pub pools: Vec<u32>,
    /// How many instances are left.
    pub count: usize,
}

/// How many places are laid out at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Most {
    /// Altogether.
    pub places: usize,
    /// Of what the limits of their pools leave: a share.
    pub of_limits: f64,
}

/// Adds the places to a cluster that pending pods have a use for. The nodes of a solution of it are then those to buy
/// and those of reservations.
pub fn furnish(
    cluster: &mut Cluster,
    pending: &[u32],
    without: &mut Vec<bool>,
    vacancies: &[Vacancy],
    settings: Settings,
) {
    if vacancies.is_empty() || pending.is_empty() {
        return;
    }
    let most = Most { places: pending.len(), of_limits: 1.0 };
    let mut places = Places::new(cluster, pending, without, vacancies, settings, most);
    for _ in 0..MOST_ROUNDS {
        if !places.lay_out(cluster, without, |_| true) {
            break;
        }
        let problem = Problem { cluster: &*cluster, pending: pending.to_vec(), without: without.clone(), settings };
        let solution = solve(&problem, Budget::rounds(0));
        places.clear(cluster, without);
        if !places.learn(&solution) {
            break;
        }
    }
    places.lay_out(cluster, without, |seat| seat.used);
}

/// Adds all places to a cluster, each in the first pool that may have it: for a decision that moves pods.
pub fn lay_out(cluster: &mut Cluster, pending: &[u32], vacancies: &[Vacancy], settings: Settings, most: Most) {
    if vacancies.is_empty() || pending.is_empty() {
        return;
    }
    let mut without = vec![false; cluster.nodes.len()];
    let mut places = Places::new(cluster, pending, &without, vacancies, settings, most);
    places.lay_out(cluster, &mut without, |_| true);
}

/// An instance that is left of a reservation.
struct Seat {
    /// What it would be, the pool with the most weight first.
    offers: Vec<Arc<NodeEntry>>,
    /// Which of them it is now.
    at: usize,
    /// Its name while it is laid out.
    name: Option<Arc<str>>,
    /// Whether pods were put onto it when it was laid out last.
    used: bool,
}

impl Seat {
    fn offer(&self) -> Option<&Arc<NodeEntry>> {
        self.offers.get(self.at)
    }
}

/// All of them.
struct Places {
    seats: Vec<Seat>,
    /// The nodes of the cluster without any place.
    nodes: usize,
    of_limits: f64,
}

impl Places {
    fn new(
        cluster: &mut Cluster,
        pending: &[u32],
        without: &[bool],
        vacancies: &[Vacancy],
        settings: Settings,
        most: Most,
    ) -> Self {
        let variants = {
            let problem =
                Problem { cluster: &*cluster, pending: pending.to_vec(), without: without.to_vec(), settings };
            variants(&problem, &Wanted::new(&problem, &Groups::new(&problem)))
        };
        let mut seats = Vec::new();
        for vacancy in vacancies {
            let mut of: Vec<&Variant> = variants.iter().filter(|one| vacancy.pools.contains(&one.pool)).collect();
            of.sort_by_key(|one| std::cmp::Reverse(cluster.pools[one.pool as usize].weight));
            let found = of.into_iter().flat_map(|variant| offers(cluster, variant, &vacancy.reservation, settings));
            let offers: Vec<Arc<NodeEntry>> = found.map(Arc::new).collect();
            if !offers.is_empty() {
                let seat = || Seat { offers: offers.clone(), at: 0, name: None, used: false };
                seats.extend(std::iter::repeat_with(seat).take(vacancy.count.min(most.places)));
            }
        }
        // What is cheap for its owner is used up before what is dear.
        seats.sort_by_key(|seat| seat.offer().and_then(|offer| offer.place.as_ref()).map(|place| place.price));
        seats.truncate(most.places);
        Self { seats, nodes: cluster.nodes.len(), of_limits: most.of_limits }
    }

    /// Adds places to the cluster; whether there is one. What the limits of a pool do not leave room for goes to the next.
    fn lay_out(&mut self, cluster: &mut Cluster, without: &mut Vec<bool>, which: impl Fn(&Seat) -> bool) -> bool {
        let mut left: Vec<Left> = (0..cluster.pools.len()).map(|pool| Left::of(cluster, without, pool)).collect();
        left.iter_mut().for_each(|left| left.cut(self.of_limits));
        let mut number = 0;
        for seat in self.seats.iter_mut().filter(|seat| which(seat)) {
            let fits = |offer: &Arc<NodeEntry>| {
                offer.place.as_ref().is_some_and(|place| left[place.pool as usize].holds(&offer.capacity))
            };
            let Some(skipped) = seat.offers.iter().skip(seat.at).position(fits) else {
                seat.at = seat.offers.len();
                continue;
            };
            seat.at += skipped;
            let mut node = NodeEntry::clone(&seat.offers[seat.at]);
            if let Some(place) = &node.place {
                left[place.pool as usize].take(&node.capacity);
            }
            // Behind all names that nodes and claims may have: what is there is filled first.
            number += 1;
            node.name = format!("~{number:05}").into();
            let own = cluster.names.strings.intern(&node.name);
            let mut labels = node.labels.to_vec();
            labels.push((cluster.names.known.hostname, own));
            labels.push((cluster.names.known.node_name, own));
            labels.sort_unstable();
            node.labels = labels.into();
            seat.name = Some(Arc::clone(&node.name));
            cluster.push_node(node);
            without.push(false);
        }
        number > 0
    }

    /// Takes all places out of the cluster again.
    fn clear(&self, cluster: &mut Cluster, without: &mut Vec<bool>) {
        cluster.truncate_nodes(self.nodes);
        without.truncate(self.nodes);
    }

    /// Hands places on that nothing was put onto; whether that may change anything.
    fn learn(&mut self, solution: &Solution) -> bool {
        let taken: BTreeSet<&str> = solution.nodes.iter().map(|node| node.name.as_str()).collect();
        let mut used = 0;
        let mut handed_on = false;
        for seat in &mut self.seats {
            let laid_out = seat.name.take();
            seat.used = laid_out.as_ref().is_some_and(|name| taken.contains(&**name));
            used += usize::from(seat.used);
            if laid_out.is_some() && !seat.used {
                seat.at += 1;
                handed_on |= seat.at < seat.offers.len();
            }
        }
        let wanted = !solution.unplaced.is_empty() || solution.nodes.len() > used;
        handed_on && wanted
    }
}

/// What the limits of a pool leave.
struct Left {
    amounts: Vec<(ResourceId, i64)>,
    nodes: Option<i64>,
}

impl Left {
    fn of(cluster: &Cluster, without: &[bool], pool: usize) -> Self {
        let pool = &cluster.pools[pool];
        let mut left = Self { amounts: pool.limits.iter().collect(), nodes: pool.node_limit };
        for (node, _) in cluster.nodes.iter().zip(without).filter(|(_, gone)| !**gone) {
            if label(&node.labels, cluster.names.known.node_pool) == Some(pool.name) {
                left.take(&node.capacity);
            }
        }
        left
    }

    /// Leaves a share of it alone.
    fn cut(&mut self, share: f64) {
        let cut = |amount: &mut i64| *amount = (*amount as f64 * share) as i64;
        if share < 1.0 {
            self.amounts.iter_mut().for_each(|(_, amount)| cut(amount));
            self.nodes.iter_mut().for_each(cut);
        }
    }

    fn holds(&self, capacity: &Amounts) -> bool {
        self.amounts.iter().all(|(id, left)| capacity.get(*id) <= *left) && self.nodes.is_none_or(|nodes| nodes > 0)
    }

    fn take(&mut self, capacity: &Amounts) {
        self.amounts.iter_mut().for_each(|(id, left)| *left -= capacity.get(*id));
        self.nodes.iter_mut().for_each(|nodes| *nodes -= 1);
    }
}

/// What an instance of a reservation would be as a node of a pool: nothing where the pool does not want it.
fn offers(cluster: &mut Cluster, variant: &Variant, reservation: &str, settings: Settings) -> Vec<NodeEntry> {
    let names = &cluster.names;
    let pool = &cluster.pools[variant.pool as usize];
    // A launch into a reservation has nothing to choose from.
    if !settings.fewer_values && pool.min_values.iter().any(|(_, least)| *least > 1) {
        return Vec::new();
    }
    let problem = Problem { cluster, pending: Vec::new(), without: Vec::new(), settings };
    let mut found = Vec::new();
    for (type_at, instance_type) in (0_u32..).zip(&cluster.catalogue.types) {
        let mut offerings = (0_u32..).zip(&instance_type.offerings);
        let own = offerings.find(|(_, offering)| offering.reservation(names) == Some(reservation));
        let Some((offering_at, offering)) = own.filter(|_| type_allowed(&problem, pool, instance_type)) else {
            continue;
        };
        let label_of = |key: Symbol| label(&variant.labels, key).or_else(|| instance_type.label(names, offering, key));
        if !pool.requirements.met_by(&names.strings, pool_view(names.known.node_pool, pool.name, &label_of)) {
            continue;
        }
        let mut labels = variant.labels.to_vec();
        labels.extend(instance_type.labels.iter().chain(&offering.labels));
        labels.extend([
            (names.known.zone, offering.zone),
            (names.known.capacity_type, offering.capacity_type),
            (names.known.node_pool, pool.name),
        ]);
        labels.sort_by_key(|(key, _)| *key);
        labels.dedup_by_key(|(key, _)| *key);
        labels.retain(|(key, _)| names.text(*key) != keys::HOSTNAME);
        let reserved = offering.labels.iter().filter(|(key, _)| names.text(*key).starts_with(reservation_keys()));
        let mut own: Vec<(Symbol, Symbol)> = variant.labels.iter().chain(reserved).copied().collect();
        own.sort_unstable();
        let place = Place {
            pool: variant.pool,
            weight: pool.weight,
            instance_type: type_at,
            offering: offering_at,
            price: offering.price,
            labels: Labels::from(own),
        };
        found.push(NodeEntry {
            name: "".into(),
            labels: labels.into(),
            taints: pool.taints.clone(),
            allocatable: with_headroom(&instance_type.allocatable, settings.headroom),
            capacity: instance_type.capacity.clone(),
            schedulable: true,
            initialized: false,
            place: Some(Box::new(place)),
        });
    }
    found
}

/// What all labels about reservations begin with.
fn reservation_keys() -> &'static str {
    RESERVATION_ID.trim_end_matches("id")
}

/// What is left of a node besides what is planned to stay free.
fn with_headroom(allocatable: &Amounts, headroom: f64) -> Amounts {
    let share = 1.0 - headroom.clamp(0.0, 0.9);
    if share >= 1.0 {
        return allocatable.clone();
    }
    allocatable.iter().map(|(id, amount)| (id, (amount as f64 * share) as i64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NodePool;
    use crate::api::labels::RESERVATION_TYPE;
    use crate::api::pool_reading::read_pool;
    use crate::state::catalogue_file::read_catalogue;
    use crate::state::instance_types::{Offering, Price};
    use serde_json::{Value, json};

    const TYPES: &str = "instance_type,vcpu,memory_mib,on_demand_usd,spot_a_usd,spot_b_usd,zones\n\
        m5.large,2,8192,0.1,,,ab\n\
        m5.xlarge,4,16384,0.2,,,ab\n";

    /// Pools by name, each with weight, capacity types and what else its spec has.
    fn cluster(pools: &[(&str, i64, &[&str], Value)], pods: usize) -> Cluster {
        let mut cluster = Cluster::default();
        cluster.catalogue = read_catalogue(&mut cluster.names, TYPES, "z").expect("a catalogue");
        let names = &mut cluster.names;
        let labels = [(RESERVATION_ID, "cr-1"), (RESERVATION_TYPE, "default")];
        let mut labels = labels.map(|(key, value)| (names.key(key), names.strings.intern(value)));
        labels.sort_unstable();
        let reserved = Offering {
            zone: names.strings.intern("za"),
            capacity_type: names.known.reserved,
            price: Price(10),
            available: false,
            labels: labels.into(),
        };
        let mut types = std::mem::take(&mut cluster.catalogue).types;
        types[0].offerings.push(reserved);
        types.into_iter().for_each(|one| cluster.catalogue.add(one));
        for (name, weight, capacity_types, more) in pools {
            let mut spec = json!({ "weight": weight, "template": { "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c" },
                "requirements": [{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": capacity_types }] } } });
            for (key, value) in more.as_object().into_iter().flatten() {
                spec[key] = value.clone();
            }
            let pool: NodePool = serde_json::from_value(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name }, "spec": spec }))
            .expect("a pool");
            cluster.pools.push(read_pool(&mut cluster.names, name, &pool.spec).expect("a pool without faults"));
        }
        for at in 0..pods {
            let pod = json!({ "metadata": { "name": format!("p{at}"), "namespace": "default" },
                "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1500m", "memory": "1Gi" } } }] } });
            cluster.add_pod(&serde_json::from_value(pod).expect("a pod"));
        }
        cluster
    }

    /// Pool and capacity type of every node that is planned, with what is left of `cr-1`.
    fn planned(cluster: &mut Cluster, left: usize) -> Vec<String> {
        let pending: Vec<u32> = (0_u32..).zip(&cluster.pods).map(|(at, _)| at).collect();
        let mut without = vec![false; cluster.nodes.len()];
        let pools = (0_u32..).zip(&cluster.pools).map(|(at, _)| at).collect();
        let vacancies = [Vacancy { reservation: "cr-1".into(), pools, count: left }];
        let settings = Settings::default();
        furnish(cluster, &pending, &mut without, &vacancies, settings);
        let places = cluster.nodes.len();
        let problem = Problem { cluster: &*cluster, pending, without, settings };
        let solution = solve(&problem, Budget::rounds(20));
        assert!(solution.existing.is_empty() && solution.unplaced.is_empty(), "{solution:?}");
        let told = |node: &crate::scheduling::PlannedNode| {
            let offerings = &cluster.catalogue.types[node.instance_type as usize].offerings;
            let how = offerings[node.offering as usize].capacity_type;
            format!("{} {}", cluster.names.text(cluster.pools[node.pool as usize].name), cluster.names.text(how))
        };
        let mut told: Vec<String> = solution.nodes.iter().map(told).collect();
        let reserved = told.iter().filter(|one| one.ends_with("reserved")).count();
        assert_eq!(reserved, places, "nothing is laid out that nobody has a use for");
        told.sort();
        told
    }

    const ALL: &[&str] = &["on-demand", "reserved"];

    #[test]
    fn what_is_left_of_a_reservation_is_filled_before_anything_is_bought() {
        let mut cluster = cluster(&[("web", 1, ALL, json!({}))], 5);
        let told = planned(&mut cluster, 3);
        assert_eq!(told.iter().filter(|one| *one == "web reserved").count(), 3, "{told:?}");
        assert!(told.iter().any(|one| one == "web on-demand"), "{told:?}");
    }

    #[test]
    fn no_more_is_taken_of_a_reservation_than_pods_have_a_use_for() {
        let mut cluster = cluster(&[("web", 1, ALL, json!({}))], 2);
        assert_eq!(planned(&mut cluster, 9), ["web reserved", "web reserved"]);
    }

    #[test]
    fn a_pool_that_does_not_want_reserved_capacity_gets_none() {
        let mut cluster = cluster(&[("web", 1, &["on-demand"], json!({}))], 1);
        assert_eq!(planned(&mut cluster, 3), ["web on-demand"]);
    }

    #[test]
    fn the_pool_with_the_most_weight_comes_first_and_leaves_to_others_what_it_may_not_have() {
        let limits = json!({ "limits": { "cpu": "4" } });
        let pools = [("first", 9, ["reserved"].as_slice(), limits), ("second", 1, ALL, json!({}))];
        let mut cluster = cluster(&pools, 3);
        assert_eq!(planned(&mut cluster, 3), ["first reserved", "first reserved", "second reserved"]);
    }

    #[test]
    fn pods_that_a_pool_of_more_weight_takes_do_not_go_into_a_reservation_of_another() {
        let pools = [("first", 9, ["on-demand"].as_slice(), json!({})), ("second", 1, ALL, json!({}))];
        let mut cluster = cluster(&pools, 1);
        assert_eq!(planned(&mut cluster, 3), ["first on-demand"]);
    }

    #[test]
    fn places_that_the_first_pool_has_no_use_for_are_handed_on() {
        let tainted = json!({ "template": { "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c" },
            "requirements": [{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["reserved"] }],
            "taints": [{ "key": "team", "value": "other", "effect": "NoSchedule" }] } } });
        let pools = [("first", 9, ["reserved"].as_slice(), tainted), ("second", 1, ALL, json!({}))];
        let mut cluster = cluster(&pools, 2);
        assert_eq!(planned(&mut cluster, 2), ["second reserved", "second reserved"]);
    }

    #[test]
    fn places_are_kept_out_of_what_limits_leave_for_others() {
        let mut cluster = cluster(&[("web", 1, ALL, json!({ "limits": { "cpu": "8" } }))], 3);
        let vacancies = [Vacancy { reservation: "cr-1".into(), pools: vec![0], count: 9 }];
        let most = Most { places: 9, of_limits: 0.5 };
        lay_out(&mut cluster, &[0, 1, 2], &vacancies, Settings::default(), most);
        assert_eq!(cluster.nodes.len(), 2, "two machines of two processors are half of eight");
        let place = cluster.nodes[0].place.as_deref().expect("a place");
        assert_eq!((place.pool, place.price), (0, Price(10)));
        let id = cluster.names.strings.find(RESERVATION_ID).and_then(|key| label(&cluster.nodes[0].labels, key));
        assert_eq!(id.map(|id| cluster.names.text(id)), Some("cr-1"));
        cluster.truncate_nodes(0);
        assert_eq!(cluster.node_id("~00001"), None);
    }
}
