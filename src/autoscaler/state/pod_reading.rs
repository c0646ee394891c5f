//! Kubernetes pods read into [`PodSpec`]s: effective requests, affinities, spreads, ports, volumes.

use super::intern::Symbol;
use super::names::Names;
use super::pod_spec::{
    Effect, HostPort, Labels, PodSelector, PodSpec, PodTerm, Spread, Taint, Toleration, TolerationOperator,
};
use super::requirements::{Requirements, ValueSet};
use super::resources::{Amounts, PODS, read_amount};
use super::volumes::Volumes;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Alternatives beyond this number are cut: they come from volumes times affinity terms.
const MOST_NODE_TERMS: usize = 64;

/// The labels of the namespaces that exist, for namespace selectors.
pub type NamespaceLabels = BTreeMap<String, BTreeMap<String, String>>;

/// What reading a pod needs to know of the rest of the cluster.
pub struct Surroundings<'a> {
    /// Namespaces with their labels.
    pub namespaces: &'a NamespaceLabels,
    /// Volumes by claim.
    pub volumes: &'a Volumes,
}

/// Reads a label map, sorted by key.
pub fn read_labels(names: &mut Names, labels: Option<&BTreeMap<String, String>>) -> Labels {
    let mut list: Vec<(Symbol, Symbol)> =
        labels.into_iter().flatten().map(|(key, value)| (names.key(key), names.strings.intern(value))).collect();
    list.sort_unstable();
    list.dedup_by_key(|(key, _)| *key);
    list.into()
}

/// A pod that has its node: its devices were found, so its claims to some are no matter any more.
pub fn as_bound(spec: &core::PodSpec) -> Cow<'_, core::PodSpec> {
    match &spec.resource_claims {
        Some(_) => Cow::Owned(core::PodSpec { resource_claims: None, ..spec.clone() }),
        None => Cow::Borrowed(spec),
    }
}

/// Reads a pod (or the template of one).
///
/// # Errors
/// A sentence that names what in the pod cannot be used and why.
pub fn read_pod(
    names: &mut Names,
    around: &Surroundings<'_>,
    metadata: &ObjectMeta,
    spec: &core::PodSpec,
    workload: Option<Symbol>,
) -> Result<PodSpec, String> {
    let namespace_text = metadata.namespace.as_deref().unwrap_or("default");
    let namespace = names.strings.intern(namespace_text);
    if let Some(claim) = spec.resource_claims.iter().flatten().next() {
        return Err(format!(
            "resource claim `{}`: which node could give its devices is not known (dynamic resource allocation)",
            claim.name
        ));
    }
    let mut requests = effective_requests(names, spec)?;
    let mut node_terms = required_node_terms(names, spec)?;
    let selection = node_terms.clone();
    add_volumes(names, around.volumes, namespace_text, metadata, spec, &mut requests, &mut node_terms)?;
    if node_terms.iter().all(|term| term.iter().any(|(_, set)| set.is_empty())) {
        return Err("its node selector and node affinity contradict each other".to_owned());
    }
    let own = labels_by_text(metadata);
    let reader = TermReader { around, namespace, own: &own };
    let affinity = spec.affinity.as_ref();
    let pod_affinity = affinity.and_then(|a| a.pod_affinity.as_ref());
    let pod_anti = affinity.and_then(|a| a.pod_anti_affinity.as_ref());
    let required = |terms: Option<&Vec<core::PodAffinityTerm>>, names: &mut Names| -> Result<Vec<PodTerm>, String> {
        terms.into_iter().flatten().map(|term| reader.pod_term(names, term)).collect()
    };
    let mut preferred_pods = Vec::new();
    for term in
        pod_affinity.iter().flat_map(|a| a.preferred_during_scheduling_ignored_during_execution.iter().flatten())
    {
        preferred_pods.push((term.weight.clamp(0, 100), reader.pod_term(names, &term.pod_affinity_term)?));
    }
    for term in pod_anti.iter().flat_map(|a| a.preferred_during_scheduling_ignored_during_execution.iter().flatten()) {
        preferred_pods.push((-term.weight.clamp(0, 100), reader.pod_term(names, &term.pod_affinity_term)?));
    }
    let mut spreads = Vec::new();
    for constraint in spec.topology_spread_constraints.iter().flatten() {
        spreads.push(reader.spread(names, constraint)?);
    }
    Ok(PodSpec {
        namespace: namespace.0,
        requests,
        selection: (selection != node_terms).then_some(selection),
        node_terms,
        preferred_nodes: preferred_node_terms(names, spec)?,
        tolerations: read_tolerations(names, spec.tolerations.as_deref().unwrap_or_default())?,
        spreads,
        affinity: together(required(
            pod_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            names,
        )?),
        anti_affinity: required(
            pod_anti.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            names,
        )?,
        preferred_pods,
        host_ports: host_ports(names, spec),
        workload,
    })
}

/// Reads the pods of a daemon set, with the tolerations that its controller adds; `None` without a template.
///
/// # Errors
/// A sentence that names what in the template cannot be used and why.
pub fn read_daemon(
    names: &mut Names,
    around: &Surroundings<'_>,
    daemon: &k8s_openapi::api::apps::v1::DaemonSet,
) -> Option<Result<PodSpec, String>> {
    let template = &daemon.spec.template;
    let mut metadata = template.metadata.clone().unwrap_or_default();
    metadata.namespace.clone_from(&daemon.metadata.namespace);
    let read = read_pod(names, around, &metadata, template.spec.as_ref()?, None);
    Some(read.map(|mut spec| {
        let empty = names.strings.intern("");
        for key in ["not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"] {
            let key = Some(names.strings.intern(&format!("node.kubernetes.io/{key}")));
            spec.tolerations.push(Toleration { key, operator: TolerationOperator::Exists, value: empty, effect: None });
        }
        spec
    }))
}

/// Of several required affinity terms each is satisfied only by pods that all of them speak of, so each
/// gets the selector that is common to all.
fn together(mut terms: Vec<PodTerm>) -> Vec<PodTerm> {
    if let [first, rest @ ..] = terms.as_slice()
        && !rest.is_empty()
    {
        let common = rest.iter().fold(first.selector.clone(), |common, term| common.and(&term.selector));
        terms.iter_mut().for_each(|term| term.selector = common.clone());
    }
    terms
}

fn labels_by_text(metadata: &ObjectMeta) -> BTreeMap<&str, &str> {
    metadata.labels.iter().flatten().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

// ---- resources ----------------------------------------------------------------------------------

/// Requests as kube-scheduler adds them up, plus the overhead and a slot.
fn effective_requests(names: &mut Names, spec: &core::PodSpec) -> Result<Amounts, String> {
    let mut requests = together_or_peak(names, spec, read_requirements)?;
    requests.add_all(&read_amounts(names, spec.overhead.as_ref())?);
    requests.add(PODS, 1);
    requests.drop_zeros();
    Ok(requests)
}

/// The most that a pod may use: its limits, added up as its requests are. What has none is left out.
///
/// # Errors
/// When a quantity cannot be read.
pub fn effective_limits(names: &mut Names, spec: &core::PodSpec) -> Result<Amounts, String> {
    let read = |names: &mut Names, of: Option<&core::ResourceRequirements>| {
        read_amounts(names, of.and_then(|of| of.limits.as_ref()))
    };
    let mut limits = together_or_peak(names, spec, read)?;
    for (id, overhead) in read_amounts(names, spec.overhead.as_ref())?.iter() {
        if limits.get(id) > 0 {
            limits.add(id, overhead);
        }
    }
    limits.drop_zeros();
    Ok(limits)
}

/// The containers and sidecars together, or the hungriest init container with the sidecars started before it,
/// whichever is more. What is said of the pod as a whole replaces what its containers add up to.
fn together_or_peak(
    names: &mut Names,
    spec: &core::PodSpec,
    read: impl Fn(&mut Names, Option<&core::ResourceRequirements>) -> Result<Amounts, String>,
) -> Result<Amounts, String> {
    let of = |names: &mut Names, container: &core::Container| {
        read(names, container.resources.as_ref()).map_err(|reason| format!("container `{}`: {reason}", container.name))
    };
    let mut running = Amounts::default();
    for container in &spec.containers {
        running.add_all(&of(names, container)?);
    }
    let mut sidecars = Amounts::default();
    let mut peak = Amounts::default();
    for container in spec.init_containers.iter().flatten() {
        let own = of(names, container)?;
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add_all(&own);
            peak.raise_to(&sidecars);
        } else {
            let mut starting = sidecars.clone();
            starting.add_all(&own);
            peak.raise_to(&starting);
        }
    }
    running.add_all(&sidecars);
    running.raise_to(&peak);
    for (id, amount) in read(names, spec.resources.as_ref())?.iter() {
        running.set(id, amount);
    }
    Ok(running)
}

/// Requests, with limits where no request is stated, as the API server fills them in.
fn read_requirements(names: &mut Names, resources: Option<&core::ResourceRequirements>) -> Result<Amounts, String> {
    let Some(resources) = resources else {
        return Ok(Amounts::default());
    };
    let mut amounts = read_amounts(names, resources.limits.as_ref())?;
    for (id, amount) in read_amounts(names, resources.requests.as_ref())?.iter() {
        amounts.set(id, amount);
    }
    Ok(amounts)
}

/// Reads a resource list.
///
/// # Errors
/// When a quantity cannot be read or is negative.
pub fn read_amounts(names: &mut Names, list: Option<&BTreeMap<String, ApiQuantity>>) -> Result<Amounts, String> {
    let mut amounts = Amounts::default();
    for (name, quantity) in list.into_iter().flatten() {
        let (id, amount) = read_amount(&mut names.resources, name, &quantity.0)?;
        if amount < 0 {
            return Err(format!("resource `{name}`: `{}` is negative", quantity.0));
        }
        amounts.set(id, amount);
    }
    Ok(amounts)
}

// ---- nodes --------------------------------------------------------------------------------------

fn required_node_terms(names: &mut Names, spec: &core::PodSpec) -> Result<Vec<Requirements>, String> {
    let mut selector = Requirements::default();
    for (key, value) in spec.node_selector.iter().flatten() {
        let value = names.strings.intern(value);
        let key = names.key(key);
        selector.add(key, ValueSet::single(value));
    }
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let Some(required) = required else {
        return Ok(vec![selector]);
    };
    let mut terms = Vec::new();
    for term in &required.node_selector_terms {
        // A term without any expression matches no node.
        if term.match_expressions.iter().flatten().next().is_some()
            || term.match_fields.iter().flatten().next().is_some()
        {
            terms.push(selector.and(&node_term(names, term)?));
        }
    }
    if terms.is_empty() {
        return Err("its required node affinity has no term that could match".to_owned());
    }
    Ok(terms)
}

fn preferred_node_terms(names: &mut Names, spec: &core::PodSpec) -> Result<Vec<(i32, Requirements)>, String> {
    let preferred = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    preferred
        .into_iter()
        .flatten()
        .map(|term| Ok((term.weight.clamp(0, 100), node_term(names, &term.preference)?)))
        .collect()
}

/// Reads one node selector term.
///
/// # Errors
/// When an operator or its values are wrong.
pub fn node_term(names: &mut Names, term: &core::NodeSelectorTerm) -> Result<Requirements, String> {
    let mut all = Requirements::default();
    for expression in term.match_expressions.iter().flatten().chain(term.match_fields.iter().flatten()) {
        let values = expression.values.as_deref().unwrap_or_default();
        let key = names.key(&expression.key);
        let set = ValueSet::from_operator(&mut names.strings, &expression.key, &expression.operator, values)
            .map_err(|error| format!("node affinity: {error}"))?;
        all.add(key, set);
    }
    Ok(all)
}

fn add_volumes(
    names: &mut Names,
    volumes: &Volumes,
    namespace: &str,
    metadata: &ObjectMeta,
    spec: &core::PodSpec,
    requests: &mut Amounts,
    node_terms: &mut Vec<Requirements>,
) -> Result<(), String> {
    let pod_name = metadata.name.as_deref().unwrap_or_default();
    for volume in spec.volumes.iter().flatten() {
        let claim = match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(source), _) => source.claim_name.clone(),
            (None, Some(_)) => format!("{pod_name}-{}", volume.name),
            _ => continue,
        };
        let (alternatives, driver) = match volumes.claim(namespace, &claim) {
            Ok(found) => found,
            // The claim of a generic ephemeral volume is made together with the pod.
            Err(_) if volume.ephemeral.is_some() => continue,
            Err(reason) => return Err(reason),
        };
        if let Some(driver) = driver {
            let id = names.resources.id(&format!("attachable-volumes-{driver}"));
            requests.add(id, 1);
        }
        let mut multiplied = Vec::new();
        for term in node_terms.iter() {
            multiplied.extend(alternatives.iter().map(|alternative| term.and(alternative)));
        }
        multiplied.truncate(MOST_NODE_TERMS);
        *node_terms = multiplied;
    }
    Ok(())
}

/// Reads an effect.
///
/// # Errors
/// When it is none of the three.
pub fn read_effect(text: &str) -> Result<Effect, String> {
    match text {
        "NoSchedule" => Ok(Effect::NoSchedule),
        "PreferNoSchedule" => Ok(Effect::PreferNoSchedule),
        "NoExecute" => Ok(Effect::NoExecute),
        other => Err(format!("unknown taint effect `{other}`: use NoSchedule, PreferNoSchedule or NoExecute")),
    }
}

/// Reads taints.
///
/// # Errors
/// When an effect is unknown.
pub fn read_taints(names: &mut Names, taints: &[core::Taint]) -> Result<Vec<Taint>, String> {
    taints
        .iter()
        .map(|taint| {
            Ok(Taint {
                key: names.strings.intern(&taint.key),
                value: names.strings.intern(taint.value.as_deref().unwrap_or_default()),
                effect: read_effect(&taint.effect)?,
            })
        })
        .collect()
}

fn read_tolerations(names: &mut Names, tolerations: &[core::Toleration]) -> Result<Vec<Toleration>, String> {
    let mut list = Vec::new();
    for toleration in tolerations {
        let key = toleration.key.as_deref().filter(|key| !key.is_empty());
        let operator = match toleration.operator.as_deref() {
            Some("Exists") => TolerationOperator::Exists,
            None | Some("" | "Equal") => TolerationOperator::Equal,
            Some("Gt") => TolerationOperator::Gt,
            Some("Lt") => TolerationOperator::Lt,
            Some(other) => {
                return Err(format!("unknown toleration operator `{other}`: use Exists or Equal"));
            }
        };
        if key.is_none() && operator != TolerationOperator::Exists {
            return Err("a toleration without key needs the operator `Exists`".to_owned());
        }
        let effect = toleration.effect.as_deref().filter(|effect| !effect.is_empty());
        list.push(Toleration {
            key: key.map(|key| names.strings.intern(key)),
            operator,
            value: names.strings.intern(toleration.value.as_deref().unwrap_or_default()),
            effect: effect.map(read_effect).transpose()?,
        });
    }
    list.sort();
    list.dedup();
    Ok(list)
}

fn host_ports(names: &mut Names, spec: &core::PodSpec) -> Vec<HostPort> {
    let host_network = spec.host_network == Some(true);
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let mut ports = Vec::new();
    for port in spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten()) {
        let number = port.host_port.or(host_network.then_some(port.container_port)).unwrap_or(0);
        let Some(number) = u16::try_from(number).ok().filter(|number| *number > 0) else {
            continue;
        };
        let address = port.host_ip.as_deref().filter(|ip| !matches!(*ip, "" | "0.0.0.0" | "::"));
        ports.push(HostPort {
            port: number,
            protocol: names.strings.intern(port.protocol.as_deref().unwrap_or("TCP")),
            address: address.map(|ip| names.strings.intern(ip)),
        });
    }
    ports.sort();
    ports.dedup();
    ports
}

// ---- terms over pods ----------------------------------------------------------------------------

struct TermReader<'a> {
    around: &'a Surroundings<'a>,
    namespace: Symbol,
    own: &'a BTreeMap<&'a str, &'a str>,
}

impl TermReader<'_> {
    fn pod_term(&self, names: &mut Names, term: &core::PodAffinityTerm) -> Result<PodTerm, String> {
        if term.topology_key.is_empty() {
            return Err("a pod affinity term has no `topologyKey`".to_owned());
        }
        let mut labels = read_selector(names, term.label_selector.as_ref())?;
        self.narrow(names, &mut labels, term.match_label_keys.as_deref(), "In")?;
        self.narrow(names, &mut labels, term.mismatch_label_keys.as_deref(), "NotIn")?;
        let topology_key = names.key(&term.topology_key);
        let namespaces = self.namespaces(names, term)?;
        Ok(PodTerm { topology_key, selector: PodSelector { namespaces, labels } })
    }

    fn namespaces(&self, names: &mut Names, term: &core::PodAffinityTerm) -> Result<Option<Box<[Symbol]>>, String> {
        let listed = term.namespaces.as_deref().unwrap_or_default();
        if listed.is_empty() && term.namespace_selector.is_none() {
            return Ok(Some(Box::new([self.namespace])));
        }
        let mut all: Vec<Symbol> = listed.iter().map(|name| names.strings.intern(name)).collect();
        if let Some(selector) = &term.namespace_selector {
            let wanted = read_selector(names, Some(selector))?.unwrap_or_default();
            if wanted.is_unrestricted() {
                return Ok(None);
            }
            for (name, labels) in self.around.namespaces {
                let labels = read_labels(names, Some(labels));
                if wanted.met_by(&names.strings, |key| super::pod_spec::label(&labels, key)) {
                    all.push(names.strings.intern(name));
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        Ok(Some(all.into()))
    }

    fn spread(&self, names: &mut Names, constraint: &core::TopologySpreadConstraint) -> Result<Spread, String> {
        if constraint.max_skew < 1 {
            return Err(format!("a topology spread has maxSkew {}, which must be at least 1", constraint.max_skew));
        }
        let required = match constraint.when_unsatisfiable.as_str() {
            "DoNotSchedule" => true,
            "ScheduleAnyway" => false,
            other => {
                return Err(format!("unknown whenUnsatisfiable `{other}`: use DoNotSchedule or ScheduleAnyway"));
            }
        };
        let mut labels = read_selector(names, constraint.label_selector.as_ref())?;
        self.narrow(names, &mut labels, constraint.match_label_keys.as_deref(), "In")?;
        Ok(Spread {
            topology_key: names.key(&constraint.topology_key),
            selector: PodSelector { namespaces: Some(Box::new([self.namespace])), labels },
            max_skew: constraint.max_skew,
            min_domains: constraint.min_domains.unwrap_or(1).max(1),
            required,
            honor_node_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        })
    }

    /// Adds the pod's own values of some label keys to a selector.
    fn narrow(
        &self,
        names: &mut Names,
        labels: &mut Option<Requirements>,
        keys: Option<&[String]>,
        operator: &str,
    ) -> Result<(), String> {
        let Some(labels) = labels else { return Ok(()) };
        for key in keys.unwrap_or_default() {
            let Some(value) = self.own.get(key.as_str()) else {
                continue;
            };
            let set = ValueSet::from_operator(&mut names.strings, key, operator, &[(*value).to_owned()])
                .map_err(|error| error.to_string())?;
            let key = names.key(key);
            labels.add(key, set);
        }
        Ok(())
    }
}

/// Reads a label selector; `None` matches nothing, an empty one everything.
///
/// # Errors
/// When an operator or its values are wrong.
pub fn read_selector(names: &mut Names, selector: Option<&LabelSelector>) -> Result<Option<Requirements>, String> {
    let Some(selector) = selector else {
        return Ok(None);
    };
    let mut all = Requirements::default();
    for (key, value) in selector.match_labels.iter().flatten() {
        let value = names.strings.intern(value);
        let key = names.key(key);
        all.add(key, ValueSet::single(value));
    }
    for expression in selector.match_expressions.iter().flatten() {
        if matches!(expression.operator.as_str(), "Gt" | "Lt" | "Gte" | "Lte") {
            return Err(format!("a label selector cannot use `{}`", expression.operator));
        }
        let values = expression.values.as_deref().unwrap_or_default();
        let set = ValueSet::from_operator(&mut names.strings, &expression.key, &expression.operator, values)
            .map_err(|error| format!("label selector: {error}"))?;
        let key = names.key(&expression.key);
        all.add(key, set);
    }
    Ok(Some(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::resources::{CPU, MEMORY};
    use serde_json::json;

    #[test]
    fn limits_add_up_as_requests_do_and_what_has_none_is_left_out() {
        let container = |limits: serde_json::Value| json!({ "name": "c", "resources": { "limits": limits } });
        let mut sidecar = container(json!({ "cpu": "100m" }));
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({
            "containers": [container(json!({ "cpu": "1" })), container(json!({ "cpu": "500m" })), { "name": "free" }],
            "initContainers": [sidecar, container(json!({ "cpu": "2" }))],
            "overhead": { "cpu": "50m", "memory": "64Mi" },
        });
        let spec: core::PodSpec = serde_json::from_value(spec).expect("a pod's spec");
        let limits = effective_limits(&mut Names::default(), &spec).expect("limits");
        assert_eq!(limits.get(CPU), 2150, "the second init container beside the sidecar, with the overhead");
        assert_eq!(limits.stated(MEMORY), None, "an overhead limits nothing by itself");
    }
}
