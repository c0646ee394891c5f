//! Requests to the API server within `KUBE_CLIENT_QPS` and `KUBE_CLIENT_BURST`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;

/// A client that sends at most so many requests a second, and so many at once after a pause.
pub fn within(plain: Client, per_second: u32, at_once: u32) -> Client {
    let namespace = plain.default_namespace().to_owned();
    let bucket = Arc::new(Bucket::new(per_second, at_once));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, bucket) = (plain.clone(), Arc::clone(&bucket));
        async move {
            let wait = bucket.take(Instant::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            client.send(request).await
        }
    });
    Client::new(service, namespace)
}

/// Tokens that come at a rate; whoever takes one too many waits for it.
struct Bucket {
    per_second: f64,
    most: f64,
    state: Mutex<Option<(f64, Instant)>>,
}

impl Bucket {
    fn new(per_second: u32, most: u32) -> Self {
        Self { per_second: f64::from(per_second.max(1)), most: f64::from(most.max(1)), state: Mutex::new(None) }
    }

    /// How long to wait.
    fn take(&self, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = state.unwrap_or((self.most, now));
        let come = now.saturating_duration_since(at).as_secs_f64() * self.per_second;
        let left = (tokens + come).min(self.most) - 1.0;
        *state = Some((left, now.max(at)));
        Duration::from_secs_f64((-left / self.per_second).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_through_and_the_rest_keeps_the_rate() {
        let (bucket, now) = (Bucket::new(10, 3), Instant::now());
        let waits: Vec<u128> = (0..5).map(|_| bucket.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        assert_eq!(bucket.take(now + Duration::from_secs(60)), Duration::ZERO);
    }
}
