//! What the cloud announces about instances, and what follows from it.
