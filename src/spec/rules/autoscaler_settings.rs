//! Settings of the autoscaler: names that it knows, values that it can read.

use super::{Finding, Report};
use crate::autoscaler::api::duration;
use crate::spec::document::Path;
use crate::spec::model::{Autoscaler, AutoscalerEngine};
use crate::spec::problem::{any_of, nearest, quoted};

/// What a value has to be.
#[derive(Clone, Copy)]
enum Kind {
    Duration,
    Switch,
    Count,
    Share,
    Port,
    Name,
    Choice(&'static [&'static str]),
    Gates,
}

/// The settings that a stack file can set.
const SETTINGS: &[(&str, Kind)] = &[
    ("AMI_REFRESH_INTERVAL", Kind::Duration),
    ("BATCH_IDLE_DURATION", Kind::Duration),
    ("BATCH_MAX_DURATION", Kind::Duration),
    ("DISABLE_DRY_RUN", Kind::Switch),
    ("DISABLE_LEADER_ELECTION", Kind::Switch),
    ("ENABLE_PROFILING", Kind::Switch),
    ("ENABLE_ZONAL_SHIFT", Kind::Switch),
    ("FEATURE_GATES", Kind::Gates),
    ("HEALTH_PROBE_PORT", Kind::Port),
    ("IGNORE_DRA_REQUESTS", Kind::Switch),
    ("ISOLATED_VPC", Kind::Switch),
    ("KUBE_CLIENT_BURST", Kind::Count),
    ("KUBE_CLIENT_QPS", Kind::Count),
    ("LEADER_ELECTION_NAME", Kind::Name),
    ("LOG_LEVEL", Kind::Choice(&["error", "warn", "info", "debug"])),
    ("METRICS_PORT", Kind::Port),
    ("MIN_VALUES_POLICY", Kind::Choice(&["Strict", "BestEffort"])),
    ("POD_DELETION_COST", Kind::Switch),
    ("PREFERENCE_POLICY", Kind::Choice(&["Respect", "Ignore"])),
    ("RESERVED_ENIS", Kind::Count),
    ("SUBNET_REFRESH_INTERVAL", Kind::Duration),
    ("VM_MEMORY_OVERHEAD_PERCENT", Kind::Share),
];

/// Settings that follow from the rest of the stack file, and where they come from.
const TAKEN: &[(&str, &str)] = &[
    ("CLUSTER_NAME", "`metadata.name`"),
    ("CLUSTER_ENDPOINT", "the cluster itself"),
    ("CLUSTER_CA_BUNDLE", "the cluster itself"),
    ("CPU_REQUESTS", "`resources.requests.cpu`"),
    ("EKS_CONTROL_PLANE", "the cluster itself"),
    ("INTERRUPTION_QUEUE", "the section `interruption`"),
    ("LEADER_ELECTION_NAMESPACE", "the namespace that it runs in"),
    ("MEMORY_LIMIT", "`resources.limits.memory`"),
];

/// The gates of `FEATURE_GATES`.
const GATES: &[&str] =
    &["CapacityBuffer", "NodeOverlay", "NodeRepair", "ReservedCapacity", "SpotToSpotConsolidation", "StaticCapacity"];

pub(super) fn check(autoscaler: &Autoscaler, report: &mut Report<'_>) {
    if autoscaler.engine != AutoscalerEngine::Eksup {
        return;
    }
    let path = Path::of("autoscaler.settings");
    for (name, value) in &autoscaler.settings {
        let at = path.key(name.as_str());
        match SETTINGS.iter().find(|(known, _)| known == name) {
            Some((_, kind)) => value_can_be_read(name, *kind, value, at, report),
            None => report.add(unknown(name, at)),
        }
    }
    ports_differ(autoscaler, &path, report);
    one_leads(autoscaler, &path, report);
}

fn unknown(name: &str, at: Path) -> Finding {
    if let Some((_, source)) = TAKEN.iter().find(|(taken, _)| *taken == name) {
        return Finding::of_key(at, format!("{} is not set here", quoted(name)), "remove it")
            .because(format!("it follows from {source}"));
    }
    let known = SETTINGS.iter().map(|(known, _)| *known);
    let help = match nearest(name, known.clone()) {
        Some(likely) => format!("write `{likely}`"),
        None => format!("remove it, or write {}", any_of(&known.collect::<Vec<_>>())),
    };
    Finding::of_key(at, format!("{} is not a setting of the autoscaler", quoted(name)), help)
}

fn value_can_be_read(name: &str, kind: Kind, value: &str, at: Path, report: &mut Report<'_>) {
    let whole = |text: &str| text.parse::<u32>().is_ok();
    let help = match kind {
        Kind::Duration if duration::seconds(value).is_err() => {
            "write a duration such as `500ms`, `1s` or `2m`".to_owned()
        }
        Kind::Switch if !["true", "false"].contains(&value) => "write `\"true\"` or `\"false\"`".to_owned(),
        Kind::Count if !whole(value) => "write a whole number such as `\"1\"`".to_owned(),
        Kind::Share if !value.parse::<f64>().is_ok_and(|share| (0.0..1.0).contains(&share)) => {
            "write a share from 0 to 1 such as `\"0.075\"`".to_owned()
        }
        Kind::Port if !value.parse::<u16>().is_ok_and(|port| port >= 1024) => {
            "write a port from 1024 on such as `\"8080\"`".to_owned()
        }
        Kind::Name if !is_name(value) => "use lower-case letters, digits and dashes".to_owned(),
        Kind::Choice(choices) if !choices.contains(&value) => format!("write {}", any_of(choices)),
        Kind::Gates => match wrong_gate(value) {
            Some(help) => help,
            None => return,
        },
        _ => return,
    };
    report.add(Finding::new(at, format!("{} cannot be {}", quoted(name), quoted(value)), help));
}

fn is_name(text: &str) -> bool {
    let inner = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// What is to be written instead of a list of gates that cannot be read.
fn wrong_gate(value: &str) -> Option<String> {
    let form = "write gates with commas between them, such as `NodeRepair=true,SpotToSpotConsolidation=true`";
    value.split(',').find_map(|gate| match gate.trim().split_once('=') {
        Some((name, "true" | "false")) if GATES.contains(&name) => None,
        Some((name, "true" | "false")) => Some(match nearest(name, GATES.iter().copied()) {
            Some(likely) => format!("write `{likely}` instead of {}", quoted(name)),
            None => format!("the gates are {}", any_of(GATES)),
        }),
        _ => Some(form.to_owned()),
    })
}

fn ports_differ(autoscaler: &Autoscaler, path: &Path, report: &mut Report<'_>) {
    let port = |name: &str, usual: &'static str| autoscaler.settings.get(name).map_or(usual, String::as_str).to_owned();
    if port("METRICS_PORT", "8080") == port("HEALTH_PROBE_PORT", "8081") {
        report.add(
            Finding::of_key(
                path.clone(),
                "metrics and probes cannot be served on one port",
                "give `METRICS_PORT` and `HEALTH_PROBE_PORT` different ports",
            )
            .given(path.clone()),
        );
    }
}

/// Two replicas that both act would buy everything twice.
fn one_leads(autoscaler: &Autoscaler, path: &Path, report: &mut Report<'_>) {
    let alone = autoscaler.replicas == Some(1);
    let name = "DISABLE_LEADER_ELECTION";
    if !alone && autoscaler.settings.get(name).is_some_and(|value| value == "true") {
        report.add(
            Finding::new(
                path.key(name),
                "without an election every replica would act",
                "remove it, or write `replicas: 1`",
            )
            .given(Path::of("autoscaler.replicas")),
        );
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::{SETTINGS, TAKEN};
    use crate::autoscaler::runtime::Flags;

    #[test]
    fn a_stack_file_knows_every_setting_that_the_autoscaler_has() {
        let run = Flags::augment_args(clap::Command::new("run"));
        let names = run.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
        let known: Vec<&str> =
            SETTINGS.iter().map(|(name, _)| *name).chain(TAKEN.iter().map(|(name, _)| *name)).collect();
        let unknown: Vec<&str> = names.filter(|name| !known.contains(name)).collect();
        assert_eq!(unknown, [] as [&str; 0]);
        assert!(run.get_arguments().count() > 20);
    }
}
