//! The state that the watches fill, and who is told of changes.

use crate::autoscaler::state::live::{Kind, Live, Observed, Uid};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

type Counts = [u64; Kind::COUNT];

/// A state behind a lock, with a count of changes for each kind of object. Cloning it is cheap.
pub struct Shared<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    state: Mutex<T>,
    counts: watch::Sender<Counts>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Shared<T> {
    /// With a state to begin with.
    pub fn new(state: T) -> Self {
        Self { inner: Arc::new(Inner { state: Mutex::new(state), counts: watch::Sender::new([0; Kind::COUNT]) }) }
    }

    /// The state. Never hold it across an await.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that objects of a kind have changed.
    pub fn notify(&self, kind: Kind) {
        self.inner.counts.send_modify(|counts| counts[kind as usize] += 1);
    }

    /// Changes of these kinds from now on. The first [`Changes::next`] returns at once.
    pub fn changes(&self, kinds: &'static [Kind]) -> Changes {
        Changes { receiver: self.inner.counts.subscribe(), kinds, seen: None }
    }
}

impl Shared<Live> {
    /// Takes in an object that the API server has just answered with, so that what was written is known before
    /// the watch tells it. Pods and nodes are only ever changed here, not made: one that is not known has gone since.
    pub fn apply(&self, object: Observed) {
        let kind = object.kind();
        let mut live = self.lock();
        let gone = match &object {
            Observed::Pod(pod) => live.pod(Uid::of(&pod.metadata)).is_none(),
            Observed::Node(node) => live.node(node.metadata.name.as_deref().unwrap_or_default()).is_none(),
            _ => false,
        };
        let changed = !gone && live.apply(object, Timestamp::now());
        drop(live);
        if changed {
            self.notify(kind);
        }
    }
}

/// Changes of some kinds of objects.
pub struct Changes {
    receiver: watch::Receiver<Counts>,
    kinds: &'static [Kind],
    seen: Option<Counts>,
}

impl Changes {
    /// Waits until something has changed since the last call; returns at once the first time. Many changes are
    /// one.
    pub async fn next(&mut self) {
        let (kinds, seen) = (self.kinds, self.seen);
        let fresh =
            |counts: &Counts| seen.is_none_or(|seen| kinds.iter().any(|k| seen[*k as usize] != counts[*k as usize]));
        let now = self.receiver.wait_for(fresh).await.ok().map(|counts| *counts);
        match now {
            Some(now) => self.seen = Some(now),
            // Nobody can change anything any more.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn only_changes_of_the_kinds_that_were_named_wake() {
        let shared = Shared::<Live>::default();
        let mut changes = shared.changes(&[Kind::Pod, Kind::Claim]);
        changes.next().await;
        shared.notify(Kind::Node);
        let waited = tokio::time::timeout(Duration::from_millis(20), changes.next()).await;
        assert!(waited.is_err(), "a node is none of them");
        shared.notify(Kind::Claim);
        shared.notify(Kind::Pod);
        changes.next().await;
        let waited = tokio::time::timeout(Duration::from_millis(20), changes.next()).await;
        assert!(waited.is_err(), "both were one");
    }
}
