//! What every order implies about the final state, for the rules that depend on order.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Cluster;
use super::{Rule, Violation};

/// Breaches of spread constraints that no order can have led to.
///
/// The last of the new pods of one constraint to reach a domain saw there all running matches and the other
/// new pods of the constraint, and a minimum no greater than the final one.
pub fn spread(cluster: &Cluster, new: &[(usize, usize)]) -> Vec<Violation> {
    let mut arrivals: BTreeMap<(usize, &str), (i64, usize)> = BTreeMap::new();
    let mut found = Vec::new();
    for (pod, node) in new {
        let labels = cluster.nodes[*node].labels;
        for (group, matches_itself) in &cluster.members[*pod].spread {
            let counts = *matches_itself && !cluster.pods[*pod].leaving;
            match cluster.spread.domain(*group, labels) {
                Some(domain) => arrivals.entry((*group, domain)).or_insert((0, *pod)).0 += i64::from(counts),
                None => {
                    found.push(violation(cluster, *pod, Rule::TopologySpread, "the node is in no domain".to_owned()))
                }
            }
        }
    }
    for ((group, domain), (members, pod)) in arrivals {
        let reason = cluster.spread.final_refusal(group, domain, members);
        found.extend(reason.map(|reason| violation(cluster, pod, Rule::TopologySpread, reason)));
    }
    found
}

/// Breaches of required affinity that no order can have led to.
///
/// A pod without a mate in its domains was the first of its group: it matches itself, nothing that runs
/// matches, and of the pods with the same terms only one can have been first.
pub fn affinity(cluster: &mut Cluster, new: &[(usize, usize)]) -> Vec<Violation> {
    let mut first_of: BTreeMap<usize, usize> = BTreeMap::new();
    let mut found = Vec::new();
    let running_matches = groups_with_running_matches(cluster, new);
    for (pod, node) in new {
        let Some((group, matches_itself)) = cluster.members[*pod].affinity else { continue };
        cluster.remove(*pod);
        let labels = cluster.nodes[*node].labels;
        let joined = cluster.affinity[group].joined(labels);
        let refusal = cluster.affinity[group].refusal(labels, matches_itself);
        let keys_missing = cluster.affinity[group].missing_key(labels).is_some();
        cluster.place(*pod, *node);
        if joined {
            continue;
        }
        let may_be_first = matches_itself && !keys_missing && !running_matches.contains(&group);
        let reason = match first_of.get(&group) {
            _ if !may_be_first => refusal.unwrap_or_else(|| "no matching pod in its domains".to_owned()),
            Some(other) => {
                format!(
                    "alone in its domains, and so is pod `{}`: only one of them can have been first",
                    cluster.pods[*other].key
                )
            }
            None => {
                first_of.insert(group, *pod);
                continue;
            }
        };
        found.push(violation(cluster, *pod, Rule::PodAffinity, reason));
    }
    found
}

/// Affinity groups that a pod which is not new satisfies.
fn groups_with_running_matches(cluster: &Cluster, new: &[(usize, usize)]) -> BTreeSet<usize> {
    let new: BTreeSet<usize> = new.iter().map(|(pod, _)| *pod).collect();
    let mut groups = BTreeSet::new();
    for pod in (0..cluster.pods.len()).filter(|pod| !new.contains(pod)) {
        let Some(node) = cluster.node_of(pod) else { continue };
        let labels = cluster.nodes[node].labels;
        for group in &cluster.matched[cluster.members[pod].class].affinity {
            if cluster.affinity[*group].terms.iter().any(|term| term.domain(labels).is_some()) {
                groups.insert(*group);
            }
        }
    }
    groups
}

fn violation(cluster: &Cluster, pod: usize, rule: Rule, detail: String) -> Violation {
    let node = cluster.node_of(pod).map_or("", |node| cluster.nodes[node].name);
    Violation { pod: cluster.pods[pod].key.clone(), node: node.to_owned(), rule, detail }
}
