//! Nodes that have been unhealthy for long: which are replaced, and where too many are for that.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// A condition of a node that says how healthy it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Since when.
    pub since: Timestamp,
}

/// A node of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// Its claim.
    pub claim: String,
    /// Its pool.
    pub pool: String,
    /// Its conditions.
    pub conditions: Vec<Health>,
    /// Whether it is going already.
    pub leaving: bool,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Claims that are replaced by force, and why.
    pub replace: Vec<(String, String)>,
    /// Claims that are unhealthy while too many of their pool are, and why they stay.
    pub blocked: Vec<(String, String)>,
    /// When time alone changes this.
    pub again: Option<Timestamp>,
}

const LONG: SignedDuration = SignedDuration::from_mins(30);

/// Bad statuses of each condition, and how long they are borne.
const POLICIES: [(&str, &[&str], SignedDuration); 6] = [
    ("Ready", &["False", "Unknown"], LONG),
    ("AcceleratedHardwareReady", &["False"], SignedDuration::from_mins(10)),
    ("StorageReady", &["False"], LONG),
    ("NetworkingReady", &["False"], LONG),
    ("KernelReady", &["False"], LONG),
    ("ContainerRuntimeReady", &["False"], LONG),
];

/// The share of a pool, in percent and rounded up, that may be unhealthy: if it is more, something else is wrong.
const BEARABLE_PERCENT: usize = 20;

/// The first thing that ails a node, and when that has been borne long enough.
fn ailment(patient: &Patient) -> Option<(&Health, Timestamp)> {
    let bad = patient.conditions.iter().filter_map(|health| {
        let (_, bad, borne) = POLICIES.iter().find(|(kind, ..)| *kind == health.kind)?;
        let ends = health.since.checked_add(*borne).unwrap_or(Timestamp::MAX);
        bad.contains(&health.status.as_str()).then_some((health, ends))
    });
    bad.min_by_key(|(_, ends)| *ends)
}

/// Judges all nodes of all pools.
pub fn judge(patients: &[Patient], now: Timestamp) -> Repairs {
    let mut pools: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for patient in patients {
        let (all, unhealthy) = pools.entry(&patient.pool).or_default();
        *all += 1;
        *unhealthy += usize::from(ailment(patient).is_some_and(|(_, ends)| ends <= now));
    }
    let mut repairs = Repairs::default();
    for patient in patients.iter().filter(|patient| !patient.leaving) {
        let Some((health, ends)) = ailment(patient) else { continue };
        if now < ends {
            repairs.again = Some(repairs.again.map_or(ends, |again| again.min(ends)));
            continue;
        }
        let why = format!("its condition {} has been {} since {}", health.kind, health.status, health.since);
        let (all, unhealthy) = pools.get(patient.pool.as_str()).copied().unwrap_or_default();
        if unhealthy > (all * BEARABLE_PERCENT).div_ceil(100) {
            let why = format!(
                "{why}, but {unhealthy} of the {all} nodes of NodePool `{}` are unhealthy: more than {BEARABLE_PERCENT} % \
                 are not replaced, as the fault may lie elsewhere",
                patient.pool
            );
            repairs.blocked.push((patient.claim.clone(), why));
        } else {
            repairs.replace.push((patient.claim.clone(), why));
        }
    }
    repairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).expect("a time")
    }

    fn patient(claim: &str, kind: &str, status: &str) -> Patient {
        let health = Health { kind: kind.into(), status: status.into(), since: at(0) };
        Patient { claim: claim.into(), pool: "default".into(), conditions: vec![health], leaving: false }
    }

    #[test]
    fn a_node_is_replaced_when_it_has_been_unhealthy_for_long_enough() {
        let sick = [patient("a", "Ready", "Unknown")];
        let early = judge(&sick, at(29));
        assert_eq!((early.replace.len(), early.again), (0, Some(at(30))));
        assert_eq!(judge(&sick, at(30)).replace.len(), 1);
        assert_eq!(judge(&[patient("a", "AcceleratedHardwareReady", "False")], at(10)).replace.len(), 1);
        for fine in [
            patient("a", "Ready", "True"),
            patient("a", "MemoryPressure", "True"),
            patient("a", "KernelReady", "Unknown"),
        ] {
            assert_eq!(judge(&[fine], at(99)), Repairs::default());
        }
    }

    #[test]
    fn nothing_is_replaced_while_more_than_a_fifth_is_unhealthy() {
        let mut pool: Vec<_> = (0..10).map(|n| patient(&format!("c{n}"), "Ready", "True")).collect();
        pool[0] = patient("c0", "Ready", "False");
        pool[1] = patient("c1", "Ready", "False");
        assert_eq!(judge(&pool, at(60)).replace.len(), 2);
        pool[2] = patient("c2", "Ready", "False");
        let repairs = judge(&pool, at(60));
        assert_eq!((repairs.replace.len(), repairs.blocked.len()), (0, 3));
        assert!(repairs.blocked[0].1.contains("3 of the 10 nodes"), "{}", repairs.blocked[0].1);
    }

    #[test]
    fn a_node_that_goes_already_is_counted_and_left_alone() {
        let gone = Patient { leaving: true, ..patient("a", "Ready", "False") };
        assert_eq!(judge(&[gone], at(99)), Repairs::default());
    }
}
