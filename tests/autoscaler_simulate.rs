//! `simulate` on manifests as people write them, and the rules of the API types.

use eksup::autoscaler::api::{EC2NodeClass, NodePool, validate, validate_class};
use eksup::autoscaler::simulate::{Arguments, SimulateError, simulate};

const CATALOGUE: &str = "instance_type,arch,vcpu,memory_mib,max_pods,gpus,allocatable_cpu_m,allocatable_memory_mib,on_demand_usd,spot_a_usd,spot_b_usd,spot_c_usd,zones,metal\n\
m5.large,amd64,2,8192,29,0,1930,7100,0.096,0.04,0.05,,abc,false\n\
m5.xlarge,amd64,4,16384,58,0,3920,14100,0.192,0.08,0.09,,abc,false\n\
m7g.xlarge,arm64,4,16384,58,0,3920,14100,0.163,,,,abc,false\n";

const POOL: &str = r#"
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: { name: default }
spec:
  template:
    spec:
      nodeClassRef: { group: karpenter.k8s.aws, kind: EC2NodeClass, name: default }
      requirements:
        - { key: karpenter.sh/capacity-type, operator: In, values: [on-demand] }
        - { key: kubernetes.io/arch, operator: In, values: [amd64] }
  limits: { cpu: "40" }
"#;

const WORKLOADS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  replicas: 6
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers: [ { name: web, resources: { requests: { cpu: 500m, memory: 512Mi } } } ]
      topologySpreadConstraints:
        - { maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { app: web } } }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: queue, namespace: shop }
spec:
  replicas: 2
  serviceName: queue
  selector: { matchLabels: { app: queue } }
  template:
    metadata: { labels: { app: queue } }
    spec:
      containers: [ { name: queue, resources: { requests: { cpu: "1", memory: 6Gi } } } ]
---
apiVersion: batch/v1
kind: Job
metadata: { name: train }
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [ { name: train, resources: { limits: { nvidia.com/gpu: "8" } } } ]
"#;

fn arguments() -> Arguments {
    Arguments {
        files: Vec::new(),
        catalogue: None,
        region: "us-east-1".to_owned(),
        rounds: 200,
        balance_share: 0.02,
        preferences: true,
    }
}

#[test]
fn workloads_get_nodes_a_price_and_reasons_for_what_has_no_place() {
    let report = simulate(&[POOL.to_owned(), WORKLOADS.to_owned()], CATALOGUE, &arguments())
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.placed, 8);
    assert_eq!(report.unplaced.len(), 1);
    assert!(report.unplaced[0].reason.contains("nvidia.com/gpu"), "{}", report.unplaced[0].reason);
    let zones: std::collections::BTreeSet<&str> = report
        .nodes
        .iter()
        .filter(|node| node.pods.iter().any(|pod| pod.contains("web")))
        .map(|node| node.zone.as_str())
        .collect();
    assert_eq!(zones.len(), 3);
    let sum: f64 = report.nodes.iter().map(|node| node.hourly_cost).sum();
    assert!((report.hourly_cost - sum).abs() < 1e-9);
    assert!((report.monthly_cost - sum * 730.0).abs() < 1e-6);
    assert!(report.lower_bound <= report.hourly_cost + 1e-9);
    let text = report.to_string();
    assert!(text.contains("$ per month") && text.contains("no place for `default/train-0`"), "{text}");
    let json = serde_json::to_value(&report).unwrap_or_default();
    assert!(json["nodes"][0]["instanceType"].is_string() && json["nodes"][0]["pods"].is_array());
}

#[test]
fn pool_limits_are_never_passed() {
    let pool = POOL.replace("cpu: \"40\"", "cpu: \"4\"");
    let report =
        simulate(&[pool, WORKLOADS.to_owned()], CATALOGUE, &arguments()).unwrap_or_else(|error| panic!("{error}"));
    let cores: i32 = report.nodes.iter().map(|node| if node.instance_type == "m5.large" { 2 } else { 4 }).sum();
    assert!(cores <= 4, "{cores}");
    assert!(report.unplaced.iter().any(|group| group.reason.contains("limits")), "{:?}", report.unplaced);
}

#[test]
fn a_pool_that_breaks_rules_is_refused_with_all_its_faults() {
    let pool = POOL
        .replace("operator: In, values: [on-demand]", "operator: In, values: [cheap], minValues: 3")
        .replace("cpu: \"40\"", "cpu: plenty");
    match simulate(&[pool], CATALOGUE, &arguments()) {
        Err(SimulateError::Invalid { faults }) => {
            let fields: Vec<String> = faults.iter().map(|(_, fault)| fault.field.clone()).collect();
            assert!(fields.contains(&"spec.template.spec.requirements[0].minValues".to_owned()), "{fields:?}");
            assert!(fields.contains(&"spec.template.spec.requirements[0].values".to_owned()), "{fields:?}");
            assert!(fields.contains(&"spec.limits[cpu]".to_owned()), "{fields:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn broken_yaml_and_objects_of_the_wrong_shape_are_named() {
    let broken = simulate(&["a: [".to_owned()], CATALOGUE, &arguments());
    assert!(broken.is_err_and(|error| error.to_string().contains("not valid YAML")));
    let shape = simulate(&["kind: Deployment\nmetadata: { name: web }\nspec: 5\n".to_owned()], CATALOGUE, &arguments());
    assert!(shape.is_err_and(|error| error.to_string().contains("Deployment `web`")));
}

fn pool(spec: serde_json::Value) -> Vec<String> {
    let pool: NodePool = serde_json::from_value(serde_json::json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "p" }, "spec": spec }))
    .unwrap_or_else(|error| panic!("{error}"));
    validate::node_pool(&pool.spec).into_iter().map(|fault| fault.field).collect()
}

#[test]
fn node_pool_rules_name_the_field_that_breaks_them() {
    use serde_json::json;
    let base = || json!({ "template": { "spec": { "requirements": [], "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c" } } } });
    assert!(pool(base()).is_empty());
    let changed = |pointer: &str, value: serde_json::Value| {
        let mut spec = base();
        let (parent, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        if let Some(serde_json::Value::Object(map)) = spec.pointer_mut(parent) {
            map.insert(field.to_owned(), value);
        }
        pool(spec)
    };
    let requirement = |value: serde_json::Value| changed("/template/spec/requirements", json!([value]));
    for (found, field) in [
        (changed("/weight", json!(101)), "spec.weight"),
        (changed("/template/spec/expireAfter", json!("soon")), "spec.template.spec.expireAfter"),
        (changed("/template/spec/terminationGracePeriod", json!("Never")), "spec.template.spec.terminationGracePeriod"),
        (
            changed("/template/metadata", json!({ "labels": { "karpenter.sh/nodepool": "x" } })),
            "spec.template.metadata.labels.[karpenter.sh/nodepool]",
        ),
        (
            changed("/disruption", json!({ "consolidateAfter": "0s", "budgets": [{ "nodes": "120%" }] })),
            "spec.disruption.budgets[0].nodes",
        ),
        (
            changed(
                "/disruption",
                json!({ "consolidateAfter": "0s", "budgets": [{ "nodes": "1", "schedule": "@daily" }] }),
            ),
            "spec.disruption.budgets[0]",
        ),
        (
            changed("/template/spec/taints", json!([{ "key": "a", "effect": "Now" }])),
            "spec.template.spec.taints[0].effect",
        ),
        (
            requirement(json!({ "key": "a", "operator": "In", "values": [] })),
            "spec.template.spec.requirements[0].values",
        ),
        (
            requirement(json!({ "key": "a", "operator": "Gt", "values": ["-1"] })),
            "spec.template.spec.requirements[0].values",
        ),
        (
            requirement(json!({ "key": "karpenter.sh/nodepool", "operator": "Exists" })),
            "spec.template.spec.requirements[0].key",
        ),
        (
            requirement(json!({ "key": "karpenter.k8s.aws/colour", "operator": "Exists" })),
            "spec.template.spec.requirements[0].key",
        ),
        (
            requirement(json!({ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["free"] })),
            "spec.template.spec.requirements[0].values",
        ),
    ] {
        assert!(
            found.iter().any(|f| f == field || f.replace(".[", "[") == field.replace(".[", "[")),
            "{field}: {found:?}"
        );
    }
}

#[test]
fn ec2_node_class_rules_name_the_field_that_breaks_them() {
    use serde_json::json;
    let class = |change: serde_json::Value| {
        let mut spec = json!({
            "subnetSelectorTerms": [{ "tags": { "a": "b" } }], "securityGroupSelectorTerms": [{ "id": "sg-1" }],
            "amiSelectorTerms": [{ "alias": "al2023@latest" }], "role": "r" });
        for (key, value) in change.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let class: EC2NodeClass = serde_json::from_value(json!({
            "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": { "name": "c" }, "spec": spec }))
        .unwrap_or_else(|error| panic!("{error}"));
        validate_class::ec2_node_class(&class.spec).into_iter().map(|fault| fault.field).collect::<Vec<_>>()
    };
    assert!(class(json!({})).is_empty());
    for (change, field) in [
        (json!({ "subnetSelectorTerms": [] }), "spec.subnetSelectorTerms"),
        (json!({ "subnetSelectorTerms": [{ "id": "vpc-1" }] }), "spec.subnetSelectorTerms[0].id"),
        (
            json!({ "securityGroupSelectorTerms": [{ "id": "sg-1", "name": "x" }] }),
            "spec.securityGroupSelectorTerms[0]",
        ),
        (json!({ "amiSelectorTerms": [{ "alias": "al2023@latest" }, { "id": "ami-1" }] }), "spec.amiSelectorTerms"),
        (json!({ "amiSelectorTerms": [{ "id": "ami-1" }] }), "spec.amiFamily"),
        (json!({ "amiSelectorTerms": [{ "alias": "windows2022@v1" }] }), "spec.amiSelectorTerms[0].alias"),
        (json!({ "instanceProfile": "p" }), "spec.role"),
        (json!({ "tags": { "karpenter.sh/nodepool": "x" } }), "spec.tags[karpenter.sh/nodepool]"),
        (
            json!({ "metadataOptions": { "httpPutResponseHopLimit": 65 } }),
            "spec.metadataOptions.httpPutResponseHopLimit",
        ),
        (
            json!({ "kubelet": { "evictionSoft": { "memory.available": "5%" } } }),
            "spec.kubelet.evictionSoftGracePeriod",
        ),
        (json!({ "blockDeviceMappings": [{ "ebs": {} }] }), "spec.blockDeviceMappings[0].ebs"),
        (json!({ "connectionTracking": { "udpTimeout": 5 } }), "spec.connectionTracking.udpTimeout"),
    ] {
        let found = class(change);
        assert!(found.iter().any(|f| f == field), "{field}: {found:?}");
    }
}
