//! Placements of the scheduling core, judged by the independent checker; determinism; least cost where
//! an exact optimum can be told; clusters made up at random.

#[path = "../benches/scheduling/inputs.rs"]
mod inputs;

use eksup::autoscaler::checker::{self, Input, Order};
use eksup::autoscaler::scheduling::{Budget, PlannedNode, Problem, Settings, Solution, export, solve};
use eksup::autoscaler::state::cluster::Cluster;
use eksup::autoscaler::state::instance_types::Price;
use eksup::autoscaler::state::resources::{CPU, MEMORY, PODS};
use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn settings(balance_share: f64) -> Settings {
    Settings { balance_share, ..Settings::default() }
}

/// The placement as the checker wants it.
fn checked(problem: &Problem<'_>, solution: &Solution, running: Vec<Node>, pods: Vec<Pod>) -> Input {
    let mut nodes = running;
    nodes.extend(export::nodes(problem, solution));
    Input { nodes, pods, placement: export::placement(problem, solution), ..Input::default() }
}

fn assert_right(name: &str, problem: &Problem<'_>, solution: &Solution, running: Vec<Node>, pods: Vec<Pod>) -> Input {
    let placed = solution.placed();
    let unplaced: usize = solution.unplaced.iter().map(|group| group.pods.len()).sum();
    assert_eq!(placed + unplaced, problem.pending.len(), "{name}: every pod is either placed or not");
    let input = checked(problem, solution, running, pods);
    let faults = checker::check(&input);
    assert!(faults.is_empty(), "{name}: {} faults, first: {}", faults.len(), faults[0]);
    assert!(solution.cost.dollars() >= solution.bound * (1.0 - 1e-9), "{name}: cheaper than its bound");
    input
}

fn scenario(name: &str) -> (Cluster, Vec<Pod>) {
    let scenario: Value = serde_json::from_str(&inputs::read(&format!("scenarios/{name}.json"))).unwrap_or_default();
    let mut cluster = inputs::scenario_cluster(&scenario, &inputs::read("catalogue.csv"));
    let pods = inputs::scenario_pods(&scenario);
    for pod in &pods {
        cluster.add_pod(pod);
    }
    (cluster, pods)
}

#[test]
fn every_scenario_is_placed_whole_and_by_the_rules() {
    for name in inputs::scenario_names() {
        let (cluster, pods) = scenario(&name);
        for share in [0.0, 0.02] {
            let problem = Problem::provision(&cluster, settings(share));
            let solution = solve(&problem, Budget::rounds(20));
            assert!(solution.unplaced.is_empty(), "{name}: {:?}", solution.unplaced.first().map(|u| &u.reason));
            assert_right(&name, &problem, &solution, Vec::new(), pods.clone());
        }
    }
}

#[test]
fn an_order_exists_in_which_kube_scheduler_could_bind_the_pods() {
    for name in ["zone-spread", "host-anti"] {
        let (cluster, pods) = scenario(name);
        let problem = Problem::provision(&cluster, settings(0.0));
        let solution = solve(&problem, Budget::rounds(20));
        let input = assert_right(name, &problem, &solution, Vec::new(), pods);
        assert!(matches!(checker::find_order(&input), Order::Found(_)), "{name}");
    }
}

#[test]
fn diverse_pods_are_placed_by_the_rules_on_the_fewest_nodes() {
    for count in [50, 500, 1000] {
        let cluster = inputs::diverse(count);
        let mut pods = Vec::new();
        inputs::diverse_pods(&inputs::read(&format!("diverse-{count}.csv")), |pod| pods.push(pod));
        let problem = Problem::provision(&cluster, settings(0.0));
        let solution = solve(&problem, Budget::rounds(200));
        assert!(solution.unplaced.is_empty(), "{count}: {:?}", solution.unplaced.first());
        assert_right(&count.to_string(), &problem, &solution, Vec::new(), pods);
    }
}

#[test]
fn preferences_cost_no_node_and_are_kept_where_that_is_free() {
    let cluster = inputs::preferences(4000);
    let problem = Problem::provision(&cluster, settings(0.0));
    let solution = solve(&problem, Budget::rounds(0));
    assert_eq!(solution.nodes.len(), 21);
    let pods = (0..4000).map(inputs::preference_pod).collect();
    let input = assert_right("preferences", &problem, &solution, Vec::new(), pods);
    assert_eq!(checker::preferences(&input).node_affinity.kept, 4000);
}

#[test]
fn the_same_input_and_rounds_give_the_same_solution() {
    for name in ["both-arch", "zone-spread", "gpu"] {
        let (cluster, _) = scenario(name);
        let problem = Problem::provision(&cluster, settings(0.02));
        assert_eq!(solve(&problem, Budget::rounds(60)), solve(&problem, Budget::rounds(60)), "{name}");
    }
}

#[test]
fn replicas_are_not_all_on_one_machine_when_that_costs_no_more() {
    let (cluster, _) = scenario("inflate");
    let alone = solve(&Problem::provision(&cluster, settings(0.0)), Budget::rounds(300));
    let balanced = solve(&Problem::provision(&cluster, settings(0.02)), Budget::rounds(300));
    assert!(balanced.cost.dollars() <= alone.cost.dollars() * 1.02 + 1e-9);
    assert!(balanced.nodes.len() > 1);
    assert!(balanced.nodes.iter().all(|node| node.pods.len() <= 6));
}

/// The least cost of placing pods that are all alike: an unbounded knapsack, solved exactly.
#[test]
fn pods_that_are_all_alike_cost_the_exact_optimum() {
    for name in ["inflate", "inflate-spot"] {
        let (cluster, pods) = scenario(name);
        let spec = cluster.spec(cluster.pods[0].spec);
        let names = &cluster.names;
        let pool = &cluster.pools[0];
        let mut options: Vec<(usize, u64)> = Vec::new();
        for instance_type in &cluster.catalogue.types {
            let holds =
                spec.requests.iter().map(|(id, amount)| instance_type.allocatable.get(id) / amount).min().unwrap_or(0);
            for offering in &instance_type.offerings {
                let label_of = |key| {
                    if key == names.known.node_pool {
                        Some(pool.name)
                    } else {
                        instance_type.label(names, offering, key)
                    }
                };
                if holds > 0 && pool.requirements.met_by(&names.strings, label_of) {
                    options.push((usize::try_from(holds).unwrap_or(usize::MAX), offering.price.0));
                }
            }
        }
        let mut least = vec![0_u64; pods.len() + 1];
        for count in 1..=pods.len() {
            least[count] = options
                .iter()
                .map(|(holds, price)| price + least[count.saturating_sub(*holds)])
                .min()
                .unwrap_or(u64::MAX);
        }
        let problem = Problem::provision(&cluster, settings(0.0));
        let solution = solve(&problem, Budget::rounds(3000));
        assert_eq!(solution.cost.0, least[pods.len()], "{name}");
    }
}

/// The least cost of a few different pods, every way of sharing them out over nodes tried.
#[test]
fn a_few_different_pods_cost_the_exact_optimum() {
    for first in 0..8_usize {
        let sizes = [
            (700, 900),
            (1500, 6000),
            (250, 3000),
            (2100, 1024),
            (3000, 7000),
            (450, 256),
            (1200, 12_000),
            (900, 2048),
        ];
        let deployments: Vec<Value> = (0..8)
            .map(|at| {
                let (cpu, memory) = sizes[(first + at * 3) % sizes.len()];
                let (cpu, memory) = (cpu + 50 * (first * at % 7), memory + 128 * (first + at));
                json!({ "name": format!("w-{at}"), "replicas": 1, "cpu_m": cpu, "memory_mib": memory })
            })
            .collect();
        let scenario = json!({ "deployments": deployments, "pools": [{ "name": "default", "capacity_types": ["on-demand", "spot"],
            "arch": ["amd64"], "categories": ["m", "c", "r"], "min_generation": 6 }] });
        let mut cluster = inputs::scenario_cluster(&scenario, &inputs::read("catalogue.csv"));
        for pod in &inputs::scenario_pods(&scenario) {
            cluster.add_pod(pod);
        }
        let names = &cluster.names;
        let pool = &cluster.pools[0];
        let mut options: Vec<(u64, i64, i64, i64)> = Vec::new();
        for kind in &cluster.catalogue.types {
            let room = |id| kind.allocatable.get(id);
            for offering in &kind.offerings {
                let label_of =
                    |key| if key == names.known.node_pool { Some(pool.name) } else { kind.label(names, offering, key) };
                if pool.requirements.met_by(&names.strings, label_of) {
                    options.push((offering.price.0, room(CPU), room(MEMORY), room(PODS)));
                }
            }
        }
        options.sort_unstable();
        let pods: Vec<(i64, i64)> = cluster
            .pods
            .iter()
            .map(|pod| &cluster.spec(pod.spec).requests)
            .map(|r| (r.get(CPU), r.get(MEMORY)))
            .collect();
        let all = 1_usize << pods.len();
        let inside = |set: usize| (0..pods.len()).filter(move |pod| set >> pod & 1 == 1);
        let one_node: Vec<u64> = (0..all)
            .map(|set| {
                let cpu: i64 = inside(set).map(|pod| pods[pod].0).sum();
                let memory: i64 = inside(set).map(|pod| pods[pod].1).sum();
                let count = i64::from(set.count_ones());
                options.iter().find(|o| o.1 >= cpu && o.2 >= memory && o.3 >= count).map_or(u64::MAX, |o| o.0)
            })
            .collect();
        let mut least = vec![0_u64; all];
        for set in 1..all {
            let mut part = set;
            least[set] = u64::MAX;
            while part > 0 {
                least[set] = least[set].min(one_node[part].saturating_add(least[set ^ part]));
                part = (part - 1) & set;
            }
        }
        let solution = solve(&Problem::provision(&cluster, settings(0.0)), Budget::rounds(3000));
        assert_eq!(solution.cost.0, least[all - 1], "pods from {first}");
    }
}

/// The GPU scenario is bounded from below by its GPUs alone: eleven machines' worth that nothing replaces.
#[test]
fn the_gpu_scenario_costs_no_more_than_its_gpus_do() {
    let (cluster, _) = scenario("gpu");
    let solution = solve(&Problem::provision(&cluster, settings(0.0)), Budget::rounds(2000));
    assert!(solution.cost.dollars() <= 15.418 + 1e-9, "{}", solution.cost.dollars());
}

#[test]
fn running_nodes_are_filled_before_any_is_bought() {
    let cluster = inputs::running(60, 300, 60);
    let problem = Problem::provision(&cluster, settings(0.0));
    let solution = solve(&problem, Budget::rounds(0));
    assert_eq!(solution.placed(), 60);
    assert!(solution.nodes.is_empty(), "{} nodes", solution.nodes.len());
}

// ---- bad and very large input ---------------------------------------------------------------------

fn pod_with(spec: Value) -> Option<Pod> {
    serde_json::from_value(
        json!({ "metadata": { "name": "p", "namespace": "default", "labels": { "app": "x" } }, "spec": spec }),
    )
    .ok()
}

fn small_cluster() -> Cluster {
    let pools = json!({ "pools": [{ "name": "default", "capacity_types": ["on-demand"], "arch": ["amd64"], "categories": ["m"], "min_generation": 6 }] });
    inputs::scenario_cluster(&pools, &inputs::read("catalogue.csv"))
}

#[test]
fn what_cannot_be_placed_says_why() {
    let requests = |cpu: &str| json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu, "memory": "1Gi" } } }] });
    let with = |field: &str, value: Value| {
        let mut spec = requests("1");
        spec[field] = value;
        spec
    };
    let near = json!({ "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "labelSelector": { "matchLabels": { "app": "nobody" } }, "topologyKey": "topology.kubernetes.io/zone" }] } });
    for (spec, words) in [
        (requests("lots"), "`lots` is not a quantity"),
        (requests("-1"), "is negative"),
        (requests("9e30"), "comes nearest"),
        (requests("100000"), "comes nearest"),
        (with("nodeSelector", json!({ "kubernetes.io/arch": "riscv64" })), "kubernetes.io/arch"),
        (with("nodeSelector", json!({ "team": "nobody" })), "`team`"),
        (with("nodeSelector", json!({ "karpenter.k8s.aws/instance-tenancy": "host" })), "instance-tenancy"),
        (
            with("nodeSelector", json!({ "karpenter.k8s.aws/instance-tenancy": "dedicated", "zz/special": "yes" })),
            "zz/special",
        ),
        (with("affinity", near), "affinity"),
        (with("tolerations", json!([{ "operator": "Equal" }])), "`Exists`"),
        (
            with(
                "topologySpreadConstraints",
                json!([{ "maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule" }]),
            ),
            "maxSkew",
        ),
    ] {
        let mut cluster = small_cluster();
        cluster.add_pod(&pod_with(spec.clone()).unwrap_or_default());
        let problem = Problem::provision(&cluster, settings(0.02));
        let solution = solve(&problem, Budget::rounds(5));
        let reasons = solution.unplaced.iter().map(|group| group.reason.clone());
        let all: Vec<String> = reasons.chain(cluster.unreadable.iter().map(|pod| pod.reason.clone())).collect();
        assert_eq!(solution.placed(), 0, "{spec}");
        assert!(all.iter().any(|reason| reason.contains(words)), "{spec}: {all:?} lacks {words}");
    }
}

/// Each wants to be where another one is already: no first one can be bound, by kube-scheduler's own rules.
#[test]
fn where_a_limit_binds_larger_nodes_are_bought_rather_than_pods_left_out() {
    let mut cluster = small_cluster();
    // The smallest nodes are by far the cheapest, and half of each is left over.
    for of in cluster.catalogue.types.iter_mut().filter(|of| of.capacity.get(CPU) == 2000) {
        of.offerings.iter_mut().for_each(|offering| offering.price = Price(1_000_000));
    }
    cluster.pools[0].limits.set(CPU, 20_000);
    let requests =
        json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1", "memory": "256Mi" } } }] });
    for at in 0..12 {
        let mut pod = pod_with(requests.clone()).expect("a pod");
        pod.metadata.name = Some(format!("p{at}"));
        cluster.add_pod(&pod);
    }
    let solution = solve(&Problem::provision(&cluster, settings(0.0)), Budget::rounds(50));
    assert_eq!(solution.placed(), 12, "{:?}", solution.unplaced);
    let cores: i64 =
        solution.nodes.iter().map(|node| cluster.catalogue.types[node.instance_type as usize].capacity.get(CPU)).sum();
    assert!(cores <= 20_000, "{cores}");
}

#[test]
fn pods_that_wait_for_each_other_in_a_circle_are_not_placed() {
    for circle in [2, 3, 7] {
        let mut cluster = small_cluster();
        for at in 0..circle {
            let next = format!("link-{}", (at + 1) % circle);
            let near =
                json!({ "labelSelector": { "matchLabels": { "app": next } }, "topologyKey": "kubernetes.io/hostname" });
            let pod = json!({
                "metadata": { "name": format!("link-{at}"), "namespace": "default", "labels": { "app": format!("link-{at}") } },
                "spec": {
                    "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1" } } }],
                    "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [near] } },
                },
            });
            cluster.add_pod(&serde_json::from_value(pod).expect("a pod"));
        }
        let problem = Problem::provision(&cluster, settings(0.02));
        let solution = solve(&problem, Budget::rounds(20));
        assert_eq!(solution.placed(), 0, "{circle} in a circle");
        assert!(solution.unplaced.iter().all(|group| group.reason.contains("affinity")), "{:?}", solution.unplaced);
    }
}

#[test]
fn pools_without_types_and_clusters_without_pools_place_nothing() {
    let mut cluster = Cluster::default();
    cluster.add_pod(&pod_with(json!({ "containers": [{ "name": "c" }] })).unwrap_or_default());
    let problem = Problem::provision(&cluster, settings(0.02));
    let solution = solve(&problem, Budget::rounds(5));
    assert!(solution.unplaced[0].reason.contains("no node pools"));
}

#[test]
fn a_hundred_thousand_pods_on_five_thousand_types_are_placed() {
    let mut cluster = inputs::made_up_cluster();
    let types = cluster.catalogue.types.clone();
    for copy in 1..13 {
        for instance_type in &types {
            let mut other = instance_type.clone();
            for offering in &mut other.offerings {
                offering.price.0 += copy * 1000;
            }
            cluster.catalogue.add(other);
        }
    }
    let sizes = [(100, 128), (250, 512), (500, 700), (1000, 1024), (1500, 4096)];
    for index in 0..100_000 {
        let (cpu, memory) = sizes[index % sizes.len()];
        let spec = json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": format!("{cpu}m"), "memory": format!("{memory}Mi") } } }] });
        cluster.add_pod(&pod_with(spec).unwrap_or_default());
    }
    let problem = Problem::provision(&cluster, settings(0.0));
    let solution = solve(&problem, Budget::rounds(0));
    assert_eq!(solution.placed(), 100_000);
    assert!(solution.over_bound() < 1.1, "{}", solution.over_bound());
}

// ---- clusters made up at random -------------------------------------------------------------------

fn any_pod() -> impl Strategy<Value = Value> {
    let size = (1_u32..20, 1_u32..20);
    let kind = 0_u8..16;
    (size, kind, 1_u32..7, 0_u8..4, any::<bool>(), any::<bool>()).prop_map(|((cpu, memory), kind, replicas, app, tolerates, bound)| {
        json!({ "cpu": cpu * 150, "memory": memory * 200, "kind": kind, "replicas": replicas, "app": format!("app-{app}"), "tolerates": tolerates, "bound": bound })
    })
}

/// The pods, the first of some on one of so many running nodes.
fn build_pods(descriptions: &[Value], running: usize) -> Vec<Pod> {
    let mut pods = Vec::new();
    for (at, pod) in descriptions.iter().enumerate() {
        let selects = json!({ "matchLabels": { "app": pod["app"] } });
        let term = |key: &str| json!({ "requiredDuringSchedulingIgnoredDuringExecution": [{ "labelSelector": selects, "topologyKey": key }] });
        let spread = |key: &str, skew: i32| json!([{ "maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selects }]);
        let zone = "topology.kubernetes.io/zone";
        let host = "kubernetes.io/hostname";
        let mut spec = json!({ "containers": [{ "name": "c", "resources": { "requests": {
            "cpu": format!("{}m", pod["cpu"]), "memory": format!("{}Mi", pod["memory"]) } } }] });
        match pod["kind"].as_u64().unwrap_or(0) {
            1 => spec["topologySpreadConstraints"] = spread(zone, 1),
            2 => spec["topologySpreadConstraints"] = spread(host, 2),
            3 => spec["affinity"] = json!({ "podAntiAffinity": term(host) }),
            4 => spec["affinity"] = json!({ "podAffinity": term(zone) }),
            5 => spec["nodeSelector"] = json!({ zone: "us-east-1b" }),
            6 => spec["containers"][0]["ports"] = json!([{ "containerPort": 80, "hostPort": 8080 }]),
            7 => spec["affinity"] = json!({ "podAntiAffinity": term(zone) }),
            8 => spec["affinity"] = json!({ "podAffinity": term(host) }),
            9 => {
                spec["topologySpreadConstraints"] = spread(zone, 1);
                spec["topologySpreadConstraints"][0]["minDomains"] = json!(3);
                spec["topologySpreadConstraints"][0]["nodeTaintsPolicy"] = json!("Honor");
            }
            10 => {
                spec["nodeSelector"] = json!({ zone: "us-east-1b" });
                spec["topologySpreadConstraints"] = spread(zone, 2);
                spec["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = json!("Ignore");
            }
            11 => {
                let (zones, hosts) = (spread(zone, 1), spread(host, 1));
                spec["topologySpreadConstraints"] = json!([zones[0], hosts[0]]);
            }
            12 => {
                spec["topologySpreadConstraints"] = spread(zone, 1);
                spec["topologySpreadConstraints"][0]["whenUnsatisfiable"] = json!("ScheduleAnyway");
            }
            13 => spec["affinity"] = json!({ "podAffinity": term(zone), "podAntiAffinity": term(host) }),
            14 => spec["topologySpreadConstraints"] = spread("karpenter.sh/capacity-type", 1),
            15 => {
                spec["topologySpreadConstraints"] = spread(zone, 1);
                spec["topologySpreadConstraints"][0]["matchLabelKeys"] = json!(["revision"]);
            }
            _ => {}
        }
        if pod["tolerates"] == json!(true) {
            spec["tolerations"] = json!([{ "key": "critical", "operator": "Exists" }]);
        }
        for replica in 0..pod["replicas"].as_u64().unwrap_or(1) {
            let mut spec = spec.clone();
            if pod["bound"] == json!(true) && replica == 0 && running > 0 {
                spec["nodeName"] = json!(format!("running-{}", at % running));
            }
            pods.push(
                serde_json::from_value(json!({
                "metadata": { "name": format!("p-{at}-{replica}"), "namespace": "default",
                    "labels": { "app": pod["app"], "revision": format!("r{}", replica % 2) } },
                "spec": spec }))
                .unwrap_or_else(|error| panic!("{error}")),
            );
        }
    }
    pods
}

fn running_nodes(count: usize) -> Vec<Node> {
    (0..count)
        .map(|index| {
            let zone = ["a", "b", "c", "d", "a"][index % 5];
            let taints = if index == 2 { json!([{ "key": "critical", "effect": "NoSchedule" }]) } else { json!([]) };
            serde_json::from_value(json!({
                "spec": { "taints": taints, "unschedulable": index == 4 },
                "metadata": { "name": format!("running-{index}"), "labels": {
                    "topology.kubernetes.io/zone": format!("us-east-1{zone}"), "kubernetes.io/hostname": format!("running-{index}"),
                    "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux" } },
                "status": { "allocatable": { "cpu": "3", "memory": "6Gi", "pods": "12" }, "capacity": { "cpu": "4", "memory": "8Gi", "pods": "12" } } }))
            .unwrap_or_else(|error| panic!("{error}"))
        })
        .collect()
}

/// One node of each pool, zone and capacity type with the most CPU, and one with the most memory.
fn largest_nodes(problem: &Problem<'_>) -> Vec<checker::Candidate> {
    let cluster = problem.cluster;
    let names = &cluster.names;
    let mut largest: BTreeMap<(usize, u32, u32, bool), (i64, PlannedNode)> = BTreeMap::new();
    for (pool_at, pool) in cluster.pools.iter().enumerate() {
        for (type_at, instance_type) in (0_u32..).zip(&cluster.catalogue.types) {
            for (offering_at, offering) in (0_u32..).zip(&instance_type.offerings) {
                let own = [(names.known.node_pool, pool.name)];
                let label_of = |key| {
                    let fixed = own.iter().chain(pool.labels.iter()).find(|(known, _)| *known == key);
                    fixed.map(|(_, value)| *value).or_else(|| instance_type.label(names, offering, key))
                };
                if !pool.requirements.met_by(&names.strings, label_of) {
                    continue;
                }
                for most_cpu in [true, false] {
                    let room = instance_type.allocatable.get(if most_cpu { CPU } else { MEMORY });
                    let key = (pool_at, offering.zone.0, offering.capacity_type.0, most_cpu);
                    if largest.get(&key).is_some_and(|(known, _)| *known >= room) {
                        continue;
                    }
                    let mut labels: Vec<_> = own.iter().chain(pool.labels.iter()).copied().collect();
                    labels.sort_unstable();
                    let node = PlannedNode {
                        name: format!(
                            "candidate-{pool_at}-{}-{}-{most_cpu}",
                            offering.zone.0, offering.capacity_type.0
                        ),
                        pool: u32::try_from(pool_at).unwrap_or_default(),
                        instance_type: type_at,
                        offering: offering_at,
                        price: offering.price,
                        labels: labels.into(),
                        pods: Vec::new(),
                    };
                    largest.insert(key, (room, node));
                }
            }
        }
    }
    let nodes = largest.into_values().map(|(_, node)| node).collect();
    export::nodes(problem, &Solution { nodes, ..Solution::default() })
        .into_iter()
        .map(|node| checker::Candidate { node, ..checker::Candidate::default() })
        .collect()
}

/// So many cases, unless the environment asks for another number of them.
fn cases(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: wanted.unwrap_or(usual), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn nonsense_in_pods_never_panics(
        quantity in "[-+]?[0-9.]{0,30}(Ki|Mi|Ei|m|n|e[0-9]{1,4}|[A-Za-z]{0,2})",
        operator in "(In|NotIn|Exists|Gt|Lt|Near|)",
        values in proptest::collection::vec("[a-z0-9.-]{0,6}", 0..3),
        key in "[a-z./-]{0,12}",
        skew in -2_i32..5,
    ) {
        let mut cluster = small_cluster();
        let spec = json!({
            "containers": [{ "name": "c", "resources": { "requests": { "cpu": quantity, "memory": quantity, key.as_str(): quantity } } }],
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                { "matchExpressions": [{ "key": key, "operator": operator, "values": values }] }] } } },
            "topologySpreadConstraints": [{ "maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": { "matchExpressions": [{ "key": "app", "operator": operator, "values": values }] } }],
        });
        if let Some(pod) = pod_with(spec) {
            cluster.add_pod(&pod);
            let problem = Problem::provision(&cluster, settings(0.02));
            let solution = solve(&problem, Budget::rounds(3));
            let unplaced: usize = solution.unplaced.iter().map(|group| group.pods.len()).sum();
            prop_assert_eq!(solution.placed() + unplaced + cluster.unreadable.len(), 1);
        }
    }

    #[test]
    fn placements_of_clusters_made_up_at_random_keep_every_rule(
        descriptions in proptest::collection::vec(any_pod(), 1..14),
        running in 0_usize..6,
        limited in any::<bool>(),
        balanced in any::<bool>(),
    ) {
        let pools = json!({ "pools": [
            { "name": "default", "capacity_types": ["on-demand", "spot"], "arch": ["amd64"], "categories": ["m", "c"], "min_generation": 6 },
            { "name": "critical", "capacity_types": ["spot"], "arch": ["amd64"], "categories": ["m"], "min_generation": 6, "weight": 5, "taint": "critical" },
        ] });
        let mut cluster = inputs::scenario_cluster(&pools, &inputs::read("catalogue.csv"));
        let nodes = running_nodes(running);
        for node in &nodes {
            prop_assert!(cluster.add_node(node).is_ok());
        }
        let pods = build_pods(&descriptions, running);
        if limited {
            cluster.pools[0].limits.set(CPU, 24_000);
        }
        for pod in &pods {
            cluster.add_pod(pod);
        }
        let problem = Problem::provision(&cluster, settings(if balanced { 0.02 } else { 0.0 }));
        let solution = solve(&problem, Budget::rounds(30));
        if limited {
            let bought = solution.nodes.iter().filter(|node| node.pool == 0);
            let cpu: i64 = bought.map(|node| cluster.catalogue.types[node.instance_type as usize].capacity.get(CPU)).sum();
            prop_assert!(cpu <= 24_000, "{cpu} of 24 cores");
        }
        let input = checked(&problem, &solution, nodes, pods);
        let faults = checker::check(&input);
        prop_assert!(faults.is_empty(), "{} faults, first: {}", faults.len(), faults[0]);
        if let Order::Stuck { stuck, proved: true, .. } = checker::find_order(&input) {
            prop_assert!(false, "in no order: {}", stuck[0]);
        }
        let unplaced: usize = solution.unplaced.iter().map(|group| group.pods.len()).sum();
        prop_assert_eq!(solution.placed() + unplaced, problem.pending.len());
        // What a pool's limits leave out has no new node of that pool to go to.
        let mut candidates = largest_nodes(&problem);
        candidates.retain(|candidate| !limited || candidate.node.metadata.labels.iter().flatten().all(|(key, value)| {
            key != "karpenter.sh/nodepool" || value != "default"
        }));
        for pod in solution.unplaced.iter().filter_map(|group| group.pods.first()) {
            let name = &cluster.pods[*pod as usize].name;
            let fits = checker::fits(&input, name, &candidates).fits;
            prop_assert!(fits.is_empty(), "`{}` is not placed but fits on {}: {:?}", name, fits[0], solution.unplaced);
        }
        prop_assert!(solution.unplaced.iter().all(|group| !group.reason.is_empty()));
        prop_assert_eq!(&solution, &solve(&problem, Budget::rounds(30)));
    }
}

#[test]
fn a_pool_with_a_minimum_of_values_leaves_a_launch_that_choice() {
    use eksup::autoscaler::scheduling::alternatives;
    let (mut cluster, pods) = scenario("web-small");
    let family = cluster.names.key("karpenter.k8s.aws/instance-family");
    cluster.pools[0].min_values.push((family, 5));
    let problem = Problem::provision(&cluster, settings(0.0));
    let solution = solve(&problem, Budget::rounds(50));
    assert!(solution.unplaced.is_empty());
    assert_right("minValues", &problem, &solution, Vec::new(), pods);
    for node in &solution.nodes {
        let types: Vec<u32> = alternatives(&problem, node).iter().map(|other| other.instance_type).collect();
        let value = |kind: &u32| {
            cluster.catalogue.types[*kind as usize]
                .labels
                .iter()
                .find(|(key, _)| *key == family)
                .map(|(_, value)| *value)
        };
        let families: std::collections::BTreeSet<_> = types.iter().filter_map(value).collect();
        assert!(families.len() >= 5, "{} families for {}", families.len(), node.name);
    }
}

#[test]
fn pods_need_not_tolerate_what_goes_with_the_start() {
    let mut cluster = small_cluster();
    let taint = eksup::autoscaler::state::pod_spec::Taint {
        key: cluster.names.strings.intern("starting"),
        value: cluster.names.strings.intern(""),
        effect: eksup::autoscaler::state::pod_spec::Effect::NoSchedule,
    };
    cluster.pools[0].startup_taints.push(taint.clone());
    cluster.add_pod(&pod_with(json!({ "containers": [{ "name": "c" }] })).unwrap_or_default());
    let placed = |cluster: &Cluster| solve(&Problem::provision(cluster, settings(0.0)), Budget::rounds(1)).placed();
    assert_eq!(placed(&cluster), 1);
    cluster.pools[0].taints.push(taint);
    assert_eq!(placed(&cluster), 0);
}

#[test]
fn alternatives_to_a_node_hold_its_pods_too_and_are_sorted_by_price() {
    use eksup::autoscaler::scheduling::alternatives;
    let (cluster, pods) = scenario("daemons");
    let problem = Problem::provision(&cluster, settings(0.0));
    let solution = solve(&problem, Budget::rounds(5));
    let mut moved = solution.clone();
    let mut any = 0;
    for node in &mut moved.nodes {
        let others = alternatives(&problem, node);
        assert!(others.is_sorted_by_key(|other| other.price));
        assert!(others.iter().any(|o| (o.instance_type, o.offering) == (node.instance_type, node.offering)));
        any += others.len() - 1;
        if let Some(other) = others.get(60).or(others.last()) {
            (node.instance_type, node.offering) = (other.instance_type, other.offering);
        }
    }
    assert!(any > 0);
    let faults = checker::check(&checked(&problem, &moved, Vec::new(), pods));
    assert!(faults.is_empty(), "{}", faults[0]);
}
