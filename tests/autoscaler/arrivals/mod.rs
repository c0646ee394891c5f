//! How nodes come: pods without a place to nodes that run them.
//!
//! | file | holds |
//! |---|---|
//! | `yard` | a cluster without nodes |
//! | `pods` | from a Deployment to pods that run; limits; pools that match nothing |
//! | `reserved` | capacity reservations |
//! | `placed` | hardware of their own, placement groups |
//! | `lives` | pools and classes from beginning to end; a node is explained |
//! | `scarcity` | what cannot be had; instances that never become nodes |
//! | `restarts` | the process is killed at the worst moment |
//! | `faults` | EC2 refuses, the API server is away, the leader dies, objects come in no order |
//! | `steering` | every pod on the node that it was meant for |

mod faults;
mod lives;
mod placed;
mod pods;
mod reserved;
mod restarts;
mod scarcity;
mod steering;
pub mod yard;
