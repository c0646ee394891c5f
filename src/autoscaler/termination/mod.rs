//! How nodes go: drained, their volumes detached, their instances ended, their objects let go.
//!
//! | file | holds |
//! |---|---|
//! | `view` | everything that goes, read from the live state |
//! | `drain` | which pods are evicted, deleted, waited for or left alone, and why it is stuck |
//! | `turns` | whose turn it is: the largest pods go first |
//! | `attempts` | when a pod may be asked to go again |
//! | `steps` | what is next for one claim and its node |
//! | `controller` | takes all of them through their steps |
//! | `instances` | instances are ended together, and watched until they are gone |
//! | `writes`, `report` | what is written to Kubernetes, and what is said |

pub mod attempts;
mod controller;
pub mod drain;
pub mod instances;
mod report;
pub mod steps;
mod turns;
pub mod view;
pub mod writes;

pub use controller::run;
