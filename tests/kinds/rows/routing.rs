//! Route tables, network ACLs, and which of them a subnet uses.

use std::collections::BTreeSet;

use eksup::aws::network_acl::{NetworkAcl, Rule};
use eksup::aws::network_acl_association::NetworkAclAssociation;
use eksup::aws::ports::Ports;
use eksup::aws::route::Route;
use eksup::aws::route_table::RouteTable;
use eksup::aws::route_table_association::RouteTableAssociation;
use eksup::aws::vpc::Vpc;
use eksup::plan::{Handle, Resources};

use super::network::{internet_gateway, nat_gateway, subnet, vpc, vpc_of};
use super::without_its_name;
use crate::harness::{Form, Row};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            kind: "route-table",
            address: "network/route-table/public",
            declare: |resources, form| {
                let vpc = vpc_of(resources, form == Form::Replaced);
                table(resources, &vpc, "public");
            },
            changes: false,
            replaces: true,
            drift: Some(without_its_name),
        },
        Row {
            kind: "route",
            address: "nat/route/private",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let subnet = subnet(resources, &vpc, Form::Original);
                let nat = nat_gateway(resources, &vpc, &subnet);
                let private = table(resources, &vpc, "private");
                let door = eksup::plan::Reference::output(&"network/internet-gateway".into(), "id");
                let target = if form == Form::Changed { door } else { nat.id() };
                resources.add("nat/route/private", Route { route_table: private.id(), target });
            },
            changes: true,
            replaces: false,
            drift: Some(|cloud, route| {
                Box::pin(async move {
                    let table = route.body["routeTable"].as_str().unwrap_or_default();
                    let sending = cloud.write.ec2.delete_route().route_table_id(table);
                    sending.destination_cidr_block("0.0.0.0/0").send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "route",
            address: "network/route/public",
            declare: |resources, _| {
                let vpc = vpc(resources, Form::Original);
                let door = internet_gateway(resources, &vpc);
                let public = table(resources, &vpc, "public");
                resources.add("network/route/public", Route { route_table: public.id(), target: door.id() });
            },
            changes: false,
            replaces: false,
            drift: None,
        },
        Row {
            kind: "route-table-association",
            address: "network/route-table-association/public/a",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let of_form = if form == Form::Replaced { form } else { Form::Original };
                let subnet = subnet(resources, &vpc, of_form);
                let (one, other) = (table(resources, &vpc, "public"), table(resources, &vpc, "private"));
                let table = if form == Form::Changed { other } else { one };
                let body = RouteTableAssociation { subnet: subnet.id(), route_table: table.id() };
                resources.add("network/route-table-association/public/a", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, association| {
                Box::pin(async move {
                    let sending = cloud.write.ec2.disassociate_route_table().association_id(association.identity());
                    sending.send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "network-acl",
            address: "network/network-acl/one",
            declare: |resources, form| {
                let vpc = vpc_of(resources, form == Form::Replaced);
                acl(resources, &vpc, "one", form);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, acl| {
                Box::pin(async move {
                    let sending = cloud.write.ec2.delete_network_acl_entry().network_acl_id(acl.identity());
                    sending.egress(false).rule_number(100).send().await.expect("the drift");
                })
            }),
        },
        Row {
            kind: "network-acl-association",
            address: "network/network-acl-association/public/a",
            declare: |resources, form| {
                let vpc = vpc(resources, Form::Original);
                let of_form = if form == Form::Replaced { form } else { Form::Original };
                let subnet = subnet(resources, &vpc, of_form);
                let one = acl(resources, &vpc, "one", Form::Original);
                let other = acl(resources, &vpc, "other", Form::Original);
                let acl = if form == Form::Changed { other } else { one };
                let body = NetworkAclAssociation { subnet: subnet.id(), network_acl: acl.id() };
                resources.add("network/network-acl-association/public/a", body);
            },
            changes: true,
            replaces: true,
            drift: Some(|cloud, association| {
                Box::pin(async move {
                    let client = &cloud.write.ec2;
                    let answer = client.describe_network_acls().send().await.expect("the drift");
                    let default = answer.network_acls().iter().find(|acl| acl.is_default() == Some(true));
                    let default = default.and_then(|acl| acl.network_acl_id()).unwrap_or_default();
                    let sending = client.replace_network_acl_association().association_id(association.identity());
                    sending.network_acl_id(default).send().await.expect("the drift");
                })
            }),
        },
    ]
}

/// A route table.
pub fn table(resources: &mut Resources, vpc: &Handle<Vpc>, name: &str) -> Handle<RouteTable> {
    resources.add(format!("network/route-table/{name}"), RouteTable { vpc: vpc.id() })
}

fn acl(resources: &mut Resources, vpc: &Handle<Vpc>, name: &str, form: Form) -> Handle<NetworkAcl> {
    let all =
        |number| Rule { number, protocol: "-1".to_owned(), ports: None, cidr: "0.0.0.0/0".to_owned(), allow: true };
    let https = Rule { number: 110, protocol: "6".to_owned(), ports: Some(Ports::one(443)), ..all(110) };
    let ping = Rule { number: 120, protocol: "1".to_owned(), ..all(120) };
    let ingress = match form {
        Form::Changed => BTreeSet::from([Rule { cidr: "10.0.0.0/8".to_owned(), ..all(100) }, ping]),
        _ => BTreeSet::from([all(100), https]),
    };
    let body = NetworkAcl { vpc: vpc.id(), ingress, egress: BTreeSet::from([all(100)]) };
    resources.add(format!("network/network-acl/{name}"), body)
}
