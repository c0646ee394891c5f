//! The VPC and what divides it: subnets, gateways, endpoints.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::AttributeBooleanValue;
use eksup::aws::elastic_ip::ElasticIp;
use eksup::aws::internet_gateway::InternetGateway;
use eksup::aws::nat_gateway::NatGateway;
use eksup::aws::subnet::Subnet;
use eksup::aws::vpc::Vpc;
use eksup::aws::vpc_endpoint::VpcEndpoint;
use eksup::plan::{Handle, Resources};

use super::routing::table;
use super::security::group;
use super::without_its_name;
use crate::harness::{Form, Row};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
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
        },
        Row {
            kind: "subnet",
            address: "network/subnet/public/a",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                subnet(resources, &vpc, form);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, subnet| {
                Box::pin(async move {
                    let on = AttributeBooleanValue::builder().value(true).build();
                    let sending = cloud.write.ec2.modify_subnet_attribute().subnet_id(subnet.identity());
                    sending.map_public_ip_on_launch(on).send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "internet-gateway",
            address: "network/internet-gateway",
            declare: |resources, form| {
                let vpc = vpc_of(resources, form == Form::Changed);
                internet_gateway(resources, &vpc);
            },
            changes: true,
            replaces: false,
            drift: Some(|cloud, gateway| {
                Box::pin(async move {
                    let vpc = gateway.body["vpc"].as_str().unwrap_or_default();
                    let sending = cloud.write.ec2.detach_internet_gateway().internet_gateway_id(gateway.identity());
                    sending.vpc_id(vpc).send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "elastic-ip",
            address: "nat/address/a",
            declare: |resources, _| drop(resources.add("nat/address/a", ElasticIp {})),
            changes: false,
            replaces: false,
            drift: Some(without_its_name),
        },
        Row {
            kind: "nat-gateway",
            address: "nat/gateway/a",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let (one, other) = (subnet(resources, &vpc, Form::Original), other_subnet(resources, &vpc));
                nat_gateway(resources, &vpc, if form == Form::Replaced { &other } else { &one });
            },
            changes: false,
            replaces: true,
            drift: Some(|cloud, gateway| {
                Box::pin(async move {
                    let sending = cloud.write.ec2.delete_nat_gateway().nat_gateway_id(gateway.identity());
                    sending.send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "vpc-endpoint",
            address: "network/endpoint/s3",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let tables = [table(resources, &vpc, "private/a"), table(resources, &vpc, "private/b")];
                let wanted = if form == Form::Changed { &tables[..] } else { &tables[..1] };
                let service = if form == Form::Replaced { "dynamodb" } else { "s3" };
                let body = VpcEndpoint {
                    vpc: vpc.id(),
                    service: format!("com.amazonaws.us-east-1.{service}"),
                    gateway: true,
                    route_tables: wanted.iter().map(|handle| handle.id()).collect(),
                    subnets: BTreeSet::new(),
                    security_groups: BTreeSet::new(),
                    private_dns: false,
                };
                resources.add("network/endpoint/s3", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, endpoint| {
                Box::pin(async move {
                    let table = endpoint.body["routeTables"][0].as_str().unwrap_or_default();
                    let sending = cloud.write.ec2.modify_vpc_endpoint().vpc_endpoint_id(endpoint.identity());
                    sending.remove_route_table_ids(table).send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "vpc-endpoint",
            address: "network/endpoint/sts",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let subnets = [subnet(resources, &vpc, Form::Original), other_subnet(resources, &vpc)];
                let wanted = if form == Form::Changed { &subnets[..] } else { &subnets[1..] };
                let groups = [group(resources, &vpc, "one"), group(resources, &vpc, "two")];
                let wanted_group = if form == Form::Changed { &groups[1] } else { &groups[0] };
                let body = VpcEndpoint {
                    vpc: vpc.id(),
                    service: "com.amazonaws.us-east-1.sts".to_owned(),
                    gateway: false,
                    route_tables: BTreeSet::new(),
                    subnets: wanted.iter().map(|handle| handle.id()).collect(),
                    security_groups: BTreeSet::from([wanted_group.id()]),
                    private_dns: form != Form::Changed,
                };
                resources.add("network/endpoint/sts", body);
            },
            changes: true,
            replaces: false,
            drift: Some(|cloud, endpoint| {
                Box::pin(async move {
                    let sending = cloud.write.ec2.modify_vpc_endpoint().vpc_endpoint_id(endpoint.identity());
                    sending.private_dns_enabled(false).send().await.expect("the drift");
                })
            }),
        },
    ]
}

/// A VPC in `form`, for the rows of what stands in one.
pub fn vpc(resources: &mut Resources, form: Form) -> Handle<Vpc> {
    let cidr = if form == Form::Replaced { "10.7.0.0/16" } else { "10.6.0.0/16" };
    let body = Vpc { cidr: cidr.to_owned(), dns_support: true, dns_hostnames: form != Form::Changed };
    resources.add("network/vpc", body)
}

/// Two VPCs, of which the `other` one or the first is handed out.
pub fn vpc_of(resources: &mut Resources, other: bool) -> Handle<Vpc> {
    let one = vpc(resources, Form::Original);
    let body = Vpc { cidr: "10.8.0.0/16".to_owned(), dns_support: true, dns_hostnames: true };
    let two = resources.add("network/other-vpc", body);
    if other { two } else { one }
}

/// A subnet in `form`.
pub fn subnet(resources: &mut Resources, vpc: &Handle<Vpc>, form: Form) -> Handle<Subnet> {
    let cidr = if form == Form::Replaced { "10.6.2.0/24" } else { "10.6.1.0/24" };
    let body = Subnet {
        vpc: vpc.id(),
        cidr: cidr.to_owned(),
        zone: "us-east-1a".to_owned(),
        public_addresses: form == Form::Changed,
    };
    resources.add("network/subnet/public/a", body)
}

/// Another subnet.
pub fn other_subnet(resources: &mut Resources, vpc: &Handle<Vpc>) -> Handle<Subnet> {
    let body = Subnet {
        vpc: vpc.id(),
        cidr: "10.6.3.0/24".to_owned(),
        zone: "us-east-1b".to_owned(),
        public_addresses: false,
    };
    resources.add("network/subnet/public/b", body)
}

/// An internet gateway.
pub fn internet_gateway(resources: &mut Resources, vpc: &Handle<Vpc>) -> Handle<InternetGateway> {
    resources.add("network/internet-gateway", InternetGateway { vpc: vpc.id() })
}

/// A NAT gateway in `subnet`, and what it needs.
pub fn nat_gateway(resources: &mut Resources, vpc: &Handle<Vpc>, subnet: &Handle<Subnet>) -> Handle<NatGateway> {
    let door = internet_gateway(resources, vpc);
    let address = resources.add("nat/address/a", ElasticIp {});
    let gateway = resources.add("nat/gateway/a", NatGateway { subnet: subnet.id(), allocation: address.id() });
    resources.order(&gateway, door.address());
    gateway
}
