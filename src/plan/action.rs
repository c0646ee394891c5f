//! What a plan does to one resource.

use serde::{Deserialize, Serialize};

/// What happens to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is as it should be.
    Keep,
    /// It exists, but is not ready yet: it is waited for, nothing is asked of the cloud.
    Await,
    /// It does not exist.
    Create,
    /// It exists and can be changed as it stands.
    Update,
    /// It exists and can only be made anew.
    Replace,
    /// It exists and the stack no longer wants it.
    Delete,
}

impl Action {
    /// The mark in front of the resource in a printed plan.
    pub fn sigil(self) -> &'static str {
        match self {
            Self::Keep => " ",
            Self::Await => "…",
            Self::Create => "+",
            Self::Update => "~",
            Self::Replace => "-/+",
            Self::Delete => "-",
        }
    }

    /// Whether the cloud is changed by it.
    pub fn changes_something(self) -> bool {
        !matches!(self, Self::Keep | Self::Await)
    }

    /// Whether apply has something to do for it.
    pub fn is_pending(self) -> bool {
        self != Self::Keep
    }

    /// Whether something that exists is deleted by it.
    pub fn deletes(self) -> bool {
        matches!(self, Self::Replace | Self::Delete)
    }

    /// Whether the resource stands there afterwards.
    pub fn leaves_it_standing(self) -> bool {
        self != Self::Delete
    }
}

/// Something about a change that a person has to know before saying yes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "mark", content = "why", rename_all = "kebab-case")]
pub enum Mark {
    /// Something stops working for a while.
    Outage(String),
    /// Data is deleted.
    DataLoss(String),
    /// It cannot be taken back.
    OneWay(String),
}

impl Mark {
    /// The mark in two words and its reason.
    pub fn sentence(&self) -> String {
        match self {
            Self::Outage(why) => format!("outage: {why}"),
            Self::DataLoss(why) => format!("data loss: {why}"),
            Self::OneWay(why) => format!("one-way: {why}"),
        }
    }
}
