//! The life of a node: planned, launched, registered, initialised, replaced, and collected when nobody wants it.
//!
//! | file | holds |
//! |---|---|
//! | `provisioning` | pods without a place become a plan, and the plan becomes claims |
//! | `demand` | which pods want a node |
//! | `window` | when to decide |
//! | `plan_claims` | claims from what the scheduler decided |
//! | `claims` | makes claims, for pods and for nodes that are replaced |
//! | `market` | what can be bought now |
//! | `launch`, `offers` | claims become instances; what is asked for, attempt by attempt |
//! | `nodes` | nodes that have come: registered, then initialised |
//! | `registration`, `initialization`, `liveness` | what that means, and for how long it is waited for |
//! | `tagging` | names on instances |
//! | `status`, `conditions` | how a claim stands |

pub mod claims;
pub mod conditions;
pub mod demand;
pub mod initialization;
pub mod launch;
pub mod liveness;
pub mod market;
pub mod nodes;
pub mod offers;
pub mod plan_claims;
pub mod provisioning;
pub mod registration;
pub mod status;
pub mod tagging;
pub mod window;
