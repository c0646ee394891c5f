//! Rules for `cluster.nodeGroups`.

use std::collections::BTreeSet;

use super::{Finding, Report, refuse_repetitions};
use crate::spec::document::Path;
use crate::spec::model::{Architecture, AutoscalerEngine, Capacity, Cluster, Gibibytes, NodeGroup, Stack, TaintEffect};
use crate::spec::problem::quoted;
use crate::spec::structure::FORMATS;

/// The root volume of the node images.
const SMALLEST_DISK: Gibibytes = Gibibytes(20);
const LARGEST_DISK: Gibibytes = Gibibytes(16 * 1024);

/// Label domains that EKS and the kubelet refuse in node groups.
const RESERVED_DOMAINS: [&str; 3] = ["kubernetes.io", "k8s.io", "eks.amazonaws.com"];

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(cluster) = &stack.cluster else {
        return;
    };
    names_differ(cluster, report);
    there_are_nodes(stack, cluster, report);
    something_can_run_on_them(cluster, report);
    for (index, group) in cluster.node_groups.iter().enumerate() {
        let path = groups().index(index);
        sizes_are_in_order(group, &path, report);
        types_fit_together(group, &path, report);
        image_fits_the_types(group, &path, report);
        spot_has_alternatives(group, &path, report);
        disk_is_possible(group, &path, report);
        labels_are_allowed(group, &path, report);
        taints_differ(group, &path, report);
        update_has_one_limit(group, &path, report);
    }
}

fn groups() -> Path {
    Path::of("cluster.nodeGroups")
}

fn names_differ(cluster: &Cluster, report: &mut Report<'_>) {
    let names: Vec<&str> = cluster.node_groups.iter().map(|group| group.name.as_str()).collect();
    for (index, first) in super::repetitions(&names) {
        report.add(
            Finding::new(
                groups().index(index).key("name"),
                format!("there are two node groups named {}", quoted(names[index])),
                "give each group a name of its own",
            )
            .see(groups().index(first).key("name"), "first here"),
        );
    }
}

fn there_are_nodes(stack: &Stack, cluster: &Cluster, report: &mut Report<'_>) {
    if !cluster.node_groups.is_empty() {
        return;
    }
    let engine = stack.autoscaler.as_ref().map(|autoscaler| autoscaler.engine);
    let help = "add `nodeGroups: [{ name: system, instanceTypes: [t3.medium], min: 2, max: 3 }]` to `cluster`";
    match engine {
        Some(AutoscalerEngine::Eksup | AutoscalerEngine::Karpenter) => report.add(
            Finding::of_key(Path::of("autoscaler"), "the autoscaler has no node to run on", help)
                .because("it is a pod itself, and never runs on nodes that it made: that needs a node group")
                .given(groups())
                .given(Path::of("autoscaler.engine")),
        ),
        _ => report.add(
            Finding::of_key(Path::of("cluster"), "the cluster will have no nodes", help)
                .because("there are no `nodeGroups` and no autoscaler: pods would wait forever")
                .given(groups())
                .given(Path::of("autoscaler"))
                .warning(),
        ),
    }
}

fn something_can_run_on_them(cluster: &Cluster, report: &mut Report<'_>) {
    let repels = |group: &NodeGroup| group.taints.iter().any(|taint| taint.effect != TaintEffect::PreferNoSchedule);
    if !cluster.node_groups.is_empty() && cluster.node_groups.iter().all(repels) {
        report.add(
            Finding::of_key(
                groups(),
                "every node group has a taint, so that CoreDNS and controllers find no place",
                "leave one group without taints",
            )
            .because("they tolerate `CriticalAddonsOnly` at most, and not your own taints")
            .given(groups())
            .warning(),
        );
    }
}

fn sizes_are_in_order(group: &NodeGroup, path: &Path, report: &mut Report<'_>) {
    if group.min > group.max {
        let finding = Finding::new(
            path.key("max"),
            format!("the node group {} has `max: {}`, less than `min: {}`", quoted(&group.name), group.max, group.min),
            format!("write `max: {}` or more", group.min),
        )
        .given(path.key("min"));
        report.add(match report.wrote(&path.key("min")) {
            true => finding.see(path.key("min"), "the fewest"),
            false => finding,
        });
    } else if let Some(initial) = group.initial.filter(|initial| !(group.min..=group.max).contains(initial)) {
        report.add(
            Finding::new(
                path.key("initial"),
                format!("the node group {} cannot start with {initial} nodes", quoted(&group.name)),
                format!("write a number from {} to {}", group.min, group.max),
            )
            .given(path.key("min"))
            .given(path.key("max")),
        );
    }
}

fn types_fit_together(group: &NodeGroup, path: &Path, report: &mut Report<'_>) {
    let path = path.key("instanceTypes");
    refuse_repetitions(report, &path, &group.instance_types, Clone::clone);
    let architecture = |name: &String| Architecture::of_instance_type(name);
    let Some(first) = group.instance_types.first() else {
        return;
    };
    let other = group.instance_types.iter().position(|name| architecture(name) != architecture(first));
    if let Some(index) = other {
        let name = &group.instance_types[index];
        report.add(
            Finding::new(
                path.index(index),
                format!(
                    "{} is {}, but {} is {}",
                    quoted(name),
                    architecture(name).as_kubernetes_str(),
                    quoted(first),
                    architecture(first).as_kubernetes_str()
                ),
                "make a second node group for the other architecture",
            )
            .because("a node group has one image, and an image has one architecture")
            .see(path.index(0), "the first type"),
        );
    }
}

fn image_fits_the_types(group: &NodeGroup, path: &Path, report: &mut Report<'_>) {
    let (Some(image), Some(first)) = (group.ami_type, group.instance_types.first()) else {
        return;
    };
    let architecture = Architecture::of_instance_type(first);
    if image.architecture() != architecture {
        let fitting = match architecture {
            Architecture::Arm64 => image.as_str().replace("x86_64", "ARM_64"),
            Architecture::X86_64 => image.as_str().replace("ARM_64", "x86_64"),
        };
        report.add(
            Finding::new(
                path.key("amiType"),
                format!(
                    "`{}` is an image for {}, but {} is {}",
                    image.as_str(),
                    image.architecture().as_kubernetes_str(),
                    quoted(first),
                    architecture.as_kubernetes_str()
                ),
                format!("write `{fitting}`, or leave `amiType` out"),
            )
            .given(path.key("instanceTypes")),
        );
    }
}

fn spot_has_alternatives(group: &NodeGroup, path: &Path, report: &mut Report<'_>) {
    if group.capacity == Capacity::Spot && group.instance_types.len() == 1 {
        report.add(
            Finding::new(
                path.key("instanceTypes"),
                format!("the spot group {} has only one instance type", quoted(&group.name)),
                "list several types of the same size, such as `[m5.large, m5a.large, m6i.large]`",
            )
            .because("spot capacity of one type runs out often; with several, EC2 takes what there is")
            .given(path.key("capacity"))
            .given(path.key("instanceTypes"))
            .warning(),
        );
    }
}

fn disk_is_possible(group: &NodeGroup, path: &Path, report: &mut Report<'_>) {
    if !(SMALLEST_DISK..=LARGEST_DISK).contains(&group.disk_size) {
        report.add(
            Finding::new(
                path.key("diskSize"),
                format!("`{}` is not a possible size for a node's disk", group.disk_size),
                format!("write a size from `{SMALLEST_DISK}` to `{LARGEST_DISK}`"),
            )
            .because("the image itself takes 20Gi"),
        );
    }
}

fn labels_are_allowed(group: &NodeGroup, path: &Path, report: &mut Report<'_>) {
    for (key, value) in &group.labels {
        let path = path.key("labels").key(key);
        let broken = |name: &str, text: &str| {
            let format = FORMATS.iter().find(|format| format.name == name)?;
            (format.check)(text).err()
        };
        if let Some(complaint) = broken("label-key", key) {
            let message = format!("the label key is {}, {}", quoted(key), complaint.what);
            report.add(Finding::of_key(path.clone(), message, complaint.help));
        } else if let Some(domain) = reserved_domain(key) {
            report.add(
                Finding::of_key(
                    path.clone(),
                    format!("the label key {} belongs to `{domain}`, which is reserved", quoted(key)),
                    "take a key of your own, such as `role` or `example.com/role`",
                )
                .because("EKS refuses such labels on node groups, and a node may not give them to itself"),
            );
        }
        if value.is_empty() {
            report.add(
                Finding::new(
                    path.clone(),
                    format!("the label {} has an empty value", quoted(key)),
                    format!("write a value, such as `{key}: \"true\"`"),
                )
                .because("Kubernetes allows it, but EKS refuses it on node groups"),
            );
        }
        if let Some(complaint) = broken("label-value", value) {
            let message = format!("the label value is {}, {}", quoted(value), complaint.what);
            report.add(Finding::new(path, message, complaint.help));
        }
    }
}

fn reserved_domain(key: &str) -> Option<&'static str> {
    let (prefix, _) = key.split_once('/')?;
    RESERVED_DOMAINS
        .into_iter()
        .find(|domain| prefix == *domain || prefix.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

fn taints_differ(group: &NodeGroup, path: &Path, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    for (index, taint) in group.taints.iter().enumerate() {
        if !seen.insert((&taint.key, taint.effect.as_eks_str())) {
            report.add(
                Finding::new(
                    path.key("taints").index(index).key("key"),
                    format!("the taint {} with this effect is listed twice", quoted(&taint.key)),
                    "keep one of the two; a node has one value for each key and effect",
                )
                .given(path.key("taints")),
            );
        }
    }
}

fn update_has_one_limit(group: &NodeGroup, path: &Path, report: &mut Report<'_>) {
    let update = &group.update_config;
    if update.max_unavailable.is_some() && update.max_unavailable_percentage.is_some() {
        let path = path.key("updateConfig");
        report.add(
            Finding::of_key(
                path.key("maxUnavailablePercentage"),
                "`maxUnavailable` and `maxUnavailablePercentage` exclude each other",
                "keep one of the two",
            )
            .see(path.key("maxUnavailable"), "the number"),
        );
    }
}
