//! Ending instances: asked for one by one, told to EC2 together, and watched together until they are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::steps::Instance;
use crate::autoscaler::cloud::{Ec2, InstanceState};
use crate::aws::CloudError;

/// Wishes of the same moment share a call.
const GATHER: Duration = Duration::from_millis(20);
/// The most instances in one call.
const MOST: usize = 500;
/// Between two looks at instances that end.
const LOOKS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// Between two attempts of a call that failed.
const ATTEMPTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// An instance that still runs so long after it was told to end is told again.
const OBEYS_WITHIN: Duration = Duration::from_secs(30);

/// What is known of the instances that go.
#[derive(Clone, Default)]
pub struct Instances {
    known: Arc<Mutex<Known>>,
    wish: Arc<Notify>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Known {
    states: BTreeMap<String, Instance>,
    to_end: BTreeSet<String>,
    to_look: BTreeSet<String>,
    refused: BTreeMap<String, String>,
    told: BTreeMap<String, Instant>,
}

impl Instances {
    /// What is known of an instance.
    pub fn state(&self, id: &str) -> Instance {
        self.lock().states.get(id).copied().unwrap_or_default()
    }

    /// Why EC2 does not end an instance, if it does not.
    pub fn refusal(&self, id: &str) -> Option<String> {
        self.lock().refused.get(id).cloned()
    }

    /// Wishes an instance to end.
    pub fn end(&self, id: &str) {
        self.lock().to_end.insert(id.to_owned());
        self.wish.notify_one();
    }

    /// Wishes to know whether an instance is there.
    pub fn look(&self, id: &str) {
        self.lock().to_look.insert(id.to_owned());
        self.wish.notify_one();
    }

    /// Somebody has heard that an instance is gone.
    pub fn gone(&self, id: &str) {
        self.lock().states.insert(id.to_owned(), Instance::Gone);
        self.changed();
    }

    /// Forgets an instance of which nothing is left.
    pub fn forget(&self, id: &str) {
        let mut known = self.lock();
        known.states.remove(id);
        known.to_end.remove(id);
        known.to_look.remove(id);
        known.refused.remove(id);
        known.told.remove(id);
    }

    /// Moves whenever something was learnt.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Grants wishes until `stop`.
    pub async fn run(&self, ec2: &Ec2, stop: CancellationToken) {
        let (mut look_pause, mut attempt_pause) = (LOOKS.0, ATTEMPTS.0);
        let (mut next_look, mut next_attempt) = (Instant::now(), Instant::now());
        loop {
            let (ending, waiting) = {
                let known = self.lock();
                let ending = known.states.values().any(|state| *state == Instance::Ending);
                (ending, !known.to_end.is_empty() || !known.to_look.is_empty())
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wish.notified() => {
                    tokio::time::sleep(GATHER).await;
                    // What was just wished is not held back by what failed earlier.
                    next_attempt = Instant::now();
                    look_pause = LOOKS.0;
                    next_look = next_attempt + look_pause;
                }
                () = sleep_until(next_attempt), if waiting => {}
                () = sleep_until(next_look), if ending => {}
            }
            if Instant::now() >= next_attempt {
                attempt_pause = if self.grant(ec2).await { ATTEMPTS.0 } else { (attempt_pause * 2).min(ATTEMPTS.1) };
                next_attempt = Instant::now() + attempt_pause;
            }
            if Instant::now() >= next_look {
                self.watch_ending(ec2).await;
                look_pause = (look_pause * 3 / 2).min(LOOKS.1);
                next_look = Instant::now() + look_pause;
            }
        }
    }

    /// Grants what is wished; whether all of it was.
    async fn grant(&self, ec2: &Ec2) -> bool {
        let (to_end, to_look) = {
            let mut known = self.lock();
            (std::mem::take(&mut known.to_end), std::mem::take(&mut known.to_look))
        };
        let to_end: Vec<String> = to_end.into_iter().collect();
        let mut granted = true;
        for batch in to_end.chunks(MOST) {
            granted &= self.end_batch(ec2, batch).await;
        }
        granted & self.ask(ec2, to_look).await
    }

    async fn end_batch(&self, ec2: &Ec2, batch: &[String]) -> bool {
        match ec2.terminate(batch).await {
            Ok(()) => {
                self.told(batch);
                true
            }
            // One that EC2 does not end keeps the others from ending: each for itself then.
            Err(error) if batch.len() > 1 && !error.class.may_pass() => {
                for id in batch {
                    let one = std::slice::from_ref(id);
                    match ec2.terminate(one).await {
                        Ok(()) => self.told(one),
                        Err(error) => self.failed(one, &error),
                    }
                }
                self.lock().refused.is_empty()
            }
            Err(error) => {
                self.failed(batch, &error);
                false
            }
        }
    }

    fn told(&self, batch: &[String]) {
        let mut known = self.lock();
        for id in batch {
            known.refused.remove(id);
            known.told.insert(id.clone(), Instant::now());
            known.states.entry(id.clone()).and_modify(|state| *state = ended(*state)).or_insert(Instance::Ending);
        }
        drop(known);
        self.changed();
    }

    fn failed(&self, batch: &[String], error: &CloudError) {
        tracing::warn!(instances = batch.len(), "instances are not ended: {error}");
        let mut known = self.lock();
        for id in batch {
            known.to_end.insert(id.clone());
            known.refused.insert(id.clone(), error.to_string());
        }
        drop(known);
        self.changed();
    }

    async fn watch_ending(&self, ec2: &Ec2) {
        let ending: BTreeSet<String> = {
            let known = self.lock();
            known.states.iter().filter(|(_, state)| **state == Instance::Ending).map(|(id, _)| id.clone()).collect()
        };
        self.ask(ec2, ending).await;
    }

    /// Asks for instances, with few calls; whether all was answered.
    async fn ask(&self, ec2: &Ec2, ids: BTreeSet<String>) -> bool {
        let answers = join_all(ids.into_iter().map(|id| async move {
            let answer = ec2.instance(&id).await;
            (id, answer)
        }));
        let (mut answered, mut changed) = (true, false);
        for (id, answer) in answers.await {
            let mut known = self.lock();
            match answer {
                Ok(None) => changed |= known.learn(id, Instance::Gone),
                Ok(Some(found)) => changed |= known.learn(id, state_of(found.state)),
                Err(error) => {
                    tracing::warn!(instance = id, "it is not known whether the instance is gone: {error}");
                    if known.states.get(&id).is_none_or(|state| *state != Instance::Ending) {
                        known.to_look.insert(id);
                    }
                    answered = false;
                }
            }
        }
        if changed {
            self.changed();
        }
        answered
    }
}

impl Known {
    /// Takes up what EC2 says; whether that is news.
    fn learn(&mut self, id: String, state: Instance) -> bool {
        let before = self.states.get(&id).copied().unwrap_or_default();
        let disobeys = self.told.get(&id).is_some_and(|told| told.elapsed() >= OBEYS_WITHIN);
        if state == Instance::There && before == Instance::Ending && disobeys {
            self.to_end.insert(id.clone());
        }
        let after = match (before, state) {
            (Instance::Gone, _) => Instance::Gone,
            // EC2 may show an instance as running for a moment after it was told to end.
            (Instance::Ending, Instance::There) => Instance::Ending,
            (_, state) => state,
        };
        self.states.insert(id, after);
        before != after
    }
}

fn ended(state: Instance) -> Instance {
    if state == Instance::Gone { Instance::Gone } else { Instance::Ending }
}

fn state_of(state: InstanceState) -> Instance {
    match state {
        InstanceState::Terminated => Instance::Gone,
        InstanceState::ShuttingDown => Instance::Ending,
        InstanceState::Pending | InstanceState::Running | InstanceState::Stopped => Instance::There,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_is_gone_stays_gone_and_one_that_ends_does_not_come_back() {
        let mut known = Known::default();
        assert!(known.learn("i-1".into(), Instance::There));
        assert!(known.learn("i-1".into(), Instance::Ending));
        assert!(!known.learn("i-1".into(), Instance::There));
        assert!(known.learn("i-1".into(), Instance::Gone));
        assert!(!known.learn("i-1".into(), Instance::Ending));
        assert_eq!(known.states["i-1"], Instance::Gone);
    }
}
