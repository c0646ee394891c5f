//! What EC2 could not give lately, and when to ask for it again: pauses grow with every failure in a row.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::launch::{CapacityType, LaunchOption};

/// The first pause.
const FIRST: SignedDuration = SignedDuration::from_mins(3);
/// The longest pause.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// How long after its pause a failure is remembered, for the next pause to be longer.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// What is not to be asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A type in a zone.
    Offering {
        /// How it is paid for.
        capacity_type: CapacityType,
        /// The type.
        instance_type: String,
        /// The zone.
        zone: String,
    },
    /// A subnet that has no free address.
    Subnet(String),
    /// Everything that is paid for so.
    CapacityType(CapacityType),
    /// A capacity reservation, by id.
    Reservation(String),
}

impl Scope {
    /// A type in a zone.
    pub fn offering(capacity_type: CapacityType, instance_type: &str, zone: &str) -> Self {
        Self::Offering { capacity_type, instance_type: instance_type.to_owned(), zone: zone.to_owned() }
    }
}

/// How often it failed in a row, until when to leave it, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pause {
    failures: u32,
    until: Timestamp,
    reason: String,
}

#[derive(Debug, Default)]
struct Memory {
    pauses: BTreeMap<Scope, Pause>,
    /// Grows by two with a change, since a pause that is over, and counts as one change more, may go with it.
    sequence: u64,
}

/// What EC2 could not give lately. Time comes in as an argument; what has passed counts no more.
#[derive(Debug, Default)]
pub struct Unavailable(Mutex<Memory>);

impl Unavailable {
    /// Remembers a failure at `now`. While a pause runs, further failures of requests that were under way
    /// do not lengthen it.
    pub fn mark(&self, scope: Scope, reason: &str, now: Timestamp) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.sweep(now);
        let known = memory.pauses.get(&scope);
        if known.is_some_and(|pause| pause.until > now) {
            return;
        }
        let failures = known.map_or(1, |pause| pause.failures.saturating_add(1));
        let until = later(now, length(failures));
        memory.pauses.insert(scope, Pause { failures, until, reason: reason.to_owned() });
        memory.sequence += 2;
    }

    /// Forgets a failure: it worked.
    pub fn clear(&self, scope: &Scope) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.pauses.remove(scope).is_some() {
            memory.sequence += 2;
        }
    }

    /// Until when a type in a zone is not to be asked for, itself or all of its capacity type.
    pub fn until(
        &self,
        capacity_type: CapacityType,
        instance_type: &str,
        zone: &str,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.pauses.is_empty() {
            return None;
        }
        let offering = memory.running(&Scope::offering(capacity_type, instance_type, zone), now);
        offering.max(memory.running(&Scope::CapacityType(capacity_type), now))
    }

    /// Until when a way to buy a node is not to be asked for.
    pub fn until_for(&self, option: &LaunchOption, now: Timestamp) -> Option<Timestamp> {
        match &option.reservation {
            Some(id) => self.until_reservation(id, now),
            None => self.until(option.capacity_type, &option.instance_type, &option.zone, now),
        }
    }

    /// Until when a capacity reservation is not to be asked for.
    pub fn until_reservation(&self, id: &str, now: Timestamp) -> Option<Timestamp> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.running(&Scope::Reservation(id.to_owned()), now)
    }

    /// Whether a subnet has no free address.
    pub fn is_full(&self, subnet: &str, now: Timestamp) -> bool {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.running(&Scope::Subnet(subnet.to_owned()), now).is_some()
    }

    /// Everything that is not to be asked for at `now`, with the reason.
    pub fn list(&self, now: Timestamp) -> Vec<(Scope, Timestamp, String)> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = memory.pauses.iter().filter(|(_, pause)| pause.until > now);
        running.map(|(scope, pause)| (scope.clone(), pause.until, pause.reason.clone())).collect()
    }

    /// A number that is another one whenever what is unavailable at `now` is, or may be, something else.
    pub fn sequence(&self, now: Timestamp) -> u64 {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = memory.pauses.values().filter(|pause| pause.until <= now).count() as u64;
        memory.sequence + over
    }
}

impl Memory {
    fn running(&self, scope: &Scope, now: Timestamp) -> Option<Timestamp> {
        self.pauses.get(scope).map(|pause| pause.until).filter(|until| *until > now)
    }

    /// Forgets what failed long ago. Each one counted once as over, and goes on to be counted.
    fn sweep(&mut self, now: Timestamp) {
        let before = self.pauses.len();
        self.pauses.retain(|_, pause| later(pause.until, REMEMBERED) > now);
        self.sequence += (before - self.pauses.len()) as u64;
    }
}

/// 3, 6, 12 … 60 minutes.
fn length(failures: u32) -> SignedDuration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST)
}

fn later(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const M5: (CapacityType, &str, &str) = (CapacityType::Spot, "m5.large", "eu-west-1a");

    fn at(minutes: i64) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, SignedDuration::from_mins(minutes))
    }

    fn mark(unavailable: &Unavailable, minutes: i64) {
        unavailable.mark(Scope::offering(M5.0, M5.1, M5.2), "InsufficientInstanceCapacity", at(minutes));
    }

    fn until(unavailable: &Unavailable, minutes: i64) -> Option<Timestamp> {
        unavailable.until(M5.0, M5.1, M5.2, at(minutes))
    }

    #[test]
    fn pauses_double_while_it_fails_again_and_end_at_an_hour() {
        let unavailable = Unavailable::default();
        let mut now = 0;
        for minutes in [3, 6, 12, 24, 48, 60, 60] {
            mark(&unavailable, now);
            assert_eq!(until(&unavailable, now), Some(at(now + minutes)));
            assert_eq!(until(&unavailable, now + minutes), None, "it may be asked for again");
            now += minutes + 1;
        }
    }

    #[test]
    fn failures_of_requests_that_were_under_way_count_once() {
        let unavailable = Unavailable::default();
        mark(&unavailable, 0);
        mark(&unavailable, 1);
        mark(&unavailable, 2);
        assert_eq!(until(&unavailable, 2), Some(at(3)));
        mark(&unavailable, 3);
        assert_eq!(until(&unavailable, 3), Some(at(9)));
    }

    #[test]
    fn what_works_again_or_failed_long_ago_begins_anew() {
        let unavailable = Unavailable::default();
        mark(&unavailable, 0);
        mark(&unavailable, 4);
        unavailable.clear(&Scope::offering(M5.0, M5.1, M5.2));
        mark(&unavailable, 5);
        assert_eq!(until(&unavailable, 5), Some(at(8)));
        mark(&unavailable, 8 + 61);
        assert_eq!(until(&unavailable, 69), Some(at(72)));
    }

    #[test]
    fn a_capacity_type_that_cannot_be_had_takes_its_offerings_along_and_no_others() {
        let unavailable = Unavailable::default();
        unavailable.mark(Scope::CapacityType(CapacityType::Spot), "no service-linked role", at(0));
        assert!(until(&unavailable, 0).is_some());
        assert_eq!(unavailable.until(CapacityType::OnDemand, M5.1, M5.2, at(0)), None);
        assert!(!unavailable.is_full("subnet-1", at(0)));
        unavailable.mark(Scope::Subnet("subnet-1".into()), "no free address", at(0));
        assert!(unavailable.is_full("subnet-1", at(2)) && !unavailable.is_full("subnet-1", at(3)));
    }

    #[test]
    fn a_reservation_that_is_left_alone_takes_nothing_else_along() {
        let unavailable = Unavailable::default();
        let option = |reservation: Option<&str>| LaunchOption {
            instance_type: M5.1.into(),
            zone: M5.2.into(),
            capacity_type: reservation.map_or(CapacityType::OnDemand, |_| CapacityType::Reserved),
            reservation: reservation.map(Into::into),
            price: crate::autoscaler::state::instance_types::Price(1),
        };
        unavailable.mark(Scope::Reservation("cr-1".into()), "full", at(0));
        assert_eq!(unavailable.until_for(&option(Some("cr-1")), at(0)), Some(at(3)));
        assert_eq!(unavailable.until_for(&option(Some("cr-2")), at(0)), None);
        assert_eq!(unavailable.until_for(&option(None), at(0)), None);
        unavailable.mark(Scope::Reservation("cr-1".into()), "full", at(3));
        assert_eq!(unavailable.until_for(&option(Some("cr-1")), at(3)), Some(at(9)), "the second pause is longer");
    }

    #[test]
    fn the_sequence_moves_with_every_change_also_with_time_alone() {
        let unavailable = Unavailable::default();
        let start = unavailable.sequence(at(0));
        mark(&unavailable, 0);
        let marked = unavailable.sequence(at(0));
        assert!(marked > start);
        assert_eq!(unavailable.sequence(at(2)), marked, "nothing has changed");
        let over = unavailable.sequence(at(3));
        assert!(over > marked, "the pause is over");
        mark(&unavailable, 100);
        let again = unavailable.sequence(at(100));
        assert!(again > over);
        unavailable.clear(&Scope::offering(M5.0, M5.1, M5.2));
        assert!(unavailable.sequence(at(100)) > again);
    }
}
