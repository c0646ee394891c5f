//! Who acts: a Lease that one process holds. It is renewed on a thread of its own, so that it is not lost while
//! decisions take up the processors.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Config};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Others may take the Lease when it was not renewed for so long.
const LEASE_SECONDS: i32 = 15;
/// Who could not renew it for so long stops acting.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(3);

/// Which Lease, and who asks for it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The Lease's name.
    pub name: String,
    /// The Lease's namespace.
    pub namespace: String,
    /// A name that no other process has.
    pub identity: String,
}

/// A running election.
pub struct Election {
    leads: watch::Receiver<bool>,
    withdraw: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl Election {
    /// Takes part from now on.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(config: Config, candidate: Candidate) -> std::io::Result<Self> {
        let (sender, leads) = watch::channel(false);
        let withdraw = CancellationToken::new();
        let (done, ended) = oneshot::channel();
        let until = withdraw.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            runtime.block_on(async {
                match Client::try_from(config) {
                    Ok(client) => take_part(&client, &candidate, &sender, &until).await,
                    Err(error) => tracing::error!(%error, "no client for the Lease"),
                }
            });
            let _ = done.send(());
        })?;
        Ok(Self { leads, withdraw, ended })
    }

    /// Whether this process leads, and changes of it.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }

    /// Gives the Lease back, so that another one need not wait for its end. To be called when nothing acts any more.
    pub async fn withdraw(self) {
        self.withdraw.cancel();
        let _ = tokio::time::timeout(ATTEMPT * 2, self.ended).await;
    }
}

async fn take_part(client: &Client, me: &Candidate, leads: &watch::Sender<bool>, until: &CancellationToken) {
    let leases = Api::<Lease>::namespaced(client.clone(), &me.namespace);
    let mut rival = Rival::default();
    let mut renewed: Option<Instant> = None;
    while !until.is_cancelled() {
        let began = Instant::now();
        let patience = renewed.map_or(ATTEMPT, |at| RENEW_DEADLINE.saturating_sub(at.elapsed()).min(ATTEMPT));
        let outcome = tokio::time::timeout(patience, attempt(&leases, me, &mut rival)).await;
        match &outcome {
            Ok(Ok(true)) => renewed = Some(began),
            Ok(Ok(false)) => renewed = None,
            Ok(Err(error)) => tracing::debug!(%error, "the Lease cannot be had or renewed now"),
            Err(_) => tracing::debug!("no answer about the Lease"),
        }
        if renewed.is_some_and(|at| at.elapsed() >= RENEW_DEADLINE) {
            renewed = None;
        }
        let now = renewed.is_some();
        if leads.send_if_modified(|before| std::mem::replace(before, now) != now) {
            tracing::info!(identity = me.identity, leads = now, "leadership has changed");
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = until.cancelled() => {}
        }
    }
    if renewed.is_some() {
        match tokio::time::timeout(ATTEMPT, release(&leases, me)).await {
            Ok(Ok(())) => tracing::info!("the Lease is given back"),
            _ => tracing::warn!("the Lease could not be given back; it ends by itself"),
        }
    }
    leads.send_replace(false);
}

/// The version of a Lease that somebody else holds, and since when it stands by this process's own clock: the
/// clocks of others are not believed.
#[derive(Default)]
struct Rival {
    version: Option<String>,
    since: Option<Instant>,
}

impl Rival {
    fn is_silent(&mut self, version: Option<&String>, patience: Duration) -> bool {
        if self.version.as_ref() != version || self.since.is_none() {
            self.version = version.cloned();
            self.since = Some(Instant::now());
        }
        self.since.is_some_and(|since| since.elapsed() >= patience)
    }
}

/// Takes or renews the Lease if that is allowed; whether it is held now.
async fn attempt(leases: &Api<Lease>, me: &Candidate, rival: &mut Rival) -> kube::Result<bool> {
    let now = Timestamp::now();
    let Some(lease) = leases.get_opt(&me.name).await? else {
        let lease = Lease { metadata: metadata(me), spec: Some(held(me, None, now)) };
        return settled(leases.create(&PostParams::default(), &lease).await);
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    if holder != me.identity && !holder.is_empty() {
        let seconds = spec.lease_duration_seconds.unwrap_or(LEASE_SECONDS);
        let patience = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        if !rival.is_silent(lease.metadata.resource_version.as_ref(), patience) {
            return Ok(false);
        }
    }
    // With the version that was read: of two who try, one succeeds.
    let lease = Lease { spec: Some(held(me, Some(&spec), now)), ..lease };
    settled(leases.replace(&me.name, &PostParams::default(), &lease).await)
}

fn settled(answer: kube::Result<Lease>) -> kube::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if super::writes::is_conflict(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn metadata(me: &Candidate) -> ObjectMeta {
    ObjectMeta { name: Some(me.name.clone()), namespace: Some(me.namespace.clone()), ..ObjectMeta::default() }
}

fn held(me: &Candidate, before: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
    let mine = before.is_some_and(|before| before.holder_identity.as_deref() == Some(&*me.identity));
    let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(me.identity.clone()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        acquire_time: before.filter(|_| mine).and_then(|before| before.acquire_time.clone()).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if mine || before.is_none() { transitions } else { transitions + 1 }),
        ..LeaseSpec::default()
    }
}

async fn release(leases: &Api<Lease>, me: &Candidate) -> kube::Result<()> {
    let Some(lease) = leases.get_opt(&me.name).await? else { return Ok(()) };
    let spec = lease.spec.clone().unwrap_or_default();
    if spec.holder_identity.as_deref() != Some(&*me.identity) {
        return Ok(());
    }
    let spec = LeaseSpec { holder_identity: Some(String::new()), lease_duration_seconds: Some(1), ..spec };
    let lease = Lease { spec: Some(spec), ..lease };
    leases.replace(&me.name, &PostParams::default(), &lease).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rival_is_silent_only_when_its_lease_stood_still_while_we_looked() {
        let mut rival = Rival::default();
        let (one, two) = ("1".to_owned(), "2".to_owned());
        assert!(!rival.is_silent(Some(&one), Duration::from_secs(60)));
        assert!(rival.is_silent(Some(&one), Duration::ZERO));
        assert!(!rival.is_silent(Some(&two), Duration::from_secs(60)), "it was renewed");
    }

    #[test]
    fn taking_over_counts_and_renewing_does_not() {
        let me = Candidate { name: "lease".into(), namespace: "default".into(), identity: "a".into() };
        let first = held(&me, None, Timestamp::UNIX_EPOCH);
        let again = held(&me, Some(&first), Timestamp::now());
        assert_eq!((again.lease_transitions, &again.acquire_time), (Some(0), &first.acquire_time));
        let other = Candidate { identity: "b".into(), ..me };
        assert_eq!(held(&other, Some(&again), Timestamp::now()).lease_transitions, Some(1));
    }
}
