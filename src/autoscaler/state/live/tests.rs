//! Behaviour of the live state.
