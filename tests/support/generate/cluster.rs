//! Pools, nodes, DaemonSets, namespaces and storage.

use serde_json::{Value, json};

use super::{Features, Generated, Random, Sizes, object};

/// Names of the zones.
pub const ZONES: [&str; 6] = ["eu-west-1a", "eu-west-1b", "eu-west-1c", "eu-west-1d", "eu-west-1e", "eu-west-1f"];
/// Namespaces beside `default`.
pub const NAMESPACES: [&str; 2] = ["team-a", "team-b"];
/// Labels that pools put on nodes and pods select.
pub const TIERS: [&str; 2] = ["gold", "silver"];
/// Class of disks that are made in the zone of the pod.
pub const DISK_CLASS: &str = "gp3";

/// Instance types: name, category, vCPUs, GiB, architecture, GPUs.
const SHAPES: [(&str, &str, i64, i64, &str, i64); 9] = [
    ("m6i.large", "m", 2, 8, "amd64", 0),
    ("m6i.xlarge", "m", 4, 16, "amd64", 0),
    ("m6i.4xlarge", "m", 16, 64, "amd64", 0),
    ("c6i.2xlarge", "c", 8, 16, "amd64", 0),
    ("r6i.xlarge", "r", 4, 32, "amd64", 0),
    ("c7g.xlarge", "c", 4, 8, "arm64", 0),
    ("m7g.2xlarge", "m", 8, 32, "arm64", 0),
    ("r7g.large", "r", 2, 16, "arm64", 0),
    ("g5.xlarge", "g", 4, 16, "amd64", 1),
];

/// Adds the namespaces that are not implied.
pub fn add_namespaces(generated: &mut Generated, features: Features) {
    if features.namespaces {
        for name in NAMESPACES {
            let labels = json!({"kubernetes.io/metadata.name": name, "team": name});
            generated.namespaces.push(object(json!({"metadata": {"name": name, "labels": labels}})));
        }
    }
}

/// Adds node pools. The first takes everything, so that few pods are out of reach by accident.
pub fn add_pools(generated: &mut Generated, random: &mut Random, sizes: Sizes, features: Features) {
    for number in 0..sizes.pools.max(1) {
        generated.node_pools.push(pool(number, random, sizes, features));
    }
}

fn pool(number: usize, random: &mut Random, sizes: Sizes, features: Features) -> Value {
    let special = number > 0;
    let capacity_types = if special { random.some(&["spot", "on-demand"]) } else { vec![&"spot", &"on-demand"] };
    let architectures = if special { random.some(&["amd64", "arm64"]) } else { vec![&"amd64", &"arm64"] };
    let mut requirements = vec![
        requirement("karpenter.sh/capacity-type", "In", json!(capacity_types)),
        requirement("kubernetes.io/arch", "In", json!(architectures)),
        requirement("kubernetes.io/os", "In", json!(["linux"])),
    ];
    if special && random.chance(50) {
        requirements.push(requirement(
            "topology.kubernetes.io/zone",
            "In",
            json!(random.some(&ZONES[..sizes.zones.clamp(1, 6)])),
        ));
    }
    if special && features.pool_rules {
        let category = "karpenter.k8s.aws/instance-category";
        match random.below(3) {
            0 => requirements.push(requirement(category, "NotIn", json!(["g"]))),
            1 => requirements.push(requirement("karpenter.k8s.aws/instance-cpu", "Gt", json!(["3"]))),
            _ => {
                let mut several = requirement(category, "In", json!(["c", "m", "r"]));
                several["minValues"] = json!(2);
                requirements.push(several);
            }
        }
    }
    let mut template = json!({
        "metadata": {"labels": {"tier": random.pick(&TIERS)}},
        "spec": {
            "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
            "expireAfter": "720h",
            "requirements": requirements,
        },
    });
    if special && features.taints {
        template["spec"]["taints"] = pool_taints(random, features);
        if random.chance(30) {
            template["spec"]["startupTaints"] = json!([{"key": "example.com/starting", "effect": "NoSchedule"}]);
        }
    }
    let mut spec = json!({"template": template, "disruption": {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "30s"}});
    if special && features.pool_rules {
        spec["weight"] = json!(1 + random.below(100));
        if random.chance(40) {
            spec["limits"] = json!({"cpu": format!("{}", 8 + random.below(64)), "memory": "256Gi"});
        }
    }
    json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": format!("pool-{number}")}, "spec": spec})
}

fn requirement(key: &str, operator: &str, values: Value) -> Value {
    json!({"key": key, "operator": operator, "values": values})
}

fn pool_taints(random: &mut Random, features: Features) -> Value {
    match random.below(4) {
        0 => json!([{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}]),
        1 => json!([{"key": "dedicated", "value": "web", "effect": "NoExecute"}]),
        2 if features.preferences => json!([{"key": "costly", "effect": "PreferNoSchedule"}]),
        _ => json!([]),
    }
}

/// Adds nodes of the pools.
pub fn add_nodes(generated: &mut Generated, random: &mut Random, sizes: Sizes, features: Features) {
    for number in 0..sizes.nodes {
        let pool = random.pick(&generated.node_pools).clone();
        let shapes: Vec<_> = SHAPES.iter().filter(|shape| features.extended_resources || shape.5 == 0).collect();
        let (instance_type, category, cpu, memory, architecture, gpus) = **random.pick(&shapes);
        let name = format!("node-{number}");
        let mut labels = pool["spec"]["template"]["metadata"]["labels"].clone();
        for (key, value) in [
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture),
            ("topology.kubernetes.io/zone", *random.pick(&ZONES[..sizes.zones.clamp(1, 6)])),
            ("topology.kubernetes.io/region", "eu-west-1"),
            ("node.kubernetes.io/instance-type", instance_type),
            ("karpenter.k8s.aws/instance-category", category),
            ("karpenter.k8s.aws/instance-cpu", &cpu.to_string()),
            ("karpenter.sh/capacity-type", *random.pick(&["spot", "on-demand"])),
            ("karpenter.sh/nodepool", pool["metadata"]["name"].as_str().unwrap_or("")),
        ] {
            labels[key] = json!(value);
        }
        let mut allocatable = json!({
            "cpu": format!("{}m", cpu * 1000 - 80),
            "memory": format!("{}Mi", memory * 1024 - 700),
            "ephemeral-storage": "18242267924",
            "pods": (if cpu > 4 { "58" } else { "29" }),
        });
        if gpus > 0 {
            allocatable["nvidia.com/gpu"] = json!(gpus.to_string());
        }
        let mut spec = json!({"taints": pool["spec"]["template"]["spec"]["taints"]});
        if features.disturbances && random.chance(8) {
            spec["unschedulable"] = json!(true);
        }
        generated.nodes.push(object(json!({
            "metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"allocatable": allocatable}})));
        if features.volumes {
            let drivers =
                json!([{"name": "ebs.csi.aws.com", "nodeID": name, "allocatable": {"count": 2 + random.below(4)}}]);
            generated.csi_nodes.push(object(json!({"metadata": {"name": name}, "spec": {"drivers": drivers}})));
        }
    }
}

/// Adds DaemonSets and their pods on every node.
pub fn add_daemon_sets(generated: &mut Generated, random: &mut Random, features: Features) {
    if !features.daemon_sets {
        return;
    }
    for (name, cpu, memory) in [("proxy", "50m", "64Mi"), ("log-agent", "100m", "128Mi")] {
        let port =
            (features.host_ports && random.chance(50)).then_some(json!([{"containerPort": 9100, "hostPort": 9100}]));
        let template = json!({
            "metadata": {"labels": {"app": name}},
            "spec": {"tolerations": [{"operator": "Exists"}], "containers": [{
                "name": name, "image": "registry.k8s.io/pause:3.10", "ports": port.unwrap_or(json!([])),
                "resources": {"requests": {"cpu": cpu, "memory": memory}}}]},
        });
        for node in &generated.nodes {
            let node_name = node.metadata.name.as_deref().unwrap_or("");
            let mut spec = template["spec"].clone();
            spec["nodeName"] = json!(node_name);
            let owner =
                json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": name, "uid": name, "controller": true}]);
            generated
                .pods
                .push(object(json!({"metadata": {"namespace": "kube-system", "name": format!("{name}-{node_name}"),
                "labels": template["metadata"]["labels"], "ownerReferences": owner}, "spec": spec})));
        }
        generated.daemon_sets.push(json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"namespace": "kube-system", "name": name},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template}}));
    }
}

/// Adds storage classes and some disks that are bound to claims `existing-0`, `existing-1` … of `default`.
pub fn add_storage(generated: &mut Generated, random: &mut Random, sizes: Sizes, features: Features) {
    if !features.volumes {
        return;
    }
    generated.storage_classes.push(object(json!({"metadata": {"name": DISK_CLASS}, "provisioner": "ebs.csi.aws.com",
        "volumeBindingMode": "WaitForFirstConsumer"})));
    for number in 0..3 {
        let zone = random.pick(&ZONES[..sizes.zones.clamp(1, 6)]);
        let term =
            json!({"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]});
        let (volume, claim) = (format!("volume-{number}"), format!("existing-{number}"));
        let exclusive = if random.chance(30) { "ReadWriteOncePod" } else { "ReadWriteOnce" };
        generated.persistent_volumes.push(object(json!({"metadata": {"name": volume}, "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": [exclusive], "storageClassName": DISK_CLASS,
            "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": format!("vol-{number}")},
            "claimRef": {"namespace": "default", "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}})));
        generated.persistent_volume_claims.push(object(
            json!({"metadata": {"namespace": "default", "name": claim}, "spec": {
            "accessModes": [exclusive], "storageClassName": DISK_CLASS, "volumeName": volume,
            "resources": {"requests": {"storage": "10Gi"}}}}),
        ));
    }
}
