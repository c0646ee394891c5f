//! The rows, by the service that they belong to.

mod network;

use crate::harness::Row;

/// Every row.
pub fn all() -> Vec<Row> {
    network::rows()
}
