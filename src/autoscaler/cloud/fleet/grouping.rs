//! Which requests share a call. Pure.
//!
//! One CreateFleet can ask for many instances, and gives each from the same list of offerings. Requests with
//! equal lists share a call. Requests whose lists differ share one too, with what both allow, if that leaves the
//! best offering of each and enough others: whoever gets nothing is asked for again with its whole list.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::autoscaler::cloud::launch::{CapacityType, LaunchOption, LaunchRequest};

/// The most types in one call.
const MOST_TYPES: usize = 60;
/// The most instances in one call.
const MOST_MEMBERS: usize = 500;
/// So many types have to be left where lists are narrowed to what they share: of spot, where EC2 chooses by room.
const LEAST_SPOT_TYPES: usize = 15;
/// The same on demand, where EC2 takes the cheapest, and that is the best of both.
const LEAST_TYPES: usize = 1;

/// Requests that share a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Numbers of the requests.
    pub members: Vec<usize>,
    /// How the instances are paid for.
    pub capacity_type: CapacityType,
    /// The capacity reservation that all of them are launched into, by id.
    pub reservation: Option<Arc<str>>,
    /// What every member accepts, best first.
    pub options: Arc<[LaunchOption]>,
}

/// Groups of `pending`, numbers of `requests`, by what is `open` to each now; and those to whom nothing is.
pub fn group(
    requests: &[LaunchRequest],
    pending: &[usize],
    open: impl Fn(usize, &LaunchOption) -> bool,
    is_plain: impl Fn(&str) -> bool,
) -> (Vec<Group>, Vec<usize>) {
    let mut exhausted = Vec::new();
    // Lists are shared by requests that are alike: one look at each.
    let mut alike: Vec<(usize, Group)> = Vec::new();
    for &at in pending {
        let options = select(&requests[at].options, |option| open(at, option), &is_plain);
        let Some(best) = options.first() else {
            exhausted.push(at);
            continue;
        };
        let (capacity_type, reservation) = (best.capacity_type, best.reservation.clone());
        let known = alike.iter_mut().find(|(first, group)| {
            group.members.len() < MOST_MEMBERS
                && group.options[..] == options[..]
                && share_a_template(&requests[*first], &requests[at])
        });
        match known {
            Some((_, group)) => group.members.push(at),
            None => {
                let options = options.into();
                alike.push((at, Group { members: vec![at], capacity_type, reservation, options }));
            }
        }
    }
    (merge(requests, alike), exhausted)
}

/// Whether instances for both start from the same launch templates with the same tags.
fn share_a_template(a: &LaunchRequest, b: &LaunchRequest) -> bool {
    (Arc::ptr_eq(&a.class, &b.class) || a.class == b.class)
        && (&a.pool, a.fabric, &a.labels, &a.taints, &a.startup_taints)
            == (&b.pool, b.fabric, &b.labels, &b.taints, &b.startup_taints)
}

/// What is asked for: of the capacity type of the best offering, without spot that is dearer than on demand, and
/// without special machines while there are plain ones, where EC2 does not choose by price.
fn select(
    options: &[LaunchOption],
    open: impl Fn(&LaunchOption) -> bool,
    is_plain: impl Fn(&str) -> bool,
) -> Vec<LaunchOption> {
    let mut left: Vec<&LaunchOption> = options.iter().filter(|option| open(option)).collect();
    let Some(best) = left.first().copied() else { return Vec::new() };
    if best.capacity_type == CapacityType::Spot {
        let on_demand = left.iter().filter(|option| option.capacity_type == CapacityType::OnDemand);
        if let Some(cheapest) = on_demand.map(|option| option.price).min() {
            left.retain(|option| option.price <= cheapest);
        }
        if is_plain(&best.instance_type) {
            left.retain(|option| is_plain(&option.instance_type));
        }
    }
    left.retain(|option| (option.capacity_type, &option.reservation) == (best.capacity_type, &best.reservation));
    let mut types: Vec<&str> = Vec::new();
    left.retain(|option| {
        let known = types.contains(&&*option.instance_type);
        if !known && types.len() < MOST_TYPES {
            types.push(&option.instance_type);
        }
        known || types.last() == Some(&&*option.instance_type)
    });
    left.into_iter().cloned().collect()
}

/// Puts groups together whose lists share enough.
fn merge(requests: &[LaunchRequest], mut alike: Vec<(usize, Group)>) -> Vec<Group> {
    alike.sort_by_key(|(first, group)| (std::cmp::Reverse(group.members.len()), *first));
    let mut merged: Vec<(usize, Group)> = Vec::new();
    for (first, group) in alike {
        let home = merged.iter_mut().find_map(|(other, into)| {
            let fits = (into.capacity_type, &into.reservation) == (group.capacity_type, &group.reservation)
                && into.members.len() + group.members.len() <= MOST_MEMBERS
                && share_a_template(&requests[*other], &requests[first]);
            let shared = fits.then(|| shared(&into.options, &group.options)).flatten()?;
            Some((into, shared))
        });
        match home {
            Some((into, shared)) => {
                into.members.extend(group.members);
                into.options = shared.into();
            }
            None => merged.push((first, group)),
        }
    }
    merged.into_iter().map(|(_, group)| group).collect()
}

/// What both lists have, in the order of the first, if it is enough for both.
fn shared(a: &[LaunchOption], b: &[LaunchOption]) -> Option<Vec<LaunchOption>> {
    let (best_a, best_b) = (a.first()?, b.first()?);
    if best_a.price != best_b.price || best_a.instance_type != best_b.instance_type {
        return None;
    }
    let in_b: BTreeMap<(&str, &str), ()> = b.iter().map(|option| (key(option), ())).collect();
    let both: Vec<LaunchOption> = a.iter().filter(|option| in_b.contains_key(&key(option))).cloned().collect();
    let least = match best_a.capacity_type {
        CapacityType::Spot => LEAST_SPOT_TYPES,
        CapacityType::OnDemand | CapacityType::Reserved => LEAST_TYPES,
    };
    let enough = types(&both) >= least.min(types(a).max(types(b)));
    let keeps_best = both.first().is_some_and(|option| option.instance_type == best_a.instance_type);
    (enough && keeps_best).then_some(both)
}

fn key(option: &LaunchOption) -> (&str, &str) {
    (&option.instance_type, &option.zone)
}

fn types(options: &[LaunchOption]) -> usize {
    options.iter().map(|option| &*option.instance_type).collect::<std::collections::BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaler::cloud::class::ResolvedClass;
    use crate::autoscaler::state::instance_types::Price;

    fn option(name: &str, zone: &str, capacity_type: CapacityType, price: u64) -> LaunchOption {
        let (instance_type, zone) = (name.into(), zone.into());
        LaunchOption { instance_type, zone, capacity_type, reservation: None, price: Price(price) }
    }

    fn on_demand(names: &[&str]) -> Arc<[LaunchOption]> {
        let priced = names.iter().zip(1..).map(|(name, price)| option(name, "a", CapacityType::OnDemand, price));
        priced.collect()
    }

    fn request(class: &Arc<ResolvedClass>, options: &Arc<[LaunchOption]>) -> LaunchRequest {
        LaunchRequest {
            claim: String::new(),
            uid: String::new(),
            attempt: 0,
            unsure: false,
            pool: "default".into(),
            class: Arc::clone(class),
            options: Arc::clone(options),
            fabric: false,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            startup_taints: Vec::new(),
        }
    }

    fn groups(requests: &[LaunchRequest]) -> (Vec<Vec<usize>>, Vec<usize>) {
        let pending: Vec<usize> = (0..requests.len()).collect();
        let (groups, exhausted) = group(requests, &pending, |_, _| true, |_| true);
        (groups.into_iter().map(|group| group.members).collect(), exhausted)
    }

    #[test]
    fn requests_that_are_alike_share_a_call_and_others_do_not() {
        let class = Arc::new(ResolvedClass::empty());
        let (cheap, dear) = (on_demand(&["m5.large", "m6i.large"]), on_demand(&["m5.xlarge"]));
        let mut requests = vec![request(&class, &cheap); 100];
        requests.extend(vec![request(&class, &dear); 3]);
        requests.push(LaunchRequest { pool: "other".into(), ..request(&class, &cheap) });
        requests.push(request(&class, &on_demand(&[])));
        let (found, exhausted) = groups(&requests);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [100, 3, 1]);
        assert_eq!(exhausted, [104]);
    }

    #[test]
    fn lists_with_the_same_best_share_a_call_with_what_both_allow() {
        let class = Arc::new(ResolvedClass::empty());
        let lists = [on_demand(&["a.1", "a.2", "a.3"]), on_demand(&["a.1", "a.2", "b.3"]), on_demand(&["b.1", "a.1"])];
        let requests = lists.each_ref().map(|list| request(&class, list));
        let (found, _) = group(&requests, &[0, 1, 2], |_, _| true, |_| true);
        let shown: Vec<(&[usize], usize)> =
            found.iter().map(|group| (group.members.as_slice(), group.options.len())).collect();
        assert_eq!(shown, [(&[0, 1][..], 2), (&[2][..], 2)]);
    }

    #[test]
    fn every_reservation_has_calls_of_its_own() {
        let class = Arc::new(ResolvedClass::empty());
        let into = |id: &str| -> Arc<[LaunchOption]> {
            let reserved = option("m5.large", "a", CapacityType::Reserved, 1);
            [LaunchOption { reservation: Some(id.into()), ..reserved }].into()
        };
        let (one, other) = (into("cr-1"), into("cr-2"));
        let requests = [&one, &other, &one].map(|options| request(&class, options));
        assert_eq!(groups(&requests).0, [vec![0, 2], vec![1]]);
        let both: Arc<[LaunchOption]> = one.iter().chain(&*other).cloned().collect();
        let (found, _) = group(&[request(&class, &both)], &[0], |_, _| true, |_| true);
        assert_eq!((found[0].reservation.as_deref(), found[0].options.len()), (Some("cr-1"), 1));
    }

    #[test]
    fn spot_is_narrowed_only_while_ec2_has_many_types_to_choose_from() {
        let class = Arc::new(ResolvedClass::empty());
        let spot = |count: u64| -> Arc<[LaunchOption]> {
            (0..count).map(|number| option(&format!("t.{number}"), "a", CapacityType::Spot, number)).collect()
        };
        for (a, b, calls) in [(40, 20, 1), (20, 15, 1), (20, 14, 2), (6, 5, 2), (5, 5, 1)] {
            let requests = [request(&class, &spot(a)), request(&class, &spot(b))];
            assert_eq!(groups(&requests).0.len(), calls, "{a} and {b} types");
        }
    }

    #[test]
    fn the_best_offering_decides_how_it_is_paid_for() {
        let options = [
            option("m5.large", "a", CapacityType::Spot, 4),
            option("m6i.large", "a", CapacityType::Spot, 5),
            option("m5.large", "a", CapacityType::OnDemand, 10),
            option("p5.48xlarge", "a", CapacityType::Spot, 9),
            option("m7i.large", "a", CapacityType::Spot, 11),
        ];
        let names = |open: &dyn Fn(&LaunchOption) -> bool| {
            let chosen = select(&options, open, |name| !name.starts_with('p'));
            chosen.iter().map(|option| option.instance_type.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&|_| true), ["m5.large", "m6i.large"], "neither dearer than on demand nor special");
        assert_eq!(names(&|option| option.capacity_type == CapacityType::OnDemand), ["m5.large"]);
        assert!(names(&|_| false).is_empty());
    }

    #[test]
    fn a_call_names_sixty_types_in_all_their_zones() {
        let all: Vec<LaunchOption> = (0..70)
            .flat_map(|number| {
                ["a", "b"].map(|zone| option(&format!("t.{number}"), zone, CapacityType::OnDemand, number))
            })
            .collect();
        let chosen = select(&all, |_| true, |_| true);
        assert_eq!((types(&chosen), chosen.len()), (60, 120));
    }
}
