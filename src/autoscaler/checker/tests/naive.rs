//! The checker against a naive reading of the same rules: every permutation of the new pods is tried, and
//! every count is taken afresh from the objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::{Cluster, Input, Order, check, fits, order, search};
use super::generate::Random;

/// A pod in a form of its own: labels, and constraints as plain data.
#[derive(Debug, Clone)]
struct Plain {
    name: String,
    node: usize,
    running: bool,
    app: &'static str,
    cpu: u64,
    /// Topology key, selected apps, largest skew, fewest domains.
    spread: Option<(&'static str, Vec<&'static str>, i64, usize)>,
    affinity: Option<(&'static str, &'static str)>,
    anti_affinity: Option<(&'static str, &'static str)>,
}

/// Nodes by zone; each node is a host of its own.
const NODES: [(&str, u64); 5] = [("a", 6), ("a", 6), ("b", 6), ("b", 2), ("c", 6)];
const APPS: [&str; 3] = ["x", "y", "z"];
const KEYS: [&str; 2] = ["zone", "host"];

fn domain(key: &str, node: usize) -> String {
    if key == "zone" { NODES[node].0.to_owned() } else { format!("n{node}") }
}

fn may_place(pod: &Plain, placed: &[&Plain], nodes: usize) -> bool {
    let together = |key: &str, other: &Plain| domain(key, other.node) == domain(key, pod.node);
    let used: u64 = placed.iter().filter(|other| other.node == pod.node).map(|other| other.cpu).sum();
    let fits = pod.cpu == 0 || used + pod.cpu <= NODES[pod.node].1;
    let spread = pod.spread.as_ref().is_none_or(|(key, apps, max_skew, min_domains)| {
        let mut counts: BTreeMap<String, i64> = (0..nodes).map(|node| (domain(key, node), 0)).collect();
        for other in placed.iter().filter(|other| apps.contains(&other.app)) {
            *counts.entry(domain(key, other.node)).or_insert(0) += 1;
        }
        let minimum = if counts.len() < *min_domains { 0 } else { counts.values().copied().min().unwrap_or(0) };
        counts[&domain(key, pod.node)] + i64::from(apps.contains(&pod.app)) - minimum <= *max_skew
    });
    let affinity = pod.affinity.is_none_or(|(key, app)| {
        let mates: Vec<_> = placed.iter().filter(|other| other.app == app).collect();
        mates.iter().any(|other| together(key, other)) || (mates.is_empty() && pod.app == app)
    });
    let own =
        pod.anti_affinity.is_none_or(|(key, app)| !placed.iter().any(|other| other.app == app && together(key, other)));
    let theirs =
        placed.iter().all(|other| other.anti_affinity.is_none_or(|(key, app)| app != pod.app || !together(key, other)));
    fits && spread && affinity && own && theirs
}

/// Whether some permutation of `rest` can follow `placed`.
fn some_order<'a>(placed: &mut Vec<&'a Plain>, rest: &mut Vec<&'a Plain>, nodes: usize) -> bool {
    if rest.is_empty() {
        return true;
    }
    for position in 0..rest.len() {
        if may_place(rest[position], placed, nodes) {
            let pod = rest.remove(position);
            placed.push(pod);
            let done = some_order(placed, rest, nodes);
            placed.pop();
            rest.insert(position, pod);
            if done {
                return true;
            }
        }
    }
    false
}

fn random_pods(random: &mut Random, nodes: usize, count: usize) -> Vec<Plain> {
    let own_or_any = |random: &mut Random, app: &'static str| if random.chance(60) { app } else { *random.pick(&APPS) };
    (0..count)
        .map(|number| {
            let app = *random.pick(&APPS);
            let spread = random.chance(55).then(|| {
                let apps: BTreeSet<&str> = [own_or_any(random, app), own_or_any(random, app)].into();
                let key = *random.pick(&KEYS);
                (key, apps.into_iter().collect(), 1 + random.below(2) as i64, 1 + random.below(4))
            });
            let affinity = random.chance(25).then(|| (*random.pick(&KEYS), own_or_any(random, app)));
            let anti_affinity = random.chance(12).then(|| (*random.pick(&KEYS), *random.pick(&APPS)));
            let cpu = random.below(3) as u64;
            let running = number < count / 3;
            Plain {
                name: format!("p{number}"),
                node: random.below(nodes),
                running,
                app,
                cpu,
                spread,
                affinity,
                anti_affinity,
            }
        })
        .collect()
}

fn input(pods: &[Plain], nodes: usize) -> Input {
    let node = |number: usize| {
        serde_json::from_value(json!({"metadata": {"name": format!("n{number}"),
            "labels": {"zone": domain("zone", number), "host": domain("host", number)}},
            "status": {"allocatable": {"cpu": NODES[number].1.to_string(), "pods": "100"}}}))
        .expect("a node")
    };
    let term = |(key, app): (&str, &str)| json!([{"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}}]);
    let required = |terms: Value| json!({"requiredDuringSchedulingIgnoredDuringExecution": terms});
    let mut input = Input { nodes: (0..nodes).map(node).collect(), ..Input::default() };
    for pod in pods {
        let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": pod.cpu.to_string()}}}]});
        if let Some((key, apps, max_skew, min_domains)) = &pod.spread {
            spec["topologySpreadConstraints"] = json!([{"topologyKey": key, "maxSkew": max_skew, "minDomains": min_domains,
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": apps}]}}]);
        }
        if let Some(affinity) = pod.affinity {
            spec["affinity"]["podAffinity"] = required(term(affinity));
        }
        if let Some(anti_affinity) = pod.anti_affinity {
            spec["affinity"]["podAntiAffinity"] = required(term(anti_affinity));
        }
        if pod.running {
            spec["nodeName"] = json!(format!("n{}", pod.node));
        } else {
            input.placement.insert(format!("default/{}", pod.name), format!("n{}", pod.node));
        }
        let metadata = json!({"name": pod.name, "labels": {"app": pod.app}});
        input.pods.push(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a pod"));
    }
    input
}

/// Replays an order naively.
fn replays(sequence: &[String], pods: &[Plain], nodes: usize) -> bool {
    let mut placed: Vec<&Plain> = pods.iter().filter(|pod| pod.running).collect();
    sequence.iter().all(|key| {
        let pod = pods.iter().find(|pod| format!("default/{}", pod.name) == *key).expect("a pod of the input");
        let possible = may_place(pod, &placed, nodes);
        placed.push(pod);
        possible
    })
}

fn without_exhausting(cluster: &mut Cluster, new: &[(usize, usize)], order_free_rules_hold: bool) -> Order {
    order::find_within(cluster, new, order_free_rules_hold, 0)
}

#[test]
fn the_search_finds_an_order_exactly_where_some_permutation_is_one() {
    let (mut orders, mut none, mut hidden, mut missed) = (0, 0, 0, 0);
    for seed in 0..2_500 {
        let mut random = Random::new(seed);
        let nodes = 2 + random.below(NODES.len() - 1);
        let count = 2 + random.below(7);
        let pods = random_pods(&mut random, nodes, count);
        let mut placed: Vec<&Plain> = pods.iter().filter(|pod| pod.running).collect();
        let mut rest: Vec<&Plain> = pods.iter().filter(|pod| !pod.running).collect();
        let exists = some_order(&mut placed, &mut rest, nodes);
        let input = input(&pods, nodes);
        let (found, violations) = (search(&input, order::find), check(&input));
        match &found {
            Order::Found(sequence) => {
                assert!(exists, "seed {seed}: an order where there is none");
                assert_eq!(sequence.len(), rest.len());
                assert!(replays(sequence, &pods, nodes), "seed {seed}: {sequence:?}");
                assert_eq!(violations, [], "seed {seed}: the final state of a real order");
                orders += 1;
            }
            Order::Stuck { placed, stuck, proved } => {
                assert!(!exists, "seed {seed}: stuck where an order exists: {stuck:?}");
                assert!(replays(placed, &pods, nodes), "seed {seed}: {placed:?}");
                assert!(*proved, "seed {seed}: small sets are searched to the end");
                none += 1;
                hidden += usize::from(violations.is_empty());
            }
        }
        match search(&input, without_exhausting) {
            Order::Found(sequence) => assert!(exists && replays(&sequence, &pods, nodes), "seed {seed}: {sequence:?}"),
            Order::Stuck { .. } => missed += usize::from(exists),
        }
    }
    assert!(orders > 500 && none > 500 && hidden > 10, "{orders} with, {none} without, {hidden} hidden");
    assert!(missed * 200 <= orders, "rounds alone miss {missed} of {orders} orders");
}

#[test]
fn a_pod_fits_exactly_where_the_naive_reading_lets_it_go() {
    let mut fitting = 0;
    for seed in 0..1_000 {
        let mut random = Random::new(seed ^ 0xF175);
        let nodes = 2 + random.below(NODES.len() - 1);
        let mut pods = random_pods(&mut random, nodes, 7);
        let mut last = pods.pop().expect("seven pods");
        last.running = false;
        let mut input = input(&[pods.as_slice(), std::slice::from_ref(&last)].concat(), nodes);
        input.placement.remove(&format!("default/{}", last.name));
        let placed: Vec<&Plain> = pods.iter().collect();
        let expected: Vec<String> = (0..nodes)
            .filter(|node| may_place(&Plain { node: *node, ..last.clone() }, &placed, nodes))
            .map(|node| format!("n{node}"))
            .collect();
        fitting += expected.len();
        assert_eq!(fits(&input, &format!("default/{}", last.name), &[]).fits, expected, "seed {seed}");
    }
    assert!(fitting > 500, "{fitting}");
}
