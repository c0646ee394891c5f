//! How long an object may take to become ready: what its manifest says about that.

use std::time::Duration;

use jiff::SignedDuration;

/// The annotation by which an object asks for more patience than is usual, or for less: `30m`.
pub const READY_WITHIN: &str = "eksup.dev/ready-within";

/// `90s`, `10m` or `1h` as a time.
pub fn patience_in(text: &str) -> Option<Duration> {
    let time: SignedDuration = text.trim().parse().ok()?;
    Duration::try_from(time).ok().filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        let seconds = |text: &str| patience_in(text).map(|time| time.as_secs());
        assert_eq!([seconds("90s"), seconds("10m"), seconds("1h30m")], [Some(90), Some(600), Some(5400)]);
        assert_eq!([seconds(""), seconds("soon"), seconds("-5m"), seconds("0s"), seconds("10")], [None; 5]);
    }
}
