//! What can be read off the state, worked out whenever somebody asks for metrics: nothing of it is kept.

use std::sync::Mutex;
use std::time::Instant;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::shared::Shared;
use crate::autoscaler::state::live::{Live, LiveNode, LivePod, Owner, Phase};
use crate::autoscaler::state::resources::{Amounts, CPU, ResourceId};

/// Gauges over the state.
#[derive(Debug)]
pub struct Gauges {
    live: Shared<Live>,
    /// Since when not everything has been listed.
    unsynced: Mutex<Option<Instant>>,
}

impl Gauges {
    /// Over `live`.
    pub fn of(live: &Shared<Live>) -> Self {
        Self { live: live.clone(), unsynced: Mutex::new(Some(Instant::now())) }
    }
}

pub(super) type Labels = Vec<(&'static str, String)>;
pub(super) type Rows = Vec<(Labels, f64)>;

/// Writes a gauge with a row for each of its labels.
pub(super) fn write(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, rows: Rows) -> std::fmt::Result {
    let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    rows.into_iter().try_for_each(|(labels, value)| ConstGauge::new(value).encode(family.encode_family(&labels)?))
}

impl Collector for Gauges {
    fn encode(&self, mut out: DescriptorEncoder) -> std::fmt::Result {
        let live = self.live.lock();
        let synced = live.all_synced();
        let unsynced = {
            let mut since = self.unsynced.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *since = (!synced).then(|| since.unwrap_or_else(Instant::now));
            since.map_or(0.0, |since| since.elapsed().as_secs_f64())
        };
        let mut gauge = |name: &str, help: &str, rows: Rows| write(&mut out, name, help, rows);
        gauge("cluster_state_node_count", "Nodes and NodeClaims that are known", vec![(Labels::new(), count(&live))])?;
        gauge(
            "cluster_state_synced",
            "Whether everything has been listed",
            vec![(Labels::new(), f64::from(u8::from(synced)))],
        )?;
        gauge(
            "cluster_state_unsynced_time_seconds",
            "For how long not everything has been listed",
            vec![(Labels::new(), unsynced)],
        )?;
        gauge("nodes_allocatable", "What nodes have for pods", of_nodes(&live, |node, _| node.allocatable.clone()))?;
        gauge("nodes_system_overhead", "What nodes keep for themselves", of_nodes(&live, |node, _| overhead(node)))?;
        gauge(
            "nodes_total_pod_requests",
            "What pods ask of nodes, daemons apart",
            of_nodes(&live, |node, live| requests(live, node, false)),
        )?;
        gauge(
            "nodes_total_daemon_requests",
            "What daemons ask of nodes",
            of_nodes(&live, |node, live| requests(live, node, true)),
        )?;
        gauge(
            "nodes_total_pod_limits",
            "What pods may use of nodes, daemons apart",
            of_nodes(&live, |node, live| limits_on(live, node, false)),
        )?;
        gauge(
            "nodes_total_daemon_limits",
            "What daemons may use of nodes",
            of_nodes(&live, |node, live| limits_on(live, node, true)),
        )?;
        gauge("nodes_current_lifetime_seconds", "How old nodes are", ages(&live))?;
        gauge("nodepools_usage", "What the nodes of a pool have", usage(&live))?;
        gauge("nodepools_limit", "The most that the nodes of a pool may have", limits(&live))?;
        gauge("cluster_utilization_percent", "How much of the nodes is asked for by pods", utilization(&live))?;
        gauge("pods_state", "How pods stand", pods(&live))
    }
}

fn count(live: &Live) -> f64 {
    let on_the_way = live.claims().filter(|claim| live.node_of_claim(claim).is_none()).count();
    (live.nodes().count() + on_the_way) as f64
}

/// CPU in cores, everything else in whole units.
fn value(id: ResourceId, amount: i64) -> f64 {
    if id == CPU { amount as f64 / 1000.0 } else { amount as f64 }
}

fn node_labels(live: &Live, node: &LiveNode) -> Labels {
    let label = |key: &str| live.node_label(node, key).unwrap_or_default().to_owned();
    vec![
        ("node_name", node.name.to_string()),
        ("nodepool", label("karpenter.sh/nodepool")),
        ("instance_type", label("node.kubernetes.io/instance-type")),
        ("zone", label("topology.kubernetes.io/zone")),
        ("capacity_type", label("karpenter.sh/capacity-type")),
        ("arch", label("kubernetes.io/arch")),
        ("os", label("kubernetes.io/os")),
    ]
}

fn of_nodes(live: &Live, amounts: impl Fn(&LiveNode, &Live) -> Amounts) -> Rows {
    let mut rows = Rows::new();
    for node in live.nodes() {
        let labels = node_labels(live, node);
        for (id, amount) in amounts(node, live).iter() {
            let mut labels = labels.clone();
            labels.push(("resource_type", live.names().resources.name(id).to_owned()));
            rows.push((labels, value(id, amount)));
        }
    }
    rows
}

fn overhead(node: &LiveNode) -> Amounts {
    node.capacity.iter().map(|(id, amount)| (id, amount - node.allocatable.get(id))).collect()
}

fn requests(live: &Live, node: &LiveNode, daemons: bool) -> Amounts {
    sum_on(live, node, daemons, |pod| live.spec(pod).map(|spec| &spec.requests))
}

fn limits_on(live: &Live, node: &LiveNode, daemons: bool) -> Amounts {
    sum_on(live, node, daemons, |pod| Some(live.limits(pod)))
}

/// Something of the pods on a node added up: of its daemons, or of the others.
fn sum_on<'a>(
    live: &'a Live,
    node: &LiveNode,
    daemons: bool,
    of: impl Fn(&'a LivePod) -> Option<&'a Amounts>,
) -> Amounts {
    let mut sum = Amounts::default();
    let pods = live.pods_on(&node.name).filter(|pod| (pod.owner == Owner::Daemon) == daemons);
    pods.filter_map(of).for_each(|amounts| sum.add_all(amounts));
    sum
}

fn ages(live: &Live) -> Rows {
    let now = Timestamp::now();
    let age = |node: &LiveNode| now.duration_since(node.created).as_secs_f64().max(0.0);
    live.nodes().map(|node| (node_labels(live, node), age(node))).collect()
}

fn usage(live: &Live) -> Rows {
    let mut rows = Rows::new();
    for pool in live.pools() {
        let (used, nodes) = live.usage(&pool.name);
        let label = |resource: &str| vec![("nodepool", pool.name.to_string()), ("resource_type", resource.to_owned())];
        rows.push((label("nodes"), nodes as f64));
        rows.extend(used.iter().map(|(id, amount)| (label(live.names().resources.name(id)), value(id, amount))));
    }
    rows
}

fn limits(live: &Live) -> Rows {
    let mut rows = Rows::new();
    for (pool, read) in live.pools().filter_map(|pool| Some((pool, pool.read.as_ref().ok()?))) {
        let label = |resource: &str| vec![("nodepool", pool.name.to_string()), ("resource_type", resource.to_owned())];
        rows.extend(read.node_limit.map(|nodes| (label("nodes"), nodes as f64)));
        rows.extend(read.limits.iter().map(|(id, most)| (label(live.names().resources.name(id)), value(id, most))));
    }
    rows
}

fn utilization(live: &Live) -> Rows {
    let (mut asked, mut given) = (Amounts::default(), Amounts::default());
    for node in live.nodes() {
        given.add_all(&node.allocatable);
        asked.add_all(&requests(live, node, false));
        asked.add_all(&requests(live, node, true));
    }
    let share = |id: ResourceId| {
        let given = given.get(id);
        if given > 0 { 100.0 * asked.get(id) as f64 / given as f64 } else { 0.0 }
    };
    let name = |id: ResourceId| vec![("resource_type", live.names().resources.name(id).to_owned())];
    [CPU, crate::autoscaler::state::resources::MEMORY].into_iter().map(|id| (name(id), share(id))).collect()
}

fn pods(live: &Live) -> Rows {
    let phase = |pod: &LivePod| match pod.phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Unknown => "Unknown",
    };
    let owner = |pod: &LivePod| {
        let workload = pod.workload.map(|workload| live.text(workload)).unwrap_or_default();
        workload.split_once('/').map_or("", |(_, owner)| owner).to_owned()
    };
    let row = |pod: &LivePod| {
        let node = pod.node.map(|node| live.text(node)).unwrap_or_default();
        let known = live.node(node);
        let label = |key: &str| known.and_then(|node| live.node_label(node, key)).unwrap_or_default().to_owned();
        let labels = vec![
            ("name", pod.own_name().to_owned()),
            ("namespace", pod.namespace().to_owned()),
            ("owner", owner(pod)),
            ("node", node.to_owned()),
            ("nodepool", label("karpenter.sh/nodepool")),
            ("zone", label("topology.kubernetes.io/zone")),
            ("capacity_type", label("karpenter.sh/capacity-type")),
            ("instance_type", label("node.kubernetes.io/instance-type")),
            ("phase", phase(pod).to_owned()),
        ];
        (labels, 1.0)
    };
    live.pods().map(row).collect()
}
