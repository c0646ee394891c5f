//! Why a node stays: one sentence for each node that no command takes away.

use super::Reason;
use jiff::Timestamp;
use std::fmt;

/// Why a node stays.
#[derive(Clone, Debug, PartialEq)]
pub enum Stay {
    /// It has not started up.
    Starting,
    /// It is going already.
    Leaving,
    /// Pods are expected on it.
    Expected {
        /// Until when.
        until: Timestamp,
    },
    /// Node or claim say so.
    Protected,
    /// A pod says so.
    PodProtected {
        /// `namespace/name`.
        pod: Box<str>,
        /// Until when, if not for ever.
        until: Option<Timestamp>,
    },
    /// A pod disruption budget allows no eviction.
    PodBudget {
        /// `namespace/name` of the pod.
        pod: Box<str>,
        /// `namespace/name` of the budget.
        budget: Box<str>,
    },
    /// Two pod disruption budgets cover one pod.
    TwoPodBudgets {
        /// `namespace/name` of the pod.
        pod: Box<str>,
        /// `namespace/name` of one budget.
        first: Box<str>,
        /// `namespace/name` of the other.
        second: Box<str>,
    },
    /// The budgets of its pool are used up.
    Budget {
        /// Why it would go.
        reason: Reason,
        /// The pool.
        pool: Box<str>,
    },
    /// The pool never consolidates.
    NeverConsolidated {
        /// The pool.
        pool: Box<str>,
    },
    /// The pool keeps a fixed number of nodes.
    Fixed {
        /// The pool.
        pool: Box<str>,
    },
    /// Pods came or went a short while ago.
    Unquiet {
        /// From when it is looked at.
        until: Timestamp,
    },
    /// The pool only gives up nodes without pods.
    OnlyEmpty {
        /// The pool.
        pool: Box<str>,
        /// How many pods it has.
        pods: usize,
    },
    /// No other way to run its pods saves enough.
    NoGain {
        /// What it costs, in dollars per hour.
        price: f64,
        /// What its pods cost at the best, in dollars per hour.
        worth: f64,
        /// What moving them would cost, in dollars.
        moving: f64,
    },
    /// Nothing has changed since the whole fleet was searched.
    AtRest,
    /// What would be saved is too little for the pods that would be moved.
    OutOfBalance {
        /// The pool.
        pool: Box<str>,
    },
    /// Its pods would find no place.
    NoPlace {
        /// Why.
        reason: Box<str>,
    },
    /// It is to go, but others come first.
    Later,
}

impl Stay {
    /// Whether something forbids it to go, which is worth an event; otherwise it simply has no reason to go.
    pub fn is_blocked(&self) -> bool {
        matches!(
            self,
            Self::Protected
                | Self::PodProtected { .. }
                | Self::PodBudget { .. }
                | Self::TwoPodBudgets { .. }
                | Self::Expected { .. }
                | Self::NoPlace { .. }
        )
    }
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => write!(f, "it has not started up yet"),
            Self::Leaving => write!(f, "it is on its way out"),
            Self::Expected { until } => write!(f, "pods are expected on it until {until:.0}"),
            Self::Protected => write!(f, "`karpenter.sh/do-not-disrupt` is set on the node or its claim"),
            Self::PodProtected { pod, until: None } => write!(f, "pod `{pod}` has `karpenter.sh/do-not-disrupt`"),
            Self::PodProtected { pod, until: Some(until) } => {
                write!(f, "pod `{pod}` has `karpenter.sh/do-not-disrupt` until {until:.0}")
            }
            Self::PodBudget { pod, budget } => {
                write!(f, "disruption budget `{budget}` allows no eviction of pod `{pod}` now")
            }
            Self::TwoPodBudgets { pod, first, second } => write!(
                f,
                "pod `{pod}` is covered by two disruption budgets, `{first}` and `{second}`, and so can never be evicted"
            ),
            Self::Budget { reason, pool } => {
                write!(f, "it is to go ({reason}), but the budgets of pool `{pool}` let no further node go now")
            }
            Self::NeverConsolidated { pool } => write!(f, "pool `{pool}` has `consolidateAfter: Never`"),
            Self::Fixed { pool } => write!(f, "pool `{pool}` keeps a fixed number of nodes"),
            Self::Unquiet { until } => {
                write!(f, "pods came or went a short while ago; it is looked at from {until:.0}")
            }
            Self::OnlyEmpty { pool, pods } => {
                let plural = if *pods == 1 { "" } else { "s" };
                write!(f, "pool `{pool}` gives up only empty nodes, and this one has {pods} pod{plural}")
            }
            Self::NoGain { price, worth, moving } => write!(
                f,
                "nothing cheaper was found: it costs ${price:.4} an hour, its pods cost at least ${worth:.4} an hour anywhere, and moving them costs ${moving:.4}"
            ),
            Self::AtRest => write!(f, "nothing cheaper was found, and nothing has changed since"),
            Self::OutOfBalance { pool } => {
                write!(
                    f,
                    "what would be saved is too little for the pods that would be moved (policy Balanced of pool `{pool}`)"
                )
            }
            Self::NoPlace { reason } => write!(f, "its pods would find no place: {reason}"),
            Self::Later => write!(f, "it is to go, but others go first"),
        }
    }
}
