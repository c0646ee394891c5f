//! Observes, plans, applies, destroys, sweeps. Each of those is a page of named steps; what happens
//! is said as events, and nothing is printed here.

mod apply;
mod events;
mod execute;
mod failure;
mod foresight;
mod lock;
mod observe;
mod operate;
mod planning;
mod process;
mod progress;
mod rounds;
mod sweep;

use std::time::{SystemTime, UNIX_EPOCH};

pub use apply::apply;
pub use events::{Ending, Event, Events, OperationInfo, Timed, Verb};
pub use failure::Failure;
pub use lock::Holder;
pub use observe::{observe, surroundings, zones};
pub use planning::{plan, plan_destroy, still_holds};
pub use progress::{IllegalTransition, Progress, Stage};
pub use sweep::{Swept, sweep};

use crate::plan::Fingerprint;

/// A text that no other run has.
pub fn run_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let process = process::this();
    Fingerprint::short(&format!("{}/{}/{}/{}", now.as_nanos(), process.host, process.pid, process.started), 20)
}
