//! Disruption budgets of pods.

use crate::state::names::Names;
use crate::state::pod_reading::read_selector;
use crate::state::pod_spec::{Labels, label};
use crate::state::requirements::Requirements;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::sync::Arc;

/// A disruption budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveBudget {
    /// `namespace/name`.
    pub name: Arc<str>,
    /// How many of its pods may be evicted now.
    pub allowed: i32,
    /// Whether pods that are not ready may be evicted whatever it says.
    pub always_allows_unhealthy: bool,
    pub(super) selector: Option<Requirements>,
    pub(super) round: u32,
}

impl LiveBudget {
    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.name.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Whether it speaks of pods of its namespace with these labels.
    pub fn covers(&self, names: &Names, labels: &Labels) -> bool {
        self.selector.as_ref().is_some_and(|wanted| wanted.met_by(&names.strings, |key| label(labels, key)))
    }
}

/// Reads a budget.
///
/// # Errors
/// When its selector cannot be read.
pub(super) fn read(
    names: &mut Names,
    name: Arc<str>,
    budget: &PodDisruptionBudget,
    round: u32,
) -> Result<LiveBudget, String> {
    let spec = budget.spec.as_ref();
    Ok(LiveBudget {
        name,
        allowed: budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0),
        always_allows_unhealthy: spec.and_then(|s| s.unhealthy_pod_eviction_policy.as_deref()) == Some("AlwaysAllow"),
        selector: read_selector(names, spec.and_then(|s| s.selector.as_ref()))?,
        round,
    })
}
