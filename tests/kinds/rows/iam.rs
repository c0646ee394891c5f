//! Kinds of IAM.

use std::collections::{BTreeMap, BTreeSet};

use eksup::aws::instance_profile::InstanceProfile;
use eksup::aws::oidc_provider::OidcProvider;
use eksup::aws::role::Role;
use eksup::aws::service_linked_role::{SPOT_ADDRESS, SPOT_SERVICE, ServiceLinkedRole};
use eksup::phases::names::iam_path;
use eksup::plan::{Handle, Reference, Resources};
use serde_json::{Value, json};

use crate::harness::{Form, REGION, Row, STACK};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "role",
            address: "cluster/role/app",
            declare: |resources, form| {
                resources.add("cluster/role/app", app_role(form));
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, role| {
                Box::pin(async move {
                    let sending = cloud.write.iam.attach_role_policy().role_name(role.identity());
                    sending.policy_arn(managed("AdministratorAccess")).send().await.expect("the drift");
                    let sending = cloud.write.iam.delete_role_policy().role_name(role.identity()).policy_name("read");
                    sending.send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "instance-profile",
            address: "bastion/instance-profile",
            declare: |resources, form| {
                let role = role(resources, "bastion", "ec2.amazonaws.com", &[]);
                let other = other_role(resources);
                let role = if form == Form::Changed { other } else { role };
                let name = if form == Form::Replaced { "row-other" } else { "row-bastion" };
                let body = InstanceProfile { name: name.to_owned(), path: iam_path(STACK, REGION), role: role.name() };
                resources.add("bastion/instance-profile", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, profile| {
                Box::pin(async move {
                    let role = profile.body["role"].as_str().unwrap_or_default();
                    let sending = cloud.write.iam.remove_role_from_instance_profile().role_name(role);
                    sending.instance_profile_name(profile.identity()).send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "oidc-provider",
            address: "cluster/oidc-provider",
            declare: |resources, form| {
                let id = if form == Form::Replaced { "BB" } else { "AA" };
                let mut client_ids = BTreeSet::from(["sts.amazonaws.com".to_owned()]);
                if form == Form::Changed {
                    client_ids.insert("other.example.com".to_owned());
                }
                let url = Reference::known(format!("https://oidc.eks.{REGION}.amazonaws.com/id/{id}"));
                resources.add("cluster/oidc-provider", OidcProvider { url, client_ids });
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, provider| {
                Box::pin(async move {
                    let sending = cloud.write.iam.remove_client_id_from_open_id_connect_provider();
                    let sending = sending.open_id_connect_provider_arn(provider.identity());
                    sending.client_id("sts.amazonaws.com").send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "service-linked-role",
            address: SPOT_ADDRESS,
            declare: |resources, _| {
                resources.add(SPOT_ADDRESS, ServiceLinkedRole { service: SPOT_SERVICE.to_owned() });
            },
            changes: false,
            replaces: false,
            drift: None,
        },
    ]
}

/// A role that `service` takes, with policies of AWS.
pub fn role(resources: &mut Resources, name: &str, service: &str, policies: &[&str]) -> Handle<Role> {
    let body = Role {
        name: format!("row-{name}"),
        path: iam_path(STACK, REGION),
        description: name.to_owned(),
        trust: trust(service),
        managed_policies: policies.iter().map(|policy| managed(policy)).collect(),
        inline_policies: BTreeMap::new(),
    };
    resources.add(format!("cluster/role/{name}"), body)
}

fn other_role(resources: &mut Resources) -> Handle<Role> {
    role(resources, "other", "ec2.amazonaws.com", &[])
}

fn app_role(form: Form) -> Role {
    let changed = form == Form::Changed;
    let read = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::row%20é/*" }],
    });
    let mut inline_policies = BTreeMap::from([("read".to_owned(), read.clone())]);
    let mut managed_policies = BTreeSet::from([managed("AmazonS3ReadOnlyAccess")]);
    if changed {
        inline_policies = BTreeMap::from([("list".to_owned(), read)]);
        managed_policies = BTreeSet::from([managed("AmazonSQSReadOnlyAccess")]);
    }
    Role {
        name: if form == Form::Replaced { "row-app-anew".to_owned() } else { "row-app".to_owned() },
        path: iam_path(STACK, REGION),
        description: if changed { "Another app".to_owned() } else { "An app".to_owned() },
        trust: trust(if changed { "ecs-tasks.amazonaws.com" } else { "ec2.amazonaws.com" }),
        managed_policies,
        inline_policies,
    }
}

fn trust(service: &str) -> Value {
    let actions = match service {
        "pods.eks.amazonaws.com" => json!(["sts:AssumeRole", "sts:TagSession"]),
        _ => json!("sts:AssumeRole"),
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": service }, "Action": actions }],
    })
}

fn managed(name: &str) -> String {
    format!("arn:aws:iam::aws:policy/{name}")
}
