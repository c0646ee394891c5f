//! Generated clusters: nothing panics, verdicts repeat, and what is placed step by step is accepted.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{Input, Order, Rule, check, find_order, fits, fits_of_unplaced, preferences, verify};
use super::generate::{Features, Generated, Random, Sizes, generate};

fn input(generated: Generated) -> Input {
    Input {
        nodes: generated.nodes,
        pods: generated.pods,
        placement: std::collections::BTreeMap::new(),
        namespaces: generated.namespaces,
        persistent_volumes: generated.persistent_volumes,
        persistent_volume_claims: generated.persistent_volume_claims,
        storage_classes: generated.storage_classes,
        csi_nodes: generated.csi_nodes,
    }
}

fn pending(input: &Input) -> Vec<String> {
    fits_of_unplaced(input, &[]).into_keys().collect()
}

/// Places each pending pod where it fits at its turn, in a random order; says how many.
fn place_step_by_step(input: &mut Input, random: &mut Random) -> usize {
    let mut waiting = pending(input);
    while !waiting.is_empty() {
        let key = waiting.swap_remove(random.below(waiting.len()));
        let fit = fits(input, &key, &[]);
        if !fit.fits.is_empty() {
            let node = random.pick(&fit.fits).clone();
            input.placement.insert(key, node);
        }
    }
    input.placement.len()
}

#[test]
fn the_same_seed_gives_the_same_cluster() {
    let made = |seed| format!("{:?}", generate(seed, Sizes::default(), Features::ALL));
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
}

#[test]
fn every_feature_appears_in_some_pod_and_none_when_all_are_off() {
    let text =
        |features| (0..40).map(|seed| format!("{:?}", generate(seed, Sizes::default(), features))).collect::<String>();
    let (all, none) = (text(Features::ALL), text(Features::NONE));
    for sign in [
        "node_selector: Some",
        "match_label_keys: Some",
        "min_domains: Some",
        "mismatch_label_keys: Some",
        "namespace_selector: Some",
        "host_port: Some",
        "overhead: Some",
        "ephemeral: Some(Eph",
        "nvidia.com/gpu",
        "deletion_timestamp: Some",
        "unschedulable: Some",
        "minValues",
        "startupTaints",
        "restart_policy: Some(\"Always\")",
    ] {
        assert!(all.contains(sign), "{sign}");
        assert!(!none.contains(sign), "{sign}");
    }
}

#[test]
fn what_is_placed_step_by_step_is_accepted_in_that_final_state() {
    let mut placed = 0;
    for seed in 0..60 {
        let mut input = input(generate(seed, Sizes::default(), Features::ALL));
        placed += place_step_by_step(&mut input, &mut Random::new(seed));
        assert_eq!(check(&input), [], "seed {seed}");
        assert_eq!(verify(&input), [], "seed {seed}");
    }
    assert!(placed > 400, "{placed}");
}

#[test]
fn a_pod_moved_to_a_node_that_refuses_it_is_reported() {
    let mut moved = 0;
    for seed in 0..40 {
        let mut input = input(generate(seed, Sizes::default(), Features::ALL));
        place_step_by_step(&mut input, &mut Random::new(seed));
        let waiting: Vec<String> = pending(&input).into_iter().take(3).collect();
        for key in waiting {
            let Some(refused) = fits(&input, &key, &[]).refused.into_iter().next() else { continue };
            input.placement.insert(key.clone(), refused.node.clone());
            if refused.rule == Rule::TopologySpread || refused.rule == Rule::PodAffinity {
                // Another order may have had room for it.
                input.placement.remove(&key);
                continue;
            }
            assert!(check(&input).iter().any(|violation| violation.rule == refused.rule), "seed {seed}: {refused}");
            input.placement.remove(&key);
            moved += 1;
        }
    }
    assert!(moved > 20, "{moved}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn nothing_panics_and_verdicts_repeat_on_any_placement(seed in any::<u64>(), nodes in 0_usize..10, workloads in 0_usize..8) {
        let sizes = Sizes { nodes, workloads, ..Sizes::default() };
        let mut input = input(generate(seed, sizes, Features::ALL));
        let mut random = Random::new(seed);
        for key in pending(&input) {
            if random.chance(70) {
                input.placement.insert(key, format!("node-{}", random.below(nodes + 1)));
            }
        }
        let found = check(&input);
        prop_assert_eq!(&found, &check(&input));
        let placed: BTreeSet<&String> = input.placement.keys().collect();
        prop_assert!(found.iter().all(|violation| placed.contains(&violation.pod)));
        let order = find_order(&input);
        prop_assert_eq!(&order, &find_order(&input));
        if matches!(order, Order::Found(_)) {
            prop_assert!(found.iter().all(|violation| violation.rule == Rule::Reference), "{:?}", found);
        }
        let kept = preferences(&input);
        prop_assert!(kept.node_affinity.kept <= kept.node_affinity.total);
        fits_of_unplaced(&input, &[]);
    }

    #[test]
    fn damaged_objects_are_judged_without_panic(seed in any::<u64>(), damage in any::<u64>()) {
        let mut input = input(generate(seed, Sizes::default(), Features::ALL));
        let mut random = Random::new(damage);
        let keys = pending(&input);
        for key in keys {
            input.placement.insert(key, format!("node-{}", random.below(9)));
        }
        for pod in &mut input.pods {
            damage_pod(pod, &mut random);
        }
        for node in &mut input.nodes {
            if random.chance(20) {
                node.metadata.labels = None;
            }
            if random.chance(20) {
                node.status = None;
            }
        }
        let _ = (verify(&input), find_order(&input), preferences(&input), fits_of_unplaced(&input, &[]));
    }
}

/// Takes parts of a pod away or makes them absurd.
fn damage_pod(pod: &mut k8s_openapi::api::core::v1::Pod, random: &mut Random) {
    match random.below(12) {
        0 => pod.spec = None,
        1 => pod.metadata.name = None,
        2 => pod.metadata.labels = None,
        _ => {}
    }
    let Some(spec) = &mut pod.spec else { return };
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        match random.below(6) {
            0 => constraint.max_skew = i32::MIN,
            1 => constraint.min_domains = Some(-1),
            2 => constraint.label_selector = None,
            3 => constraint.topology_key.clear(),
            _ => {}
        }
    }
    for container in &mut spec.containers {
        if random.chance(80) {
            continue;
        }
        let texts = ["", "-1", "1e999", "9Ei", "abc", "0.0000001n"];
        for requests in container.resources.iter_mut().flat_map(|resources| &mut resources.requests) {
            for quantity in requests.values_mut() {
                quantity.0 = (*random.pick(&texts)).to_owned();
            }
        }
    }
    for volume in spec.volumes.iter_mut().flatten().filter(|_| random.chance(30)) {
        volume.ephemeral =
            volume.ephemeral.take().map(|_| k8s_openapi::api::core::v1::EphemeralVolumeSource::default());
    }
}
