//! When a budget applies: a cron schedule in UTC, and for how long each time.

use cronexpr::{Crontab, ParseOptions, parse_crontab_with};
use jiff::{SignedDuration, Timestamp};
use std::fmt;

/// Times at which a budget begins to apply, and for how long it does.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    cron: Crontab,
    duration: SignedDuration,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` for {}", self.text, self.duration)
    }
}

impl Schedule {
    /// Reads five cron fields or a macro such as `@daily`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the schedule.
    pub fn read(text: &str, duration: SignedDuration) -> Result<Self, String> {
        let fields = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = cronexpr::FallbackTimezoneOption::UTC;
        let cron = parse_crontab_with(fields, options).map_err(|error| format!("`{text}` is no schedule: {error}"))?;
        Ok(Self { text: text.to_owned(), cron, duration })
    }

    /// Whether the budget applies now: its last beginning is no longer ago than its duration.
    pub fn active(&self, now: Timestamp) -> bool {
        let Ok(from) = now.checked_sub(self.duration) else { return true };
        self.cron.find_next(from).is_ok_and(|next| next.timestamp() <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_budget_applies_from_its_beginning_for_its_duration() {
        let office = Schedule::read("0 9 * * mon-fri", SignedDuration::from_hours(8)).expect("a schedule");
        assert!(!office.active(at("2026-03-02T08:59:59Z")));
        assert!(office.active(at("2026-03-02T09:00:01Z")));
        assert!(office.active(at("2026-03-02T16:59:59Z")));
        assert!(!office.active(at("2026-03-02T17:00:01Z")));
        assert!(!office.active(at("2026-03-01T12:00:00Z")), "a Sunday");
    }

    #[test]
    fn macros_stand_for_their_fields() {
        let nights = Schedule::read("@daily", SignedDuration::from_mins(10)).expect("a schedule");
        assert!(nights.active(at("2026-03-02T00:05:00Z")));
        assert!(!nights.active(at("2026-03-02T00:10:01Z")));
        assert!(Schedule::read("every monday", SignedDuration::from_mins(1)).is_err());
    }
}
