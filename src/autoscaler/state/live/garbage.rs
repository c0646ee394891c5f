//! Strings that nothing uses any more: names of workloads that are gone, label values of finished jobs.

use super::Live;
use crate::state::intern::Symbol;

/// Below this number of strings nothing is swept.
const FEW: usize = 4096;

impl Live {
    /// Drops what nothing uses, once there is as much again as after the last time.
    pub(super) fn sweep_if_due(&mut self) {
        if self.base.names.strings.len() > FEW + 2 * self.swept {
            self.sweep();
        }
    }

    /// Drops strings that nothing uses. Symbols of what is known stay as they are.
    pub fn sweep(&mut self) {
        let mut used = std::collections::HashSet::<Symbol>::new();
        let mut visit = |symbol: Symbol| {
            used.insert(symbol);
        };
        self.base.specs.in_use().for_each(|spec| spec.symbols(&mut visit));
        for labels in self.base.label_sets.in_use().chain(self.nodes.values().map(|node| &node.labels)) {
            for (key, value) in labels {
                visit(*key);
                visit(*value);
            }
        }
        for taint in self.nodes.values().flat_map(|node| &node.read_taints) {
            visit(taint.key);
            visit(taint.value);
        }
        for pod in self.pods.iter() {
            [pod.node, pod.nominated, pod.workload].into_iter().flatten().for_each(&mut visit);
        }
        for workload in self.replicas.keys() {
            self.base.names.strings.find(workload).into_iter().for_each(&mut visit);
        }
        for selector in self.budgets.values().filter_map(|budget| budget.selector.as_ref()) {
            selector.symbols(&mut visit);
        }
        // What volumes allow is read again instead.
        self.base.volumes = Default::default();
        self.settled = false;
        self.base.names.strings.sweep(|symbol| used.contains(&symbol));
        self.swept = self.base.names.strings.len();
    }
}
