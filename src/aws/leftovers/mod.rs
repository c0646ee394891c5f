//! What others hang on a stack: controllers in the cluster, EKS, GuardDuty, people. It is never
//! wanted, so it is only looked for when the stack is taken down.
//!
//! Each kind says by which tags, names or places it tells what is this stack's; nothing else is
//! touched. A new kind is one file with a [`Leftover`], and one row in
//! [`LEFTOVERS`](super::LEFTOVERS).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::CloudError;
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::tagging::Tagged;
use crate::plan::{Address, Describe, State, Tags};

pub mod autoscaled_instance;
pub mod autoscaled_instance_profile;
pub mod autoscaled_launch_template;
pub mod classic_load_balancer;
pub mod database_snapshot;
pub mod foreign_oidc_provider;
pub mod foreign_security_group;
pub mod guard_duty_endpoint;
pub mod late_log_group;
pub mod load_balancer;
pub mod snapshot;
pub mod stray_interface;
pub mod target_group;
mod territory;
pub mod volume;

pub use territory::Territory;

/// A kind of thing that others hang on a stack: looked for and taken away, never made.
pub trait Leftover: Describe + DeserializeOwned + Send + Sync + Sized + 'static {
    /// Everything of this kind that belongs to the stack.
    fn look_for(reads: &Reads) -> impl Future<Output = Result<Vec<Found<Self>>, CloudError>> + Send;

    /// Deletes it. What is gone already is a success.
    fn take_away(found: &Found<Self>, work: &Work) -> impl Future<Output = Result<(), CloudError>> + Send;

    /// What is still there of it, for kinds that take time to go.
    fn still_there(
        found: &Found<Self>,
        work: &Work,
    ) -> impl Future<Output = Result<Option<String>, CloudError>> + Send {
        let _ = (found, work);
        async { Ok(None) }
    }

    /// What keeps it from being deleted, in words.
    fn held_by(found: &Found<Self>, work: &Work) -> impl Future<Output = Result<Option<String>, CloudError>> + Send {
        let _ = (found, work);
        async { Ok(None) }
    }
}

/// The name by which the cloud knows a leftover.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Its id, its ARN, or its name where it has neither.
    pub id: String,
}

impl<L: Leftover> Kind for L {
    type Outputs = Identity;

    fn find(reads: &Reads) -> impl Future<Output = Result<Vec<Found<Self>>, CloudError>> + Send {
        L::look_for(reads)
    }

    async fn create(&self, _: &Work) -> Result<Made<Identity>, CloudError> {
        Err(never_made::<L>())
    }

    async fn update(&self, _: &Found<Self>, _: &Work) -> Result<Made<Identity>, CloudError> {
        Err(never_made::<L>())
    }

    fn delete(found: &Found<Self>, work: &Work) -> impl Future<Output = Result<(), CloudError>> + Send {
        L::take_away(found, work)
    }

    fn tagged(_: &Identity) -> Tagged {
        Tagged::Nothing
    }

    fn remains(found: &Found<Self>, work: &Work) -> impl Future<Output = Result<Option<String>, CloudError>> + Send {
        L::still_there(found, work)
    }

    fn blocker(found: &Found<Self>, work: &Work) -> impl Future<Output = Result<Option<String>, CloudError>> + Send {
        L::held_by(found, work)
    }
}

fn never_made<L: Leftover>() -> CloudError {
    CloudError::refused("make a leftover", format!("a {} is only ever taken away", L::FACTS.name))
}

/// A leftover that is called `name` in lists and `id` in calls.
fn found<L: Leftover>(name: &str, id: &str, body: L, tags: Tags, state: State) -> Found<L> {
    let address = Address::new(format!("leftovers/{}/{name}", L::FACTS.name));
    Found { address, body, outputs: Identity { id: id.to_owned() }, tags, state }
}
