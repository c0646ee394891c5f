//! Adds a stack's objects to the list of its resources: the set, each object, and what waits for what. Pure.

use serde_json::Value;

use super::object::{Object, keys_of_needs};
use super::object_set::ObjectSet;
use super::order;
use super::scaling::shared_out;
use super::way::Home;
use crate::plan::{Address, Resources};

/// Where the record of a stack's objects stands in it.
pub const SET: &str = "addons/object-set";

/// One object that a phase wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its place in the stack: `workloads/deployment/shop/backend`.
    pub address: Address,
    /// The object.
    pub manifest: Value,
    /// What has to stand before it although it does not name it, such as the nodes that it runs on.
    pub after: Vec<Address>,
}

/// Declares everything that the phases want in the cluster `home`, all at once: what waits for what is told from the
/// whole. `others` are members of the set that are resources of another kind.
pub fn objects(resources: &mut Resources, home: &Home, wanted: &[Wanted], others: &[Value]) {
    if wanted.is_empty() {
        return;
    }
    let manifests: Vec<Value> = wanted.iter().map(|wanted| wanted.manifest.clone()).collect();
    let (manifests, firsts): (Vec<Value>, Vec<Option<i64>>) =
        shared_out(manifests).into_iter().map(|shared| (shared.manifest, shared.first)).unzip();
    let set = resources.add(SET, ObjectSet::of(home.clone(), manifests.iter().chain(others)));
    let needs = keys_of_needs(&manifests);
    let mut handles = Vec::with_capacity(wanted.len());
    for (((wanted, manifest), first_replicas), needs) in wanted.iter().zip(&manifests).zip(firsts).zip(needs) {
        let body = Object { cluster: home.clone(), set: set.id(), manifest: manifest.clone(), first_replicas, needs };
        let handle = resources.add(wanted.address.as_str(), body);
        wanted.after.iter().for_each(|earlier| resources.order(&handle, earlier));
        handles.push(handle);
    }
    for (handle, needs) in handles.iter().zip(order::dependencies(&manifests)) {
        for need in needs {
            resources.order(handle, handles[need].address());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::{Describe, Reference, Tags};

    #[test]
    fn objects_wait_for_the_cluster_for_their_set_and_for_each_other() {
        let mut resources = Resources::new("shop", Tags::new());
        let home = Home {
            name: Reference::output(&"cluster/cluster".into(), "name"),
            region: "eu-central-1".to_owned(),
            endpoint: Reference::output(&"cluster/cluster".into(), "endpoint"),
            certificate_authority: Reference::output(&"cluster/cluster".into(), "certificateAuthority"),
        };
        let wanted = |address: &str, manifest: Value| Wanted { address: address.into(), manifest, after: Vec::new() };
        objects(
            &mut resources,
            &home,
            &[
                wanted(
                    "workloads/service/shop/a",
                    json!({ "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": "a", "namespace": "shop" } }),
                ),
                wanted(
                    "workloads/namespace/shop",
                    json!({ "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": "shop" } }),
                ),
            ],
            &[],
        );
        let list = resources.finish();
        let needs = |address: &str| {
            let found = list.iter().find(|resource| resource.address.as_str() == address).expect("a resource");
            found.needs().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            needs("workloads/service/shop/a"),
            ["addons/object-set", "cluster/cluster", "workloads/namespace/shop"]
        );
        assert_eq!(needs("addons/object-set"), ["cluster/cluster"]);
        assert_eq!(Object::FACTS.name, "object");
    }
}
