//! The life of a node: planned, launched, registered, initialised, replaced, and collected when nobody wants it.

pub mod collector;
pub mod garbage;
pub mod repair;
pub mod repairer;
