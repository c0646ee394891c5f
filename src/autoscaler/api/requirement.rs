//! Node selector requirements with a minimum of values, as pools and claims have them.

use super::labels::{CAPACITY_TYPE, CAPACITY_TYPES, NODE_POOL, key_fault, restriction, value_fault};
use super::validate::Faults;
use crate::state::names::keys;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// One of the values.
    In,
    /// None of the values; the label may be absent.
    NotIn,
    /// Any value.
    Exists,
    /// No such label.
    DoesNotExist,
    /// Greater than the one value, an integer.
    Gt,
    /// Less than the one value, an integer.
    Lt,
    /// At least the one value, an integer.
    Gte,
    /// At most the one value, an integer.
    Lte,
}

impl Operator {
    /// The operator as it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
            Self::Gt => "Gt",
            Self::Lt => "Lt",
            Self::Gte => "Gte",
            Self::Lte => "Lte",
        }
    }
}

/// A requirement on the labels of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// The label key.
    #[schemars(length(max = 316))]
    pub key: String,
    /// How the label is compared.
    pub operator: Operator,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// How many different values have to be left to choose from at launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub min_values: Option<i32>,
}

/// Checks a list of requirements.
pub fn check_requirements(list: &[Requirement], of_pool: bool, faults: &mut Faults) {
    if list.len() > 100 {
        faults.add("", format!("has {} entries; at most 100 are allowed", list.len()));
    }
    for (at, requirement) in list.iter().enumerate() {
        faults.within(&format!("[{at}]"), |faults| check_requirement(requirement, of_pool, faults));
    }
}

fn check_requirement(requirement: &Requirement, of_pool: bool, faults: &mut Faults) {
    let Requirement { key, operator, values, min_values } = requirement;
    if key.len() > 316 {
        faults.add("key", "is longer than 316 characters".to_owned());
    }
    if let Some(fault) = key_fault(key) {
        faults.add("key", fault);
    }
    if of_pool && key == NODE_POOL {
        faults.add("key", format!("`{NODE_POOL}` cannot be required: it is set to the name of the pool"));
    } else if let Some(reason) = restriction(key).filter(|_| key != NODE_POOL) {
        faults.add("key", format!("`{key}` cannot be required: {reason}"));
    }
    for value in values {
        if let Some(fault) = value_fault(value) {
            faults.add("values", fault);
        }
    }
    match operator {
        Operator::In if values.is_empty() => faults.add("values", "`In` needs at least one value".to_owned()),
        Operator::NotIn if values.is_empty() => faults.add("values", "`NotIn` needs at least one value".to_owned()),
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            faults.add("values", format!("`{}` takes no values", operator.text()));
        }
        Operator::Gt | Operator::Lt | Operator::Gte | Operator::Lte => {
            let whole = matches!(values.as_slice(), [value] if value.parse::<i64>().is_ok_and(|number| number >= 0));
            if !whole {
                faults.add("values", format!("`{}` takes exactly one integer of zero or more", operator.text()));
            }
        }
        _ => {}
    }
    if let Some(least) = min_values {
        if !(1..=50).contains(least) {
            faults.add("minValues", format!("is {least}; it must be from 1 to 50"));
        }
        let distinct: std::collections::BTreeSet<&String> = values.iter().collect();
        if *operator == Operator::In && i64::try_from(distinct.len()).unwrap_or(i64::MAX) < i64::from(*least) {
            faults.add("minValues", format!("asks for {least} values, but `In` lists only {}", distinct.len()));
        }
    }
    check_known_values(requirement, faults);
}

fn check_known_values(requirement: &Requirement, faults: &mut Faults) {
    if requirement.operator != Operator::In || requirement.values.is_empty() {
        return;
    }
    let known: &[&str] = match requirement.key.as_str() {
        CAPACITY_TYPE => &CAPACITY_TYPES,
        keys::TENANCY => &["default", "dedicated"],
        _ => return,
    };
    if !requirement.values.iter().any(|value| known.contains(&value.as_str())) {
        faults.add("values", format!("none of these is known for `{}`: use {}", requirement.key, known.join(", ")));
    }
}
