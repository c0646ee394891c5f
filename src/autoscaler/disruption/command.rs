//! What a decision asks to be done.

use crate::scheduling::PlannedNode;
use crate::state::instance_types::Price;
use std::fmt;

/// Why a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It has no pods.
    Empty,
    /// It is not as its pool and class say.
    Drifted,
    /// It has reached its age.
    Expired,
    /// Its pods are cheaper elsewhere.
    Underutilized,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Empty, Self::Drifted, Self::Expired, Self::Underutilized];

    /// The reason as conditions, events and metrics name it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Drifted => "Drifted",
            Self::Expired => "Expired",
            Self::Underutilized => "Underutilized",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Where a pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// To a node of the cluster, by index.
    Running(u32),
    /// To a replacement of the command, by index.
    Replacement(u32),
}

/// Nodes that go together, and what comes instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Why.
    pub reason: Reason,
    /// The nodes that go, by index in the fleet.
    pub remove: Vec<u32>,
    /// Nodes that have to be there first.
    pub replacements: Vec<PlannedNode>,
    /// Where the pods of the nodes go: (pod, destination), by index in the cluster.
    pub moves: Vec<(u32, Destination)>,
    /// What is saved per hour; zero when the command costs.
    pub saving: Price,
    /// What moving the pods costs, in dollars.
    pub moving: f64,
    /// The same in words.
    pub explanation: String,
}

/// What is to be done, and why everything else stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Commands; each stands for itself.
    pub commands: Vec<Command>,
    /// Why each node stays, by index in the fleet.
    pub stays: Vec<(u32, super::stay::Stay)>,
    /// Whether the whole fleet was searched for savings (and not a remembered answer given).
    pub searched: bool,
}
