//! Waits inside one operation, for what AWS does one after another and not at once.

use std::time::{Duration, Instant};

use super::error::{Class, CloudError};

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(15);
const SHARE: u32 = 25;
/// How long the questions themselves may fail in a row.
const PATIENCE: Duration = Duration::from_secs(300);

/// Asks `look` until it has an answer, pausing a twenty-fifth of the wait so far, so that the end is
/// noticed within about five per cent of the true duration.
///
/// # Errors
/// What `look` fails with, unless it passes within five minutes.
pub async fn settled<T, F>(mut look: impl FnMut() -> F) -> Result<T, CloudError>
where
    F: Future<Output = Result<Option<T>, CloudError>>,
{
    let since = Instant::now();
    let mut failing_since: Option<Instant> = None;
    loop {
        match look().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => failing_since = None,
            Err(error) => {
                let began = *failing_since.get_or_insert_with(Instant::now);
                if !may_pass(error.class) || began.elapsed() > PATIENCE {
                    return Err(error);
                }
            }
        }
        tokio::time::sleep(pause_after(since.elapsed())).await;
    }
}

fn pause_after(lasted: Duration) -> Duration {
    (lasted / SHARE).clamp(SHORTEST, LONGEST)
}

fn may_pass(class: Class) -> bool {
    matches!(class, Class::Throttled | Class::Unanswered | Class::NotYet | Class::Busy)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn error(class: Class) -> CloudError {
        CloudError {
            action: "eks:DescribeUpdate".into(),
            code: Some("X".into()),
            message: String::new(),
            class,
            advice: None,
        }
    }

    #[tokio::test]
    async fn a_question_that_fails_for_a_moment_is_asked_again() {
        let asked = AtomicUsize::new(0);
        let answer = settled(|| async {
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Err(error(Class::Throttled)),
                1 => Ok(None),
                times => Ok(Some(times)),
            }
        });
        assert_eq!(answer.await.ok(), Some(2));
    }

    #[tokio::test]
    async fn a_question_that_is_refused_is_not_asked_again() {
        let asked = AtomicUsize::new(0);
        let answer = settled(|| async {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<Option<()>, _>(error(Class::Denied))
        });
        assert!(answer.await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
