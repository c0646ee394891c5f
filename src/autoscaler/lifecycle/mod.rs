//! The life of a node: planned, launched, registered, initialised, replaced, and collected when nobody wants it.
//! And of what it comes from: pools and classes.
//!
//! | file | holds |
//! |---|---|
//! | `node_pool`, `node_class` | how pools and classes stand, and their end |
//! | `hashes`, `stamping` | what makes a node what it is, as a hash; hashes on objects |
//! | `registrations` | whether the nodes of a pool come up |
//! | `provisioning` | pods without a place become a plan, and the plan becomes claims |
//! | `demand` | which pods want a node |
//! | `making_room` | pods that have hardly begun move, where another one would need a node of its own |
//! | `window` | when to decide |
//! | `plan_claims` | claims from what the scheduler decided |
//! | `claims` | makes claims, for pods and for nodes that are replaced |
//! | `market`, `reserved` | what can be bought now; what is left of capacity reservations |
//! | `launch`, `offers` | claims become instances; what is asked for, attempt by attempt |
//! | `nodes` | nodes that have come: registered, then initialised |
//! | `registration`, `initialization`, `liveness` | what that means, and for how long it is waited for |
//! | `tagging` | names on instances |
//! | `status`, `conditions` | how a claim stands |
//! | `survey` | the fleet as decisions about disruption read it |
//! | `disrupting`, `carrying_out` | decides which nodes go, and takes them away or back into service |
//! | `reasons` | says why the others stay |
//! | `consolidatable`, `drift` | conditions that such decisions go by |
//! | `lapsed` | nodes whose capacity reservation has come to its end |
//! | `garbage`, `collector` | what is left over, and who collects it |
//! | `repair`, `repairer` | which nodes have been unhealthy for too long, and who has them replaced |

mod carrying_out;
pub mod claims;
pub mod collector;
pub mod conditions;
pub mod consolidatable;
pub mod demand;
pub mod disrupting;
pub mod drift;
pub mod garbage;
pub mod hashes;
pub mod initialization;
mod lapsed;
pub mod launch;
pub mod liveness;
pub mod making_room;
pub mod market;
pub mod node_class;
pub mod node_pool;
pub mod nodes;
pub mod offers;
pub mod plan_claims;
pub mod provisioning;
pub mod reasons;
pub mod registration;
mod registrations;
pub mod repair;
pub mod repairer;
pub mod reserved;
pub mod stamping;
pub mod status;
pub mod survey;
pub mod tagging;
pub mod window;
