//! The life of a node: planned, launched, registered, initialised, replaced, and collected when nobody wants it.
//! And of what it comes from: pools and classes.
//!
//! | file | holds |
//! |---|---|
//! | `node_pool`, `node_class` | how pools and classes stand, and their end |
//! | `hashes`, `stamping` | what makes a node what it is, as a hash; hashes on objects |
//! | `registrations` | whether the nodes of a pool come up |

pub mod hashes;
pub mod node_class;
pub mod node_pool;
mod registrations;
pub mod stamping;
