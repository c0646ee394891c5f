//! Questions of the same moment, asked together: the first one waits a moment for others, and asks for all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::aws::CloudError;

/// How long the first waits for others.
const WINDOW: Duration = Duration::from_millis(30);

type Answer<T> = Result<Option<T>, CloudError>;

/// Questions that wait, by key.
#[derive(Debug)]
pub struct Batch<T> {
    waiting: Mutex<Vec<(String, oneshot::Sender<Answer<T>>)>>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

impl<T: Clone + Send + 'static> Batch<T> {
    /// The answer to `key`; `ask` is called for everybody's keys by whoever came first. The question goes on when
    /// whoever asks goes away.
    ///
    /// # Errors
    /// Those of `ask`.
    pub async fn get<F>(self: &Arc<Self>, key: &str, ask: impl FnOnce(Vec<String>) -> F + Send + 'static) -> Answer<T>
    where
        F: Future<Output = Result<BTreeMap<String, T>, CloudError>> + Send,
    {
        let (sender, receiver) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((key.to_owned(), sender));
            waiting.len() == 1
        };
        if is_first {
            let batch = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(WINDOW).await;
                let all = std::mem::take(&mut *batch.waiting.lock().unwrap_or_else(PoisonError::into_inner));
                let mut keys: Vec<String> = all.iter().map(|(key, _)| key.clone()).collect();
                keys.sort_unstable();
                keys.dedup();
                let answers = ask(keys).await;
                for (key, sender) in all {
                    // Whoever does not listen any more needs no answer.
                    let _ = sender.send(answers.as_ref().map(|found| found.get(&key).cloned()).map_err(Clone::clone));
                }
            });
        }
        receiver.await.unwrap_or_else(|_| Err(CloudError::incomplete("batch", "answer")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_of_the_same_moment_share_a_call() {
        let batch: Arc<Batch<usize>> = Arc::default();
        let ask = |keys: Vec<String>| async move {
            let count = keys.len();
            Ok(keys.into_iter().filter(|key| key != "missing").map(|key| (key, count)).collect())
        };
        let answers =
            tokio::join!(batch.get("a", ask), batch.get("b", ask), batch.get("missing", ask), batch.get("a", ask));
        let answers = [answers.0, answers.1, answers.2, answers.3].map(|answer| answer.unwrap_or_default());
        assert_eq!(answers, [Some(3), Some(3), None, Some(3)]);
    }

    #[tokio::test]
    async fn a_failure_is_everybodys() {
        let batch: Arc<Batch<usize>> = Arc::default();
        let ask = |_: Vec<String>| async { Err(CloudError::refused("x", "no")) };
        let answers = tokio::join!(batch.get("a", ask), batch.get("b", ask));
        assert!(answers.0.is_err() && answers.1.is_err());
    }
}
