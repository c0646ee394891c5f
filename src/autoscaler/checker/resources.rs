//! What a pod asks for and what a node can give.
//!
//! Effective request of a pod, per resource (Kubernetes documentation, *Effective Pod requests and limits*):
//!
//! * while initialising: the highest over the init containers of its own request plus those of the sidecars
//!   listed before it (a sidecar: its own plus those before it);
//! * while running: containers plus all sidecars;
//! * the higher of the two; a pod-level request for CPU, memory or huge pages takes its place;
//! * plus the pod's overhead.
//!
//! A limit without a request is copied to the request, as API defaulting does. For a running pod that is
//! being resized in place, the highest of desired, allocated and actual requests counts; the desired one
//! does not when the resize is infeasible.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Node, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::ports::is_sidecar;
use super::quantity::{MILLI, UNIT, ceiling, parse};

/// Amounts by resource name: CPU in thousandths of a core, everything else in whole units.
pub type Amounts = BTreeMap<String, i128>;

/// Amounts in billionths, before rounding.
type Fine = BTreeMap<String, i128>;

/// The pod slot that every pod takes.
pub const PODS: &str = "pods";

/// Effective request of a pod, with its pod slot.
///
/// # Errors
/// Names the quantities that cannot be read or are negative.
pub fn requested(pod: &Pod) -> Result<Amounts, String> {
    let Some(spec) = &pod.spec else { return Ok(Amounts::from([(PODS.to_owned(), 1)])) };
    let mut total = aggregated(pod, spec)?;
    for (name, amount) in pod_level(spec.resources.as_ref(), &total)? {
        total.insert(name, amount);
    }
    add(&mut total, &read(spec.overhead.as_ref())?);
    let mut amounts = rounded(total);
    amounts.insert(PODS.to_owned(), 1);
    Ok(amounts)
}

/// What a node can give to pods.
///
/// # Errors
/// Names the quantity that cannot be read.
pub fn allocatable(node: &Node) -> Result<Amounts, String> {
    let status = node.status.as_ref();
    read(status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()))).map(rounded)
}

/// Adds amounts to a sum.
pub fn add(sum: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        let entry = sum.entry(name.clone()).or_insert(0);
        *entry = entry.saturating_add(*amount);
    }
}

/// Takes amounts off a sum again.
pub fn subtract(sum: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        if let Some(entry) = sum.get_mut(name) {
            *entry = entry.saturating_sub(*amount);
        }
    }
}

/// The resources of which `request` does not fit beside `used`, as sentences. A resource that the pod does
/// not ask for is not looked at, however overcommitted it is.
pub fn exceeded(request: &Amounts, used: &Amounts, allocatable: &Amounts) -> Vec<String> {
    request
        .iter()
        .filter(|(_, amount)| **amount > 0)
        .filter_map(|(name, amount)| {
            let wanted = used.get(name).copied().unwrap_or(0).saturating_add(*amount);
            let given = allocatable.get(name).copied().unwrap_or(0);
            let unit = if name == "cpu" { "m" } else { "" };
            (wanted > given).then(|| format!("`{name}`: {wanted}{unit} wanted in all, {given}{unit} allocatable"))
        })
        .collect()
}

/// The higher of initialisation and run, per resource.
fn aggregated(pod: &Pod, spec: &PodSpec) -> Result<Fine, String> {
    let mut sidecars = Fine::new();
    let mut peak = Fine::new();
    for container in spec.init_containers.iter().flatten() {
        let own = of_container(pod, container, true)?;
        let mut together = own.clone();
        add(&mut together, &sidecars);
        raise(&mut peak, &together);
        if is_sidecar(container) {
            add(&mut sidecars, &own);
        }
    }
    let mut running = sidecars;
    for container in &spec.containers {
        add(&mut running, &of_container(pod, container, false)?);
    }
    raise(&mut running, &peak);
    Ok(running)
}

/// Pod-level requests, which replace the aggregate. A pod-level limit alone becomes the request only where
/// no container asks for the resource.
fn pod_level(resources: Option<&ResourceRequirements>, aggregate: &Fine) -> Result<Fine, String> {
    let Some(resources) = resources else { return Ok(Fine::new()) };
    let mut requests = read(resources.limits.as_ref())?;
    requests.retain(|name, _| !aggregate.contains_key(name));
    requests.extend(read(resources.requests.as_ref())?);
    requests.retain(|name, _| name == "cpu" || name == "memory" || name.starts_with("hugepages-"));
    Ok(requests)
}

/// What one container asks for, and while it is being resized, the most of what it asks for and has.
fn of_container(pod: &Pod, container: &Container, init: bool) -> Result<Fine, String> {
    let mut desired = defaulted(container.resources.as_ref())?;
    let Some(status) = status_of(pod, &container.name, init) else { return Ok(desired) };
    let allocated = read(status.allocated_resources.as_ref())?;
    let actual = read(status.resources.as_ref().and_then(|resources| resources.requests.as_ref()))?;
    if resize_is_infeasible(pod) && !(allocated.is_empty() && actual.is_empty()) {
        desired.retain(|name, _| !allocated.contains_key(name) && !actual.contains_key(name));
    }
    raise(&mut desired, &allocated);
    raise(&mut desired, &actual);
    Ok(desired)
}

/// Requests, with limits where there is no request.
fn defaulted(resources: Option<&ResourceRequirements>) -> Result<Fine, String> {
    let Some(resources) = resources else { return Ok(Fine::new()) };
    let mut requests = read(resources.limits.as_ref())?;
    requests.extend(read(resources.requests.as_ref())?);
    Ok(requests)
}

fn status_of<'a>(pod: &'a Pod, container: &str, init: bool) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let statuses = if init { &status.init_container_statuses } else { &status.container_statuses };
    statuses.iter().flatten().find(|status| status.name == container)
}

fn resize_is_infeasible(pod: &Pod) -> bool {
    pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|condition| {
        condition.type_ == "PodResizePending"
            && condition.status == "True"
            && condition.reason.as_deref() == Some("Infeasible")
    })
}

fn read(quantities: Option<&BTreeMap<String, Quantity>>) -> Result<Fine, String> {
    quantities
        .into_iter()
        .flatten()
        .map(|(name, quantity)| {
            let amount = parse(&quantity.0).map_err(|error| format!("resource `{name}`: {error}"))?;
            if amount < 0 {
                return Err(format!("resource `{name}`: `{}` is negative", quantity.0));
            }
            Ok((name.clone(), amount))
        })
        .collect()
}

/// Raises each amount to that of `other`.
fn raise(amounts: &mut Fine, other: &Fine) {
    for (name, amount) in other {
        let entry = amounts.entry(name.clone()).or_insert(0);
        *entry = (*entry).max(*amount);
    }
}

/// CPU to thousandths and the rest to units, both upwards.
fn rounded(amounts: Fine) -> Amounts {
    amounts
        .into_iter()
        .map(|(name, amount)| {
            let step = if name == "cpu" { MILLI } else { UNIT };
            (name, ceiling(amount, step))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(spec: Value) -> Amounts {
        requested(&serde_json::from_value(json!({"spec": spec})).expect("a pod")).expect("it can be read")
    }

    fn container(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(cpu: &str) -> Value {
        json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
    }

    fn cpu(spec: Value) -> i128 {
        of(spec).get("cpu").copied().unwrap_or(0)
    }

    #[test]
    fn containers_add_up_and_a_pod_takes_a_slot() {
        let amounts = of(json!({"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "1Gi", "nvidia.com/gpu": "1"}}},
            {"name": "b", "resources": {"requests": {"cpu": "0.2"}, "limits": {"memory": "1Mi", "hugepages-2Mi": "4Mi"}}}]}));
        let expected = [
            ("cpu", 300),
            ("hugepages-2Mi", 4 << 20),
            ("memory", (1 << 30) + (1 << 20)),
            ("nvidia.com/gpu", 1),
            ("pods", 1),
        ];
        assert_eq!(amounts, expected.into_iter().map(|(name, amount)| (name.to_owned(), amount)).collect());
    }

    #[test]
    fn the_largest_init_container_counts_when_it_exceeds_the_sum() {
        let spec = |init: &str| json!({"containers": [container("a", "1"), container("b", "1")], "initContainers": [container("i", init), container("j", "1")]});
        assert_eq!(cpu(spec("3")), 3_000);
        assert_eq!(cpu(spec("1500m")), 2_000);
    }

    #[test]
    fn sidecars_add_to_what_runs_after_them() {
        let containers = json!([container("a", "1")]);
        assert_eq!(cpu(json!({"containers": containers, "initContainers": [sidecar("1")]})), 2_000);
        assert_eq!(
            cpu(json!({"containers": containers, "initContainers": [sidecar("1"), container("i", "5")]})),
            6_000
        );
        assert_eq!(
            cpu(json!({"containers": containers, "initContainers": [container("i", "5"), sidecar("1")]})),
            5_000
        );
    }

    #[test]
    fn pod_level_requests_replace_the_sum_and_overhead_comes_on_top() {
        let with = |resources: Value| json!({"containers": [container("a", "1")], "overhead": {"cpu": "250m"}, "resources": resources});
        assert_eq!(cpu(with(Value::Null)), 1_250);
        assert_eq!(cpu(with(json!({"requests": {"cpu": "3"}}))), 3_250);
        assert_eq!(cpu(with(json!({"limits": {"cpu": "3"}}))), 1_250);
        assert_eq!(of(with(json!({"limits": {"memory": "7"}})))["memory"], 7);
    }

    #[test]
    fn a_resize_under_way_counts_with_its_highest_figure_unless_it_is_infeasible() {
        let pod = |condition: Value| -> Pod {
            serde_json::from_value(json!({"spec": {"nodeName": "n", "containers": [container("a", "3")]}, "status": {
                "conditions": [condition],
                "containerStatuses": [{"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "allocatedResources": {"cpu": "1"}, "resources": {"requests": {"cpu": "2"}}}]}}))
            .expect("a pod")
        };
        let deferred = json!({"type": "PodResizePending", "status": "True", "reason": "Deferred"});
        let infeasible = json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible"});
        assert_eq!(requested(&pod(deferred)).expect("it can be read")["cpu"], 3_000);
        assert_eq!(requested(&pod(infeasible)).expect("it can be read")["cpu"], 2_000);
    }

    #[test]
    fn fractions_are_rounded_up_once_for_the_whole_pod() {
        let parts = json!({"containers": [container("a", "0.1m"), container("b", "0.1m")]});
        assert_eq!(cpu(parts), 1);
        assert_eq!(
            of(json!({"containers": [{"name": "a", "resources": {"requests": {"memory": "100m"}}}]}))["memory"],
            1
        );
    }

    #[test]
    fn unreadable_and_negative_quantities_are_named() {
        let fails = |cpu: &str| {
            let pod = serde_json::from_value(json!({"spec": {"containers": [container("a", cpu)]}})).expect("a pod");
            requested(&pod).expect_err("it is refused")
        };
        assert!(fails("one").contains("`one`"));
        assert!(fails("-1").contains("negative"));
    }

    #[test]
    fn only_requested_resources_can_be_exceeded() {
        let amounts = |pairs: &[(&str, i128)]| {
            pairs.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect::<Amounts>()
        };
        let node = amounts(&[("cpu", 1000), ("pods", 2)]);
        let full = amounts(&[("cpu", 1500), ("pods", 1)]);
        assert!(exceeded(&amounts(&[("pods", 1)]), &full, &node).is_empty());
        assert_eq!(exceeded(&amounts(&[("cpu", 1), ("pods", 1)]), &full, &node).len(), 1);
        assert_eq!(exceeded(&amounts(&[("gpu", 1)]), &full, &node), ["`gpu`: 1 wanted in all, 0 allocatable"]);
        assert!(exceeded(&amounts(&[("gpu", 0)]), &full, &node).is_empty());
    }

    #[test]
    fn a_node_gives_its_capacity_where_it_names_no_allocatable() {
        let node = |status: Value| {
            allocatable(&serde_json::from_value(json!({"status": status})).expect("a node")).expect("it can be read")
        };
        assert_eq!(node(json!({"capacity": {"cpu": "2"}}))["cpu"], 2_000);
        assert_eq!(node(json!({"capacity": {"cpu": "2"}, "allocatable": {"cpu": "1930m"}}))["cpu"], 1_930);
    }
}
