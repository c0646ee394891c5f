//! Host ports: two pods on one node may not bind the same port of one protocol on overlapping addresses.
//!
//! No address, and `0.0.0.0`, stand for every address; no protocol stands for TCP. Containers and sidecars
//! hold their ports for the life of the pod; ordinary init containers are gone by then and do not count.
//! With `hostNetwork` every container port is a host port, as API defaulting has it.

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// One port that a pod binds on its node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Empty stands for every address.
    address: String,
    protocol: String,
    port: i32,
}

impl HostPort {
    /// Whether both cannot be bound on one node.
    pub fn clashes(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address.is_empty() || other.address.is_empty())
    }

    /// `address:port/protocol`.
    pub fn written(&self) -> String {
        let address = if self.address.is_empty() { "0.0.0.0" } else { &self.address };
        format!("{address}:{}/{}", self.port, self.protocol)
    }
}

/// Every host port of a pod.
pub fn of(spec: &PodSpec) -> Vec<HostPort> {
    let host_network = spec.host_network.unwrap_or(false);
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = match port.host_port.unwrap_or(0) {
                0 if host_network => port.container_port,
                number => number,
            };
            (number > 0).then(|| HostPort {
                address: port.host_ip.clone().filter(|address| address != "0.0.0.0").unwrap_or_default(),
                protocol: port
                    .protocol
                    .clone()
                    .filter(|protocol| !protocol.is_empty())
                    .unwrap_or_else(|| "TCP".to_owned()),
                port: number,
            })
        })
        .collect()
}

/// Whether an init container keeps running beside the pod's containers.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ports(spec: Value) -> Vec<HostPort> {
        of(&serde_json::from_value(spec).expect("a pod spec"))
    }

    fn one(port: Value) -> HostPort {
        ports(json!({"containers": [{"name": "c", "ports": [port]}]})).remove(0)
    }

    #[test]
    fn ports_clash_on_port_and_protocol_where_addresses_overlap() {
        let any = || one(json!({"containerPort": 80, "hostPort": 80}));
        for (other, clash) in [
            (json!({"containerPort": 1, "hostPort": 80}), true),
            (json!({"containerPort": 1, "hostPort": 81}), false),
            (json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"}), false),
            (json!({"containerPort": 1, "hostPort": 80, "protocol": "TCP", "hostIP": "0.0.0.0"}), true),
            (json!({"containerPort": 1, "hostPort": 80, "hostIP": "127.0.0.1"}), true),
        ] {
            assert_eq!(any().clashes(&one(other.clone())), clash, "{other}");
        }
        let local = one(json!({"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"}));
        let inner = one(json!({"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}));
        assert!(!local.clashes(&inner) && local.clashes(&local.clone()));
    }

    #[test]
    fn sidecars_hold_ports_and_ordinary_init_containers_do_not() {
        let port = json!([{"containerPort": 9, "hostPort": 9}]);
        let spec = |policy: Value| json!({"containers": [], "initContainers": [{"name": "i", "restartPolicy": policy, "ports": port}]});
        assert_eq!(ports(spec(json!("Always"))).len(), 1);
        assert_eq!(ports(spec(Value::Null)).len(), 0);
    }

    #[test]
    fn the_host_network_makes_container_ports_host_ports() {
        let spec =
            |host: bool| json!({"hostNetwork": host, "containers": [{"name": "c", "ports": [{"containerPort": 53}]}]});
        assert_eq!(ports(spec(true)).first().map(HostPort::written), Some("0.0.0.0:53/TCP".to_owned()));
        assert!(ports(spec(false)).is_empty());
    }
}
