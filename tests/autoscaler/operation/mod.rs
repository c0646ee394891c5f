//! How the autoscaler runs: health, leadership, what it cannot read, an API server that is away.
//!
//! | file | holds |
//! |---|---|
//! | `post` | a cluster without nodes, with and without the kinds |
//! | `footprint` | how much memory it takes, measured by hand |
//! | `health` | readiness, definitions that come later, metrics, an API server that is away |
//! | `leadership` | of two processes one acts |
//! | `quarantine` | objects that are not as their kind says |

mod footprint;
mod health;
mod leadership;
mod post;
mod quarantine;
