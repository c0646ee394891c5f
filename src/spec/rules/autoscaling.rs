//! Rules for HorizontalPodAutoscalers, those of `workloads.autoscaling` and those among the manifests: each has
//! something to scale, something to scale by, and somebody who measures it.

mod scaler;
mod target;

use super::manifests::manifest_path;
use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::{Autoscaling, ScaledKind, Stack};
use crate::spec::problem::{list, nearest, quoted};
use scaler::Scaler;

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(workloads) = &stack.workloads else {
        return;
    };
    for (index, entry) in workloads.autoscaling.iter().enumerate() {
        bounds_are_in_order(index, entry, report);
        something_is_measured(index, entry, report);
        verbatim_parts_are_known(index, entry, report);
    }
    let scalers = Scaler::all(workloads);
    names_differ(&scalers, report);
    nothing_is_scaled_twice(&scalers, report);
    for scaler in &scalers {
        somebody_measures(stack, scaler, report);
        if let Some(objects) = &workloads.objects {
            target_is_there_and_requests(scaler, objects, report);
        }
    }
}

fn place(index: usize) -> Path {
    Path::of("workloads.autoscaling").index(index)
}

fn bounds_are_in_order(index: usize, entry: &Autoscaling, report: &mut Report<'_>) {
    if entry.min > entry.max {
        let path = place(index);
        report.add(
            Finding::new(
                path.key("max"),
                format!("{} has `max: {}`, less than `min: {}`", quoted(&entry.target), entry.max, entry.min),
                format!("write `max: {}` or more", entry.min),
            )
            .see(path.key("min"), "the fewest"),
        );
    }
}

fn something_is_measured(index: usize, entry: &Autoscaling, report: &mut Report<'_>) {
    if entry.cpu.is_none() && entry.memory.is_none() && entry.metrics.is_empty() {
        let path = place(index);
        report.add(
            Finding::new(
                path.key("target"),
                format!("nothing says when {} gets more replicas", quoted(&entry.target)),
                "add `cpu: 50`, `memory: 70`, or `metrics`",
            )
            .because("the number of replicas follows what is measured")
            .given(path.key("cpu"))
            .given(path.key("memory"))
            .given(path.key("metrics")),
        );
    }
}

/// What stands verbatim in the stack file has to be what `autoscaling/v2` knows.
fn verbatim_parts_are_known(index: usize, entry: &Autoscaling, report: &mut Report<'_>) {
    let path = place(index);
    for (position, metric) in entry.metrics.iter().enumerate() {
        if let Err(reason) = scaler::known_metric(metric) {
            let help = "write it as in `spec.metrics` of an `autoscaling/v2` HorizontalPodAutoscaler";
            report.add(Finding::new(path.key("metrics").index(position), format!("the metric {reason}"), help));
        }
    }
    if let Some(Err(reason)) = entry.behavior.as_ref().map(scaler::known_behavior) {
        let help =
            "write `scaleUp` and `scaleDown` as in `spec.behavior` of an `autoscaling/v2` HorizontalPodAutoscaler";
        report.add(Finding::of_key(path.key("behavior"), format!("`behavior` {reason}"), help));
    }
}

fn names_differ(scalers: &[Scaler<'_>], report: &mut Report<'_>) {
    let names: Vec<_> = scalers.iter().map(|scaler| (scaler.namespace, scaler.name)).collect();
    for (index, first) in super::repetitions(&names) {
        let (scaler, other) = (&scalers[index], &scalers[first]);
        // The same target twice is the other rule's, and said once.
        if scaler.target() == other.target() {
            continue;
        }
        report.add(
            Finding::new(
                scaler.place.clone(),
                format!("there are two HorizontalPodAutoscalers named {} in {}", quoted(scaler.name), scaler.namespace),
                "give one of them a `name` of its own",
            )
            .see(other.place.clone(), "first here"),
        );
    }
}

fn nothing_is_scaled_twice(scalers: &[Scaler<'_>], report: &mut Report<'_>) {
    let targets: Vec<_> = scalers.iter().map(Scaler::target).collect();
    for (index, first) in super::repetitions(&targets) {
        let (scaler, other) = (&scalers[index], &scalers[first]);
        report.add(
            Finding::new(
                scaler.place.clone(),
                format!("there are two HorizontalPodAutoscalers for {}", scaler.described_target()),
                "put the metrics of both into one; the largest result counts",
            )
            .because("each of them would undo what the other does")
            .see(other.place.clone(), "first here"),
        );
    }
}

/// CPU and memory come from metrics-server and from nowhere else.
fn somebody_measures(stack: &Stack, scaler: &Scaler<'_>, report: &mut Report<'_>) {
    let own = stack.addons.as_ref().is_some_and(|addons| addons.metrics_server.is_some());
    let of_eks = stack.cluster.as_ref().is_some_and(|cluster| cluster.has_addon("metrics-server"));
    let Some(measure) = scaler.measures.first().filter(|_| !own && !of_eks) else {
        return;
    };
    report.add(
        Finding::new(
            measure.place.clone(),
            format!("nothing in the cluster measures {} of {}", measure.resource, scaler.described_target()),
            "add `addons: { metricsServer: {} }`",
        )
        .because("a HorizontalPodAutoscaler reads CPU and memory from metrics-server")
        .given(Path::of("addons"))
        .given(Path::of("cluster.addons")),
    );
}

fn target_is_there_and_requests(
    scaler: &Scaler<'_>,
    objects: &[crate::spec::model::Manifest],
    report: &mut Report<'_>,
) {
    let Some(kind) = ScaledKind::ALL.into_iter().find(|kind| kind.as_str() == scaler.kind) else {
        // Something with a scale of its own that eksup does not know.
        return;
    };
    let Some(manifest) = target::find(objects, kind, scaler.namespace, scaler.target_name) else {
        report.add(missing(scaler, kind, objects));
        return;
    };
    for measure in &scaler.measures {
        let without = target::without_requests(manifest, measure.resource, measure.container, objects);
        if !without.is_empty() && measure.by_utilization {
            report.add(
                Finding::new(
                    measure.place.clone(),
                    format!(
                        "{} of {} requests no {}",
                        containers(&without),
                        scaler.described_target(),
                        measure.resource
                    ),
                    format!(
                        "add `resources: {{ requests: {{ {}: … }} }}` in `{}:{}`",
                        measure.resource, manifest.file, manifest.line
                    ),
                )
                .because(
                    "the target is a share of what pods request: without a request there is nothing to compare with",
                )
                .see(manifest_path(manifest.item), format!("`{}:{}`", manifest.file, manifest.line)),
            );
        }
    }
}

fn containers(names: &[String]) -> String {
    match names {
        [only] => format!("the container {}", quoted(only)),
        _ => format!("each of the containers {}", list(names)),
    }
}

fn missing(scaler: &Scaler<'_>, kind: ScaledKind, objects: &[crate::spec::model::Manifest]) -> Finding {
    let elsewhere = target::namespaces_with(objects, kind, scaler.target_name);
    let names = target::names_in(objects, kind, scaler.namespace);
    let help = match (elsewhere.as_slice(), nearest(scaler.target_name, names.iter().map(String::as_str))) {
        ([namespace, ..], _) => format!("write `namespace: {namespace}`, where there is one of this name"),
        ([], Some(likely)) => format!("write `{}/{likely}`", kind.word()),
        ([], None) => "add its manifest to `workloads.manifests`, or correct the name".to_owned(),
    };
    Finding::new(scaler.place.clone(), format!("no manifest has {}", scaler.described_target()), help)
        .given(Path::of("workloads.manifests"))
        .given(scaler.namespace_place.clone())
}
