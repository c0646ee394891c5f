//! NodePool, NodeClaim and EC2NodeClass, compatible with `karpenter.sh/v1` and `karpenter.k8s.aws/v1`.
//!
//! | file | holds |
//! |---|---|
//! | `node_pool`, `node_claim`, `ec2_node_class` | the types with all fields and defaults |
//! | `requirement`, `duration`, `quantities` | what they share |
//! | `labels` | keys with a meaning, and those that users may not set |
//! | `validate`, `validate_class` | the rules of the custom resource definitions, with the field named |
//! | `definitions`, `rules` | the custom resource definitions, and what they check beside the shape |
//! | `pool_reading` | a NodePool as the scheduler sees it |

#![allow(
    clippy::duplicated_attributes,
    reason = "each column and rule of a definition is an attribute of the same name"
)]

pub mod definitions;
pub mod duration;
pub mod ec2_node_class;
pub mod labels;
pub mod node_claim;
pub mod node_pool;
pub mod pool_reading;
pub mod quantities;
pub mod requirement;
mod rules;
pub mod validate;
pub mod validate_class;

pub use ec2_node_class::{EC2NodeClass, EC2NodeClassSpec};
pub use node_claim::{NodeClaim, NodeClaimSpec};
pub use node_pool::{NodePool, NodePoolSpec};
pub use validate::Fault;
