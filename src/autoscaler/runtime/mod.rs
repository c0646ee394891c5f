//! `eksup autoscaler run`: one process that watches, and one of them that acts.
//!
//! | file | holds |
//! |---|---|
//! | `run` | a page of named steps, from settings to controllers |
//! | `settings` | what the environment and flags say |
//! | `context` | what every controller is given |
//! | `shared` | the state that the watches fill, and who is told of changes |
//! | `watches` | from the API server into the state |
//! | `leader` | who acts |
//! | `quarantine` | which objects are left out, and why |
//! | `explain` | why a node is still there |
//! | `pace` | requests within the rate that is asked for |
//! | `writes` | changes of objects, conditions, finalizers |
//! | `events` | what is said about objects |
//! | `metrics`, `series`, `gauges`, `goods` | what is counted, what can be read off the state, and what can be bought, under Karpenter's names |
//! | `pod_times` | how long pods take to a plan, to a node, to running |
//! | `memory` | what the process holds, and a word when that comes near its limit |
//! | `server` | metrics, health and readiness over HTTP |
//! | `logging` | log lines as JSON |

pub mod context;
pub mod events;
pub mod explain;
mod gauges;
mod goods;
mod leader;
pub mod logging;
mod memory;
pub mod metrics;
mod pace;
mod pod_times;
mod quarantine;
mod run;
mod series;
mod server;
pub mod settings;
pub mod shared;
pub mod watches;
pub mod writes;

pub use context::{Context, ServerVersion};
pub use events::Events;
pub use metrics::Metrics;
pub use run::run;
pub use settings::{Flags, Settings};
pub use shared::{Changes, Shared};
