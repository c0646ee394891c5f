//! How long a build from nothing takes at least: the longest way through the graph.

use std::collections::BTreeMap;

use serde_json::Value;

/// The longest way through `graph`, where every resource costs one call of `call` seconds, and what
/// takes time costs that besides.
pub fn seconds(graph: &Value, call: f64) -> f64 {
    let resources: BTreeMap<&str, &Value> = graph
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|resource| Some((resource["address"].as_str()?, resource)))
        .collect();
    let mut known = BTreeMap::new();
    resources.keys().map(|address| until(address, &resources, call, &mut known)).fold(0.0, f64::max)
}

fn until<'a>(
    address: &'a str,
    resources: &BTreeMap<&'a str, &'a Value>,
    call: f64,
    known: &mut BTreeMap<&'a str, f64>,
) -> f64 {
    if let Some(seconds) = known.get(address) {
        return *seconds;
    }
    let Some(resource) = resources.get(address) else { return 0.0 };
    let needs = resource["needs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let before = needs.map(|need| until(need, resources, call, known)).fold(0.0, f64::max);
    let seconds = before + call + own(resource["kind"].as_str().unwrap_or_default());
    known.insert(address, seconds);
    seconds
}

fn own(kind: &str) -> f64 {
    match kind {
        "cluster" => 20.0,
        "node-group" => 10.0,
        "database" => 15.0,
        "nat-gateway" => 5.0,
        _ => 0.0,
    }
}
