//! What a plan says, before it is laid out: rounds, phases, one entry for each resource that changes.

use std::collections::BTreeSet;

use super::difference::{Difference, differences};
use super::essence::essence;
use crate::phases::PHASES;
use crate::plan::{Action, Address, Change, Mark, Plan, Round, State, Summary, TagChange};
use crate::views::value::{HIDDEN, is_sensitive, with_unknowns_named};
use crate::views::wording::one_line;

/// Rewritten with every other tag: said only where it is all that changes.
const BOOKKEEPING_TAG: &str = "eksup.dev/tag-keys";

/// One round.
pub struct Section {
    /// What it brings, where there are several.
    pub title: Option<String>,
    /// The phases in which something is done, in the order in which they are printed.
    pub phases: Vec<Phase>,
}

/// What is done in one phase.
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How many of its resources are created, changed…
    pub summary: Summary,
    /// Every resource that does not stay as it is.
    pub entries: Vec<Entry>,
}

/// What happens to one resource.
pub struct Entry {
    /// What is done.
    pub action: Action,
    /// Its address without the phase.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// By what a person knows it: the cloud's id, then what is essential.
    pub facts: Vec<String>,
    /// What changes, and what has to be known about it.
    pub details: Vec<Detail>,
}

/// One line below an entry, or a few.
pub enum Detail {
    /// A field that differs.
    Field {
        /// How.
        difference: Difference,
        /// Whether the resource has to be made anew because of it.
        forces_replacement: bool,
    },
    /// What becomes of its tags.
    Tags(String),
    /// Why, where the fields do not say it.
    Reason(String),
    /// What a person has to know before saying yes.
    Mark(String),
}

/// What `plan` says, round by round.
pub fn sections(plan: &Plan) -> Vec<Section> {
    plan.rounds.iter().map(section).filter(|section| !section.phases.is_empty()).collect()
}

/// What `plan` amounts to. Unlike [`Plan::summary`], a resource that no round touches counts once as
/// unchanged, however many rounds there are.
pub fn tally(plan: &Plan) -> Summary {
    let touched: BTreeSet<&Address> =
        plan.changes().filter(|change| change.action.is_pending()).map(|change| &change.address).collect();
    let all: BTreeSet<&Address> = plan.changes().map(|change| &change.address).collect();
    Summary { keep: all.difference(&touched).count(), ..plan.summary() }
}

/// Every mark of `plan`, the gravest first, with the resources that it is about.
pub fn marks(plan: &Plan) -> Vec<(&Mark, Vec<&Address>)> {
    let mut marks: Vec<(&Mark, Vec<&Address>)> = Vec::new();
    for (address, mark) in plan.marks() {
        match marks.iter_mut().find(|(known, _)| *known == mark) {
            Some((_, addresses)) if addresses.contains(&address) => {}
            Some((_, addresses)) => addresses.push(address),
            None => marks.push((mark, vec![address])),
        }
    }
    marks.sort_by_key(|(mark, _)| match mark {
        Mark::DataLoss(_) => 0,
        Mark::Outage(_) => 1,
        Mark::OneWay(_) => 2,
    });
    marks
}

fn section(round: &Round) -> Section {
    let known = PHASES.iter().copied();
    let mut names: Vec<&str> = known.collect();
    for change in &round.changes {
        if !names.contains(&change.address.phase()) {
            names.push(change.address.phase());
        }
    }
    let phases = names.into_iter().filter_map(|name| phase(name, round)).collect();
    Section { title: round.title.clone(), phases }
}

fn phase(name: &str, round: &Round) -> Option<Phase> {
    let changes: Vec<&Change> = round.changes.iter().filter(|change| change.address.phase() == name).collect();
    let entries: Vec<Entry> =
        changes.iter().filter(|change| change.action.is_pending()).map(|change| entry(change)).collect();
    let mut summary = Summary::default();
    for change in changes {
        *match change.action {
            Action::Create => &mut summary.create,
            Action::Update => &mut summary.update,
            Action::Replace => &mut summary.replace,
            Action::Delete => &mut summary.delete,
            Action::Await => &mut summary.wait,
            Action::Keep => &mut summary.keep,
        } += 1;
    }
    (!entries.is_empty()).then(|| Phase { name: name.to_owned(), summary, entries })
}

fn entry(change: &Change) -> Entry {
    let address = change.address.as_str();
    Entry {
        action: change.action,
        name: one_line(address.split_once('/').map_or(address, |(_, name)| name)),
        kind: change.kind.clone(),
        facts: facts(change),
        details: details(change),
    }
}

fn facts(change: &Change) -> Vec<String> {
    let mut facts: Vec<String> = Vec::new();
    if let Some(before) = &change.before {
        let identity = before.identity();
        if identity != change.address.as_str() {
            facts.push(one_line(identity));
        }
        if let State::Changing(detail) = &before.state {
            facts.push(format!("is {}", one_line(detail)));
        }
    }
    let body = match change.action {
        Action::Create | Action::Replace => change.after.as_ref().map(|after| &after.body),
        Action::Delete => change.before.as_ref().map(|before| &before.body),
        Action::Update | Action::Await | Action::Keep => None,
    };
    let essentials = body.map(essence).unwrap_or_default();
    facts.extend(essentials);
    let mut seen = BTreeSet::new();
    facts.retain(|fact| seen.insert(fact.clone()));
    facts
}

fn details(change: &Change) -> Vec<Detail> {
    let fields = change.fields.iter().flat_map(|field| {
        let last = differences(&field.field, &field.before, &field.after);
        last.into_iter().map(|difference| Detail::Field { difference, forces_replacement: field.forces_replacement })
    });
    let mut details: Vec<Detail> = fields.collect();
    if !change.tags.is_empty() {
        details.push(Detail::Tags(tags(change, &change.tags)));
    }
    details.extend(change.reason.as_deref().map(|reason| Detail::Reason(one_line(reason))));
    details.extend(change.marks.iter().map(|mark| Detail::Mark(one_line(&mark.sentence()))));
    details
}

/// `+ team=web, cost: 7 → 8, - old`
fn tags(change: &Change, tags: &TagChange) -> String {
    let now = |key: &str| change.before.as_ref()?.tags.get(key);
    let set = tags.set.iter().map(|(key, value)| (key.as_str(), said_set(key, now(key), value)));
    let unset = tags.unset.iter().map(|key| (key.as_str(), format!("- {}", one_line(key))));
    let all: Vec<(&str, String)> = set.chain(unset).collect();
    let telling: Vec<&str> =
        all.iter().filter(|(key, _)| *key != BOOKKEEPING_TAG).map(|(_, said)| said.as_str()).collect();
    if telling.is_empty() {
        return all.into_iter().map(|(_, said)| said).collect();
    }
    telling.join(", ")
}

fn said_set(key: &str, now: Option<&String>, value: &str) -> String {
    let show = |text: &str| match is_sensitive(key, &text.into()) {
        true => HIDDEN.to_owned(),
        false => one_line(&with_unknowns_named(text)),
    };
    let key = one_line(key);
    match now {
        Some(now) => format!("{key}: {} → {}", show(now), show(value)),
        None => format!("+ {key}={}", show(value)),
    }
}
