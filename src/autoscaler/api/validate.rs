//! The rules of NodePool and NodeClaim, as the custom resource definitions state them and as far as
//! they can be told from one object. Every fault of an object is reported, each with its field.

use super::duration::{lifetime, seconds};
use super::labels::{key_fault, restriction, value_fault};
use super::node_claim::NodeClaimSpec;
use super::node_pool::{DisruptionBudget, NodeClassReference, NodePoolSpec};
use super::requirement::check_requirements;
use crate::state::quantity::Quantity;
use k8s_openapi::api::core::v1::Taint;
use std::collections::BTreeSet;
use std::fmt;

/// Something wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: `spec.template.spec.requirements[0].key`.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.message)
    }
}

/// Collects faults under the path that is being looked at.
#[derive(Debug, Default)]
pub struct Faults {
    path: String,
    list: Vec<Fault>,
}

impl Faults {
    /// Starts at a field.
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned(), list: Vec::new() }
    }

    /// Adds a fault of a field below the current one; the empty name is the current one itself.
    pub fn add(&mut self, field: &str, message: String) {
        let dot = if field.is_empty() || field.starts_with('[') || self.path.is_empty() { "" } else { "." };
        self.list.push(Fault { field: format!("{}{dot}{field}", self.path), message });
    }

    /// Looks at a field below the current one.
    pub fn within(&mut self, field: &str, look: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if !field.starts_with('[') && !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(field);
        look(self);
        self.path.truncate(length);
    }

    /// What was found.
    pub fn done(self) -> Vec<Fault> {
        self.list
    }
}

/// All faults of a NodePool.
pub fn node_pool(spec: &NodePoolSpec) -> Vec<Fault> {
    let mut faults = Faults::at("spec");
    let template = &spec.template;
    faults.within("template.metadata.labels", |faults| {
        if template.metadata.labels.len() > 100 {
            faults.add("", format!("has {} entries; at most 100 are allowed", template.metadata.labels.len()));
        }
        for (key, value) in &template.metadata.labels {
            let wrong =
                key_fault(key).or_else(|| restriction(key).map(|reason| format!("`{key}` cannot be set: {reason}")));
            for fault in wrong.into_iter().chain(value_fault(value)) {
                faults.add(&format!("[{key}]"), fault);
            }
        }
    });
    faults.within("template.spec", |faults| {
        check_taints(&template.spec.taints, &template.spec.startup_taints, faults);
        faults.within("requirements", |faults| check_requirements(&template.spec.requirements, true, faults));
        check_class_reference(&template.spec.node_class_ref, faults);
        check_lifetimes(&template.spec.expire_after, template.spec.termination_grace_period.as_deref(), faults);
    });
    faults.within("disruption", |faults| {
        if let Err(error) = lifetime(&spec.disruption.consolidate_after) {
            faults.add("consolidateAfter", format!("{error}, or `Never`"));
        }
        if spec.disruption.budgets.len() > 50 {
            faults.add("budgets", format!("has {} entries; at most 50 are allowed", spec.disruption.budgets.len()));
        }
        for (at, budget) in spec.disruption.budgets.iter().enumerate() {
            faults.within(&format!("budgets[{at}]"), |faults| check_budget(budget, faults));
        }
    });
    for (name, quantity) in &spec.limits {
        match Quantity::parse(&quantity.0) {
            Err(error) => faults.add(&format!("limits[{name}]"), error.to_string()),
            Ok(amount) if amount.units() < 0 => {
                faults.add(&format!("limits[{name}]"), "must not be negative".to_owned())
            }
            Ok(_) => {}
        }
    }
    if let Some(weight) = spec.weight {
        if !(1..=100).contains(&weight) {
            faults.add("weight", format!("is {weight}; it must be from 1 to 100, or left out"));
        }
        if spec.replicas.is_some() {
            faults.add("weight", "cannot be used together with `replicas`".to_owned());
        }
    }
    if let Some(replicas) = spec.replicas {
        if replicas < 0 {
            faults.add("replicas", format!("is {replicas}; it must be zero or more"));
        }
        if spec.limits.keys().any(|name| name != "nodes") {
            faults.add("limits", "with `replicas` only `nodes` can be limited".to_owned());
        }
    }
    faults.done()
}

/// All faults of a NodeClaim.
pub fn node_claim(spec: &NodeClaimSpec) -> Vec<Fault> {
    let mut faults = Faults::at("spec");
    check_taints(&spec.taints, &spec.startup_taints, &mut faults);
    faults.within("requirements", |faults| check_requirements(&spec.requirements, false, faults));
    check_class_reference(&spec.node_class_ref, &mut faults);
    check_lifetimes(&spec.expire_after, spec.termination_grace_period.as_deref(), &mut faults);
    for (name, quantity) in &spec.resources.requests {
        if let Err(error) = Quantity::parse(&quantity.0) {
            faults.add(&format!("resources.requests[{name}]"), error.to_string());
        }
    }
    faults.done()
}

/// Faults of a change to a NodePool.
pub fn node_pool_change(old: &NodePoolSpec, new: &NodePoolSpec) -> Vec<Fault> {
    let mut faults = Faults::at("spec");
    let (before, after) = (&old.template.spec.node_class_ref, &new.template.spec.node_class_ref);
    if before.group != after.group || before.kind != after.kind {
        faults.add("template.spec.nodeClassRef", "group and kind cannot change; make a new pool instead".to_owned());
    }
    if old.replicas.is_some() != new.replicas.is_some() {
        faults.add("replicas", "cannot be added to a pool or taken from it; make a new pool instead".to_owned());
    }
    faults.done()
}

fn check_taints(taints: &[Taint], startup: &[Taint], faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (list, name) in [(taints, "taints"), (startup, "startupTaints")] {
        for (at, taint) in list.iter().enumerate() {
            faults.within(&format!("{name}[{at}]"), |faults| {
                if let Some(fault) = key_fault(&taint.key) {
                    faults.add("key", fault);
                }
                if let Some(fault) = taint.value.as_deref().and_then(value_fault) {
                    faults.add("value", fault);
                }
                if !matches!(taint.effect.as_str(), "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
                    faults.add(
                        "effect",
                        format!("`{}` is unknown: use NoSchedule, PreferNoSchedule or NoExecute", taint.effect),
                    );
                }
                if !seen.insert((taint.key.clone(), taint.effect.clone())) {
                    faults.add("", format!("`{}:{}` is there twice", taint.key, taint.effect));
                }
            });
        }
    }
}

fn check_class_reference(reference: &NodeClassReference, faults: &mut Faults) {
    for (field, value) in [("group", &reference.group), ("kind", &reference.kind), ("name", &reference.name)] {
        if value.is_empty() {
            faults.add(&format!("nodeClassRef.{field}"), "must not be empty".to_owned());
        }
    }
    if reference.group.contains('/') {
        faults.add("nodeClassRef.group", "is a group without version: `karpenter.k8s.aws`".to_owned());
    }
}

fn check_lifetimes(expire_after: &str, grace: Option<&str>, faults: &mut Faults) {
    if let Err(error) = lifetime(expire_after) {
        faults.add("expireAfter", format!("{error}, or `Never`"));
    }
    if let Some(Err(error)) = grace.map(seconds) {
        faults.add("terminationGracePeriod", error.to_string());
    }
}

fn check_budget(budget: &DisruptionBudget, faults: &mut Faults) {
    let fine = match budget.nodes.strip_suffix('%') {
        Some(share) => share.parse::<u32>().is_ok_and(|share| share <= 100),
        None => budget.nodes.parse::<u32>().is_ok(),
    };
    if !fine {
        faults
            .add("nodes", format!("`{}` is neither a number of nodes nor a percentage from 0% to 100%", budget.nodes));
    }
    if budget.schedule.is_some() != budget.duration.is_some() {
        faults.add("", "`schedule` and `duration` go together: give both or neither".to_owned());
    }
    if let Some(schedule) = &budget.schedule
        && !schedule_fine(schedule)
    {
        faults.add(
            "schedule",
            format!(
                "`{schedule}` is no schedule: five cron fields in UTC, or @hourly, @daily, @weekly, @monthly, @yearly"
            ),
        );
    }
    if let Some(duration) = &budget.duration {
        let whole = duration.strip_suffix("0s").filter(|rest| rest.ends_with(['h', 'm'])).unwrap_or(duration);
        if let Err(error) = seconds(duration) {
            faults.add("duration", error.to_string());
        } else if whole.contains('s') {
            faults.add("duration", format!("`{duration}` has seconds: write hours and minutes, such as `8h` or `10m`"));
        }
    }
}

fn schedule_fine(schedule: &str) -> bool {
    if schedule.starts_with('@') {
        return matches!(
            schedule,
            "@hourly" | "@daily" | "@midnight" | "@weekly" | "@monthly" | "@yearly" | "@annually"
        );
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    fields.len() == 5
        && fields.iter().all(|field| {
            field.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'/' | b',' | b'-' | b'?'))
        })
}
