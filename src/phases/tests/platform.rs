//! What the phases from the cluster to the autoscaler declare.

use super::*;

fn platform(mode: &str, engine: &str) -> Value {
    json!({
        "network": { "zones": 2, "endpoints": ["s3"] },
        "cluster": {
            "version": "1.35",
            "logging": ["audit"],
            "access": [
                { "principal": "arn:aws:iam::111122223333:role/ops", "policy": "clusterAdmin" },
                { "principal": "arn:aws:iam::111122223333:user/ann", "policy": "edit", "namespaces": ["web"] },
                { "principal": "arn:aws:iam::111122223333:user/ann", "policy": "view" },
            ],
            "addons": ["vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-ebs-csi-driver"],
            "nodeGroups": [
                { "name": "system", "instanceTypes": ["t3.medium"], "max": 3 },
                { "name": "batch", "instanceTypes": ["m7g.large"], "min": 0, "max": 9, "capacity": "spot",
                  "amiType": "BOTTLEROCKET_ARM_64", "subnets": "public" },
            ],
        },
        "identity": {
            "mode": mode,
            "serviceAccounts": [{ "namespace": "default", "name": "backend",
                                  "managedPolicies": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"] }],
        },
        "addons": { "loadBalancerController": {} },
        "autoscaler": {
            "engine": engine,
            "nodePools": [{ "name": "default", "spec": {} }],
            "nodeClasses": [{ "name": "default", "spec": { "role": "KarpenterNodeRole-shop" } }],
        },
    })
}

#[test]
fn every_reference_of_the_platform_leads_to_an_output_and_nothing_turns_in_a_circle() {
    for (mode, engine) in [("podIdentity", "eksup"), ("irsa", "karpenter"), ("irsa", "none")] {
        let declared = declared(platform(mode, engine));
        for resource in declared.values() {
            for placeholder in placeholders(&resource.body) {
                let target = declared.get(placeholder.address.as_str());
                let facts = target.and_then(|target| Kinds::get(&target.kind)).map(|kind| kind.facts());
                let known = facts.is_some_and(|facts| facts.outputs.contains(&placeholder.output.as_str()));
                assert!(known, "{} refers to {placeholder:?}", resource.address);
            }
            assert!(resource.after.iter().all(|address| declared.contains_key(address.as_str())));
        }
        let list: Vec<Desired> = declared.values().cloned().collect();
        let creations = diff(&list, &[], &Kinds).expect("no problems");
        assert!(Graph::of(&creations, &Kinds).is_ok());
        let removals = tear_down(&standing(&declared), &Kinds).expect("nothing is protected");
        assert!(Graph::of(&removals, &Kinds).is_ok());
    }
}

#[test]
fn a_platform_that_stands_as_declared_wants_no_change() {
    let declared = declared(platform("irsa", "eksup"));
    let list: Vec<Desired> = declared.values().cloned().collect();
    let changes = diff(&list, &standing(&declared), &Kinds).expect("no problems");
    let pending: Vec<_> = changes.iter().filter(|change| change.action.is_pending()).collect();
    assert!(pending.is_empty(), "{pending:#?}");
}

#[test]
fn nodes_come_after_what_they_need_and_before_what_needs_them() {
    let declared = declared(platform("podIdentity", "eksup"));
    let system = &declared["nodes/group/system"].after;
    for address in [
        "nodes/addon/vpc-cni",
        "nodes/addon/kube-proxy",
        "nodes/addon/eks-pod-identity-agent",
        "nodes/access-entry/nodes",
        "nodes/service-linked-role/spot",
        "network/endpoint/s3",
        "network/route-table-association/private/eu-central-1a",
    ] {
        assert!(system.contains(&address.into()), "{address} is not among {system:?}");
    }
    let driver = &declared["nodes/addon/aws-ebs-csi-driver"].after;
    for address in ["nodes/group/system", "nodes/group/batch", "nodes/pod-identity/aws-ebs-csi-driver"] {
        assert!(driver.contains(&address.into()), "{address} is not among {driver:?}");
    }
    assert!(declared["cluster/cluster"].after.contains(&"cluster/log-group".into()));
}

#[test]
fn roles_of_pods_are_given_by_one_mechanism_and_bound_to_one_service_account() {
    let by_eks = declared(platform("podIdentity", "eksup"));
    assert_eq!(
        of_kind(&by_eks, "pod-identity-association"),
        [
            "addons/pod-identity/load-balancer-controller",
            "autoscaler/pod-identity/autoscaler",
            "identity/pod-identity/default/backend",
            "nodes/pod-identity/aws-ebs-csi-driver",
        ]
    );
    assert!(of_kind(&by_eks, "oidc-provider").is_empty());
    let trust = by_eks["identity/role/default/backend"].body["trust"].to_string();
    assert!(trust.contains("arn:aws:eks:eu-central-1:111122223333:cluster/shop"), "{trust}");
    let by_token = declared(platform("irsa", "karpenter"));
    assert!(of_kind(&by_token, "pod-identity-association").is_empty());
    let equals = &by_token["autoscaler/role/autoscaler"].body["trust"]["Statement"][0]["Condition"]["StringEquals"];
    assert_eq!(equals["${output:cluster/oidc-provider#issuer}:sub"], "system:serviceaccount:kube-system:karpenter");
    let driver = &by_token["nodes/addon/aws-ebs-csi-driver"].body["serviceAccountRole"];
    assert_eq!(driver, "${output:nodes/role/aws-ebs-csi-driver#arn}");
}

#[test]
fn who_is_named_twice_gets_one_entry_with_both_policies() {
    let declared = declared(platform("podIdentity", "none"));
    let entries = of_kind(&declared, "access-entry");
    assert_eq!(
        entries,
        ["cluster/access-entry/111122223333/role/ops", "cluster/access-entry/111122223333/user/ann"],
        "without an autoscaler EKS lets the nodes in by itself"
    );
    let policies = &declared["cluster/access-entry/111122223333/user/ann"].body["policies"];
    assert_eq!(*policies, json!({ "AmazonEKSEditPolicy": ["web"], "AmazonEKSViewPolicy": [] }));
}

#[test]
fn the_autoscaler_may_pass_the_stacks_node_role_and_those_that_node_classes_name() {
    let declared = declared(platform("podIdentity", "eksup"));
    let policies = &declared["autoscaler/role/autoscaler"].body["inlinePolicies"];
    let pass = &policies["node-roles"]["Statement"][0];
    let own = "arn:aws:iam::111122223333:role/KarpenterNodeRole-shop";
    assert_eq!(pass["Resource"], json!(["${output:nodes/role/nodes#arn}", own]));
    assert_eq!(declared["autoscaler/access-entry/KarpenterNodeRole-shop"].body["principal"], own);
    let entry = &declared["nodes/access-entry/nodes"].body;
    assert_eq!(
        (&entry["type"], &entry["principalId"]),
        (&json!("EC2_LINUX"), &json!("${output:nodes/role/nodes#uniqueId}"))
    );
    let discovery = &declared["autoscaler/discovery/security-group"].body;
    assert_eq!(discovery["target"], "${output:cluster/cluster#securityGroup}");
    assert!(!declared.values().any(|resource| resource.body.to_string().contains("{{")));
}

#[test]
fn a_group_says_what_eks_is_told() {
    let declared = declared(platform("podIdentity", "none"));
    let system = &declared["nodes/group/system"].body;
    assert_eq!(
        (&system["desired"], &system["maxUnavailable"], &system["version"]),
        (&json!(1), &json!(1), &json!("1.35"))
    );
    let batch = &declared["nodes/group/batch"].body;
    assert_eq!((&batch["capacityType"], &batch["amiType"]), (&json!("SPOT"), &json!("BOTTLEROCKET_ARM_64")));
    assert_eq!(batch["subnets"][0], "${output:network/subnet/public/eu-central-1a#id}");
    let template = |name: &str| declared[&format!("nodes/launch-template/{name}")].body.clone();
    assert_eq!(
        (&template("batch")["device"], &template("system")["device"]),
        (&json!("/dev/xvdb"), &json!("/dev/xvda"))
    );
    let tags = &template("system")["instanceTags"];
    assert_eq!((&tags["team"], &tags["eksup.dev/stack"]), (&json!("web"), &json!("shop")));
    assert_eq!(tags.get("eksup.dev/resource"), None, "an instance of a group is not a resource of the stack");
}

#[test]
fn a_cluster_that_is_made_anew_takes_its_nodes_along() {
    let standing = standing(&declared(platform("irsa", "eksup")));
    let mut sections = platform("irsa", "eksup");
    sections["cluster"]["serviceCidr"] = json!("172.20.0.0/16");
    let list: Vec<Desired> = declared(sections).into_values().collect();
    let changes = diff(&list, &standing, &Kinds).expect("no problems");
    let replaced: Vec<&str> = changes
        .iter()
        .filter(|change| change.action == crate::plan::Action::Replace)
        .map(|change| change.kind.as_str())
        .collect();
    for kind in ["cluster", "node-group", "addon", "access-entry", "oidc-provider"] {
        assert!(replaced.contains(&kind), "{kind} is not among {replaced:?}");
    }
    assert!(Graph::of(&changes, &Kinds).is_ok(), "the order turns in a circle");
}
