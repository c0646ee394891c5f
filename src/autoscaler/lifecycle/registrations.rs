//! Whether the nodes of a pool come up: the last launches of each pool. Pure.

use std::collections::{BTreeMap, VecDeque};

/// How many launches count.
const LAST: usize = 4;

/// The last launches of each pool.
#[derive(Debug, Default)]
pub struct Registrations {
    pools: BTreeMap<String, Record>,
    /// Claims that are on their way, with their pools.
    waiting: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Record {
    outcomes: VecDeque<bool>,
    /// The generations of pool and class.
    generation: (i64, i64),
}

/// A claim, as far as this asks.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// Its name.
    pub claim: &'a str,
    /// Its pool.
    pub pool: &'a str,
    /// Whether it has an instance.
    pub launched: bool,
    /// Whether its node has registered.
    pub registered: bool,
}

impl Registrations {
    /// Takes in all claims that there are. One that had an instance and is gone without a node has failed.
    pub fn see<'a>(&mut self, claims: impl Iterator<Item = Seen<'a>>) {
        let mut waiting = BTreeMap::new();
        for seen in claims {
            if seen.registered {
                if self.waiting.remove(seen.claim).is_some() {
                    self.note(seen.pool, true);
                }
            } else if seen.launched {
                self.waiting.remove(seen.claim);
                waiting.insert(seen.claim.to_owned(), seen.pool.to_owned());
            }
        }
        let gone: Vec<String> = std::mem::replace(&mut self.waiting, waiting).into_values().collect();
        gone.iter().for_each(|pool| self.note(pool, false));
    }

    /// A pool or class that has changed begins anew.
    pub fn generation(&mut self, pool: &str, generation: (i64, i64)) {
        let record = self.pools.entry(pool.to_owned()).or_default();
        if record.generation != generation {
            *record = Record { generation, ..Record::default() };
        }
    }

    fn note(&mut self, pool: &str, success: bool) {
        let outcomes = &mut self.pools.entry(pool.to_owned()).or_default().outcomes;
        outcomes.push_back(success);
        while outcomes.len() > LAST {
            outcomes.pop_front();
        }
    }

    /// Whether its nodes come up; `None` while nothing is known.
    pub fn healthy(&self, pool: &str) -> Option<bool> {
        let outcomes = &self.pools.get(pool)?.outcomes;
        let failed = outcomes.iter().filter(|success| !**success).count();
        (!outcomes.is_empty()).then_some(2 * failed < LAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(launched: bool, registered: bool) -> [Seen<'static>; 1] {
        [Seen { claim: "a", pool: "default", launched, registered }]
    }

    #[test]
    fn half_of_the_last_launches_failing_is_unhealthy() {
        let mut registrations = Registrations::default();
        registrations.generation("default", (1, 1));
        assert_eq!(registrations.healthy("default"), None);
        registrations.see(claim(true, false).into_iter());
        registrations.see(claim(true, true).into_iter());
        registrations.see([].into_iter());
        assert_eq!(registrations.healthy("default"), Some(true));
        for expected in [true, false] {
            registrations.see(claim(true, false).into_iter());
            registrations.see([].into_iter());
            assert_eq!(registrations.healthy("default"), Some(expected));
        }
        registrations.generation("default", (2, 1));
        assert_eq!(registrations.healthy("default"), None, "a change begins anew");
    }

    #[test]
    fn a_claim_that_never_had_an_instance_is_no_failure() {
        let mut registrations = Registrations::default();
        registrations.see(claim(false, false).into_iter());
        registrations.see([].into_iter());
        assert_eq!(registrations.healthy("default"), None);
    }
}
