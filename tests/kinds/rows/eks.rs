//! Kinds of EKS.

use std::collections::{BTreeMap, BTreeSet};

use eksup::aws::access_entry::AccessEntry;
use eksup::aws::addon::Addon;
use eksup::aws::cluster::Cluster;
use eksup::aws::launch_template::LaunchTemplate;
use eksup::aws::log_group::{ADDRESS, LogGroup, name_for};
use eksup::aws::node_group::{NodeGroup, Taint};
use eksup::aws::pod_identity_association::PodIdentityAssociation;
use eksup::aws::service_linked_role::{SPOT_ADDRESS, SPOT_SERVICE, ServiceLinkedRole};
use eksup::aws::subnet::Subnet;
use eksup::aws::vpc::Vpc;
use eksup::plan::{Handle, Reference, Resources, Tags};
use serde_json::json;

use super::iam::role;
use crate::harness::{Form, Row, STACK};

const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555";

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "cluster",
            address: "cluster/cluster",
            declare: |resources, form| {
                // What EKS would make by itself as soon as something is logged.
                resources.add(ADDRESS, LogGroup { name: name_for(STACK), retention_days: 90 });
                cluster(resources, form);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, cluster| {
                Box::pin(async move {
                    let logs = aws_sdk_eks::types::LogSetup::builder();
                    let logs = logs.enabled(true).types(aws_sdk_eks::types::LogType::Scheduler).build();
                    let logging = aws_sdk_eks::types::Logging::builder().cluster_logging(logs).build();
                    let sending = cloud.write.eks.update_cluster_config().name(cluster.identity()).logging(logging);
                    sending.send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "node-group",
            address: "nodes/group/system",
            declare: |resources, form| node_group(resources, form),
            changes: true,
            replaces: true,
            drift: Some(|cloud, group| {
                Box::pin(async move {
                    let labels = aws_sdk_eks::types::UpdateLabelsPayload::builder();
                    let labels = labels.add_or_update_labels("by", "hand").remove_labels("role").build();
                    let sending = cloud.write.eks.update_nodegroup_config().cluster_name(STACK);
                    let sending = sending.nodegroup_name(group.identity()).labels(labels);
                    sending.send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "addon",
            address: "nodes/addon/vpc-cni",
            declare: |resources, form| {
                let cluster = cluster(resources, Form::Original);
                let changed = form == Form::Changed;
                let name = if form == Form::Replaced { "kube-proxy" } else { "vpc-cni" };
                let body = Addon {
                    cluster: cluster.name(),
                    name: name.to_owned(),
                    version: changed.then(|| "v1.20.4-eksbuild.2".to_owned()),
                    kubernetes: (!changed).then(|| "1.35".to_owned()),
                    configuration: if changed { json!({ "env": { "WARM_IP_TARGET": "2" } }) } else { json!({}) },
                    service_account_role: Reference::known(""),
                };
                resources.add("nodes/addon/vpc-cni", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, addon| {
                Box::pin(async move {
                    let sending = cloud.write.eks.update_addon().cluster_name(STACK).addon_name(addon.identity());
                    sending.configuration_values(r#"{"enableNetworkPolicy":"true"}"#).send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "access-entry",
            address: "cluster/access-entry/app",
            declare: |resources, form| {
                let cluster = cluster(resources, Form::Original);
                let one = role(resources, "one", "ec2.amazonaws.com", &[]);
                let other = role(resources, "other", "ec2.amazonaws.com", &[]);
                let role = if form == Form::Replaced { other } else { one };
                let edit = ("AmazonEKSEditPolicy".to_owned(), BTreeSet::from(["team-a".to_owned()]));
                let view = ("AmazonEKSViewPolicy".to_owned(), BTreeSet::new());
                let policies = if form == Form::Changed { vec![view] } else { vec![edit, view] };
                let body = AccessEntry {
                    cluster: cluster.name(),
                    principal: role.arn(),
                    principal_id: Some(role.unique_id()),
                    entry_type: "STANDARD".to_owned(),
                    policies: policies.into_iter().collect(),
                };
                resources.add("cluster/access-entry/app", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, entry| {
                Box::pin(async move {
                    let principal = entry.body["principal"].as_str().unwrap_or_default();
                    let admin = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy";
                    let scope = aws_sdk_eks::types::AccessScope::builder();
                    let scope = scope.r#type(aws_sdk_eks::types::AccessScopeType::Cluster).build();
                    let sending = cloud.write.eks.associate_access_policy().cluster_name(STACK);
                    let sending = sending.principal_arn(principal).policy_arn(admin).access_scope(scope);
                    sending.send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "pod-identity-association",
            address: "identity/pod-identity/default/app",
            declare: |resources, form| {
                let cluster = cluster(resources, Form::Original);
                let one = role(resources, "one", "pods.eks.amazonaws.com", &[]);
                let other = role(resources, "other", "pods.eks.amazonaws.com", &[]);
                let role = if form == Form::Changed { other } else { one };
                let namespace = if form == Form::Replaced { "other" } else { "default" };
                let body = PodIdentityAssociation {
                    cluster: cluster.name(),
                    namespace: namespace.to_owned(),
                    service_account: "app".to_owned(),
                    role: role.arn(),
                };
                resources.add("identity/pod-identity/default/app", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, association| {
                Box::pin(async move {
                    let sending = cloud.write.eks.delete_pod_identity_association().cluster_name(STACK);
                    sending.association_id(association.identity()).send().await.expect("the drift");
                })
            }),
        },
    ]
}

/// Two subnets in two zones of a VPC.
fn subnets(resources: &mut Resources) -> Vec<Handle<Subnet>> {
    let vpc = Vpc { cidr: "10.6.0.0/16".to_owned(), dns_support: true, dns_hostnames: true };
    let vpc = resources.add("network/vpc", vpc);
    let subnet = |(number, zone): (usize, &str)| {
        let body = Subnet {
            vpc: vpc.id(),
            cidr: format!("10.6.{number}.0/24"),
            zone: format!("us-east-1{zone}"),
            public_addresses: true,
        };
        resources.add(format!("network/subnet/public/{zone}"), body)
    };
    ["a", "b"].into_iter().enumerate().map(subnet).collect()
}

/// A cluster in `form`, with what it needs.
pub fn cluster(resources: &mut Resources, form: Form) -> Handle<Cluster> {
    let subnets = subnets(resources);
    let role = role(resources, "cluster", "eks.amazonaws.com", &["AmazonEKSClusterPolicy"]);
    let changed = form == Form::Changed;
    let body = Cluster {
        name: STACK.to_owned(),
        version: "1.35".to_owned(),
        role: role.arn(),
        subnets: subnets.iter().map(|subnet| subnet.id()).collect(),
        security_groups: BTreeSet::new(),
        endpoint_public: !changed,
        endpoint_private: true,
        public_cidrs: (!changed).then(|| BTreeSet::from(["203.0.113.0/24".to_owned()])),
        logging: if changed { BTreeSet::from(["audit".to_owned()]) } else { BTreeSet::new() },
        upgrade_policy: if changed { "EXTENDED".to_owned() } else { "STANDARD".to_owned() },
        deletion_protection: changed,
        service_cidr: (form == Form::Replaced).then(|| "172.30.0.0/16".to_owned()),
        secrets_key: if form == Form::Replaced { KEY.to_owned() } else { String::new() },
        authentication_mode: "API".to_owned(),
        bootstrap_self_managed_addons: false,
        bootstrap_cluster_creator_admin_permissions: true,
    };
    resources.add("cluster/cluster", body)
}

/// A node group in `form`, with what it needs.
fn node_group(resources: &mut Resources, form: Form) {
    let cluster = cluster(resources, Form::Original);
    let policies = ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy"];
    let nodes = role(resources, "nodes", "ec2.amazonaws.com", &policies);
    let changed = form == Form::Changed;
    let template = LaunchTemplate {
        name: "row-system".to_owned(),
        device: "/dev/xvda".to_owned(),
        disk_size: if changed { 30 } else { 20 },
        hop_limit: 1,
        instance_tags: Tags::new(),
    };
    let template = resources.add("nodes/launch-template/system", template);
    let taint = |value: &str| Taint { key: "team".into(), value: value.into(), effect: "NO_SCHEDULE".into() };
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let body = NodeGroup {
        cluster: cluster.name(),
        name: "system".to_owned(),
        role: nodes.arn(),
        role_id: nodes.unique_id(),
        subnets: ["a", "b"].iter().map(|zone| subnet_id(zone)).collect(),
        instance_types: vec!["t3.medium".to_owned(), "t3a.medium".to_owned()],
        ami_type: "AL2023_x86_64_STANDARD".to_owned(),
        capacity_type: if form == Form::Replaced { "SPOT".to_owned() } else { "ON_DEMAND".to_owned() },
        launch_template: template.id(),
        launch_template_version: template.version(),
        version: "1.35".to_owned(),
        min: if changed { 3 } else { 1 },
        max: if changed { 4 } else { 2 },
        desired: 1,
        labels: BTreeMap::from([if changed { label("tier", "app") } else { label("role", "system") }]),
        taints: BTreeSet::from([if changed { taint("shop") } else { taint("web") }]),
        max_unavailable: (!changed).then_some(1),
        max_unavailable_percentage: changed.then_some(50),
    };
    let network = Addon {
        cluster: cluster.name(),
        name: "vpc-cni".to_owned(),
        version: None,
        kubernetes: Some("1.35".to_owned()),
        configuration: json!({}),
        service_account_role: Reference::known(""),
    };
    let network = resources.add("nodes/addon/vpc-cni", network);
    let group = resources.add("nodes/group/system", body);
    // Without an add-on that gives pods addresses, no node becomes ready.
    resources.order(&group, network.address());
    if form == Form::Replaced {
        // What spot instances need, once in an account.
        let spot = resources.add(SPOT_ADDRESS, ServiceLinkedRole { service: SPOT_SERVICE.to_owned() });
        resources.order(&group, spot.address());
    }
}

fn subnet_id(zone: &str) -> Reference<eksup::aws::ids::SubnetId> {
    Reference::output(&format!("network/subnet/public/{zone}").as_str().into(), "id")
}
