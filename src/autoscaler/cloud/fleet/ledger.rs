//! What this process has bought, and for whom: until the claim says so itself, nobody else knows.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::autoscaler::cloud::launch::Launched;

/// How long it is remembered. A claim that cannot be written for so long is gone.
const KEPT: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
struct Book {
    /// By uid of the claim.
    given: HashMap<String, (Launched, Instant)>,
    ids: HashSet<String>,
    /// Claims for which a call was made that nobody answered.
    doubtful: HashSet<String>,
}

/// Instances by claim, and claims that are in doubt.
#[derive(Debug)]
pub struct Ledger {
    book: Mutex<Book>,
    nonce: String,
    calls: AtomicU64,
}

impl Default for Ledger {
    fn default() -> Self {
        let started = jiff::Timestamp::now().as_nanosecond();
        let nonce = format!("{started:x}-{:x}", std::process::id());
        Self { book: Mutex::default(), nonce, calls: AtomicU64::new(0) }
    }
}

impl Ledger {
    /// A client token that no other call has.
    pub fn token(&self) -> String {
        format!("{}-{:x}", self.nonce, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down that a claim has an instance.
    pub fn give(&self, uid: &str, launched: &Launched) {
        let mut book = self.book();
        book.sweep();
        book.doubtful.remove(uid);
        book.ids.insert(launched.instance_id.clone());
        book.given.insert(uid.to_owned(), (launched.clone(), Instant::now()));
    }

    /// The instance that a claim was given.
    pub fn given(&self, uid: &str) -> Option<Launched> {
        self.book().given.get(uid).map(|(launched, _)| launched.clone())
    }

    /// Whether some claim was given this instance.
    pub fn has(&self, id: &str) -> bool {
        self.book().ids.contains(id)
    }

    /// Writes down that a claim may have an instance.
    pub fn doubt(&self, uid: &str) {
        self.book().doubtful.insert(uid.to_owned());
    }

    /// Whether a claim may have an instance.
    pub fn is_in_doubt(&self, uid: &str) -> bool {
        self.book().doubtful.contains(uid)
    }

    /// Forgets that a claim may have an instance: it was looked for.
    pub fn settle_doubt(&self, uid: &str) {
        self.book().doubtful.remove(uid);
    }

    /// Forgets instances that are being ended.
    pub fn strike(&self, ids: &[String]) {
        let mut book = self.book();
        book.given.retain(|_, (launched, _)| !ids.contains(&launched.instance_id));
        book.ids.retain(|id| !ids.contains(id));
    }
}

impl Book {
    fn sweep(&mut self) {
        let ids = &mut self.ids;
        self.given.retain(|_, (launched, since)| {
            let keep = since.elapsed() < KEPT;
            if !keep {
                ids.remove(&launched.instance_id);
            }
            keep
        });
    }
}
