//! Behaviour of the checker as a whole: each rule broken and kept, the order search against every
//! permutation, and generated clusters.

#[path = "../../../tests/support/generate/mod.rs"]
mod generate;
mod generated;
mod naive;
mod rules;
