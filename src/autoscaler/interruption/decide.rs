//! What is done about a notice, and when the node of a warned claim begins to drain.

use jiff::{SignedDuration, Timestamp};

use super::message::{Kind, State};

/// Spot instances go so long after their warning.
pub const WARNING: SignedDuration = SignedDuration::from_secs(120);
/// Kept free between the end of the last pod's grace period and the end of the instance.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// What is done about the claim of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing but an event.
    Tell,
    /// The claim is deleted.
    Delete,
    /// The replacement is ordered first; the claim is deleted when it is ready, or when time presses.
    Replace,
    /// The instance is gone: the claim is deleted, and nothing has to be ended.
    Bury,
}

/// The reaction to a notice, and the reason and words of its event.
pub fn react(kind: &Kind) -> (Reaction, &'static str, String) {
    match kind {
        Kind::SpotInterruption => (
            Reaction::Replace,
            "SpotInterrupted",
            "EC2 takes the spot instance back in two minutes; a replacement is ordered".to_owned(),
        ),
        Kind::ReservationInterruption => (
            Reaction::Replace,
            "SpotInterrupted",
            "EC2 takes the reserved capacity of the instance back in two minutes; a replacement is ordered".to_owned(),
        ),
        Kind::Rebalance => (
            Reaction::Tell,
            "SpotRebalanceRecommendation",
            "EC2 says that the spot instance is likelier than before to be taken back".to_owned(),
        ),
        Kind::StateChange(State::Stopping | State::Stopped) => {
            (Reaction::Delete, "InstanceStopping", "the instance is being stopped".to_owned())
        }
        Kind::StateChange(State::ShuttingDown) => {
            (Reaction::Delete, "InstanceTerminating", "the instance is being terminated".to_owned())
        }
        Kind::StateChange(State::Terminated) => {
            (Reaction::Bury, "InstanceTerminating", "the instance has been terminated".to_owned())
        }
        Kind::Health(code) if code.is_empty() => {
            (Reaction::Delete, "InstanceUnhealthy", "AWS Health announces a change of the instance".to_owned())
        }
        Kind::Health(code) => {
            (Reaction::Delete, "InstanceUnhealthy", format!("AWS Health announces {code} for the instance"))
        }
    }
}

/// How the replacement of a warned claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// None is needed: nothing has to move, or there is room elsewhere.
    Needless,
    /// It has not been ordered yet, or it is on its way.
    Awaited,
    /// It is ready.
    Ready,
}

/// When the node of a warned claim begins to drain. `gone` is when the instance is taken away, `grace` the longest
/// grace period of its pods in seconds.
pub fn drains_at(gone: Timestamp, grace: i64, replacement: Replacement, now: Timestamp) -> Timestamp {
    if replacement != Replacement::Awaited {
        return now;
    }
    let grace = SignedDuration::from_secs(grace.clamp(0, WARNING.as_secs()));
    gone.checked_sub(grace).and_then(|time| time.checked_sub(MARGIN)).unwrap_or(now).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    #[test]
    fn a_drain_waits_for_the_replacement_and_leaves_pods_their_grace_period() {
        let drains = |grace, replacement, now| drains_at(at(120), grace, replacement, at(now));
        assert_eq!(drains(30, Replacement::Awaited, 1), at(80));
        assert_eq!(drains(30, Replacement::Awaited, 90), at(90), "late, at once");
        assert_eq!(drains(30, Replacement::Ready, 20), at(20));
        assert_eq!(drains(30, Replacement::Needless, 1), at(1));
        assert_eq!(drains(100_000, Replacement::Awaited, 1), at(1), "a long grace period leaves no time to wait");
        assert_eq!(drains(i64::MIN, Replacement::Awaited, 1), at(110));
    }

    #[test]
    fn only_what_gives_notice_is_replaced_first_and_a_recommendation_changes_nothing() {
        assert_eq!(react(&Kind::SpotInterruption).0, Reaction::Replace);
        assert_eq!(react(&Kind::Rebalance).0, Reaction::Tell);
        assert_eq!(react(&Kind::StateChange(State::Stopping)).0, Reaction::Delete);
        assert_eq!(react(&Kind::StateChange(State::Terminated)).0, Reaction::Bury);
        assert_eq!(react(&Kind::Health("AWS_EC2_X".into())).2, "AWS Health announces AWS_EC2_X for the instance");
    }
}
