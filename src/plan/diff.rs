//! What has to change: the stack's wish against what the cloud shows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::reference::{Outputs, is_unknown, resolve};
use super::tags;
use super::{
    Action, Address, Change, Desired, Effect, Facts, FieldChange, Loss, Mark, Observed, Prediction, Predictions,
    Registry, ReplaceOrder, State, TagChange,
};

/// Something that no plan can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The resource that it is about.
    pub address: Address,
    /// What is wrong and what to do.
    pub message: String,
}

/// The changes that bring the cloud from `observed` to `desired`, in the order of `desired`, then
/// what is no longer wanted.
///
/// # Errors
/// Every change that cannot be made at all (a storage that would shrink, a version that would go
/// back, a deletion of something protected), all at once.
pub fn diff(desired: &[Desired], observed: &[Observed], registry: &dyn Registry) -> Result<Vec<Change>, Vec<Problem>> {
    diff_foretold(desired, observed, &Predictions::new(), registry)
}

/// The same, where services have been asked what some of the changes would do.
///
/// # Errors
/// Those of [`diff`], and what a service has refused.
pub fn diff_foretold(
    desired: &[Desired],
    observed: &[Observed],
    predictions: &Predictions,
    registry: &dyn Registry,
) -> Result<Vec<Change>, Vec<Problem>> {
    let Walk { mut changes, leftovers, mut problems, .. } = walk(desired, observed, predictions, registry);
    let mut list: Vec<Change> = desired.iter().filter_map(|wanted| changes.remove(&wanted.address)).collect();
    refuse_uprooting(&list, registry, &mut problems);
    for leftover in leftovers.into_iter().filter(|leftover| is_the_stacks(leftover, registry)) {
        list.push(deletion(leftover, registry, &mut problems));
    }
    if problems.is_empty() { Ok(list) } else { Err(problems) }
}

/// The outputs that are known before anything is done, and stay as they are.
pub fn known_outputs(desired: &[Desired], observed: &[Observed], registry: &dyn Registry) -> Outputs {
    walk(desired, observed, &Predictions::new(), registry).known
}

/// What comes of comparing each wish with what stands, in the order in which values flow.
struct Walk<'a> {
    changes: BTreeMap<Address, Change>,
    leftovers: Vec<&'a Observed>,
    known: Outputs,
    problems: Vec<Problem>,
}

fn walk<'a>(
    desired: &[Desired],
    observed: &'a [Observed],
    predictions: &Predictions,
    registry: &dyn Registry,
) -> Walk<'a> {
    let mut standing = match_by_address(desired, observed);
    let (mut changes, mut known, mut problems) = (BTreeMap::new(), Outputs::new(), Vec::new());
    for wanted in in_dependency_order(desired) {
        let Some(facts) = registry.facts(&wanted.kind) else {
            problems
                .push(Problem { address: wanted.address.clone(), message: format!("unknown kind `{}`", wanted.kind) });
            continue;
        };
        let current = standing.matched.remove(&wanted.address);
        let rule = Rule { facts, known: &known, prediction: predictions.get(&wanted.address) };
        let change = compare(wanted, current, rule, &mut problems);
        remember_outputs(&change, facts, &mut known);
        changes.insert(wanted.address.clone(), change);
    }
    Walk { changes, leftovers: standing.unmatched, known, problems }
}

/// By what a wish is compared with what stands.
#[derive(Clone, Copy)]
struct Rule<'a> {
    facts: &'a Facts,
    known: &'a Outputs,
    prediction: Option<&'a Prediction>,
}

/// The changes that take everything in `observed` away.
///
/// # Errors
/// Whatever is protected from deletion.
pub fn tear_down(observed: &[Observed], registry: &dyn Registry) -> Result<Vec<Change>, Vec<Problem>> {
    let mut problems = Vec::new();
    let own = observed.iter().filter(|resource| is_the_stacks(resource, registry));
    let list = own.map(|resource| deletion(resource, registry, &mut problems)).collect();
    if problems.is_empty() { Ok(list) } else { Err(problems) }
}

/// Whether a resource may be taken away at all: what the account shares is never deleted.
pub fn is_the_stacks(resource: &Observed, registry: &dyn Registry) -> bool {
    !registry.facts(&resource.kind).is_some_and(|facts| facts.shared)
}

/// Refuses to make something anew while what cannot leave it stands.
fn refuse_uprooting(changes: &[Change], registry: &dyn Registry, problems: &mut Vec<Problem>) {
    for ground in changes.iter().filter(|change| change.action == Action::Replace) {
        let rooted = changes.iter().filter(|change| {
            let facts = registry.facts(&change.kind);
            let stays = matches!(change.action, Action::Keep | Action::Update | Action::Await);
            stays && facts.is_some_and(|facts| facts.rooted_in == Some(&*ground.kind))
        });
        let names: Vec<String> = rooted.map(|change| format!("`{}`", change.address)).collect();
        if names.is_empty() {
            continue;
        }
        let fields = ground.fields.iter().filter(|field| field.forces_replacement);
        let fields: Vec<String> = fields
            .map(|change| format!("`{}` from {} to {}", change.field, plain(&change.before), plain(&change.after)))
            .collect();
        let message = format!(
            "it would have to be made anew to change {}, and {} cannot leave it: take the change back; to get there, \
             destroy this stack and apply it again, or build a second one beside it and move over",
            fields.join(", "),
            names.join(", ")
        );
        problems.push(Problem { address: ground.address.clone(), message });
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Standing<'a> {
    matched: BTreeMap<Address, &'a Observed>,
    unmatched: Vec<&'a Observed>,
}

/// Gives each wanted address what stands there. Where an earlier run that was cut off left two of
/// one address, the one that is more alike stays and the other is a leftover.
fn match_by_address<'a>(desired: &[Desired], observed: &'a [Observed]) -> Standing<'a> {
    let wanted: BTreeMap<&Address, &Desired> = desired.iter().map(|resource| (&resource.address, resource)).collect();
    let mut standing = Standing { matched: BTreeMap::new(), unmatched: Vec::new() };
    let mut sorted: Vec<&Observed> = observed.iter().collect();
    sorted.sort_by_key(|resource| (resource.address.clone(), resource.identity().to_owned()));
    for resource in sorted {
        let Some(wish) = wanted.get(&resource.address).filter(|wish| wish.kind == resource.kind) else {
            standing.unmatched.push(resource);
            continue;
        };
        match standing.matched.get(&resource.address).copied() {
            Some(earlier) if likeness(wish, resource) <= likeness(wish, earlier) => standing.unmatched.push(resource),
            earlier => {
                standing.unmatched.extend(earlier);
                standing.matched.insert(resource.address.clone(), resource);
            }
        }
    }
    standing
}

fn likeness(wish: &Desired, resource: &Observed) -> (bool, usize) {
    let alive = !matches!(resource.state, State::Deleting | State::Failed(_));
    let same = fields_of(&wish.body).filter(|(field, value)| resource.body.get(*field) == Some(*value)).count();
    (alive, same)
}

/// `desired` so that each comes after what it needs. A cycle cannot be written by a phase: whatever
/// is left in one comes last, and the graph reports it.
fn in_dependency_order(desired: &[Desired]) -> Vec<&Desired> {
    let addresses: BTreeSet<&Address> = desired.iter().map(|resource| &resource.address).collect();
    let mut waiting: Vec<(&Desired, BTreeSet<Address>)> = desired
        .iter()
        .map(|resource| {
            let needs = resource.needs().into_iter().filter(|need| addresses.contains(need)).collect();
            (resource, needs)
        })
        .collect();
    let mut ordered = Vec::with_capacity(desired.len());
    let mut done: BTreeSet<Address> = BTreeSet::new();
    while !waiting.is_empty() {
        let before = ordered.len();
        waiting.retain(|(resource, needs)| {
            let ready = needs.iter().all(|need| done.contains(need));
            if ready {
                done.insert(resource.address.clone());
                ordered.push(*resource);
            }
            !ready
        });
        if ordered.len() == before {
            ordered.extend(waiting.drain(..).map(|(resource, _)| resource));
        }
    }
    ordered
}

fn compare(wanted: &Desired, current: Option<&Observed>, rule: Rule<'_>, problems: &mut Vec<Problem>) -> Change {
    let facts = rule.facts;
    let mut change = Change {
        address: wanted.address.clone(),
        kind: wanted.kind.clone(),
        action: Action::Create,
        before: current.cloned(),
        after: Some(wanted.clone()),
        fields: Vec::new(),
        tags: TagChange::default(),
        marks: BTreeSet::new(),
        reason: None,
    };
    let Some(current) = current else { return change };
    if current.state == State::Deleting {
        change.action = Action::Replace;
        change.reason = Some("it is being deleted".to_owned());
        return change;
    }
    change.tags = if facts.taggable { tags::change(&wanted.tags, &current.tags) } else { TagChange::default() };
    let effects = compare_fields(wanted, current, rule, &mut change.fields);
    if let Some(Prediction::Anew { why, .. }) = rule.prediction {
        change.reason = Some(why.clone());
    }
    change.action = match &current.state {
        State::Failed(why) => {
            change.reason = Some(format!("it has failed: {why}"));
            Action::Replace
        }
        _ if effects.contains(&Effect::Replace) => Action::Replace,
        _ if !change.fields.is_empty() || !change.tags.is_empty() => Action::Update,
        State::Changing(_) => Action::Await,
        _ => Action::Keep,
    };
    for effect in effects {
        match effect {
            Effect::Marked(mark) if change.action == Action::Update => drop(change.marks.insert(mark)),
            // What is made anew does not have to get there from what stands.
            Effect::Refused(message) if change.action != Action::Replace => {
                problems.push(Problem { address: wanted.address.clone(), message });
            }
            _ => {}
        }
    }
    if change.action == Action::Replace {
        mark_replacement(&mut change, current, facts, problems);
    }
    change
}

/// What still differs between `wanted` and what stands: for a look in the middle of a run.
pub fn differences(
    wanted: &Desired,
    current: &Observed,
    facts: &Facts,
    known: &Outputs,
) -> (Vec<FieldChange>, TagChange) {
    let mut fields = Vec::new();
    compare_fields(wanted, current, Rule { facts, known, prediction: None }, &mut fields);
    let tags = if facts.taggable { tags::change(&wanted.tags, &current.tags) } else { TagChange::default() };
    (fields, tags)
}

fn compare_fields(
    wanted: &Desired,
    current: &Observed,
    rule: Rule<'_>,
    differing: &mut Vec<FieldChange>,
) -> Vec<Effect> {
    let Rule { facts, known, prediction } = rule;
    let mut effects: Vec<Effect> = prediction.into_iter().flat_map(|told| effects_of(told, differing)).collect();
    let wish = (facts.canonical)(&resolve(&wanted.body, known));
    for (field, after) in fields_of(&wish) {
        let is_foretold = prediction.is_some() && facts.foretold == Some(field);
        if after.is_null() || facts.is_create_only(field) || is_foretold {
            continue;
        }
        let before = current.body.get(field).cloned().unwrap_or(Value::Null);
        if !is_unknown(after) && *after == before {
            continue;
        }
        let effect = facts.effect(field, &before, after);
        if effect == Effect::Same {
            continue;
        }
        differing.push(FieldChange {
            field: field.to_owned(),
            before: (facts.shown)(field, &before),
            after: (facts.shown)(field, after),
            forces_replacement: effect == Effect::Replace,
        });
        effects.push(effect);
    }
    effects
}

/// What a prediction comes to.
fn effects_of(prediction: &Prediction, differing: &mut Vec<FieldChange>) -> Vec<Effect> {
    match prediction {
        Prediction::Changes(fields) => {
            differing.extend(fields.iter().cloned());
            fields.iter().map(|_| Effect::InPlace).collect()
        }
        Prediction::Anew { fields, .. } => {
            differing.extend(fields.iter().cloned());
            vec![Effect::Replace]
        }
        Prediction::Refused(why) => vec![Effect::Refused(why.clone())],
    }
}

fn mark_replacement(change: &mut Change, current: &Observed, facts: &Facts, problems: &mut Vec<Problem>) {
    match facts.losing(&current.body) {
        Loss::Data(what) => drop(change.marks.insert(Mark::DataLoss(what.to_owned()))),
        Loss::Outage(what) if facts.replace == ReplaceOrder::DeleteFirst => {
            change.marks.insert(Mark::Outage(what.to_owned()));
        }
        _ => {}
    }
    if let Some(why) = (facts.protected)(&current.body) {
        problems.push(Problem { address: change.address.clone(), message: format!("has to be made anew, but {why}") });
    }
}

fn deletion(resource: &Observed, registry: &dyn Registry, problems: &mut Vec<Problem>) -> Change {
    let mut marks = BTreeSet::new();
    if let Some(facts) = registry.facts(&resource.kind) {
        match facts.losing(&resource.body) {
            Loss::Data(what) => drop(marks.insert(Mark::DataLoss(what.to_owned()))),
            Loss::Outage(what) => drop(marks.insert(Mark::Outage(what.to_owned()))),
            Loss::Nothing => {}
        }
        if let Some(why) = (facts.protected)(&resource.body) {
            problems.push(Problem { address: resource.address.clone(), message: why });
        }
    }
    Change {
        address: resource.address.clone(),
        kind: resource.kind.clone(),
        action: Action::Delete,
        before: Some(resource.clone()),
        after: None,
        fields: Vec::new(),
        tags: TagChange::default(),
        marks,
        reason: None,
    }
}

/// The outputs that the resources after this one can count on.
fn remember_outputs(change: &Change, facts: &Facts, known: &mut Outputs) {
    let Some(before) = &change.before else { return };
    if !matches!(change.action, Action::Keep | Action::Await | Action::Update) {
        return;
    }
    let changes = |fields: &[&str]| {
        let mut changed = change.fields.iter().map(|change| change.field.as_str());
        if fields.is_empty() { changed.next().is_some() } else { changed.any(|field| fields.contains(&field)) }
    };
    let moves = |name: &str| facts.volatile.iter().any(|(output, fields)| *output == name && changes(fields));
    let outputs = before.outputs.iter().filter(|(name, _)| !moves(name));
    known.insert(change.address.clone(), outputs.map(|(name, value)| (name.clone(), value.clone())).collect());
}

fn fields_of(body: &Value) -> impl Iterator<Item = (&str, &Value)> {
    body.as_object().into_iter().flatten().map(|(field, value)| (field.as_str(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static OBJECT: Facts = Facts {
        fields: &[("manifest", Effect::InPlace)],
        foretold: Some("manifest"),
        loss_of: |body| (body["manifest"] == "volume").then_some(Loss::Data("everything on it")),
        ..Facts::new("object")
    };

    struct One;

    impl Registry for One {
        fn facts(&self, name: &str) -> Option<&'static Facts> {
            (name == "object").then_some(&OBJECT)
        }
    }

    fn wanted(manifest: &str) -> Desired {
        let (tags, after) = (Default::default(), BTreeSet::new());
        Desired { address: "a".into(), kind: "object".into(), body: json!({ "manifest": manifest }), tags, after }
    }

    fn standing(manifest: &str) -> Observed {
        Observed {
            address: "a".into(),
            kind: "object".into(),
            body: json!({ "manifest": manifest }),
            outputs: serde_json::Map::new(),
            tags: Default::default(),
            state: State::Ready,
        }
    }

    fn planned(prediction: Prediction) -> Result<Change, Vec<Problem>> {
        let predictions = Predictions::from([("a".into(), prediction)]);
        diff_foretold(&[wanted("new")], &[standing("old")], &predictions, &One).map(|mut list| list.remove(0))
    }

    fn field(name: &str) -> FieldChange {
        FieldChange { field: name.into(), before: json!(1), after: json!(2), forces_replacement: false }
    }

    #[test]
    fn what_a_service_foretells_is_believed_over_a_comparison() {
        assert_eq!(planned(Prediction::Changes(Vec::new())).map(|change| change.action), Ok(Action::Keep));
        let change = planned(Prediction::Changes(vec![field("spec.replicas")])).expect("a change");
        assert_eq!((change.action, change.fields), (Action::Update, vec![field("spec.replicas")]));
    }

    #[test]
    fn what_cannot_be_changed_as_it_stands_is_replaced_and_says_why() {
        let told =
            Prediction::Anew { why: "`spec.selector` cannot be changed".into(), fields: vec![field("spec.selector")] };
        let change = planned(told).expect("a change");
        assert_eq!(change.action, Action::Replace);
        assert_eq!(change.reason.as_deref(), Some("`spec.selector` cannot be changed"));
    }

    #[test]
    fn what_a_service_refuses_is_a_problem_before_anything_is_made() {
        let problems = planned(Prediction::Refused("somebody else manages it".into())).expect_err("a problem");
        assert_eq!(problems[0].message, "somebody else manages it");
    }

    #[test]
    fn what_is_lost_may_depend_on_the_resource() {
        let marks = |manifest: &str| diff(&[], &[standing(manifest)], &One).expect("a plan").remove(0).marks;
        assert_eq!(marks("volume"), BTreeSet::from([Mark::DataLoss("everything on it".into())]));
        assert!(marks("config").is_empty());
    }
}
