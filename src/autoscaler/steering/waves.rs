//! Which pods may be nominated at a time. Pure.
//!
//! kube-scheduler counts every pod that is nominated for a node as if it ran there already when it looks at that
//! node, but only there. A topology spread is then out of balance on paper, pods are refused on the node that was
//! meant for them, and go elsewhere. So pods that a spread counts are nominated in waves: never more in a domain
//! than the spread allows, whatever order they are looked at in. All other pods are nominated at once.

use std::collections::BTreeMap;

use crate::autoscaler::scheduling::scope::Scope;
use crate::autoscaler::state::cluster::{Cluster, NodeEntry, PodEntry};
use crate::autoscaler::state::intern::{FastMap, Symbol};
use crate::autoscaler::state::pod_spec::{PodSpec, Spread, label};

/// A pod with the node that is meant for it, by index into a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meant {
    /// The pod.
    pub pod: u32,
    /// Its node.
    pub node: u32,
    /// Whether it is nominated for it.
    pub nominated: bool,
}

/// Those that may be nominated now, besides those that are; the largest pods first.
pub fn next_wave(cluster: &Cluster, meant: &[Meant]) -> Vec<Meant> {
    let mut spreads = Spreads::new(cluster, meant);
    for one in meant.iter().filter(|one| one.nominated) {
        spreads.count(one);
    }
    let mut open: Vec<&Meant> = meant.iter().filter(|one| !one.nominated).collect();
    let size = |one: &Meant| cluster.spec(cluster.pods[one.pod as usize].spec).requests.size();
    open.sort_by_cached_key(|one| (std::cmp::Reverse(size(one)), one.node, one.pod));
    let mut wave = Vec::new();
    for one in open {
        if spreads.allow(one) {
            spreads.count(one);
            wave.push(*one);
        }
    }
    wave
}

/// A spread of some pods, with its pods by domain.
struct Balance<'a> {
    spread: &'a Spread,
    domains: BTreeMap<Symbol, i64>,
    /// Pods that are meant for a domain and nominated, or about to be.
    promised: BTreeMap<Symbol, i64>,
}

impl Balance<'_> {
    /// The pods of the emptiest domain.
    fn least(&self) -> i64 {
        let too_few = i64::try_from(self.domains.len()).unwrap_or(i64::MAX) < i64::from(self.spread.min_domains);
        if too_few { 0 } else { self.domains.values().copied().min().unwrap_or(0) }
    }
}

struct Spreads<'a> {
    cluster: &'a Cluster,
    balances: Vec<Balance<'a>>,
    /// The spreads that a spec carries.
    carried: FastMap<u32, Vec<usize>>,
    /// The spreads that count pods of a spec and labels.
    counted: FastMap<(u32, u32), Vec<usize>>,
}

impl<'a> Spreads<'a> {
    fn new(cluster: &'a Cluster, meant: &[Meant]) -> Self {
        let mut all = Self { cluster, balances: Vec::new(), carried: FastMap::default(), counted: FastMap::default() };
        let mut scopes: Vec<(Scope, &PodSpec)> = Vec::new();
        for one in meant {
            let at = cluster.pods[one.pod as usize].spec;
            if all.carried.contains_key(&at) {
                continue;
            }
            let spec = cluster.spec(at);
            let mut own = Vec::new();
            for spread in spec.spreads.iter().filter(|spread| spread.required) {
                let scope = Scope::of(spec, spread, cluster.names.known.hostname);
                let same = |(known, balance): (&(Scope, &PodSpec), &Balance<'_>)| {
                    known.0 == scope && known.1.namespace == spec.namespace && balance.spread == spread
                };
                let known = scopes.iter().zip(&all.balances).position(same);
                own.push(known.unwrap_or(all.balances.len()));
                if known.is_none() {
                    let domains = domains(cluster, spread, &scope);
                    all.balances.push(Balance { spread, domains, promised: BTreeMap::new() });
                    scopes.push((scope, spec));
                }
            }
            all.carried.insert(at, own);
        }
        all.count_running();
        all
    }

    fn count_running(&mut self) {
        if self.balances.is_empty() {
            return;
        }
        let cluster = self.cluster;
        for pod in &cluster.pods {
            let Some(node) = pod.node.filter(|_| !pod.leaving) else { continue };
            let node = &cluster.nodes[node as usize];
            for at in self.counting(pod) {
                let balance = &mut self.balances[at];
                if let Some(domain) = label(&node.labels, balance.spread.topology_key)
                    && let Some(pods) = balance.domains.get_mut(&domain)
                {
                    *pods += 1;
                }
            }
        }
    }

    /// The spreads that count a pod.
    fn counting(&mut self, pod: &PodEntry) -> Vec<usize> {
        let (cluster, balances) = (self.cluster, &self.balances);
        let find = || {
            let namespace = Symbol(cluster.spec(pod.spec).namespace);
            let labels = cluster.label_set(pod.labels);
            let counts =
                |balance: &Balance<'_>| balance.spread.selector.matches(&cluster.names.strings, namespace, labels);
            (0..balances.len()).filter(|at| counts(&balances[*at])).collect()
        };
        self.counted.entry((pod.spec, pod.labels)).or_insert_with(find).clone()
    }

    fn domain(&self, at: usize, node: &NodeEntry) -> Option<Symbol> {
        label(&node.labels, self.balances[at].spread.topology_key)
    }

    /// Whether a pod may be nominated for its node: in every order of the pods that are nominated, its own
    /// spreads find no more pods in its domain than they allow.
    fn allow(&mut self, one: &Meant) -> bool {
        let pod = &self.cluster.pods[one.pod as usize];
        let node = &self.cluster.nodes[one.node as usize];
        let counted = self.counting(pod);
        let carried = self.carried.get(&pod.spec).cloned().unwrap_or_default();
        carried.into_iter().all(|at| {
            let Some(domain) = self.domain(at, node) else { return true };
            let balance = &self.balances[at];
            let there = balance.domains.get(&domain).copied().unwrap_or(0);
            let promised = balance.promised.get(&domain).copied().unwrap_or(0);
            let itself = i64::from(counted.contains(&at));
            there + promised + itself - balance.least() <= i64::from(balance.spread.max_skew)
        })
    }

    fn count(&mut self, one: &Meant) {
        let node = &self.cluster.nodes[one.node as usize];
        for at in self.counting(&self.cluster.pods[one.pod as usize]) {
            if let Some(domain) = self.domain(at, node) {
                *self.balances[at].promised.entry(domain).or_default() += 1;
            }
        }
    }
}

/// The domains of a spread: those of nodes that take part in it.
fn domains(cluster: &Cluster, spread: &Spread, scope: &Scope) -> BTreeMap<Symbol, i64> {
    let takes_part = |node: &&NodeEntry| scope.holds(&cluster.names, |key| label(&node.labels, key), &node.taints);
    let nodes = cluster.nodes.iter().filter(takes_part);
    nodes.filter_map(|node| label(&node.labels, spread.topology_key)).map(|domain| (domain, 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Three nodes, `a` and `b` in one zone and `c` in another, and pods that are meant for them.
    fn cluster(pods: &[Value]) -> Cluster {
        let mut cluster = Cluster::default();
        for (name, zone) in [("a", "one"), ("b", "one"), ("c", "two")] {
            let node = json!({ "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } },
                "status": { "allocatable": { "cpu": "9", "memory": "9Gi", "pods": "99" } } });
            cluster.add_node(&serde_json::from_value(node).expect("a node")).expect("a readable node");
        }
        for (at, pod) in pods.iter().enumerate() {
            let mut made = json!({ "metadata": { "name": format!("p{at}"), "namespace": "default", "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1" } } }] } });
            for (key, value) in pod.as_object().into_iter().flatten() {
                made["spec"][key] = value.clone();
            }
            cluster.add_pod(&serde_json::from_value(made).expect("a pod"));
        }
        cluster
    }

    fn spread(skew: i32) -> Value {
        json!({ "topologySpreadConstraints": [{ "maxSkew": skew, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "web" } } }] })
    }

    fn wave(cluster: &Cluster, meant: &[(u32, u32, bool)]) -> Vec<u32> {
        let meant: Vec<Meant> = meant
            .iter()
            .map(|(pod, node, nominated)| Meant { pod: *pod, node: *node, nominated: *nominated })
            .collect();
        let mut pods: Vec<u32> = next_wave(cluster, &meant).iter().map(|one| one.pod).collect();
        pods.sort_unstable();
        pods
    }

    #[test]
    fn pods_that_nobody_counts_are_nominated_at_once() {
        let cluster = cluster(&vec![json!({}); 6]);
        let meant: Vec<(u32, u32, bool)> = (0..6).map(|pod| (pod, pod % 3, false)).collect();
        assert_eq!(wave(&cluster, &meant).len(), 6);
    }

    #[test]
    fn a_spread_gets_one_pod_in_each_domain_at_a_time() {
        let cluster = cluster(&vec![spread(1); 6]);
        let meant = [(0, 0, false), (1, 0, false), (2, 1, false), (3, 2, false), (4, 2, false), (5, 2, false)];
        assert_eq!(wave(&cluster, &meant), [0, 3]);
        assert_eq!(wave(&cluster, &[(0, 0, true), (1, 0, false), (3, 2, true)]), [] as [u32; 0]);
    }

    #[test]
    fn what_runs_already_counts() {
        let mut running = spread(2);
        running["nodeName"] = json!("a");
        let cluster = cluster(&[running, spread(2), spread(2), spread(2), spread(2)]);
        // Zone one holds one pod: one more there, two in zone two.
        assert_eq!(wave(&cluster, &[(1, 1, false), (2, 1, false), (3, 2, false), (4, 2, false)]), [1, 3, 4]);
    }

    #[test]
    fn a_wider_skew_lets_more_through() {
        let cluster = cluster(&vec![spread(3); 4]);
        assert_eq!(wave(&cluster, &[(0, 0, false), (1, 0, false), (2, 1, false), (3, 1, false)]), [0, 1, 2]);
    }
}
