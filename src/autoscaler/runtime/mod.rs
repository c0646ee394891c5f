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
//! | `writes` | changes of objects, conditions, finalizers |
//! | `events` | what is said about objects |
//! | `metrics`, `series` | what is counted, under Karpenter's names |
//! | `server` | metrics, health and readiness over HTTP |
//! | `logging` | log lines as JSON |

pub mod context;
pub mod events;
pub mod metrics;
mod series;
pub mod settings;
pub mod shared;
pub mod writes;

pub use context::{Context, ServerVersion};
pub use events::Events;
pub use metrics::Metrics;
pub use settings::{Flags, Settings};
pub use shared::{Changes, Shared};
