//! Whether an unplaced pod would fit somewhere after all.

use super::cluster::Cluster;
use super::{Candidate, Fit, Rule, Violation};

/// Tries a pod on every node and on every candidate, each candidate alone, with everything else placed.
pub fn fit(cluster: &mut Cluster, key: &str, candidates: &[Candidate]) -> Fit {
    let mut fit = Fit::default();
    let Some(pod) = cluster.pod(key) else {
        let detail = "the pod does not exist, or has finished".to_owned();
        fit.refused.push(Violation { pod: key.to_owned(), node: String::new(), rule: Rule::Reference, detail });
        return fit;
    };
    let home = cluster.node_of(pod);
    cluster.remove(pod);
    for node in 0..cluster.own_nodes() {
        try_node(cluster, pod, node, &mut fit);
    }
    for candidate in 0..candidates.len() {
        let node = cluster.enter(candidate);
        try_node(cluster, pod, node, &mut fit);
        cluster.leave(candidate);
    }
    if let Some(home) = home {
        cluster.place(pod, home);
    }
    fit
}

fn try_node(cluster: &Cluster, pod: usize, node: usize, fit: &mut Fit) {
    let name = cluster.nodes[node].name.to_owned();
    match cluster.refusals(pod, node).into_iter().next() {
        None => fit.fits.push(name),
        Some((rule, detail)) => {
            fit.refused.push(Violation { pod: cluster.pods[pod].key.clone(), node: name, rule, detail });
        }
    }
}
