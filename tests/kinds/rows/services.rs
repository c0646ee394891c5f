//! Kinds of RDS, SQS, EventBridge and CloudFormation.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_sqs::types::QueueAttributeName;
use eksup::aws::cloudformation_stack::CloudformationStack;
use eksup::aws::database::{Database, FINAL_SNAPSHOT, SKIP, Storage};
use eksup::aws::db_subnet_group::DbSubnetGroup;
use eksup::aws::event_rule::EventRule;
use eksup::aws::queue::Queue;
use eksup::aws::vpc::Vpc;
use eksup::phases::names;
use eksup::plan::{Handle, Resources, Tags};
use serde_json::json;

use super::network::{other_subnet, subnet, vpc};
use super::security::group;
use crate::harness::{Form, Row, STACK};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![subnet_groups(), databases(), queues(), event_rules(), stacks()]
}

/// Its name is all that could force a replacement, and that is the stack's.
fn subnet_groups() -> Row {
    Row {
        kind: "db-subnet-group",
        address: "database/subnet-group",
        declare: |resources, form| {
            let vpc = vpc(resources, Form::Original);
            subnet_group(resources, &vpc, form);
        },
        changes: true,
        replaces: false,
        drift: Some(|cloud, group| {
            Box::pin(async move {
                let subnets: Vec<String> = serde_json::from_value(group.body["subnets"].clone()).expect("subnets");
                let sending = cloud.write.rds.modify_db_subnet_group().db_subnet_group_name(group.identity());
                let sending = sending.db_subnet_group_description("by hand").set_subnet_ids(Some(subnets));
                sending.send().await.expect("the drift");
            })
        }),
    }
}

fn databases() -> Row {
    Row {
        kind: "database",
        address: "database/instance",
        declare: |resources, form| {
            let vpc = vpc(resources, Form::Original);
            let subnets = subnet_group(resources, &vpc, Form::Original);
            let group = group(resources, &vpc, "database");
            let body = Database {
                instance_class: if form == Form::Changed { "db.t4g.medium" } else { "db.t4g.small" }.to_owned(),
                storage: Storage { size: 20, grows_to: (form == Form::Changed).then_some(100) },
                username: if form == Form::Replaced { "other" } else { "admin" }.to_owned(),
                multi_az: form == Form::Changed,
                backup_retention_days: if form == Form::Changed { 14 } else { 7 },
                ..database(&subnets, &group)
            };
            let tags = Tags::from([(FINAL_SNAPSHOT.to_owned(), SKIP.to_owned())]);
            resources.add_tagged("database/instance", body, tags);
        },
        changes: true,
        replaces: true,
        drift: Some(|cloud, database| {
            Box::pin(async move {
                let sending = cloud.write.rds.modify_db_instance().db_instance_identifier(database.identity());
                sending.publicly_accessible(true).apply_immediately(true).send().await.expect("the drift");
            })
        }),
    }
}

fn database(subnets: &Handle<DbSubnetGroup>, group: &Handle<eksup::aws::security_group::SecurityGroup>) -> Database {
    Database {
        identifier: names::database(STACK),
        engine: "mariadb".to_owned(),
        version: "10.11".to_owned(),
        instance_class: "db.t4g.small".to_owned(),
        storage: Storage { size: 20, grows_to: None },
        storage_type: "gp3".to_owned(),
        database_name: Some("shop".to_owned()),
        username: "admin".to_owned(),
        port: 3306,
        subnet_group: subnets.name(),
        security_groups: BTreeSet::from([group.id()]),
        multi_az: false,
        public: false,
        backup_retention_days: 7,
        deletion_protection: false,
        final_snapshot: false,
        encrypted: true,
        kms_key_id: None,
        managed_password: true,
        minor_upgrades: true,
        copy_tags: true,
        apply_immediately: true,
        pending: Some(BTreeMap::new()),
    }
}

/// A subnet group of two subnets.
fn subnet_group(resources: &mut Resources, vpc: &Handle<Vpc>, form: Form) -> Handle<DbSubnetGroup> {
    let one = subnet(resources, vpc, Form::Original);
    let other = other_subnet(resources, vpc);
    let body = DbSubnetGroup {
        name: names::database(STACK),
        description: if form == Form::Changed { "others" } else { "some" }.to_owned(),
        subnets: BTreeSet::from([one.id(), other.id()]),
    };
    resources.add("database/subnet-group", body)
}

/// As with the subnet group, only its name could force a replacement.
fn queues() -> Row {
    Row {
        kind: "queue",
        address: "interruption/queue",
        declare: |resources, form| drop(queue(resources, form)),
        changes: true,
        replaces: false,
        drift: Some(|cloud, queue| {
            Box::pin(async move {
                let url = queue.outputs["url"].as_str().expect("a URL");
                let sending = cloud.write.sqs.set_queue_attributes().queue_url(url);
                let sending = sending.attributes(QueueAttributeName::MessageRetentionPeriod, "1209600");
                sending.send().await.expect("the drift");
            })
        }),
    }
}

fn queue(resources: &mut Resources, form: Form) -> Handle<Queue> {
    let action = if form == Form::Changed { "sqs:SendMessage" } else { "sqs:*" };
    let body = Queue {
        name: names::interruption_queue(STACK),
        retention_seconds: if form == Form::Changed { 600 } else { 300 },
        encrypted: true,
        policy: json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*" }],
        }),
    };
    resources.add("interruption/queue", body)
}

fn event_rules() -> Row {
    Row {
        kind: "event-rule",
        address: "interruption/rule/rebalance",
        declare: |resources, form| {
            let queue = queue(resources, Form::Original);
            let source = if form == Form::Changed { "aws.health" } else { "aws.ec2" };
            let purpose = if form == Form::Replaced { "other" } else { "rebalance" };
            let body = EventRule {
                name: names::event_rule(STACK, purpose),
                pattern: json!({ "source": [source] }),
                enabled: true,
                queue: queue.arn(),
            };
            resources.add("interruption/rule/rebalance", body);
        },
        changes: true,
        replaces: true,
        drift: Some(|cloud, rule| {
            Box::pin(async move {
                let sending = cloud.write.events.remove_targets().rule(rule.identity()).ids("queue");
                sending.send().await.expect("the drift");
            })
        }),
    }
}

fn stacks() -> Row {
    Row {
        kind: "cloudformation-stack",
        address: "interruption/stack",
        declare: |resources, form| {
            let seconds = if form == Form::Changed { "600" } else { "300" };
            let body = CloudformationStack {
                name: names::cloudformation_stack(STACK),
                template: json!({
                    "Parameters": { "Seconds": { "Type": "String" } },
                    "Resources": {
                        "Queue": {
                            "Type": "AWS::SQS::Queue",
                            "Properties": { "MessageRetentionPeriod": { "Ref": "Seconds" } },
                        },
                    },
                    "Outputs": { "QueueArn": { "Value": { "Fn::GetAtt": ["Queue", "Arn"] } } },
                }),
                parameters: BTreeMap::from([("Seconds".to_owned(), seconds.to_owned())]),
            };
            resources.add("interruption/stack", body);
        },
        changes: true,
        replaces: false,
        drift: Some(|cloud, stack| {
            Box::pin(async move {
                let other = Parameter::builder().parameter_key("Seconds").parameter_value("900").build();
                let sending = cloud.write.cloudformation.update_stack().stack_name(stack.identity());
                let sending = sending.use_previous_template(true).parameters(other);
                sending.capabilities(Capability::CapabilityNamedIam).send().await.expect("the drift");
            })
        }),
    }
}
