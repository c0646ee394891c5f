//! Bottlerocket: settings as TOML, laid over the user's.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use toml::{Table, Value};

use super::{Node, UserDataFault, dns};

/// The user's settings with ours: of tables both halves stay, of everything else ours wins.
pub fn write(node: &Node<'_>) -> Result<String, UserDataFault> {
    let users = node.users.unwrap_or_default();
    let mut all: Table = users.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(1, |span| users[..span.start.min(users.len())].matches('\n').count() + 1);
        UserDataFault::in_users(format!("is no TOML, line {at}: {}; Bottlerocket takes nothing else", error.message()))
    })?;
    let settings = table(&mut all, "settings");
    let kubernetes = table(settings, "kubernetes");
    add_taints(table(kubernetes, "node-taints"), node);
    lay_over(kubernetes, of_cluster(node));
    kubernetes.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
    if node.raid0 {
        table(settings, "bootstrap-commands").insert("instance-store".to_owned(), Value::Table(instance_store()));
    }
    toml::to_string(&all).map_err(|error| UserDataFault::in_users(format!("cannot be written again as TOML: {error}")))
}

/// The table of a name, made when there is none.
fn table<'a>(parent: &'a mut Table, name: &str) -> &'a mut Table {
    let entry = parent.entry(name).or_insert_with(|| Value::Table(Table::new()));
    if !entry.is_table() {
        *entry = Value::Table(Table::new());
    }
    match entry {
        Value::Table(table) => table,
        _ => unreachable!("it has just been made one"),
    }
}

fn lay_over(below: &mut Table, above: Table) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(name, value);
            }
        }
    }
}

fn of_cluster(node: &Node<'_>) -> Table {
    let (cluster, kubelet) = (node.cluster, &node.kubelet);
    let mut settings = Table::new();
    let mut set = |name: &str, value: Value| settings.insert(name.to_owned(), value);
    set("api-server", cluster.endpoint.clone().into());
    set("cluster-certificate", cluster.certificate_authority.clone().into());
    set("cluster-name", cluster.name.clone().into());
    match dns(node).as_slice() {
        [] => {}
        [one] => drop(set("cluster-dns-ip", one.clone().into())),
        several => drop(set("cluster-dns-ip", several.to_vec().into())),
    }
    if let Some(pods) = node.max_pods {
        set("max-pods", pods.into());
    }
    let numbers = [
        ("eviction-max-pod-grace-period", kubelet.eviction_max_pod_grace_period),
        ("image-gc-high-threshold-percent", kubelet.image_gc_high_threshold_percent),
        ("image-gc-low-threshold-percent", kubelet.image_gc_low_threshold_percent),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            set(name, i64::from(number).into());
        }
    }
    if let Some(enforced) = kubelet.cpu_cfs_quota {
        set("cpu-cfs-quota-enforced", enforced.into());
    }
    let tables = [
        ("kube-reserved", quantities(&kubelet.kube_reserved)),
        ("system-reserved", quantities(&kubelet.system_reserved)),
        ("eviction-hard", texts(&kubelet.eviction_hard)),
        ("eviction-soft", texts(&kubelet.eviction_soft)),
        ("eviction-soft-grace-period", texts(&kubelet.eviction_soft_grace_period)),
        ("node-labels", texts(&node.labels)),
    ];
    for (name, table) in tables {
        if !table.is_empty() {
            set(name, Value::Table(table));
        }
    }
    settings
}

fn texts(list: &BTreeMap<String, String>) -> Table {
    list.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
}

fn quantities(list: &BTreeMap<String, Quantity>) -> Table {
    list.iter().map(|(name, value)| (name.clone(), value.0.clone().into())).collect()
}

/// `key = ["value:Effect", …]`, each entry once, the user's first.
fn add_taints(taints: &mut Table, node: &Node<'_>) {
    for taint in &node.taints {
        let entry: Value = format!("{}:{}", taint.value.as_deref().unwrap_or_default(), taint.effect).into();
        let known = taints.entry(taint.key.clone()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::String(one) = known {
            *known = Value::Array(vec![Value::String(std::mem::take(one))]);
        }
        if let Value::Array(list) = known
            && !list.contains(&entry)
        {
            list.push(entry);
        }
    }
}

/// One volume of all instance stores, with what pods write on it.
fn instance_store() -> Table {
    let words = |list: &[&str]| Value::Array(list.iter().map(|word| Value::from(*word)).collect());
    let commands = vec![
        words(&["apiclient", "ephemeral-storage", "init"]),
        words(&[
            "apiclient",
            "ephemeral-storage",
            "bind",
            "--dirs",
            "/var/lib/containerd",
            "/var/lib/kubelet",
            "/var/log/pods",
        ]),
    ];
    let entries =
        [("commands", Value::Array(commands)), ("mode", Value::from("always")), ("essential", Value::from(true))];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
