//! Daemons on nodes that could be bought: which of them run there, and what they take.

use super::problem::Problem;
use super::variants::tolerates;
use crate::state::intern::Symbol;
use crate::state::names::Names;
use crate::state::pod_spec::{HostPort, PodSpec};
use crate::state::pools::Pool;
use crate::state::resources::Amounts;

/// Daemons that tolerate the taints of a pool.
pub fn daemons_of<'a>(problem: &Problem<'a>, pool: &Pool) -> Vec<&'a PodSpec> {
    let cluster = problem.cluster;
    cluster
        .daemons
        .iter()
        .map(|daemon| cluster.spec(daemon.spec))
        .filter(|spec| tolerates(&cluster.names, spec, &pool.taints))
        .collect()
}

/// What the daemons of a node with these labels ask for, and the host ports that they take.
pub fn overhead(
    names: &Names,
    daemons: &[&PodSpec],
    label_of: &impl Fn(Symbol) -> Option<Symbol>,
) -> (Amounts, Vec<HostPort>) {
    let mut sum = Amounts::default();
    let mut ports = Vec::new();
    for daemon in daemons {
        if daemon_runs(names, daemon, label_of) {
            sum.add_all(&daemon.requests);
            ports.extend_from_slice(&daemon.host_ports);
        }
    }
    (sum, ports)
}

/// Whether a daemon runs on nodes with these labels. Zones and capacity types do not change what a
/// node of a type has to carry at most, so they are passed over.
pub fn daemon_runs(names: &Names, daemon: &PodSpec, label_of: &impl Fn(Symbol) -> Option<Symbol>) -> bool {
    let undecided = |key: Symbol| key == names.known.zone || key == names.known.capacity_type;
    daemon
        .node_terms
        .iter()
        .any(|term| term.iter().all(|(key, set)| undecided(key) || set.allows(&names.strings, label_of(key))))
}
