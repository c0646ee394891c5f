//! The life of a node: planned, launched, registered, initialised, replaced, and collected when nobody wants it.
