//! Nodes of capacity reservations: they cost nothing, and what is left of them draws pods of nodes that do.

use super::*;
use crate::api::labels::RESERVATION_ID;
use crate::scheduling::places::{Most, Vacancy, lay_out};
use crate::scheduling::{self};
use crate::state::instance_types::Offering;
use crate::state::requirements::ValueSet;

/// A fleet whose pool may have reserved machines, with so many `m.large` left of a reservation.
fn world(nodes: &[(&str, &[&str])], left: usize) -> World {
    let mut world = World::new(nodes);
    let cluster = &mut world.cluster;
    let names = &mut cluster.names;
    let both = ["on-demand".to_owned(), "reserved".to_owned()];
    let both = ValueSet::from_operator(&mut names.strings, "karpenter.sh/capacity-type", "In", &both).expect("a set");
    cluster.pools[0].requirements = Requirements::default();
    cluster.pools[0].requirements.add(names.known.capacity_type, both);
    let label = (names.key(RESERVATION_ID), names.strings.intern("cr-1"));
    let mut types = std::mem::take(&mut cluster.catalogue).types;
    types[0].offerings.push(Offering {
        zone: names.strings.intern("ra"),
        capacity_type: names.known.reserved,
        price: Price(10),
        available: false,
        labels: vec![label].into(),
    });
    types.into_iter().for_each(|one| cluster.catalogue.add(one));
    let pods: Vec<u32> = (0_u32..).zip(&cluster.pods).map(|(at, _)| at).collect();
    let vacancies = [Vacancy { reservation: "cr-1".into(), pools: vec![0], count: left }];
    let most = Most { places: 9, of_limits: 0.5 };
    lay_out(cluster, &pods, &vacancies, scheduling::Settings::default(), most);
    world
}

/// How many of the replacements of a command are reserved.
fn reserved(world: &World, command: &Command) -> usize {
    let types = &world.cluster.catalogue.types;
    let how = |node: &scheduling::PlannedNode| {
        types[node.instance_type as usize].offerings[node.offering as usize].capacity_type
    };
    command.replacements.iter().filter(|node| how(node) == world.cluster.names.known.reserved).count()
}

#[test]
fn pods_of_bought_nodes_move_into_what_is_left_of_a_reservation() {
    let world = world(&[("m.large", &["1500m"]), ("m.large", &["1500m"])], 1);
    let decision = world.decide();
    assert_eq!(decision.commands.len(), 1, "there is one place");
    let command = &decision.commands[0];
    assert_eq!((command.remove.len(), command.replacements.len(), reserved(&world, command)), (1, 1, 1));
    assert_eq!(command.replacements[0].pods.len(), 1);
    assert!(command.moves.iter().all(|(_, to)| *to == Destination::Replacement(0)), "{:?}", command.moves);
    assert!(command.saving.dollars() > 0.09, "{}", command.explanation);
}

#[test]
fn a_node_that_is_paid_for_already_stays_until_it_is_empty() {
    let nodes: &[(&str, &[&str])] = &[("m.large", &["500m"]), ("m.large", &["500m"]), ("m.large", &[])];
    let mut world = World::new(nodes);
    let known = world.cluster.names.known;
    world.nodes.iter_mut().for_each(|node| (node.price, node.capacity_type) = (Price(10), known.reserved));
    let decision = world.decide();
    assert_eq!(removed(&decision), [2], "two half empty ones cost no more than one full one");
}

#[test]
fn a_node_that_has_to_go_is_replaced_by_what_is_left_of_a_reservation() {
    let mut world = world(&[("m.large", &["1500m"])], 1);
    world.nodes[0].drifted = Some(("AMIDrift".into(), at(30)));
    let decision = world.decide();
    assert_eq!(removed(&decision), [0]);
    assert_eq!(reserved(&world, &decision.commands[0]), 1);
}
