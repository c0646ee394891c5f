//! Rules for `interruption` and `autoscaler` as a whole.

use super::{Finding, Report, addons, autoscaler_settings};
use crate::spec::document::Path;
use crate::spec::model::{Autoscaler, AutoscalerEngine, Stack};
use crate::spec::problem::{any_of, nearest, quoted};

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    interruption_has_a_reader(stack, report);
    let Some(autoscaler) = &stack.autoscaler else {
        return;
    };
    engine_has_pools(autoscaler, report);
    fields_are_of_the_engine(autoscaler, report);
    if let Some(resources) = &autoscaler.resources {
        addons::limits_cover_requests(&place("resources"), resources, report);
    }
    autoscaler_settings::check(autoscaler, report);
    names_differ(autoscaler, report);
    pools_have_their_class(autoscaler, report);
}

fn place(key: &str) -> Path {
    Path::of("autoscaler").key(key)
}

fn interruption_has_a_reader(stack: &Stack, report: &mut Report<'_>) {
    let reader = stack.autoscaler.as_ref().is_some_and(|one| one.engine != AutoscalerEngine::None);
    if stack.interruption.is_some() && !reader && stack.cluster.is_some() {
        report.add(
            Finding::of_key(
                Path::of("interruption"),
                "nobody will read the interruption queue",
                "add an `autoscaler` with `engine: eksup` or `engine: karpenter`, or remove `interruption`",
            )
            .because("node groups handle interruptions by themselves; the queue is for the autoscaler")
            .given(place("engine"))
            .warning(),
        );
    }
}

fn engine_has_pools(autoscaler: &Autoscaler, report: &mut Report<'_>) {
    let runs = autoscaler.engine != AutoscalerEngine::None;
    if runs && autoscaler.node_pools.is_empty() {
        report.add(
            Finding::of_key(
                Path::of("autoscaler"),
                "without `nodePools` the autoscaler adds no nodes",
                "add a NodePool and an EC2NodeClass, unless you apply them yourself",
            )
            .given(place("engine"))
            .given(place("nodePools"))
            .warning(),
        );
    }
    for (key, given) in
        [("nodePools", !autoscaler.node_pools.is_empty()), ("nodeClasses", !autoscaler.node_classes.is_empty())]
    {
        if !runs && given {
            report.add(
                Finding::of_key(
                    place(key),
                    format!("`{key}` mean nothing with `engine: none`"),
                    format!("remove `{key}`, or write `engine: eksup`"),
                )
                .see(place("engine"), "no autoscaler"),
            );
        }
    }
}

/// Only eksup's own autoscaler is installed, so only that one has an image.
fn fields_are_of_the_engine(autoscaler: &Autoscaler, report: &mut Report<'_>) {
    if autoscaler.engine == AutoscalerEngine::Eksup {
        return;
    }
    let given = [
        ("version", autoscaler.version.is_some()),
        ("image", autoscaler.image.is_some()),
        ("replicas", autoscaler.replicas.is_some()),
        ("resources", autoscaler.resources.is_some()),
        ("settings", !autoscaler.settings.is_empty()),
    ];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        report.add(
            Finding::of_key(
                place(key),
                format!("`{key}` is for eksup's own autoscaler"),
                format!("remove `{key}`, or write `engine: eksup`"),
            )
            .because("another one is not installed by eksup")
            .see(place("engine"), "another engine"),
        );
    }
}

fn names_differ(autoscaler: &Autoscaler, report: &mut Report<'_>) {
    let pools: Vec<&str> = autoscaler.node_pools.iter().map(|pool| pool.name.as_str()).collect();
    let classes: Vec<&str> = autoscaler.node_classes.iter().map(|class| class.name.as_str()).collect();
    for (key, what, names) in [("nodePools", "NodePools", pools), ("nodeClasses", "EC2NodeClasses", classes)] {
        for (index, first) in super::repetitions(&names) {
            report.add(
                Finding::new(
                    place(key).index(index).key("name"),
                    format!("there are two {what} named {}", quoted(names[index])),
                    "give each a name of its own",
                )
                .see(place(key).index(first).key("name"), "first here"),
            );
        }
    }
}

fn pools_have_their_class(autoscaler: &Autoscaler, report: &mut Report<'_>) {
    let classes: Vec<&str> = autoscaler.node_classes.iter().map(|class| class.name.as_str()).collect();
    for (index, pool) in autoscaler.node_pools.iter().enumerate() {
        let reference = pool.spec.get("template").and_then(|value| value.pointer("/spec/nodeClassRef/name"));
        let Some(name) = reference.and_then(serde_json::Value::as_str) else {
            continue;
        };
        if classes.contains(&name) {
            continue;
        }
        let path =
            place("nodePools").index(index).key("spec").key("template").key("spec").key("nodeClassRef").key("name");
        let help = match (nearest(name, classes.iter().copied()), classes.as_slice()) {
            (Some(likely), _) => format!("write `{likely}`"),
            (None, []) => format!("add `nodeClasses: [{{ name: {name}, spec: … }}]`"),
            (None, _) => format!("write {}, or add an EC2NodeClass with this name", any_of(&classes)),
        };
        let finding = Finding::new(path, format!("there is no EC2NodeClass named {}", quoted(name)), help)
            .given(place("nodeClasses"));
        report.add(finding);
    }
}
