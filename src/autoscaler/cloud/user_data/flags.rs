//! The kubelet's settings as flags, for images whose scripts take nothing else.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Node, pairs, taints};

/// All flags but the address of the DNS, which the scripts have a parameter for.
pub fn flags(node: &Node<'_>) -> String {
    let kubelet = &node.kubelet;
    let mut all: Vec<String> = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        all.extend(value.filter(|value| !value.is_empty()).map(|value| format!("--{name}={value}")));
    };
    let quoted = |text: String| (!text.is_empty()).then(|| format!("\"{text}\""));
    add("node-labels", quoted(pairs(&node.labels)));
    add("register-with-taints", quoted(taints(node)));
    add("max-pods", node.max_pods.map(|pods| pods.to_string()));
    add("pods-per-core", kubelet.pods_per_core.map(|pods| pods.to_string()));
    add("system-reserved", Some(quantities(&kubelet.system_reserved)));
    add("kube-reserved", Some(quantities(&kubelet.kube_reserved)));
    add("eviction-hard", thresholds(&kubelet.eviction_hard));
    add("eviction-soft", thresholds(&kubelet.eviction_soft));
    add("eviction-soft-grace-period", Some(pairs(&kubelet.eviction_soft_grace_period)));
    add("eviction-max-pod-grace-period", kubelet.eviction_max_pod_grace_period.map(|seconds| seconds.to_string()));
    add("image-gc-high-threshold", kubelet.image_gc_high_threshold_percent.map(|percent| percent.to_string()));
    add("image-gc-low-threshold", kubelet.image_gc_low_threshold_percent.map(|percent| percent.to_string()));
    add("cpu-cfs-quota", kubelet.cpu_cfs_quota.map(|enforced| enforced.to_string()));
    all.join(" ")
}

fn quantities(list: &BTreeMap<String, Quantity>) -> String {
    list.iter().map(|(name, quantity)| format!("{name}={}", quantity.0)).collect::<Vec<_>>().join(",")
}

/// `signal<value`, in quotes: a shell would read from a file otherwise.
fn thresholds(list: &BTreeMap<String, String>) -> Option<String> {
    let written = list.iter().map(|(signal, value)| format!("{signal}<{value}"));
    (!list.is_empty()).then(|| format!("\"{}\"", written.collect::<Vec<_>>().join(",")))
}
