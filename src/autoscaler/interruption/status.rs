//! What the statuses of instances mean: impaired for long, or with an event on the calendar.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// An instance that is impaired for so long is given up.
pub const IMPAIRED_FOR: SignedDuration = SignedDuration::from_secs(120);

/// Events that take an instance away or down.
const EVENTS: [&str; 5] =
    ["instance-reboot", "system-reboot", "system-maintenance", "instance-retirement", "instance-stop"];

/// The status of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The instance.
    pub instance: String,
    /// Whether its own check or that of its host says `impaired`.
    pub impaired: bool,
    /// Since when, if the cloud says so.
    pub impaired_since: Option<Timestamp>,
    /// The codes of events on its calendar that are not over.
    pub events: Vec<String>,
}

/// What is done about an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It goes by force, without waiting for its pods.
    Impaired(String),
    /// It goes as any other does; the event names the reason.
    Scheduled(String, String),
}

/// Since when each instance has been seen impaired.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<String, Timestamp>);

impl Seen {
    /// Judges what was just read of all instances.
    pub fn judge(&mut self, statuses: &[Status], now: Timestamp) -> Vec<Finding> {
        let before = std::mem::take(&mut self.0);
        let mut findings = Vec::new();
        for status in statuses {
            if status.impaired {
                let known = before.get(&status.instance).copied();
                let since = status.impaired_since.into_iter().chain(known).min().unwrap_or(now);
                self.0.insert(status.instance.clone(), since);
                if now.duration_since(since) >= IMPAIRED_FOR {
                    findings.push(Finding::Impaired(status.instance.clone()));
                    continue;
                }
            }
            let event = status.events.iter().find(|code| EVENTS.contains(&code.as_str()));
            findings.extend(event.map(|code| Finding::Scheduled(status.instance.clone(), code.clone())));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn status(impaired: bool, since: Option<i64>) -> Status {
        Status { instance: "i-1".into(), impaired, impaired_since: since.map(at), events: Vec::new() }
    }

    #[test]
    fn an_instance_is_given_up_after_two_minutes_without_a_break() {
        let mut seen = Seen::default();
        assert_eq!(seen.judge(&[status(true, None)], at(0)), []);
        assert_eq!(seen.judge(&[status(true, None)], at(119)), []);
        assert_eq!(seen.judge(&[status(true, None)], at(120)), [Finding::Impaired("i-1".into())]);
        assert_eq!(seen.judge(&[status(false, None)], at(130)), []);
        assert_eq!(seen.judge(&[status(true, None)], at(140)), [], "it had recovered");
    }

    #[test]
    fn the_clouds_own_word_on_since_when_counts() {
        assert_eq!(Seen::default().judge(&[status(true, Some(0))], at(500)), [Finding::Impaired("i-1".into())]);
    }

    #[test]
    fn events_that_take_it_down_count_and_others_do_not() {
        let with = |code: &str| Status { events: vec![code.into()], ..status(false, None) };
        let found = Seen::default().judge(&[with("instance-retirement"), with("instance-upgrade")], at(0));
        assert_eq!(found, [Finding::Scheduled("i-1".into(), "instance-retirement".into())]);
    }
}
