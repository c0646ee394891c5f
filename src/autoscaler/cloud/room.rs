//! Free addresses of subnets: as they were read, less what has been launched since.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::class::Subnet;

/// Longer ago than this, a launch shows in what EC2 says of the subnet whenever it is read.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// A launch that what was read does not know of.
#[derive(Clone, Debug)]
struct Taken {
    subnet: String,
    count: i64,
    at: Instant,
}

#[derive(Debug, Default)]
struct Book {
    read: HashMap<String, (i64, Instant)>,
    taken: Vec<Taken>,
}

/// Free addresses by subnet.
#[derive(Debug, Default)]
pub struct Room(Mutex<Book>);

impl Room {
    /// Takes over what EC2 says now.
    pub fn read(&self, subnets: &[Subnet]) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        book.read.extend(subnets.iter().map(|subnet| (subnet.id.clone(), (subnet.free_addresses, now))));
        book.taken.retain(|taken| taken.at.elapsed() < FORGOTTEN);
    }

    /// Addresses that are probably free.
    pub fn free(&self, subnet: &Subnet) -> i64 {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (free, since) = match book.read.get(&subnet.id) {
            Some((free, since)) => (*free, Some(*since)),
            None => (subnet.free_addresses, None),
        };
        let later = book.taken.iter().filter(|taken| taken.subnet == subnet.id);
        let later = later.filter(|taken| since.is_none_or(|since| taken.at >= since));
        free - later.map(|taken| taken.count).sum::<i64>()
    }

    /// Counts instances that are being launched, or have not been after all (a negative `count`).
    pub fn take(&self, subnet: &str, count: i64) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if count != 0 {
            book.taken.push(Taken { subnet: subnet.to_owned(), count, at: Instant::now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_count_until_ec2_has_counted_them_itself() {
        let room = Room::default();
        let mut subnet = Subnet { id: "subnet-1".into(), zone: "a".into(), zone_id: "az1".into(), free_addresses: 100 };
        room.take("subnet-1", 30);
        room.take("subnet-2", 50);
        assert_eq!(room.free(&subnet), 70);
        room.take("subnet-1", -10);
        assert_eq!(room.free(&subnet), 80);
        subnet.free_addresses = 79;
        std::thread::sleep(Duration::from_millis(1));
        room.read(std::slice::from_ref(&subnet));
        assert_eq!(room.free(&subnet), 79);
        room.take("subnet-1", 1);
        assert_eq!(room.free(&subnet), 78);
    }
}
