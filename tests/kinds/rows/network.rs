//! Kinds of EC2.

use aws_sdk_ec2::types::AttributeBooleanValue;
use eksup::aws::vpc::Vpc;
use eksup::plan::{Handle, Resources};

use crate::harness::{Form, Row};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![Row {
        kind: "vpc",
        address: "network/vpc",
        declare: |resources, form| drop(vpc(resources, form)),
        changes: true,
        replaces: true,
        drift: Some(|cloud, vpc| {
            Box::pin(async move {
                let off = AttributeBooleanValue::builder().value(false).build();
                let sending = cloud.write.ec2.modify_vpc_attribute().vpc_id(vpc.identity()).enable_dns_support(off);
                sending.send().await.expect("the drift");
            })
        }),
    }]
}

/// A VPC in `form`, for the rows of what stands in one.
pub fn vpc(resources: &mut Resources, form: Form) -> Handle<Vpc> {
    let cidr = if form == Form::Replaced { "10.7.0.0/16" } else { "10.6.0.0/16" };
    let body = Vpc { cidr: cidr.to_owned(), dns_support: true, dns_hostnames: form != Form::Changed };
    resources.add("network/vpc", body)
}
