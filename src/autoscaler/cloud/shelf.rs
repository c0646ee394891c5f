//! Answers that are kept for a while. Who asks while a question is under way waits for its answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most answers of a kind that are kept.
const MOST: usize = 200;

type Place<V> = Arc<tokio::sync::Mutex<Option<(Instant, V)>>>;

/// Answers by question. Failures are not kept.
#[derive(Debug)]
pub struct Shelf<K, V> {
    places: Mutex<HashMap<K, Place<V>>>,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { places: Mutex::default() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shelf<K, V> {
    /// The answer to `question`, not older than `age`, or asked for with `ask`.
    ///
    /// # Errors
    /// Those of `ask`.
    pub async fn get<E, F>(&self, question: &K, age: Duration, ask: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let place = self.place(question);
        let mut place = place.lock().await;
        if let Some((since, answer)) = place.as_ref()
            && since.elapsed() < age
        {
            return Ok(answer.clone());
        }
        let answer = ask().await?;
        *place = Some((Instant::now(), answer.clone()));
        Ok(answer)
    }

    /// Forgets an answer.
    pub fn forget(&self, question: &K) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(question);
    }

    fn place(&self, question: &K) -> Place<V> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MOST && !places.contains_key(question) {
            // Whoever waits for one of these still has it.
            places.clear();
        }
        Arc::clone(places.entry(question.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn an_answer_is_shared_until_it_is_too_old_and_a_failure_is_not() {
        let shelf: Shelf<&str, usize> = Shelf::default();
        let asked = AtomicUsize::new(0);
        let ask = async || Ok::<_, ()>(asked.fetch_add(1, Ordering::Relaxed));
        let hour = Duration::from_secs(3600);
        let both = tokio::join!(shelf.get(&"a", hour, ask), shelf.get(&"a", hour, ask));
        assert_eq!(both, (Ok(0), Ok(0)));
        assert_eq!(shelf.get(&"a", Duration::ZERO, ask).await, Ok(1));
        assert_eq!(shelf.get(&"b", hour, async || Err(())).await, Err(()));
        assert_eq!(shelf.get(&"b", hour, ask).await, Ok(2));
        shelf.forget(&"a");
        assert_eq!(shelf.get(&"a", hour, ask).await, Ok(3));
    }
}
