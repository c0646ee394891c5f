//! The Kubernetes side: the way to a cluster's API server, and objects as resources of the stack.
//!
//! Pure: [`refusal`], [`takeover`], [`difference`], [`owned`], [`order`], [`readiness`], [`kubeconfig`], [`declare`];
//! which object is meant, and how its kind is served, [`crate::spec::objects`] knows. What asks goes through a
//! [`connection::Connection`]: [`objects`] and [`set`] know nothing of stacks and AWS; [`object`], [`object_set`],
//! [`webhook_certificate`], [`held`] and [`claim`] are kinds of resources; [`removal`] and [`leaving`] see objects out.

pub mod claim;
pub mod connection;
pub mod declare;
pub mod difference;
pub mod failure;
pub mod held;
pub mod kubeconfig;
pub mod leaving;
pub mod object;
pub mod object_set;
pub mod objects;
pub mod order;
pub mod owned;
pub mod readiness;
pub mod refusal;
pub mod removal;
pub mod scaling;
pub mod set;
pub mod takeover;
pub mod token;
pub mod way;
pub mod webhook_certificate;
