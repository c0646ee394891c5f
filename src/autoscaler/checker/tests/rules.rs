//! Each rule once broken and once kept, on clusters small enough to judge by eye.

use serde_json::{Value, json};

use super::super::{
    Candidate, Input, Order, Rule, check, find_order, fits, fits_nowhere, fits_of_unplaced, preferences, verify,
};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// A cluster under construction, with JSON merged over plain nodes and pods.
#[derive(Default, Clone)]
struct Cluster(Input);

impl Cluster {
    fn node(mut self, name: &str, zone: &str, over: Value) -> Self {
        self.0.nodes.push(serde_json::from_value(node(name, zone, over)).expect("a node"));
        self
    }

    /// Three nodes: `a1` and `a2` in zone `a`, `b1` in zone `b`.
    fn two_zones() -> Self {
        Self::default().node("a1", "a", json!({})).node("a2", "a", json!({})).node("b1", "b", json!({}))
    }

    /// A pod with label `app`, not placed.
    fn pod(mut self, name: &str, app: &str, spec: Value) -> Self {
        let mut pod = json!({"metadata": {"namespace": "default", "name": name, "labels": {"app": app}},
            "spec": {"containers": [{"name": "c"}]}});
        merge(&mut pod["spec"], spec);
        self.0.pods.push(serde_json::from_value(pod).expect("a pod"));
        self
    }

    /// A pod that is new on a node.
    fn place(self, name: &str, node: &str, app: &str, spec: Value) -> Self {
        let mut cluster = self.pod(name, app, spec);
        cluster.0.placement.insert(format!("default/{name}"), node.to_owned());
        cluster
    }

    /// A pod that runs on a node.
    fn running(self, name: &str, node: &str, app: &str, mut spec: Value) -> Self {
        spec["nodeName"] = json!(node);
        self.pod(name, app, spec)
    }

    /// Changes the pod added last.
    fn with(mut self, change: impl FnOnce(&mut k8s_openapi::api::core::v1::Pod)) -> Self {
        change(self.0.pods.last_mut().expect("a pod was added"));
        self
    }

    fn storage(mut self, volumes: Value, claims: Value, classes: Value, nodes: Value) -> Self {
        self.0.persistent_volumes = serde_json::from_value(volumes).expect("volumes");
        self.0.persistent_volume_claims = serde_json::from_value(claims).expect("claims");
        self.0.storage_classes = serde_json::from_value(classes).expect("classes");
        self.0.csi_nodes = serde_json::from_value(nodes).expect("CSI nodes");
        self
    }

    fn breaks(&self) -> Vec<(String, Rule)> {
        check(&self.0).into_iter().map(|violation| (violation.pod.replace("default/", ""), violation.rule)).collect()
    }

    /// Neither the final state nor any order is wrong.
    fn holds(&self) {
        assert_eq!(verify(&self.0), []);
    }

    fn breaks_only(&self, pod: &str, rule: Rule) {
        assert_eq!(self.breaks(), [(pod.to_owned(), rule)]);
    }

    /// The final state looks right, and yet it is certain that no order leads to it.
    fn has_no_order(&self) {
        assert_eq!(check(&self.0), []);
        assert!(matches!(find_order(&self.0), Order::Stuck { proved: true, .. }), "{:?}", find_order(&self.0));
    }
}

fn node(name: &str, zone: &str, over: Value) -> Value {
    let mut node = json!({"metadata": {"name": name, "labels": {HOSTNAME: name, ZONE: zone}}, "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
    merge(&mut node, over);
    node
}

fn merge(into: &mut Value, over: Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, over) => *into = over,
    }
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]})
}

fn spread(key: &str, app: &str, over: Value) -> Value {
    let mut constraint = json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": app}}});
    merge(&mut constraint, over);
    json!({"topologySpreadConstraints": [constraint]})
}

fn affinity(kind: &str, terms: Value) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

fn term(key: &str, app: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

fn with(key: &str, app: &str) -> Value {
    affinity("podAffinity", json!([term(key, app)]))
}

fn apart(key: &str, app: &str) -> Value {
    affinity("podAntiAffinity", json!([term(key, app)]))
}

#[test]
fn a_placement_names_pods_and_nodes_that_exist_and_do_not_run_yet() {
    let mut cluster = Cluster::two_zones().running("old", "a1", "x", json!({})).place("lost", "c1", "x", json!({}));
    cluster.0.placement.insert("default/ghost".to_owned(), "a1".to_owned());
    cluster.0.placement.insert("default/old".to_owned(), "a1".to_owned());
    let named = ["ghost", "lost", "old"].map(|pod| (pod.to_owned(), Rule::Reference));
    assert_eq!(cluster.breaks(), named);
}

#[test]
fn names_stand_for_one_pod_or_node_each() {
    let cluster = Cluster::two_zones().running("old", "a1", "x", json!({}));
    cluster.clone().running("old", "b1", "x", json!({})).breaks_only("old", Rule::Reference);
    cluster.node("a1", "b", json!({})).breaks_only("", Rule::Reference);
}

#[test]
fn gated_pods_and_unreadable_ones_cannot_be_placed() {
    let gates = json!({"schedulingGates": [{"name": "example.com/wait"}]});
    Cluster::two_zones().place("p", "a1", "x", gates).breaks_only("p", Rule::Gated);
    let claims = json!({"resourceClaims": [{"name": "gpu"}]});
    Cluster::two_zones().place("p", "a1", "x", claims).breaks_only("p", Rule::Gated);
    Cluster::two_zones().place("p", "a1", "x", cpu("lots")).breaks_only("p", Rule::Malformed);
}

#[test]
fn requests_of_all_pods_on_a_node_fit_what_it_can_give() {
    let cluster = Cluster::two_zones().running("old", "a1", "x", cpu("3"));
    cluster.clone().place("p", "a1", "x", cpu("1")).holds();
    cluster.clone().place("p", "a1", "x", cpu("1001m")).breaks_only("p", Rule::Resources);
    cluster
        .place("p", "a2", "x", json!({"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}))
        .breaks_only("p", Rule::Resources);
}

#[test]
fn a_pod_that_asks_for_nothing_fits_an_overcommitted_node_while_there_is_a_slot() {
    let cluster = Cluster::default().node("n", "a", json!({"status": {"allocatable": {"cpu": "1", "pods": "2"}}}));
    let cluster = cluster.running("old", "n", "x", cpu("3")).place("p", "n", "x", json!({}));
    cluster.holds();
    cluster.place("q", "n", "x", json!({})).breaks_only("p", Rule::Resources);
}

#[test]
fn finished_pods_take_nothing() {
    let finished = |pod: &mut k8s_openapi::api::core::v1::Pod| {
        pod.status = serde_json::from_value(json!({"phase": "Succeeded"})).expect("a status");
    };
    Cluster::two_zones().running("old", "a1", "x", cpu("4")).with(finished).place("p", "a1", "x", cpu("4")).holds();
}

#[test]
fn a_cordoned_node_takes_no_pod_that_does_not_tolerate_it() {
    let cluster = Cluster::default().node("n", "a", json!({"spec": {"unschedulable": true}}));
    cluster.clone().place("p", "n", "x", json!({})).breaks_only("p", Rule::Unschedulable);
    let tolerating = json!({"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]});
    cluster.place("p", "n", "x", tolerating).holds();
}

#[test]
fn node_selectors_and_required_node_affinity_hold() {
    let cluster = Cluster::two_zones();
    cluster.clone().place("p", "a1", "x", json!({"nodeSelector": {ZONE: "a"}})).holds();
    cluster.clone().place("p", "b1", "x", json!({"nodeSelector": {ZONE: "a"}})).breaks_only("p", Rule::NodeAffinity);
    let by_name = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b1"]}]}]}}}});
    cluster.clone().place("p", "b1", "x", by_name.clone()).holds();
    cluster.place("p", "a1", "x", by_name).breaks_only("p", Rule::NodeAffinity);
}

#[test]
fn taints_keep_out_new_pods_and_say_nothing_of_running_ones() {
    let taint = json!({"spec": {"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]}});
    let cluster = Cluster::default().node("n", "a", taint).running("old", "n", "x", json!({}));
    cluster.clone().place("p", "n", "x", json!({})).breaks_only("p", Rule::Taints);
    cluster.place("p", "n", "x", json!({"tolerations": [{"key": "team", "operator": "Exists"}]})).holds();
}

#[test]
fn two_pods_on_a_node_do_not_hold_one_host_port() {
    let port =
        |number: u16| json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": number}]}]});
    let cluster = Cluster::two_zones().running("old", "a1", "x", port(80));
    cluster.clone().place("p", "a1", "x", port(81)).place("q", "a2", "x", port(80)).holds();
    cluster.place("p", "a1", "x", port(80)).breaks_only("p", Rule::HostPorts);
}

#[test]
fn zone_spread_bounds_the_skew_over_eligible_domains() {
    let web = || spread(ZONE, "web", json!({}));
    let cluster = Cluster::two_zones().place("p1", "a1", "web", web()).place("p2", "a2", "web", web());
    cluster.breaks_only("p1", Rule::TopologySpread);
    cluster.place("p3", "b1", "web", web()).holds();
}

#[test]
fn a_constraint_said_twice_counts_its_pod_once() {
    let mut twice = spread(ZONE, "web", json!({}));
    let constraint = twice["topologySpreadConstraints"][0].clone();
    twice["topologySpreadConstraints"].as_array_mut().expect("a list").push(constraint);
    Cluster::two_zones().place("p", "a1", "web", twice).holds();
}

#[test]
fn spread_counts_only_domains_of_nodes_that_the_pod_selects_unless_told_to_ignore_that() {
    let mut in_a = spread(ZONE, "web", json!({}));
    in_a["nodeSelector"] = json!({ZONE: "a"});
    let two = |spec: &Value| {
        Cluster::two_zones().place("p1", "a1", "web", spec.clone()).place("p2", "a2", "web", spec.clone())
    };
    two(&in_a).holds();
    let mut ignoring = spread(ZONE, "web", json!({"nodeAffinityPolicy": "Ignore"}));
    ignoring["nodeSelector"] = json!({ZONE: "a"});
    two(&ignoring).breaks_only("p1", Rule::TopologySpread);
}

#[test]
fn spread_counts_tainted_nodes_unless_told_to_honor_taints() {
    let tainted = json!({"spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]}});
    let cluster = Cluster::default().node("a1", "a", json!({})).node("b1", "b", tainted);
    let two = |policy: &str| {
        let spec = spread(ZONE, "web", json!({"nodeTaintsPolicy": policy}));
        cluster.clone().place("p1", "a1", "web", spec.clone()).place("p2", "a1", "web", spec)
    };
    two("Ignore").breaks_only("p1", Rule::TopologySpread);
    two("Honor").holds();
}

#[test]
fn too_few_domains_make_the_minimum_zero() {
    let spec = |domains: u8| spread(ZONE, "web", json!({"minDomains": domains}));
    let four = |domains: u8| {
        ["a1", "a2", "b1", "b1"].iter().enumerate().fold(Cluster::two_zones(), |cluster, (number, node)| {
            cluster.place(&format!("p{number}"), node, "web", spec(domains))
        })
    };
    four(2).holds();
    assert_eq!(four(3).breaks().iter().map(|(_, rule)| *rule).collect::<Vec<_>>(), [Rule::TopologySpread; 2]);
}

#[test]
fn match_label_keys_spread_each_revision_on_its_own() {
    let revision = |name: &'static str| {
        move |pod: &mut k8s_openapi::api::core::v1::Pod| {
            pod.metadata.labels.get_or_insert_default().insert("rev".to_owned(), name.to_owned());
        }
    };
    let cluster = |keys: Value| {
        let spec = spread(ZONE, "web", json!({"matchLabelKeys": keys}));
        Cluster::two_zones()
            .running("old", "a1", "web", json!({}))
            .with(revision("1"))
            .place("p", "a2", "web", spec)
            .with(revision("2"))
    };
    cluster(json!(["rev"])).holds();
    cluster(json!([])).breaks_only("p", Rule::TopologySpread);
}

#[test]
fn spread_needs_every_topology_key_and_passes_over_nodes_without_them() {
    let bare = json!({"metadata": {"labels": {HOSTNAME: "bare"}}});
    let mut unlabelled = node("bare", "a", bare);
    unlabelled["metadata"]["labels"].as_object_mut().expect("labels").remove(ZONE);
    let mut cluster = Cluster::default().node("a1", "a", json!({}));
    cluster.0.nodes.push(serde_json::from_value(unlabelled).expect("a node"));
    let cluster = cluster.running("old", "bare", "web", json!({}));
    cluster.clone().place("p", "a1", "web", spread(ZONE, "web", json!({}))).holds();
    cluster.place("p", "bare", "web", spread(ZONE, "web", json!({}))).breaks_only("p", Rule::TopologySpread);
}

#[test]
fn pods_of_other_namespaces_and_pods_being_deleted_are_not_spread_over() {
    let elsewhere = |pod: &mut k8s_openapi::api::core::v1::Pod| pod.metadata.namespace = Some("other".to_owned());
    let leaving = |pod: &mut k8s_openapi::api::core::v1::Pod| {
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time");
    };
    let cluster = Cluster::two_zones();
    let spec = spread(ZONE, "web", json!({}));
    cluster.clone().running("o", "a1", "web", json!({})).with(elsewhere).place("p", "a1", "web", spec.clone()).holds();
    cluster.clone().running("o", "a1", "web", json!({})).with(leaving).place("p", "a1", "web", spec.clone()).holds();
    cluster.running("o", "a1", "web", json!({})).place("p", "a1", "web", spec).breaks_only("p", Rule::TopologySpread);
}

#[test]
fn a_pod_that_its_constraint_does_not_match_may_join_the_fullest_domain_within_the_skew() {
    let cluster = Cluster::two_zones().running("o1", "a1", "web", json!({}));
    cluster.clone().place("p", "a1", "other", spread(ZONE, "web", json!({}))).holds();
    let cluster = cluster.running("o2", "a1", "web", json!({}));
    cluster.place("p", "a1", "other", spread(ZONE, "web", json!({}))).breaks_only("p", Rule::TopologySpread);
}

#[test]
fn matching_pods_without_the_constraint_may_come_later_and_leave_a_skew() {
    let free = |cluster: Cluster| cluster.place("q1", "a1", "web", json!({})).place("q2", "a1", "web", json!({}));
    free(Cluster::two_zones()).place("p", "a1", "web", spread(ZONE, "web", json!({}))).holds();
}

#[test]
fn a_pod_may_have_to_wait_for_another_before_the_skew_allows_it() {
    let mut waiting = spread(ZONE, "web", json!({}));
    merge(&mut waiting, with(ZONE, "late"));
    Cluster::two_zones()
        .place("p1", "a1", "web", spread(ZONE, "web", json!({})))
        .place("p2", "a2", "web", waiting)
        .place("p3", "b1", "web", spread(ZONE, "web", json!({})))
        .place("late", "a1", "late", json!({}))
        .holds();
}

#[test]
fn spread_and_affinity_that_wait_for_each_other_have_no_order() {
    // Zone `a` may get its second pod when `b` has one, that one waits for `mate`, and `mate` for the second.
    let mut first_in_b = spread(ZONE, "web", json!({}));
    merge(&mut first_in_b, with(ZONE, "mate"));
    let cluster = |mate: Value| {
        let mut cluster = Cluster::two_zones()
            .running("old", "a1", "web", json!({}))
            .place("second-in-a", "a2", "web", spread(ZONE, "web", json!({})))
            .with(|pod| _ = pod.metadata.labels.get_or_insert_default().insert("place".to_owned(), "second".to_owned()))
            .place("first-in-b", "b1", "web", first_in_b.clone())
            .place("mate", "b1", "mate", mate);
        for node in &mut cluster.0.nodes {
            node.metadata.labels.get_or_insert_default().insert("region".to_owned(), "r".to_owned());
        }
        cluster
    };
    cluster(json!({})).holds();
    let to_second = json!([{"topologyKey": "region", "labelSelector": {"matchLabels": {"place": "second"}}}]);
    cluster(affinity("podAffinity", to_second)).has_no_order();
}

#[test]
fn affinity_joins_a_matching_pod_in_the_domain() {
    let cluster = Cluster::two_zones().running("db", "a1", "db", json!({}));
    cluster.clone().place("p", "a2", "web", with(ZONE, "db")).holds();
    cluster.clone().place("p", "b1", "web", with(ZONE, "db")).breaks_only("p", Rule::PodAffinity);
    cluster.place("p", "a2", "web", with(HOSTNAME, "db")).breaks_only("p", Rule::PodAffinity);
}

#[test]
fn affinity_to_a_new_pod_holds_whichever_is_named_first() {
    Cluster::two_zones().place("a", "a2", "web", with(ZONE, "db")).place("z", "a1", "db", json!({})).holds();
}

#[test]
fn all_terms_of_an_affinity_are_met_by_pods_that_match_all_of_them() {
    let both = affinity(
        "podAffinity",
        json!([term(ZONE, "db"), {"topologyKey": ZONE, "labelSelector": {"matchLabels": {"disk": "fast"}}}]),
    );
    let fast = |pod: &mut k8s_openapi::api::core::v1::Pod| {
        pod.metadata.labels.get_or_insert_default().insert("disk".to_owned(), "fast".to_owned());
    };
    let apart =
        Cluster::two_zones().running("o1", "a1", "db", json!({})).running("o2", "a1", "x", json!({})).with(fast);
    apart.clone().place("p", "a2", "web", both.clone()).breaks_only("p", Rule::PodAffinity);
    apart.running("o3", "a1", "db", json!({})).with(fast).place("p", "a2", "web", both).holds();
}

#[test]
fn the_first_of_a_group_that_selects_itself_goes_anywhere_and_the_rest_follow() {
    let cluster = Cluster::two_zones().place("p1", "a1", "web", with(ZONE, "web"));
    cluster.clone().place("p2", "a2", "web", with(ZONE, "web")).holds();
    cluster.clone().place("p2", "b1", "web", with(ZONE, "web")).breaks_only("p2", Rule::PodAffinity);
    cluster.running("old", "b1", "web", json!({})).breaks_only("p1", Rule::PodAffinity);
}

#[test]
fn two_islands_of_one_group_look_right_and_have_no_order() {
    let web = || with(ZONE, "web");
    Cluster::two_zones()
        .node("b2", "b", json!({}))
        .place("p1", "a1", "web", web())
        .place("p2", "a2", "web", web())
        .place("p3", "b1", "web", web())
        .place("p4", "b2", "web", web())
        .has_no_order();
}

#[test]
fn pods_that_wait_for_each_other_have_no_order() {
    Cluster::two_zones().place("p", "a1", "x", with(ZONE, "y")).place("q", "a1", "y", with(ZONE, "x")).has_no_order();
}

#[test]
fn affinity_needs_its_topology_key_on_the_node_even_for_the_first_pod() {
    Cluster::two_zones().place("p", "a1", "web", with("rack", "web")).breaks_only("p", Rule::PodAffinity);
}

#[test]
fn anti_affinity_keeps_matching_pods_out_of_the_domain() {
    let cluster = Cluster::two_zones().running("old", "a1", "db", json!({}));
    cluster.clone().place("p", "a2", "web", apart(HOSTNAME, "db")).holds();
    cluster.clone().place("p", "a2", "web", apart(ZONE, "db")).breaks_only("p", Rule::PodAntiAffinity);
    cluster.place("p", "a1", "db", apart("rack", "db")).holds();
}

#[test]
fn anti_affinity_of_a_running_pod_keeps_new_ones_out() {
    let cluster = Cluster::two_zones().running("old", "a1", "db", apart(ZONE, "web"));
    cluster.clone().place("p", "b1", "web", json!({})).holds();
    cluster.place("p", "a2", "web", json!({})).breaks_only("p", Rule::PodAntiAffinity);
}

#[test]
fn one_pod_per_host_holds_for_each_replica_alone() {
    let cluster = Cluster::two_zones().place("p1", "a1", "web", apart(HOSTNAME, "web")).place(
        "p2",
        "a2",
        "web",
        apart(HOSTNAME, "web"),
    );
    cluster.holds();
    let both = cluster.place("p3", "a2", "web", apart(HOSTNAME, "web")).breaks();
    assert_eq!(both, ["p2", "p3"].map(|pod| (pod.to_owned(), Rule::PodAntiAffinity)));
}

#[test]
fn terms_speak_of_their_own_namespace_the_named_ones_and_the_selected_ones() {
    let elsewhere = |pod: &mut k8s_openapi::api::core::v1::Pod| pod.metadata.namespace = Some("other".to_owned());
    let cluster = |over: Value| {
        let mut term = term(ZONE, "db");
        merge(&mut term, over);
        let mut cluster = Cluster::two_zones().running("old", "a1", "db", json!({})).with(elsewhere).place(
            "p",
            "a1",
            "web",
            affinity("podAntiAffinity", json!([term])),
        );
        cluster.0.namespaces =
            serde_json::from_value(json!([{"metadata": {"name": "other", "labels": {"team": "o"}}}]))
                .expect("namespaces");
        cluster
    };
    cluster(json!({})).holds();
    cluster(json!({"namespaces": ["default"]})).holds();
    cluster(json!({"namespaceSelector": {"matchLabels": {"team": "x"}}})).holds();
    for reaching in [
        json!({"namespaces": ["other"]}),
        json!({"namespaceSelector": {}}),
        json!({"namespaceSelector": {"matchLabels": {"team": "o"}}}),
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}),
        json!({"namespaces": ["default"], "namespaceSelector": {"matchLabels": {"team": "o"}}}),
    ] {
        cluster(reaching).breaks_only("p", Rule::PodAntiAffinity);
    }
}

#[test]
fn label_keys_narrow_terms_to_the_same_or_to_other_values() {
    let track = |value: &'static str| {
        move |pod: &mut k8s_openapi::api::core::v1::Pod| {
            pod.metadata.labels.get_or_insert_default().insert("track".to_owned(), value.to_owned());
        }
    };
    let cluster = |keys: &str, old: &'static str| {
        let mut term = term(ZONE, "web");
        term[keys] = json!(["track"]);
        Cluster::two_zones()
            .running("old", "a1", "web", json!({}))
            .with(track(old))
            .place("p", "a2", "web", affinity("podAntiAffinity", json!([term])))
            .with(track("stable"))
    };
    cluster("matchLabelKeys", "canary").holds();
    cluster("matchLabelKeys", "stable").breaks_only("p", Rule::PodAntiAffinity);
    cluster("mismatchLabelKeys", "stable").holds();
    cluster("mismatchLabelKeys", "canary").breaks_only("p", Rule::PodAntiAffinity);
}

fn uses(claim: &str) -> Value {
    json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]})
}

fn claim(name: &str, over: Value) -> Value {
    let mut claim = json!({"metadata": {"namespace": "default", "name": name}, "spec": {"storageClassName": "disk",
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    merge(&mut claim, over);
    claim
}

fn volume(name: &str, over: Value) -> Value {
    let mut volume = json!({"metadata": {"name": name}, "spec": {"storageClassName": "disk", "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": name}}});
    merge(&mut volume, over);
    volume
}

fn class(over: Value) -> Value {
    let mut class = json!({"metadata": {"name": "disk"}, "provisioner": "ebs.csi.aws.com", "volumeBindingMode": "WaitForFirstConsumer"});
    merge(&mut class, over);
    json!([class])
}

fn reachable_in(zone: &str) -> Value {
    json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}]}}}})
}

#[test]
fn a_claim_has_to_exist_and_to_be_bound_or_waiting_for_its_pod() {
    let cluster = |claims: Value, classes: Value| {
        Cluster::two_zones().place("p", "a1", "x", uses("data")).storage(json!([]), claims, classes, json!([]))
    };
    cluster(json!([claim("data", json!({}))]), class(json!({}))).holds();
    for (claims, classes) in [
        (json!([]), class(json!({}))),
        (json!([claim("data", json!({}))]), json!([])),
        (json!([claim("data", json!({}))]), class(json!({"volumeBindingMode": "Immediate"}))),
        (json!([claim("data", json!({"status": {"phase": "Lost"}}))]), class(json!({}))),
        (json!([claim("data", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))]), class(json!({}))),
        (json!([claim("data", json!({"spec": {"volumeName": "gone"}}))]), class(json!({}))),
    ] {
        cluster(claims, classes).breaks_only("p", Rule::Volumes);
    }
}

#[test]
fn a_bound_volume_is_reached_only_from_its_zone() {
    for in_zone_a in [
        reachable_in("a"),
        json!({"metadata": {"labels": {ZONE: "a"}}}),
        json!({"metadata": {"labels": {ZONE: "c__a"}}}),
    ] {
        let cluster = |node: &str| {
            Cluster::two_zones().place("p", node, "x", uses("data")).storage(
                json!([volume("v", in_zone_a.clone())]),
                json!([claim("data", json!({"spec": {"volumeName": "v"}}))]),
                class(json!({})),
                json!([]),
            )
        };
        cluster("a2").holds();
        cluster("b1").breaks_only("p", Rule::Volumes);
    }
}

#[test]
fn a_volume_is_made_only_in_the_allowed_topologies() {
    let only_a = json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}]});
    let cluster = |node: &str| {
        Cluster::two_zones().place("p", node, "x", uses("data")).storage(
            json!([]),
            json!([claim("data", json!({}))]),
            class(only_a.clone()),
            json!([]),
        )
    };
    cluster("a1").holds();
    cluster("b1").breaks_only("p", Rule::Volumes);
}

#[test]
fn pods_that_share_an_unbound_disk_share_its_zone() {
    let cluster = |second: &str| {
        Cluster::two_zones().place("p", "a1", "x", uses("data")).place("q", second, "x", uses("data")).storage(
            json!([]),
            json!([claim("data", json!({}))]),
            class(json!({})),
            json!([]),
        )
    };
    cluster("a2").holds();
    assert_eq!(cluster("b1").breaks(), ["p", "q"].map(|pod| (pod.to_owned(), Rule::Volumes)));
}

#[test]
fn each_waiting_claim_finds_an_existing_volume_of_its_own_where_none_can_be_made() {
    let local = |name: &str, over: Value| {
        let mut over = over;
        merge(&mut over, reachable_in("a"));
        volume(name, over)
    };
    let cluster = |volumes: Value| {
        Cluster::two_zones().place("p", "a1", "x", uses("a-small")).place("q", "a2", "x", uses("large")).storage(
            volumes,
            json!([
                claim("a-small", json!({})),
                claim("large", json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}))
            ]),
            class(json!({"provisioner": "kubernetes.io/no-provisioner"})),
            json!([]),
        )
    };
    let large = || local("v1", json!({"spec": {"capacity": {"storage": "2Gi"}}}));
    cluster(json!([large(), local("v2", json!({}))])).holds();
    assert_eq!(cluster(json!([large()])).breaks().len(), 2);
    assert_eq!(
        cluster(json!([large(), local("v2", json!({"spec": {"claimRef": {"namespace": "x", "name": "y"}}}))]))
            .breaks()
            .len(),
        2
    );
    assert_eq!(cluster(json!([large(), local("v2", json!({"spec": {"volumeMode": "Block"}}))])).breaks().len(), 2);
}

#[test]
fn a_node_attaches_no_more_volumes_than_its_limit_each_counted_once() {
    let limits = json!([{"metadata": {"name": "a1"}, "spec": {"drivers": [{"name": "ebs.csi.aws.com", "nodeID": "i", "allocatable": {"count": 1}}]}}]);
    let cluster = |second: &str, third: &str| {
        let bound = |name: &str, volume: &str| claim(name, json!({"spec": {"volumeName": volume}}));
        Cluster::two_zones()
            .running("old", "a1", "x", uses("one"))
            .place("p", second, "x", uses("one"))
            .place("q", third, "x", uses("two"))
            .storage(
                json!([volume("v1", json!({})), volume("v2", json!({}))]),
                json!([bound("one", "v1"), bound("two", "v2")]),
                class(json!({})),
                limits.clone(),
            )
    };
    cluster("a1", "a2").holds();
    cluster("a1", "a1").breaks_only("q", Rule::VolumeLimits);
}

#[test]
fn a_claim_for_one_pod_has_one_user() {
    let cluster = |mode: &str| {
        Cluster::two_zones().running("old", "a1", "x", uses("data")).place("p", "a1", "x", uses("data")).storage(
            json!([volume("v", json!({}))]),
            json!([claim("data", json!({"spec": {"volumeName": "v", "accessModes": [mode]}}))]),
            class(json!({})),
            json!([]),
        )
    };
    cluster("ReadWriteOnce").holds();
    cluster("ReadWriteOncePod").breaks_only("p", Rule::VolumeAccess);
}

#[test]
fn an_ephemeral_volume_takes_its_claim_from_the_template_or_its_own() {
    let template =
        json!({"volumeClaimTemplate": {"spec": {"storageClassName": "disk", "accessModes": ["ReadWriteOnce"]}}});
    let cluster = |claims: Value| {
        Cluster::two_zones()
            .place("p", "a1", "x", json!({"volumes": [{"name": "tmp", "ephemeral": template}]}))
            .storage(json!([]), claims, class(json!({})), json!([]))
    };
    cluster(json!([])).holds();
    let owner =
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}});
    cluster(json!([claim("p-tmp", owner)])).holds();
    cluster(json!([claim("p-tmp", json!({}))])).breaks_only("p", Rule::Volumes);
}

#[test]
fn an_unplaced_pod_is_tried_on_every_node_and_on_each_candidate_alone() {
    let cluster = Cluster::two_zones()
        .running("o1", "a1", "web", cpu("4"))
        .running("o2", "a2", "web", cpu("4"))
        .place("o3", "b1", "web", cpu("3"))
        .pod("p", "web", cpu("2"));
    let candidate = |zone: &str, size: &str, daemon: &str| {
        let over = json!({"status": {"allocatable": {"cpu": size}}});
        let mut daemon: Value = json!({"metadata": {"namespace": "kube-system", "name": "d"}, "spec": cpu(daemon)});
        daemon["spec"]["nodeName"] = json!("ignored");
        Candidate {
            node: serde_json::from_value(node(&format!("new-{zone}-{size}"), zone, over)).expect("a node"),
            daemons: vec![serde_json::from_value(daemon).expect("a pod")],
        }
    };
    let none = [candidate("c", "2", "1m"), candidate("c", "1", "0")];
    assert!(fits_nowhere(&cluster.0, "default/p", &none));
    let some = [candidate("c", "2", "0"), candidate("c", "8", "6"), candidate("b", "8", "6001m")];
    let fit = fits(&cluster.0, "default/p", &some);
    assert_eq!(fit.fits, ["new-c-2", "new-c-8"]);
    assert_eq!(fit.refused.iter().map(|violation| violation.rule).collect::<Vec<_>>(), [Rule::Resources; 4]);
    assert_eq!(fits_of_unplaced(&cluster.0, &some).into_iter().collect::<Vec<_>>(), [("default/p".to_owned(), fit)]);
}

#[test]
fn a_candidate_in_a_new_zone_counts_as_a_domain_only_while_it_is_tried() {
    let cluster = Cluster::two_zones().running("o1", "a1", "web", json!({})).running("o2", "b1", "web", json!({})).pod(
        "p",
        "web",
        spread(ZONE, "web", json!({})),
    );
    let candidate = |name: &str, zone: &str| Candidate {
        node: serde_json::from_value(node(name, zone, json!({}))).expect("a node"),
        daemons: Vec::new(),
    };
    let candidates = [candidate("c1", "c"), candidate("a3", "a")];
    assert_eq!(fits(&cluster.0, "default/p", &candidates).fits, ["a1", "a2", "b1", "c1", "a3"]);
    let cluster = cluster.running("o3", "a1", "web", json!({}));
    assert_eq!(fits(&cluster.0, "default/p", &[]).fits, ["b1"]);
}

#[test]
fn preferences_are_counted_by_kind_and_weight() {
    let discouraged = json!({"spec": {"taints": [{"key": "costly", "effect": "PreferNoSchedule"}]}});
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let in_zone = |zone: &str, weight: u8| json!({"weight": weight, "preference": {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}});
    let near = |app: &str, weight: u8| json!({"weight": weight, "podAffinityTerm": term(ZONE, app)});
    let mut spec = json!({"affinity": {
        "nodeAffinity": {preferred: [in_zone("a", 10), in_zone("b", 3)]},
        "podAffinity": {preferred: [near("db", 7), near("web", 2)]},
        "podAntiAffinity": {preferred: [near("web", 5), near("db", 4)]}}});
    merge(&mut spec, spread(ZONE, "web", json!({"whenUnsatisfiable": "ScheduleAnyway"})));
    let cluster = Cluster::two_zones()
        .node("c1", "c", discouraged)
        .running("db", "a2", "db", json!({}))
        .place("p", "a1", "web", spec)
        .place("q", "c1", "other", json!({}));
    cluster.holds();
    let kept = preferences(&cluster.0);
    let figures = |kept: super::super::Kept| [kept.kept, kept.total, kept.weight_kept, kept.weight_total];
    assert_eq!(figures(kept.node_affinity), [1, 2, 10, 13]);
    assert_eq!(figures(kept.pod_affinity), [1, 2, 7, 9]);
    assert_eq!(figures(kept.pod_anti_affinity), [1, 2, 5, 9]);
    assert_eq!(figures(kept.spread), [1, 1, 1, 1]);
    assert_eq!(figures(kept.taints), [1, 2, 1, 2]);
}
