//! `eksup autoscaler simulate` with the instance types and prices that the cloud sells.

mod support;

use serde_json::Value;
use support::Rig;

const MANIFESTS: &str = r#"
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: { name: default }
spec:
  template:
    spec:
      nodeClassRef: { group: karpenter.k8s.aws, kind: EC2NodeClass, name: default }
      requirements:
        - { key: karpenter.sh/capacity-type, operator: In, values: [on-demand] }
        - { key: karpenter.k8s.aws/instance-family, operator: In, values: [m5] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  replicas: 9
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers: [ { name: web, resources: { requests: { cpu: 600m, memory: 1Gi } } } ]
"#;

#[test]
fn without_a_catalogue_the_types_and_prices_are_those_of_the_cloud() {
    let rig = Rig::start();
    let file = rig.file("shop.yaml");
    std::fs::write(&file, MANIFESTS).expect("the manifests");
    let path = file.to_str().expect("a path");
    let simulate = ["autoscaler", "simulate", path, "--region", "us-east-1", "--balance-share", "0", "-o", "json"];
    let ran = rig.eksup(&simulate).expect(0);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["placed"], 9, "{report}");
    let nodes = report["nodes"].as_array().expect("nodes");
    // Nine pods ask for 5.4 cores. An `m5.2xlarge` has 7.91 and costs four times what an `m5.large` costs, so
    // nothing can be cheaper than what two thirds of it cost.
    let cost = report["hourlyCost"].as_f64().expect("a cost");
    assert!((0.096 * 2.8..=0.096 * 4.0 + 1e-9).contains(&cost), "{report}");
    for node in nodes {
        assert!(node["instanceType"].as_str().is_some_and(|name| name.starts_with("m5.")), "{node}");
        assert!(node["zone"].as_str().is_some_and(|zone| zone.starts_with("us-east-1")), "{node}");
    }
}
