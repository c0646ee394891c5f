//! The rows, by the service that they belong to.

mod eks;
mod iam;
mod logs;
mod network;

use crate::harness::Row;

/// Every row.
pub fn all() -> Vec<Row> {
    [network::rows(), iam::rows(), eks::rows(), logs::rows()].into_iter().flatten().collect()
}
