//! Behaviour of the checker as a whole.
