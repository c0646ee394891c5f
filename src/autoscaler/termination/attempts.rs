//! When each pod may be asked to go again: at once when its budget lets it, seldom while it does not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// After the first refusal, and at most.
const PAUSES: (SignedDuration, SignedDuration) = (SignedDuration::from_millis(100), SignedDuration::from_secs(10));
/// So long the watch has to tell that a pod that was sent away is going.
const HEARD_WITHIN: SignedDuration = SignedDuration::from_secs(5);

#[derive(Clone, Copy, Debug)]
struct Attempt {
    running: bool,
    next: Timestamp,
    pause: SignedDuration,
    doubtful: bool,
}

/// The attempts so far, by the UID of the pod.
#[derive(Clone, Debug, Default)]
pub struct Attempts(BTreeMap<String, Attempt>);

impl Attempts {
    /// Begins an attempt if its time has come; else says when that is, unless one is running.
    /// What was doubtful and is not any more is tried at once.
    pub fn begin(&mut self, uid: &str, doubtful: bool, now: Timestamp) -> Result<(), Option<Timestamp>> {
        let attempt =
            self.0.entry(uid.to_owned()).or_insert(Attempt { running: false, next: now, pause: PAUSES.0, doubtful });
        if attempt.running {
            return Err(None);
        }
        if attempt.doubtful && !doubtful {
            (attempt.next, attempt.pause) = (now, PAUSES.0);
        }
        attempt.doubtful = doubtful;
        if now < attempt.next {
            return Err(Some(attempt.next));
        }
        attempt.running = true;
        Ok(())
    }

    /// The pod was refused: later then.
    pub fn refused(&mut self, uid: &str, now: Timestamp) {
        if let Some(attempt) = self.0.get_mut(uid) {
            attempt.running = false;
            attempt.next = now.checked_add(attempt.pause).unwrap_or(now);
            attempt.pause = (attempt.pause * 2).min(PAUSES.1);
        }
    }

    /// The pod was sent away, or is gone: the watch will tell.
    pub fn accepted(&mut self, uid: &str, now: Timestamp) {
        if let Some(attempt) = self.0.get_mut(uid) {
            attempt.running = false;
            attempt.next = now.checked_add(HEARD_WITHIN).unwrap_or(now);
        }
    }

    /// Forgets all pods but these.
    pub fn keep(&mut self, pods: &BTreeSet<&str>) {
        self.0.retain(|uid, attempt| attempt.running || pods.contains(uid.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).expect("a time")
    }

    #[test]
    fn refusals_are_followed_by_longer_and_longer_pauses_up_to_ten_seconds() {
        let mut attempts = Attempts::default();
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(attempts.begin("a", false, at(now)), Ok(()));
            attempts.refused("a", at(now));
            let Err(Some(next)) = attempts.begin("a", false, at(now)) else { panic!("it is too early") };
            let pause = next.duration_since(at(now)).as_millis();
            pauses.push(pause);
            now += i64::try_from(pause).expect("a number");
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_pod_whose_budget_opens_is_tried_at_once() {
        let mut attempts = Attempts::default();
        for _ in 0..8 {
            let next = attempts.begin("a", true, at(0)).err().flatten().unwrap_or(at(0));
            attempts.begin("a", true, next).ok();
            attempts.refused("a", next);
        }
        assert!(attempts.begin("a", true, at(13_000)).is_err());
        assert_eq!(attempts.begin("a", false, at(13_000)), Ok(()));
    }

    #[test]
    fn one_attempt_runs_at_a_time_and_a_pod_sent_away_is_left_in_peace() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.begin("a", false, at(0)), Ok(()));
        assert_eq!(attempts.begin("a", false, at(0)), Err(None));
        attempts.accepted("a", at(0));
        assert_eq!(attempts.begin("a", false, at(1)), Err(Some(at(5000))));
        attempts.keep(&BTreeSet::new());
        assert_eq!(attempts.begin("a", false, at(1)), Ok(()), "forgotten");
    }
}
