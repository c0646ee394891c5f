//! What a destroy leaves in place on purpose, so that it can say so at its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, Observed, Registry};

/// Why the things of a kind stay when the stack goes.
#[derive(Debug, Clone, Copy)]
pub enum Keeping {
    /// They hold data: they go only where the user asks for that.
    UnlessAsked {
        /// Why they stay.
        why: &'static str,
        /// The command that deletes one, given its body's fields.
        by_hand: fn(&Observed) -> String,
    },
    /// They are there to outlive the stack: no flag deletes them.
    Always {
        /// Why they stay.
        why: &'static str,
        /// The command that deletes one, given its body's fields.
        by_hand: fn(&Observed) -> String,
    },
}

/// What is to happen to things that hold data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Disposal {
    /// They stay, and are listed.
    #[default]
    KeepData,
    /// They are deleted like everything else: the user asked for it.
    DeleteData,
}

/// One thing that stays, with everything that its owner has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Where it is listed: `leftovers/volume/vol-…`.
    pub address: Address,
    /// Its kind's name.
    pub kind: String,
    /// The name by which the cloud knows it.
    pub identity: String,
    /// Why it stays.
    pub why: String,
    /// How to delete it by hand.
    pub by_hand: String,
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`: {}; delete it with `{}`", self.kind, self.identity, self.why, self.by_hand)
    }
}

/// Splits what was observed into what a destroy takes away and what it leaves in place.
pub fn set_aside(observed: Vec<Observed>, registry: &dyn Registry, disposal: Disposal) -> (Vec<Observed>, Vec<Kept>) {
    let mut going = Vec::new();
    let mut staying = Vec::new();
    for resource in observed {
        match kept(&resource, registry, disposal) {
            Some(kept) => staying.push(kept),
            None => going.push(resource),
        }
    }
    (going, staying)
}

fn kept(resource: &Observed, registry: &dyn Registry, disposal: Disposal) -> Option<Kept> {
    let (why, by_hand) = match registry.facts(&resource.kind)?.keeping? {
        Keeping::UnlessAsked { .. } if disposal == Disposal::DeleteData => return None,
        Keeping::UnlessAsked { why, by_hand } | Keeping::Always { why, by_hand } => (why, by_hand),
    };
    Some(Kept {
        address: resource.address.clone(),
        kind: resource.kind.clone(),
        identity: resource.identity().to_owned(),
        why: why.to_owned(),
        by_hand: by_hand(resource),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::plan::{Facts, State, Tags};

    static VOLUME: Facts = Facts {
        keeping: Some(Keeping::UnlessAsked {
            why: "it holds data",
            by_hand: |found| format!("rm {}", found.identity()),
        }),
        ..Facts::new("volume")
    };
    static SNAPSHOT: Facts = Facts {
        keeping: Some(Keeping::Always { why: "it was asked for", by_hand: |_| "rm".to_owned() }),
        ..Facts::new("snapshot")
    };
    static VPC: Facts = Facts::new("vpc");

    struct Three;

    impl Registry for Three {
        fn facts(&self, name: &str) -> Option<&'static Facts> {
            [&VOLUME, &SNAPSHOT, &VPC].into_iter().find(|facts| facts.name == name)
        }
    }

    fn observed() -> Vec<Observed> {
        let one = |kind: &str| Observed {
            address: Address::new(format!("leftovers/{kind}/x")),
            kind: kind.to_owned(),
            body: Value::Null,
            outputs: Map::from_iter([("id".to_owned(), json!(format!("{kind}-1")))]),
            tags: Tags::new(),
            state: State::Ready,
        };
        vec![one("vpc"), one("volume"), one("snapshot")]
    }

    #[test]
    fn data_stays_unless_it_is_asked_for_and_snapshots_stay_anyway() {
        let kinds = |disposal| {
            let (going, staying) = set_aside(observed(), &Three, disposal);
            let going: Vec<String> = going.into_iter().map(|resource| resource.kind).collect();
            (going, staying.into_iter().map(|kept| kept.kind).collect::<Vec<_>>())
        };
        assert_eq!(kinds(Disposal::KeepData), (vec!["vpc".into()], vec!["volume".into(), "snapshot".into()]));
        assert_eq!(kinds(Disposal::DeleteData), (vec!["vpc".into(), "volume".into()], vec!["snapshot".into()]));
    }

    #[test]
    fn what_stays_says_why_and_how_to_delete_it() {
        let (_, staying) = set_aside(observed(), &Three, Disposal::KeepData);
        let first = staying.first().map(ToString::to_string);
        assert_eq!(first.as_deref(), Some("volume `volume-1`: it holds data; delete it with `rm volume-1`"));
    }
}
