//! The local cloud: what eksup is tried, demonstrated and tested on instead of AWS.
//!
//! [`Sandbox::start`] gives a test a cloud of its own on a free port of the loopback interface;
//! dropping it ends the cloud, and so does the end of the test's process, however it comes.
//! The cloud itself is a program in Python around moto (`cloud/`), which [`install`] provides with
//! its packages on first use; [`Weather`] says how it is to misbehave.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod call;
mod client;
mod cloud;
pub mod go;
pub mod install;
mod kubernetes;
pub mod registry;
mod weather;

pub use call::Call;
pub use cloud::{Access, CONFUSING_VARIABLES, Sandbox};
pub use kubernetes::{Kill, KubernetesRequest, KubernetesWeather};
pub use weather::{FailOnce, Kind, Weather, WhenToKill};
