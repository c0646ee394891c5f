//! What the planner has to know of a kind of resource: pure facts, no calls.

use serde_json::Value;

use super::action::Mark;
use super::kept::Keeping;

/// What a change of one field does.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// No difference after all: what the cloud shows is one of the things that the wish allows
    /// (`10.11.6` for `10.11`).
    Same,
    /// The resource is changed as it stands.
    InPlace,
    /// The resource has to be made anew.
    Replace,
    /// Used when the resource is made, never compared: the cloud does not tell it, or others move it.
    CreateOnly,
    /// Changed as it stands, with something that a person has to know.
    Marked(Mark),
    /// Cannot be done at all; the text says why and what to do.
    Refused(String),
}

/// Which half of a replacement comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplaceOrder {
    /// The old one goes, then the new one comes: for what has a name of its own.
    DeleteFirst,
    /// The new one comes, then the old one goes: for what must not be missing.
    CreateFirst,
}

/// What is lost when a resource of this kind is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing that apply could not make again.
    Nothing,
    /// Something stops working.
    Outage(&'static str),
    /// Data is gone.
    Data(&'static str),
}

/// The pure facts of a kind of resource.
#[derive(Debug)]
pub struct Facts {
    /// Its name in plans and events: `security-group`.
    pub name: &'static str,
    /// Every field of the body, and what changing it does.
    pub fields: &'static [(&'static str, Effect)],
    /// Refines the table for fields where the values matter: version, storage.
    pub judge: fn(field: &str, before: &Value, after: &Value) -> Option<Effect>,
    /// The outputs that others may refer to.
    pub outputs: &'static [&'static str],
    /// Whether it carries tags.
    pub taggable: bool,
    /// How it is replaced.
    pub replace: ReplaceOrder,
    /// What its deletion costs.
    pub loss: Loss,
    /// What the deletion of a resource with this body costs, where that is not the same for all of the kind.
    pub loss_of: fn(body: &Value) -> Option<Loss>,
    /// The field that a [`Prediction`](super::Prediction) speaks of.
    pub foretold: Option<&'static str>,
    /// A field's value as it may be shown: without secrets.
    pub shown: fn(field: &str, value: &Value) -> Value,
    /// The kinds that have to stay until a resource with this body has gone, because they are what takes it away.
    pub goes_before: fn(body: &Value) -> &'static [&'static str],
    /// Whether a resource of this kind with the first body has to be gone before another one with the second, though
    /// no value flows between them.
    pub clears: fn(earlier: &Value, later: &Value) -> bool,
    /// The fields that refer to other resources, and the kinds they may refer to.
    pub references: &'static [(&'static str, &'static [&'static str])],
    /// The outputs that change when the resource is changed in place, and the fields whose change does that; none
    /// where any field does.
    pub volatile: &'static [(&'static str, &'static [&'static str])],
    /// Goes by itself when the resource goes that this field refers to.
    pub dies_with: Option<&'static str>,
    /// Kinds that have to be gone before one of this kind can go, though no value flows between them.
    pub outlives: &'static [&'static str],
    /// Changes of others, as kind and field, that come only after all of this kind have been changed: in an
    /// upgrade node groups follow the add-ons, though some add-ons are made after them.
    pub changed_before: &'static [(&'static str, &'static str)],
    /// The kind of resource that one of this kind cannot leave: while it stands, that one is not made anew.
    pub rooted_in: Option<&'static str>,
    /// Belongs to the account: made where it is missing, never deleted, not counted as the stack's.
    pub shared: bool,
    /// Why a resource with this body must not be deleted, if it must not, and the way out.
    pub protected: fn(body: &Value) -> Option<String>,
    /// What a destroy leaves in place although it belongs to the stack, and why.
    pub keeping: Option<Keeping>,
    /// A body as its own type writes it, so that a set whose references have been filled in has the
    /// order in which the cloud's side is read. The table of kinds fills this in.
    pub canonical: fn(body: &Value) -> Value,
}

impl Facts {
    /// The facts of a kind whose fields are all changed in place; the others override what differs.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            fields: &[],
            judge: |_, _, _| None,
            outputs: &[],
            taggable: true,
            replace: ReplaceOrder::DeleteFirst,
            loss: Loss::Nothing,
            loss_of: |_| None,
            foretold: None,
            shown: |_, value| value.clone(),
            goes_before: |_| &[],
            clears: |_, _| false,
            references: &[],
            volatile: &[],
            dies_with: None,
            outlives: &[],
            changed_before: &[],
            rooted_in: None,
            shared: false,
            protected: |_| None,
            keeping: None,
            canonical: Value::clone,
        }
    }

    /// What the deletion of a resource with this body costs.
    pub fn losing(&self, body: &Value) -> Loss {
        (self.loss_of)(body).unwrap_or(self.loss)
    }

    /// What changing `field` from `before` to `after` does.
    ///
    /// A field that the table does not name is replaced: the safe reading of an omission, and a
    /// test keeps the tables whole.
    pub fn effect(&self, field: &str, before: &Value, after: &Value) -> Effect {
        (self.judge)(field, before, after).unwrap_or_else(|| {
            self.fields.iter().find(|(name, _)| *name == field).map_or(Effect::Replace, |(_, effect)| effect.clone())
        })
    }

    /// Whether `field` is never compared.
    pub fn is_create_only(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, effect)| *name == field && *effect == Effect::CreateOnly)
    }
}
