//! The plan: what will be done, resource by resource. Immutable, and whole enough to be saved.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Action, Address, Desired, Fingerprint, Mark, Observed, TagChange};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// The field's name; of an object in Kubernetes, the way to it.
    pub field: String,
    /// What the cloud shows.
    pub before: Value,
    /// What the stack wants; a placeholder where it is known only after apply.
    pub after: Value,
    /// Whether the resource has to be made anew because of it.
    pub forces_replacement: bool,
}

/// What happens to one resource, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The resource's place in the stack.
    pub address: Address,
    /// Its kind's name.
    pub kind: String,
    /// What is done.
    pub action: Action,
    /// What the cloud shows, if it exists.
    pub before: Option<Observed>,
    /// What the stack wants, if it wants it.
    pub after: Option<Desired>,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
    /// The tags that differ.
    pub tags: TagChange,
    /// What a person has to know before saying yes.
    pub marks: BTreeSet<Mark>,
    /// Why, where the fields do not say it.
    pub reason: Option<String>,
}

impl Change {
    /// A word for the resource that stays the same between runs and tells two of one address apart.
    pub fn id(&self) -> String {
        match (&self.action, &self.before) {
            (Action::Delete, Some(before)) => format!("{}@{}", self.address, before.identity()),
            _ => self.address.to_string(),
        }
    }
}

/// Changes that are carried out together. Most plans have one round; a cluster that goes up several
/// minor versions has one for each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Round {
    /// What this round brings, where there are several.
    pub title: Option<String>,
    /// The changes, in the order of the phases.
    pub changes: Vec<Change>,
}

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To make the cloud as the stack file says.
    Apply,
    /// To take everything of the stack away.
    Destroy,
}

/// Everything that will be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The form of this document: `eksup.dev/plan/v1`.
    pub format: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The stack's name.
    pub stack: String,
    /// Its region.
    pub region: String,
    /// The account that was looked at.
    pub account: String,
    /// Tells this plan from every other: client tokens are derived from it.
    pub id: String,
    /// What the cloud looked like.
    pub fingerprint: Fingerprint,
    /// What is done, round by round.
    pub rounds: Vec<Round>,
}

/// The form of a plan that this version writes and reads.
pub const FORMAT: &str = "eksup.dev/plan/v1";

/// How many resources are created, changed, replaced and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Made where there is nothing.
    pub create: usize,
    /// Changed as they stand.
    pub update: usize,
    /// Made anew.
    pub replace: usize,
    /// Taken away.
    pub delete: usize,
    /// Waited for.
    pub wait: usize,
    /// As they should be.
    pub keep: usize,
}

impl Plan {
    /// A plan of `rounds`. `id` has to be new for every plan.
    pub fn new(
        purpose: Purpose,
        stack: &str,
        region: &str,
        account: &str,
        id: &str,
        fingerprint: Fingerprint,
        rounds: Vec<Round>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            purpose,
            stack: stack.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            id: id.to_owned(),
            fingerprint,
            rounds,
        }
    }

    /// Every change of every round.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.rounds.iter().flat_map(|round| &round.changes)
    }

    /// Whether the cloud is as the stack wants it, or only has to be waited for.
    pub fn is_empty(&self) -> bool {
        !self.changes().any(|change| change.action.is_pending())
    }

    /// What the plan amounts to. A resource that several rounds touch counts in each.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for change in self.changes() {
            *match change.action {
                Action::Create => &mut summary.create,
                Action::Update => &mut summary.update,
                Action::Replace => &mut summary.replace,
                Action::Delete => &mut summary.delete,
                Action::Await => &mut summary.wait,
                Action::Keep => &mut summary.keep,
            } += 1;
        }
        summary
    }

    /// Everything in the plan that a person has to know, with the resource that it is about.
    pub fn marks(&self) -> impl Iterator<Item = (&Address, &Mark)> {
        self.changes().flat_map(|change| change.marks.iter().map(move |mark| (&change.address, mark)))
    }
}
