//! Which nodes take part in a topology spread: those whose pods are counted, and whose domains count even
//! when they are empty.

use crate::state::intern::Symbol;
use crate::state::names::Names;
use crate::state::pod_spec::{PodSpec, Spread, Taint, Toleration};
use crate::state::requirements::Requirements;

use super::variants::tolerated;

/// A set of nodes, by what they have to be like. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Alternatives of which a node's labels meet one (`nodeAffinityPolicy: Honor`).
    selection: Option<Vec<Requirements>>,
    /// What a node's taints are tolerated by (`nodeTaintsPolicy: Honor`).
    tolerations: Option<Vec<Toleration>>,
    /// Labels that a node has, when there are several: the topology keys of all spreads of a pod.
    keys: Vec<Symbol>,
}

impl Scope {
    /// The nodes that take part in a spread of a pod.
    pub fn of(spec: &PodSpec, spread: &Spread, hostname: Symbol) -> Self {
        let selection = spec.node_selection();
        let any_node = selection.iter().any(Requirements::is_unrestricted);
        let mut keys: Vec<Symbol> = spec
            .spreads
            .iter()
            .filter(|other| other.required && other.topology_key != hostname)
            .map(|other| other.topology_key)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() < 2 {
            keys.clear();
        }
        Self {
            selection: (spread.honor_node_affinity && !any_node).then(|| selection.to_vec()),
            tolerations: spread.honor_taints.then(|| spec.tolerations.clone()),
            keys,
        }
    }

    /// Whether a node with these labels and taints takes part.
    pub fn holds(&self, names: &Names, label_of: impl Fn(Symbol) -> Option<Symbol> + Copy, taints: &[Taint]) -> bool {
        self.keys.iter().all(|key| label_of(*key).is_some())
            && self
                .selection
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|term| term.met_by(&names.strings, label_of)))
            && self.tolerations.as_ref().is_none_or(|list| tolerated(names, list, taints))
    }

    /// Whether every node that a pod can run on takes part, the topology keys aside.
    pub fn holds_wherever_runs(&self, spec: &PodSpec) -> bool {
        self.selection.as_ref().is_none_or(|terms| terms == spec.node_selection())
            && self.tolerations.as_ref().is_none_or(|list| *list == spec.tolerations)
    }

    /// Whether nodes of which only some labels are known could take part.
    pub fn could_hold(&self, names: &Names, keys: &[Symbol], values: &[Option<Symbol>]) -> bool {
        let known = |key: Symbol| keys.iter().position(|other| *other == key).map(|at| values[at]);
        self.keys.iter().all(|key| known(*key).is_none_or(|value| value.is_some()))
            && self.selection.as_ref().is_none_or(|terms| {
                terms.iter().any(|term| {
                    term.iter().all(|(key, set)| known(key).is_none_or(|value| set.allows(&names.strings, value)))
                })
            })
    }

    /// Whether a cell has every topology key that is needed.
    pub fn has_keys(&self, keys: &[Symbol], values: &[Option<Symbol>]) -> bool {
        self.keys.iter().all(|key| keys.iter().position(|other| other == key).is_some_and(|at| values[at].is_some()))
    }
}
