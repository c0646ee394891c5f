//! Node requirements as compact sets over interned label values.
//!
//! A [`ValueSet`] is what one key may be; [`Requirements`] is a conjunction over keys.
//! All eight operators (`In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`, `Gte`, `Lte`)
//! become one form that can be intersected and tested without looking at text.

use super::intern::{Interner, Symbol};
use thiserror::Error;

/// Why a requirement cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequirementError {
    /// The operator is not one of the eight.
    #[error("unknown operator `{operator}` for `{key}`: use In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte")]
    UnknownOperator {
        /// The label key.
        key: String,
        /// The operator as written.
        operator: String,
    },
    /// A comparison without exactly one integer.
    #[error("`{operator}` for `{key}` takes exactly one integer")]
    NotOneInteger {
        /// The label key.
        key: String,
        /// The operator as written.
        operator: String,
    },
    /// `In` or `NotIn` without values.
    #[error("`{operator}` for `{key}` needs at least one value")]
    NoValues {
        /// The label key.
        key: String,
        /// The operator as written.
        operator: String,
    },
}

/// The values that one key may have, and whether it may be absent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueSet {
    absent_allowed: bool,
    /// When set, `values` are those that are *not* allowed.
    complement: bool,
    values: Box<[Symbol]>,
    at_least: Option<i64>,
    at_most: Option<i64>,
}

impl ValueSet {
    /// Reads one operator with its values.
    ///
    /// # Errors
    /// When the operator is unknown or its values do not suit it.
    pub fn from_operator(
        names: &mut Interner,
        key: &str,
        operator: &str,
        values: &[String],
    ) -> Result<Self, RequirementError> {
        let symbols = |names: &mut Interner| -> Box<[Symbol]> {
            let mut list: Vec<Symbol> = values.iter().map(|value| names.intern(value)).collect();
            list.sort_unstable();
            list.dedup();
            list.into()
        };
        let blank =
            Self { absent_allowed: false, complement: true, values: Box::default(), at_least: None, at_most: None };
        let one_integer = || match values {
            [value] => value.trim().parse::<i64>().ok(),
            _ => None,
        };
        let number = || {
            one_integer()
                .ok_or_else(|| RequirementError::NotOneInteger { key: key.to_owned(), operator: operator.to_owned() })
        };
        if matches!(operator, "In" | "NotIn") && values.is_empty() {
            return Err(RequirementError::NoValues { key: key.to_owned(), operator: operator.to_owned() });
        }
        Ok(match operator {
            "In" => Self { complement: false, values: symbols(names), ..blank },
            "NotIn" => Self { absent_allowed: true, values: symbols(names), ..blank },
            "Exists" => blank,
            "DoesNotExist" => Self { absent_allowed: true, complement: false, ..blank },
            "Gt" => Self { at_least: Some(number()?.saturating_add(1)), ..blank },
            "Gte" => Self { at_least: Some(number()?), ..blank },
            "Lt" => Self { at_most: Some(number()?.saturating_sub(1)), ..blank },
            "Lte" => Self { at_most: Some(number()?), ..blank },
            _ => {
                return Err(RequirementError::UnknownOperator { key: key.to_owned(), operator: operator.to_owned() });
            }
        })
    }

    /// The set that holds exactly one value.
    pub fn single(value: Symbol) -> Self {
        Self { absent_allowed: false, complement: false, values: Box::new([value]), at_least: None, at_most: None }
    }

    /// Whether a label that is absent (`None`) or has this value passes.
    pub fn allows(&self, names: &Interner, value: Option<Symbol>) -> bool {
        let Some(value) = value else {
            return self.absent_allowed;
        };
        self.values.binary_search(&value).is_ok() != self.complement && self.within_bounds(names, value)
    }

    fn within_bounds(&self, names: &Interner, value: Symbol) -> bool {
        if self.at_least.is_none() && self.at_most.is_none() {
            return true;
        }
        names.number(value).is_some_and(|number| {
            self.at_least.is_none_or(|least| number >= least) && self.at_most.is_none_or(|most| number <= most)
        })
    }

    /// What both sets allow.
    pub fn intersect(&self, other: &Self) -> Self {
        let keep = |list: &[Symbol], test: &dyn Fn(&Symbol) -> bool| -> Box<[Symbol]> {
            list.iter().copied().filter(|value| test(value)).collect()
        };
        let values: Box<[Symbol]> = match (self.complement, other.complement) {
            (true, true) => {
                let mut all: Vec<Symbol> = self.values.iter().chain(&other.values).copied().collect();
                all.sort_unstable();
                all.dedup();
                all.into()
            }
            (false, true) => keep(&self.values, &|value| other.values.binary_search(value).is_err()),
            (true, false) => keep(&other.values, &|value| self.values.binary_search(value).is_err()),
            (false, false) => keep(&self.values, &|value| other.values.binary_search(value).is_ok()),
        };
        Self {
            absent_allowed: self.absent_allowed && other.absent_allowed,
            complement: self.complement && other.complement,
            values,
            at_least: self.at_least.max(other.at_least),
            at_most: match (self.at_most, other.at_most) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }

    /// The values when they are listed (`In` and intersections with it), else `None`.
    pub fn listed(&self) -> Option<&[Symbol]> {
        (!self.complement).then_some(&self.values)
    }

    /// Whether an absent label passes.
    pub fn allows_absent(&self) -> bool {
        self.absent_allowed
    }

    /// Whether nothing at all passes: no value and not even an absent label.
    pub fn is_empty(&self) -> bool {
        let bounds_cross = matches!((self.at_least, self.at_most), (Some(least), Some(most)) if least > most);
        !self.absent_allowed && (bounds_cross || (!self.complement && self.values.is_empty()))
    }
}

/// A conjunction of requirements, one set per key, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirements(Vec<(Symbol, ValueSet)>);

impl Requirements {
    /// Adds a requirement; a key that is already there is narrowed.
    pub fn add(&mut self, key: Symbol, set: ValueSet) {
        match self.0.binary_search_by_key(&key, |(known, _)| *known) {
            Ok(at) => self.0[at].1 = self.0[at].1.intersect(&set),
            Err(at) => self.0.insert(at, (key, set)),
        }
    }

    /// Both conjunctions together.
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (key, set) in &other.0 {
            both.add(*key, set.clone());
        }
        both
    }

    /// The set for a key, if there is a requirement on it.
    pub fn get(&self, key: Symbol) -> Option<&ValueSet> {
        self.0.binary_search_by_key(&key, |(known, _)| *known).ok().map(|at| &self.0[at].1)
    }

    /// All keys with their sets, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, &ValueSet)> {
        self.0.iter().map(|(key, set)| (*key, set))
    }

    /// Every symbol in use, keys and values.
    pub fn symbols(&self, visit: &mut dyn FnMut(Symbol)) {
        for (key, set) in &self.0 {
            visit(*key);
            set.values.iter().copied().for_each(&mut *visit);
        }
    }

    /// Whether there is no requirement at all.
    pub fn is_unrestricted(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a node whose labels `label_of` looks up satisfies every requirement.
    pub fn met_by(&self, names: &Interner, label_of: impl Fn(Symbol) -> Option<Symbol>) -> bool {
        self.0.iter().all(|(key, set)| set.allows(names, label_of(*key)))
    }

    /// The first key whose requirement the labels fail.
    pub fn first_failure(&self, names: &Interner, label_of: impl Fn(Symbol) -> Option<Symbol>) -> Option<Symbol> {
        self.0.iter().find(|(key, set)| !set.allows(names, label_of(*key))).map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &mut Interner, operator: &str, values: &[&str]) -> ValueSet {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        ValueSet::from_operator(names, "key", operator, &values).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn intersection_allows_exactly_what_both_sides_allow() {
        let mut names = Interner::default();
        let universe: Vec<Option<Symbol>> =
            std::iter::once(None).chain(["1", "2", "3", "4", "x"].map(|text| Some(names.intern(text)))).collect();
        let sets = [
            set(&mut names, "In", &["1", "2", "x"]),
            set(&mut names, "In", &["3"]),
            set(&mut names, "NotIn", &["2", "x"]),
            set(&mut names, "Exists", &[]),
            set(&mut names, "DoesNotExist", &[]),
            set(&mut names, "Gt", &["1"]),
            set(&mut names, "Lt", &["4"]),
            set(&mut names, "Gte", &["2"]),
            set(&mut names, "Lte", &["2"]),
        ];
        for a in &sets {
            for b in &sets {
                let both = a.intersect(b);
                for &value in &universe {
                    let expected = a.allows(&names, value) && b.allows(&names, value);
                    assert_eq!(both.allows(&names, value), expected, "{a:?} and {b:?} on {value:?}");
                }
            }
        }
    }

    #[test]
    fn bad_operators_and_values_are_named() {
        let mut names = Interner::default();
        let mut error = |operator: &str, values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            ValueSet::from_operator(&mut names, "zone", operator, &values).err().map(|error| error.to_string())
        };
        assert!(error("Near", &[]).is_some_and(|text| text.contains("`Near`")));
        assert!(error("Gt", &["many"]).is_some_and(|text| text.contains("exactly one integer")));
        assert!(error("Gt", &["1", "2"]).is_some());
        assert!(error("In", &[]).is_some_and(|text| text.contains("at least one value")));
    }
}
