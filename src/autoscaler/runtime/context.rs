//! What every controller is given.
//!
//! A controller is `pub async fn run(context: Context, stop: CancellationToken)`. It waits for changes with
//! [`Shared::changes`](super::Shared::changes) or for a timer, reads a snapshot under a short lock, decides, and
//! writes. It holds the lock across no await.

use super::events::Events;
use super::metrics::Metrics;
use super::settings::Settings;
use super::shared::Shared;
use crate::autoscaler::cloud::Ec2;
use crate::autoscaler::lifecycle::claims::Reserved;
use crate::autoscaler::lifecycle::launch::Launches;
use crate::autoscaler::lifecycle::market::Market;
use crate::autoscaler::state::live::Live;
use crate::autoscaler::steering::SharedPlan;
use crate::autoscaler::termination::instances::Instances;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::version::Info;
use std::sync::Arc;

/// The version of the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerVersion {
    /// 35 of 1.35.
    pub minor: u32,
}

impl ServerVersion {
    /// The version that a server behaves as: it can be told to be like an older one.
    pub fn of(server: &Info, otherwise: u32) -> Self {
        let read = |text: &str| text.trim_end_matches('+').parse().ok();
        let emulated = server.emulation_minor.as_deref().and_then(read);
        Self { minor: emulated.or_else(|| read(&server.minor)).unwrap_or(otherwise) }
    }

    /// Whether kube-scheduler keeps room for pods that are nominated by others.
    pub fn steers(self) -> bool {
        self.minor >= 35
    }
}

/// What every controller is given. Cloning it is cheap.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: kube::Client,
    /// What was asked for.
    pub settings: Arc<Settings>,
    /// What the watches have told.
    pub live: Shared<Live>,
    /// The cloud.
    pub cloud: Arc<Ec2>,
    /// Instances that go.
    pub instances: Instances,
    /// What is said about objects.
    pub events: Events,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The version of the API server.
    pub version: ServerVersion,
    /// Which pod is meant for which claim or node.
    pub plan: SharedPlan,
    /// What can be bought now.
    pub market: Market,
    /// Claims that this process makes or launches.
    pub launches: Launches,
    /// What claims that are being made take from the limits of their pools.
    pub reserved: Reserved,
}

impl Context {
    /// For a new time of leading: nothing that was planned before somebody else led is believed.
    pub fn anew(&self) -> Self {
        Self {
            instances: Default::default(),
            plan: Default::default(),
            launches: Default::default(),
            reserved: Default::default(),
            ..self.clone()
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_behaves_as_an_older_one_counts_as_that() {
        let server = |minor: &str, emulated: Option<&str>| Info {
            minor: minor.to_owned(),
            emulation_minor: emulated.map(str::to_owned),
            ..Info::default()
        };
        let minor = |server: Info| ServerVersion::of(&server, 31).minor;
        assert_eq!(minor(server("34+", None)), 34, "as EKS writes it");
        assert_eq!(minor(server("35", Some("34"))), 34);
        assert_eq!(minor(server("35", Some(""))), 35);
        assert_eq!(minor(server("", None)), 31, "what EKS says of the cluster");
    }
}
