//! Beside Karpenter: manifests are accepted and refused as it does, and fleets go from one to the other and back.

#[path = "../../benches/live/contender.rs"]
#[allow(dead_code, reason = "measuring uses the rest")]
mod contender;
#[path = "../../benches/live/field.rs"]
#[allow(dead_code, reason = "measuring uses the rest")]
mod field;
mod handover;
mod manifests;
#[path = "../../benches/live/scenario.rs"]
#[allow(dead_code, reason = "measuring uses the rest")]
mod scenario;
#[path = "../../benches/live/watching.rs"]
#[allow(dead_code, reason = "measuring uses the rest")]
mod watching;
