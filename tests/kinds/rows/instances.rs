//! Instances, launch templates, and tags on what is not ours.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{RequestLaunchTemplateData, Tag};
use eksup::aws::borrowed_tags::BorrowedTags;
use eksup::aws::instance::Instance;
use eksup::aws::instance_profile::InstanceProfile;
use eksup::aws::launch_template::LaunchTemplate;
use eksup::aws::role::Role;
use eksup::phases::names;
use eksup::plan::{Handle, Reference, Resources, Tags};
use serde_json::json;

use super::network::{subnet, vpc};
use super::security::group;
use crate::harness::{Form, REGION, Row, STACK};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "instance",
            address: "bastion/instance",
            declare: |resources, form| instance(resources, form),
            changes: true,
            replaces: true,
            drift: Some(|cloud, instance| {
                Box::pin(async move {
                    let sending = cloud.write.ec2.stop_instances().instance_ids(instance.identity());
                    sending.send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "launch-template",
            address: "nodes/launch-template/system",
            declare: |resources, form| {
                let body = LaunchTemplate {
                    name: if form == Form::Replaced { "row-other" } else { "row-system" }.to_owned(),
                    device: "/dev/xvda".to_owned(),
                    disk_size: if form == Form::Changed { 40 } else { 20 },
                    hop_limit: 2,
                    instance_tags: Tags::from([("team".to_owned(), "web".to_owned())]),
                };
                resources.add("nodes/launch-template/system", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, template| {
                Box::pin(async move {
                    let client = &cloud.write.ec2;
                    let empty = RequestLaunchTemplateData::builder().ebs_optimized(true).build();
                    let sending = client.create_launch_template_version().launch_template_id(template.identity());
                    let answer = sending.launch_template_data(empty).send().await.expect("the drift");
                    let version = answer.launch_template_version().and_then(|version| version.version_number());
                    let sending = client.modify_launch_template().launch_template_id(template.identity());
                    sending.default_version(version.unwrap_or_default().to_string()).send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "borrowed-tags",
            address: "network/borrowed-tags/thing",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let [one, other] = ["one", "other"].map(|name| group(resources, &vpc, name));
                let thing = if form == Form::Replaced { other } else { one };
                let mut tags = Tags::from([("kubernetes.io/role/elb".to_owned(), "1".to_owned())]);
                if form == Form::Changed {
                    tags = Tags::from([("karpenter.sh/discovery".to_owned(), "row".to_owned())]);
                }
                let body = BorrowedTags { target: Reference::known(thing.id().as_str()), tags };
                resources.add("network/borrowed-tags/thing", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, borrowed| {
                Box::pin(async move {
                    let thing = borrowed.body["target"].as_str().unwrap_or_default();
                    let tag = Tag::builder().key("kubernetes.io/role/elb").build();
                    cloud.write.ec2.delete_tags().resources(thing).tags(tag).send().await.expect("the drift");
                })
            }),
        },
    ]
}

fn instance(resources: &mut Resources, form: Form) {
    let vpc = vpc(resources, Form::Original);
    let subnet = subnet(resources, &vpc, Form::Original);
    let groups = [group(resources, &vpc, "one"), group(resources, &vpc, "two")];
    let wanted = if form == Form::Changed { &groups[..] } else { &groups[..1] };
    let body = Instance {
        image: "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64".to_owned(),
        instance_type: if form == Form::Changed { "t3.small" } else { "t3.micro" }.to_owned(),
        subnet: subnet.id(),
        security_groups: wanted.iter().map(|handle| handle.id()).collect::<BTreeSet<_>>(),
        profile: profile(resources).name(),
        key_name: String::new(),
        public_address: false,
        disk_size: 10,
        encrypted: true,
        tokens_required: true,
        hop_limit: if form == Form::Changed { 2 } else { 1 },
        user_data: if form == Form::Replaced { "#cloud-config\npackages: [git]\n" } else { "" }.to_owned(),
        running: true,
    };
    resources.add("bastion/instance", body);
}

fn profile(resources: &mut Resources) -> Handle<InstanceProfile> {
    let path = names::iam_path(STACK, REGION);
    let role = Role {
        name: "row-bastion".to_owned(),
        path: path.clone(),
        description: "A row".to_owned(),
        trust: json!({
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" },
            ],
        }),
        managed_policies: BTreeSet::from(["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore".to_owned()]),
        inline_policies: BTreeMap::new(),
    };
    let role = resources.add("bastion/role", role);
    let body = InstanceProfile { name: "row-bastion".to_owned(), path, role: role.name() };
    resources.add("bastion/instance-profile", body)
}
