//! How nodes go: drained, ended, announced by the cloud, or left over.
//!
//! The nodes are those of a managed node group whose instances are given claims, so that nothing has to be bought
//! first; only the controllers that take nodes away run, in this process. In `whole` and `killed` all of the autoscaler
//! runs, as a process.

mod draining;
mod ground;
mod interruption;
mod killed;
mod leftovers;
mod whole;
