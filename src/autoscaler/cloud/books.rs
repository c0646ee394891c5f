//! How many instances are left of capacity reservations: as EC2 said last, less what has been launched since.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::class::ResolvedClass;
use super::class::reservations::Reservation;
use super::ec2::Ec2;

/// Longer ago than this, a launch shows in what EC2 says of its reservation whenever it is read.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// A launch that what was read may not know of.
#[derive(Clone, Debug)]
struct Launch {
    reservation: String,
    claim: String,
    at: Instant,
}

#[derive(Debug, Default)]
struct Book {
    /// How many instances were left, and when EC2 was asked.
    read: HashMap<String, (i64, Instant)>,
    launches: Vec<Launch>,
    /// Whether some class selects reservations.
    is_open: bool,
}

/// What is left of reservations, by id.
#[derive(Debug, Default)]
pub struct Books(Mutex<Book>);

impl Books {
    /// A class selects reservations: from now on nodes that are not meant for one keep out of all of them.
    pub fn open(&self) {
        self.book().is_open = true;
    }

    /// Whether a class selects reservations.
    pub fn is_open(&self) -> bool {
        self.book().is_open
    }

    /// Takes over what EC2 said when it was asked at `asked`.
    pub fn read(&self, left: impl Iterator<Item = (String, i64)>, asked: Instant) {
        let mut book = self.book();
        book.read.extend(left.map(|(id, left)| (id, (left, asked))));
        book.launches.retain(|launch| launch.at.elapsed() < FORGOTTEN);
    }

    /// Counts an instance that was launched for a claim.
    pub fn launched(&self, reservation: &str, claim: &str) {
        let launch = Launch { reservation: reservation.to_owned(), claim: claim.to_owned(), at: Instant::now() };
        self.book().launches.push(launch);
    }

    /// How many instances are left beside those for the claims of `open`, which are pinned to it and have none yet.
    /// One that EC2 may or may not have counted itself is deducted: too few are better than too many.
    pub fn left(&self, reservation: &str, open: &BTreeSet<String>) -> i64 {
        let book = self.book();
        let Some((left, asked)) = book.read.get(reservation) else { return 0 };
        let later = book.launches.iter().filter(|launch| launch.reservation == reservation && launch.at >= *asked);
        let others = later.filter(|launch| !open.contains(&launch.claim)).count();
        (left - i64::try_from(others + open.len()).unwrap_or(i64::MAX)).max(0)
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ec2 {
    /// How many instances are left of a reservation beside those for the claims of `open`.
    pub fn left(&self, reservation: &str, open: &BTreeSet<String>) -> i64 {
        self.books.left(reservation, open)
    }

    /// How many nodes of a class may be launched into one of its reservations now, beside those for the claims of
    /// `open`, which are pinned to it and have no instance yet.
    pub fn left_of(&self, class: &ResolvedClass, reservation: &Reservation, open: &BTreeSet<String>) -> i64 {
        let now = Timestamp::now();
        let mut subnets = class.subnets.iter().filter(|subnet| subnet.zone == reservation.zone);
        let may = reservation.is_used()
            && self.unavailable.until_reservation(&reservation.id, now).is_none()
            && subnets.any(|subnet| !self.unavailable.is_full(&subnet.id, now));
        if may { self.books.left(&reservation.id, open) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn launches_and_claims_that_are_to_be_launched_count_once_until_ec2_has_counted_them() {
        let books = Books::default();
        assert_eq!(books.left("cr-1", &claims(&[])), 0, "nothing is known of it");
        let asked = Instant::now();
        books.read([("cr-1".to_owned(), 3), ("cr-2".to_owned(), 9)].into_iter(), asked);
        assert_eq!(books.left("cr-1", &claims(&["a", "b"])), 1);
        books.launched("cr-1", "a");
        assert_eq!(books.left("cr-1", &claims(&["a", "b"])), 1, "its claim does not say so yet");
        assert_eq!(books.left("cr-1", &claims(&["b"])), 1);
        assert_eq!(books.left("cr-1", &claims(&["b", "c", "d", "e"])), 0, "never less than nothing");
        std::thread::sleep(Duration::from_millis(1));
        books.read([("cr-1".to_owned(), 2)].into_iter(), Instant::now());
        assert_eq!((books.left("cr-1", &claims(&["b"])), books.left("cr-2", &claims(&[]))), (1, 9));
    }

    #[test]
    fn a_launch_while_ec2_was_being_asked_is_deducted() {
        let books = Books::default();
        let asked = Instant::now();
        books.launched("cr-1", "a");
        books.read([("cr-1".to_owned(), 2)].into_iter(), asked);
        assert_eq!(books.left("cr-1", &claims(&[])), 1);
    }
}
