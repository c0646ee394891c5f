//! Waits inside one operation, for what AWS does one after another and not at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::{Class, CloudError};
use super::pace::Pace;

/// How long the questions themselves may fail in a row.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where an operation says what it waits for, and hears that it is to wait no longer.
#[derive(Clone)]
pub struct Waiting {
    say: Arc<dyn Fn(String) + Send + Sync>,
    stop: CancellationToken,
}

impl Waiting {
    /// Hands what is waited for to `say`, until `stop` is set.
    pub fn new(say: impl Fn(String) + Send + Sync + 'static, stop: CancellationToken) -> Self {
        Self { say: Arc::new(say), stop }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Waiting")
    }
}

/// What a look at something that takes time shows.
#[derive(Debug)]
pub enum Look<T> {
    /// It has ended so.
    Ended(T),
    /// It goes on: the text says what is waited for.
    GoesOn(String),
}

/// Asks `look` until it has an answer, at a pace at which the end is noticed within about five per cent
/// of the true duration.
///
/// # Errors
/// What `look` fails with, unless it passes within five minutes; the run is to stop.
pub async fn settled<T, F>(waiting: &Waiting, mut look: impl FnMut() -> F) -> Result<T, CloudError>
where
    F: Future<Output = Result<Look<T>, CloudError>>,
{
    let pace = Pace::start();
    let mut failing: Option<Pace> = None;
    loop {
        match look().await {
            Ok(Look::Ended(answer)) => return Ok(answer),
            Ok(Look::GoesOn(why)) => {
                failing = None;
                (waiting.say)(why);
            }
            Err(error) => {
                let lasted = failing.get_or_insert_with(Pace::start).lasted();
                if !error.class.may_pass() || lasted > PATIENCE {
                    return Err(error);
                }
                (waiting.say)(error.to_string());
            }
        }
        tokio::select! {
            () = waiting.stop.cancelled() => return Err(stopped()),
            () = tokio::time::sleep(pace.pause()) => {}
        }
    }
}

/// The end of a wait that the user ends: AWS goes on with what it does.
fn stopped() -> CloudError {
    let message = "stopped while AWS goes on with it".to_owned();
    CloudError { action: "wait".into(), code: None, message, class: Class::Stopped, advice: None }
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

    fn waiting() -> Waiting {
        Waiting::new(|_| {}, CancellationToken::new())
    }

    #[tokio::test]
    async fn a_question_that_fails_for_a_moment_is_asked_again() {
        let asked = AtomicUsize::new(0);
        let waiting = waiting();
        let answer = settled(&waiting, || async {
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Err(error(Class::Throttled)),
                1 => Ok(Look::GoesOn("status is UPDATING".to_owned())),
                times => Ok(Look::Ended(times)),
            }
        });
        assert_eq!(answer.await.ok(), Some(2));
    }

    #[tokio::test]
    async fn a_question_that_is_refused_is_not_asked_again() {
        let asked = AtomicUsize::new(0);
        let waiting = waiting();
        let answer = settled(&waiting, || async {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<Look<()>, _>(error(Class::Denied))
        });
        assert!(answer.await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_wait_says_what_it_waits_for_and_ends_when_the_run_is_to_stop() {
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        let (said, hears) = std::sync::mpsc::channel();
        let waiting = Waiting::new(
            move |why| {
                said.send(why).expect("somebody listens");
                stopper.cancel();
            },
            stop,
        );
        let answer = settled(&waiting, || async { Ok(Look::<()>::GoesOn("the update runs".to_owned())) }).await;
        assert_eq!(answer.map_err(|error| error.class), Err(Class::Stopped));
        assert_eq!(hears.iter().next().as_deref(), Some("the update runs"));
    }
}
