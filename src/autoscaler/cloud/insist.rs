//! Calls that change something, made again when that is safe: whoever uses this knows that a second time changes
//! nothing more.

use std::time::Duration;

use crate::aws::{Class, CloudError, back_off};

/// How often a call is made.
const TRIES: u32 = 9;
/// How often it is made where something new is not believed yet: EC2 learns of a profile within ten seconds or so.
const TRIES_NOT_YET: u32 = 7;

/// The answer to `send`, sent again with growing pauses while it is throttled, unanswered or not believed yet.
///
/// # Errors
/// The last failure.
pub async fn insist<T, F>(mut send: impl FnMut() -> F) -> Result<T, CloudError>
where
    F: Future<Output = Result<T, CloudError>>,
{
    let mut attempt = 1;
    loop {
        let most = |error: &CloudError| match error.class {
            Class::Throttled | Class::Unanswered => TRIES,
            Class::NotYet => TRIES_NOT_YET,
            _ => 0,
        };
        match send().await {
            Err(error) if attempt < most(&error) => tokio::time::sleep(pause(attempt)).await,
            other => return other,
        }
        attempt += 1;
    }
}

/// Pauses that grow, and differ between calls of the same moment.
pub fn pause(attempt: u32) -> Duration {
    let nanoseconds = jiff::Timestamp::now().subsec_nanosecond();
    back_off(attempt, f64::from(nanoseconds % 1_000) / 1_000.0)
}
