//! What a service itself says a change would do, where it can be asked beforehand: the planner believes it instead of
//! comparing.

use std::collections::BTreeMap;

use super::{Address, FieldChange};

/// What changing one resource would do.
#[derive(Debug, Clone, PartialEq)]
pub enum Prediction {
    /// These fields would change; none is no change.
    Changes(Vec<FieldChange>),
    /// It can only be made anew.
    Anew {
        /// Why.
        why: String,
        /// The fields that would change, as far as they are known.
        fields: Vec<FieldChange>,
    },
    /// It cannot be done at all; the text says why and what to do.
    Refused(String),
}

/// What is known beforehand, by address.
pub type Predictions = BTreeMap<Address, Prediction>;
