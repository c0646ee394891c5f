//! How a node goes: tainted, drained, its volumes detached, its instance ended.
