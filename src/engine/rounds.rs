//! One round of changes, or one for each minor version that a cluster goes up: control plane, then
//! add-ons, then node groups, then the next minor.

use std::str::FromStr;

use crate::aws::Kinds;
use crate::phases::{self, Surroundings};
use crate::plan::{Action, Change, Desired, FieldChange, Observed, Problem, Round, diff};
use crate::spec::{KubernetesVersion, Stack};

/// The rounds that bring the cloud from `observed` to `stack`.
///
/// # Errors
/// Changes that cannot be made.
pub fn between(stack: &Stack, surroundings: &Surroundings, observed: &[Observed]) -> Result<Vec<Round>, Vec<Problem>> {
    let steps = versions_on_the_way(stack, observed);
    let mut rounds: Vec<Round> = Vec::with_capacity(steps.len());
    let mut previous: Option<Vec<Desired>> = None;
    for version in &steps {
        let desired = phases::resources(&at_version(stack, *version), surroundings);
        let changes = match &previous {
            None => diff(&desired, observed, &Kinds)?,
            Some(earlier) => further(earlier, &desired, observed),
        };
        let title = version.filter(|_| steps.len() > 1).map(|version| format!("Kubernetes {version}"));
        rounds.push(Round { title, changes });
        previous = Some(desired);
    }
    Ok(rounds)
}

/// The versions that the cluster takes one after the other; one `None` where it stays or is new.
fn versions_on_the_way(stack: &Stack, observed: &[Observed]) -> Vec<Option<KubernetesVersion>> {
    let wanted = stack.cluster.as_ref().map(|cluster| cluster.version);
    let current = observed
        .iter()
        .find(|resource| resource.kind == "cluster")
        .and_then(|cluster| KubernetesVersion::from_str(cluster.body.get("version")?.as_str()?).ok());
    match (current, wanted) {
        (Some(current), Some(wanted)) if current.major == wanted.major && current.minor < wanted.minor => {
            (current.minor + 1..=wanted.minor).map(|minor| Some(KubernetesVersion { minor, ..wanted })).collect()
        }
        _ => vec![None],
    }
}

fn at_version(stack: &Stack, version: Option<KubernetesVersion>) -> Stack {
    let mut stack = stack.clone();
    if let (Some(cluster), Some(version)) = (&mut stack.cluster, version) {
        cluster.version = version;
    }
    stack
}

/// What a later round changes: the fields in which its wish differs from the round before.
fn further(earlier: &[Desired], later: &[Desired], observed: &[Observed]) -> Vec<Change> {
    let before = |wanted: &Desired| observed.iter().find(|resource| resource.address == wanted.address).cloned();
    later
        .iter()
        .filter_map(|wanted| {
            let previous = earlier.iter().find(|resource| resource.address == wanted.address)?;
            let fields = differing(previous, wanted);
            let action = if fields.is_empty() { Action::Keep } else { Action::Update };
            Some(Change {
                address: wanted.address.clone(),
                kind: wanted.kind.clone(),
                action,
                before: before(wanted),
                after: Some(wanted.clone()),
                fields,
                tags: crate::plan::TagChange::default(),
                marks: std::collections::BTreeSet::new(),
                reason: None,
            })
        })
        .collect()
}

fn differing(previous: &Desired, wanted: &Desired) -> Vec<FieldChange> {
    let fields = wanted.body.as_object().into_iter().flatten();
    fields
        .filter_map(|(field, after)| {
            let before = previous.body.get(field).cloned().unwrap_or_default();
            (before != *after).then(|| FieldChange {
                field: field.clone(),
                before,
                after: after.clone(),
                forces_replacement: false,
            })
        })
        .collect()
}
