//! How often to ask: polling that ends within about five per cent of the true duration, and pauses
//! between tries that grow.

use std::time::{Duration, Instant};

/// Pauses between looks at something that takes time.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
}

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(15);
const SHARE: u32 = 25;

impl Pace {
    /// A wait that begins now.
    pub fn start() -> Self {
        Self { since: Instant::now() }
    }

    /// How long the wait has lasted.
    pub fn lasted(&self) -> Duration {
        self.since.elapsed()
    }

    /// How long to pause before the next look: a twenty-fifth of the wait so far.
    pub fn pause(&self) -> Duration {
        pause_after(self.lasted())
    }
}

fn pause_after(lasted: Duration) -> Duration {
    (lasted / SHARE).clamp(SHORTEST, LONGEST)
}

/// The pause before try number `attempt` (from 1) of a call that failed in a way that passes.
///
/// `spread` in 0..1 keeps many operations from asking again at the same moment.
pub fn back_off(attempt: u32, spread: f64) -> Duration {
    let base = 100 * 2_u64.pow(attempt.saturating_sub(1).min(6));
    Duration::from_millis(base).mul_f64(0.5 + spread.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moment of the first look at or after `duration`.
    fn noticed_after(duration: Duration) -> Duration {
        let mut now = Duration::ZERO;
        while now < duration {
            now += pause_after(now);
        }
        now
    }

    #[test]
    fn the_end_of_a_wait_is_noticed_within_five_per_cent() {
        for seconds in [5, 20, 60, 300] {
            let duration = Duration::from_secs(seconds);
            assert!(noticed_after(duration) <= duration.mul_f64(1.05), "{seconds} s");
        }
    }

    #[test]
    fn pauses_between_tries_grow_and_stay_below_ten_seconds() {
        assert!(back_off(1, 0.5) < back_off(3, 0.5));
        assert!(back_off(1_000, 1.0) < Duration::from_secs(10));
    }
}
