//! The way out of private subnets: NAT gateways, their addresses, and the routes to them.

use std::collections::BTreeMap;

use super::network::Routing;
use super::{Draft, Network};
use crate::aws::elastic_ip::ElasticIp;
use crate::aws::ids::GatewayId;
use crate::aws::nat_gateway::NatGateway;
use crate::aws::route::{self, Route};
use crate::plan::Reference;
use crate::spec::Nat;

/// Declares the gateways that the stack asks for and leads the private tables to them.
///
/// A private subnet is led to its table only when the table's way out stands, so that a subnet that changes
/// tables is never without one.
pub fn declare(draft: &mut Draft<'_>, network: &Network, routing: &Routing) {
    let wanted = match draft.stack.network.as_ref().map(|network| network.nat) {
        Some(Nat::PerZone) => network.public.len(),
        Some(Nat::Single) => 1,
        Some(Nat::None) | None => 0,
    };
    let Some(internet_gateway) = &routing.internet_gateway else { return };
    let mut gateways: BTreeMap<&str, Reference<GatewayId>> = BTreeMap::new();
    let mut first = None;
    for subnet in network.public.iter().take(wanted) {
        let address = draft.resources.add(format!("nat/address/{}", subnet.zone), ElasticIp {});
        let body = NatGateway { subnet: subnet.id.clone(), allocation: address.id() };
        let gateway = draft.resources.add(format!("nat/gateway/{}", subnet.zone), body);
        draft.resources.order(&gateway, internet_gateway);
        first.get_or_insert(gateway.id());
        gateways.insert(&subnet.zone, gateway.id());
    }
    for table in &routing.private {
        let own = table.zone.as_deref().and_then(|zone| gateways.get(zone));
        let Some(target) = own.or(first.as_ref()) else { continue };
        let body = Route { route_table: table.table.id(), target: target.clone() };
        let way_out = draft.resources.add(route::address_in(table.table.address()).to_string(), body);
        for association in &table.associations {
            draft.resources.order(association, way_out.address());
        }
    }
}
