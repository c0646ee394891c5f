//! Why pods have no place: for each pool, what comes nearest and what is missing.

use super::compile::Compiled;
use super::variants::tolerates;
use crate::state::instance_types::InstanceType;
use crate::state::intern::Symbol;
use crate::state::names::Names;
use crate::state::pod_spec::{Effect, PodSpec, label};
use crate::state::pools::Pool;
use crate::state::resources::{ResourceId, show_amount};

/// One sentence per pool on why a group cannot be placed there.
pub fn explain(compiled: &Compiled<'_>, group: usize) -> String {
    let cluster = compiled.problem.cluster;
    let spec = compiled.groups.spec(cluster, group);
    if compiled.asks_too_much(group) {
        return format!(
            "the pending pods ask for more than {} different resources together, and this one for one of those left out",
            super::vector::MAX_DIMENSIONS
        );
    }
    if cluster.pools.is_empty() {
        return "no running node has room, and there are no node pools".to_owned();
    }
    if compiled.fits_somewhere(group) {
        return terms_or_limits(compiled, spec);
    }
    let reason = |(at, pool): (u32, &Pool)| {
        format!("pool `{}`: {}", cluster.names.text(pool.name), at_pool(compiled, spec, at, pool))
    };
    (0_u32..).zip(&cluster.pools).map(reason).collect::<Vec<String>>().join("; ")
}

fn terms_or_limits(compiled: &Compiled<'_>, spec: &PodSpec) -> String {
    let mut causes = Vec::new();
    if compiled.shapes.pool_limits.iter().flatten().any(|limit| limit.left.iter().any(|left| *left < i64::MAX)) {
        causes.push("the limits of its pools are reached");
    }
    if !spec.affinity.is_empty() {
        causes.push("no node has room beside the pods that its pod affinity asks for");
    }
    if !spec.anti_affinity.is_empty() {
        causes.push("every domain that it could go to has pods that it, or that want, to be apart");
    }
    if spec.spreads.iter().any(|spread| spread.required) {
        causes.push("its topology spread allows no more in the domains that it could go to");
    }
    if causes.is_empty() {
        causes.push("other pods must stay apart from it wherever it could go");
    }
    format!("a node for it could be bought, but {}", causes.join(", or "))
}

fn at_pool(compiled: &Compiled<'_>, spec: &PodSpec, at: u32, pool: &Pool) -> String {
    let cluster = compiled.problem.cluster;
    let names = &cluster.names;
    if !tolerates(names, spec, &pool.taints) {
        let taint = pool
            .taints
            .iter()
            .filter(|taint| taint.effect != Effect::PreferNoSchedule)
            .find(|taint| !spec.tolerations.iter().any(|toleration| toleration.tolerates(&names.strings, taint)));
        return taint
            .map_or_else(String::new, |taint| format!("it does not tolerate the taint `{}`", names.text(taint.key)));
    }
    let mut nearest: Option<(usize, String)> = None;
    let mut missing_key: Option<Symbol> = None;
    let mut any_type = false;
    let sold = cluster.catalogue.types.iter().flat_map(|instance_type| {
        let offerings = instance_type.offerings.iter().filter(|offering| offering.available);
        offerings.map(move |offering| (instance_type, offering))
    });
    for variant in compiled.shapes.variants.iter().filter(|variant| variant.pool == at) {
        for (instance_type, offering) in sold.clone() {
            let label_of =
                |key: Symbol| label(&variant.labels, key).or_else(|| instance_type.label(names, offering, key));
            let decided = |key: Symbol| cluster.catalogue.decides(names, key);
            if pool.requirements.iter().any(|(key, set)| decided(key) && !set.allows(&names.strings, label_of(key))) {
                continue;
            }
            any_type = true;
            let failing =
                spec.node_terms.iter().map(|term| term.first_failure(&names.strings, label_of)).collect::<Vec<_>>();
            if let Some(Some(key)) =
                failing.iter().find(|failure| failure.is_some()).filter(|_| failing.iter().all(Option::is_some))
            {
                // Another variant may have the label that this one lacks.
                let may_differ = |key: &Symbol| label(&variant.labels, *key).is_some();
                missing_key = missing_key.filter(|known| !may_differ(known)).or(Some(*key));
                continue;
            }
            let has = &instance_type.allocatable;
            let short: Vec<_> = spec.requests.iter().filter(|(id, amount)| *amount > has.get(*id)).collect();
            let size = has.iter().map(|(_, amount)| i128::from(amount)).sum::<i128>();
            let rank = short.len() * 1_000_000 + 999_999 - usize::try_from(size >> 30).unwrap_or(0).min(999_999);
            if nearest.as_ref().is_none_or(|(least, _)| rank < *least) {
                nearest = Some((rank, shortfall(names, pool, instance_type, &short)));
            }
        }
    }
    match (nearest, missing_key, any_type) {
        (Some((_, text)), _, _) => text,
        (None, Some(key), _) => format!("none of its nodes has the `{}` that the pod requires", names.text(key)),
        (None, None, true) => "none of its nodes suits the pod".to_owned(),
        (None, None, false) => "no instance type that can be had now meets its requirements".to_owned(),
    }
}

/// What keeps a pod from the type that comes nearest: what it asks for beyond what the type has, or something else.
fn shortfall(names: &Names, pool: &Pool, instance_type: &InstanceType, short: &[(ResourceId, i64)]) -> String {
    let name = names.text(instance_type.name);
    if short.is_empty() && !pool.min_values.is_empty() {
        return format!(
            "`{name}` would hold it, but there are fewer values to choose from than its `minValues` ask for"
        );
    }
    if short.is_empty() {
        return format!("`{name}` would hold it but for the daemons and host ports that every node has");
    }
    let each = short.iter().map(|(id, amount)| {
        let has = show_amount(*id, instance_type.allocatable.get(*id));
        format!("{} of `{}` (has {has})", show_amount(*id, *amount), names.resources.name(*id))
    });
    format!("`{name}` comes nearest, but the pod asks for {}", each.collect::<Vec<_>>().join(" and "))
}
