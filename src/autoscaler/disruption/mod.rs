//! Which nodes may go, and what replaces them. Pure.
