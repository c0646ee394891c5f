//! The default route of a route table: the way out.
//!
//! A route has no tags. It belongs to the stack when its table does and it leads to an internet or NAT
//! gateway; its address follows from the table's.

use aws_sdk_ec2::types;
use serde::{Deserialize, Serialize};

use super::error::{Class, CloudError, call, existing};
use super::ids::{GatewayId, RouteTableId};
use super::kind::{Found, Kind, Made, Work};
use super::reads::Reads;
use super::route_table;
use super::tagging::{self, Tagged};
use crate::plan::{Address, Describe, Effect, Facts, Reference, State, Tags};

/// Where everything goes that is not for the VPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The table that it is in.
    pub route_table: Reference<RouteTableId>,
    /// The gateway that it leads to.
    pub target: Reference<GatewayId>,
}

/// Nothing refers to a route.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outputs {}

impl Describe for Route {
    const FACTS: Facts = Facts {
        fields: &[("routeTable", Effect::Replace), ("target", Effect::InPlace)],
        taggable: false,
        // The target is no reference for the order of deletion: a gateway that goes first leaves a route
        // that leads nowhere, and goes with its table.
        references: &[("routeTable", &["route-table"])],
        dies_with: Some("routeTable"),
        ..Facts::new("route")
    };
}

const DEFAULT: &str = "0.0.0.0/0";
const TABLES: &str = "network/route-table/";

/// The address of the default route of the table at `table`: a private table's leads to a NAT gateway, so
/// the NAT phase declares it.
pub fn address_in(table: &Address) -> Address {
    let name = table.as_str().strip_prefix(TABLES).unwrap_or(table.as_str());
    let phase = if name.starts_with("private") { "nat" } else { "network" };
    Address::new(format!("{phase}/route/{name}"))
}

impl Kind for Route {
    type Outputs = Outputs;

    async fn find(reads: &Reads) -> Result<Vec<Found<Self>>, CloudError> {
        Ok(route_table::ours(reads).await?.iter().filter_map(|table| found(table, reads)).collect())
    }

    async fn create(&self, work: &Work) -> Result<Made<Outputs>, CloudError> {
        let client = &work.cloud.write.ec2;
        let sending = client.create_route().route_table_id(self.route_table.as_str()).destination_cidr_block(DEFAULT);
        let sending = match self.leads_to_nat() {
            true => sending.nat_gateway_id(self.target.as_str()),
            false => sending.gateway_id(self.target.as_str()),
        };
        match call("ec2:CreateRoute", sending.send()).await {
            // Somebody has bent the way out of our table to something else.
            Err(error) if error.class == Class::Exists => self.replace(work).await?,
            other => drop(other?),
        }
        Ok(Made::ready(Outputs {}))
    }

    async fn update(&self, _: &Found<Self>, work: &Work) -> Result<Made<Outputs>, CloudError> {
        self.replace(work).await?;
        Ok(Made::ready(Outputs {}))
    }

    async fn delete(found: &Found<Self>, work: &Work) -> Result<(), CloudError> {
        let table = found.body.route_table.as_str();
        let sending = work.cloud.write.ec2.delete_route().route_table_id(table).destination_cidr_block(DEFAULT);
        existing(call("ec2:DeleteRoute", sending.send()).await).map(drop)
    }

    fn tagged(_: &Outputs) -> Tagged {
        Tagged::Nothing
    }
}

impl Route {
    fn leads_to_nat(&self) -> bool {
        self.target.as_str().starts_with("nat-")
    }

    async fn replace(&self, work: &Work) -> Result<(), CloudError> {
        let client = &work.cloud.write.ec2;
        let sending = client.replace_route().route_table_id(self.route_table.as_str()).destination_cidr_block(DEFAULT);
        let sending = match self.leads_to_nat() {
            true => sending.nat_gateway_id(self.target.as_str()),
            false => sending.gateway_id(self.target.as_str()),
        };
        call("ec2:ReplaceRoute", sending.send()).await.map(drop)
    }
}

fn found(table: &types::RouteTable, reads: &Reads) -> Option<Found<Route>> {
    let address = address_in(&reads.address_in(&tagging::from_ec2(table.tags()))?);
    let target = table.routes().iter().find_map(gateway_of_default)?;
    let body = Route { route_table: Reference::known(table.route_table_id()?), target: Reference::known(target) };
    Some(Found { address, body, outputs: Outputs {}, tags: Tags::new(), state: State::Ready })
}

/// The gateway that a route leads to, if it is the default route and leads to one.
fn gateway_of_default(route: &types::Route) -> Option<&str> {
    let internet = route.gateway_id().filter(|id| id.starts_with("igw-"));
    route.nat_gateway_id().or(internet).filter(|_| route.destination_cidr_block() == Some(DEFAULT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_the_address_that_its_table_gives_it() {
        let address = |table: &str| address_in(&Address::from(table)).to_string();
        assert_eq!(address("network/route-table/public"), "network/route/public");
        assert_eq!(address("network/route-table/private"), "nat/route/private");
        assert_eq!(address("network/route-table/private/eu-central-1a"), "nat/route/private/eu-central-1a");
    }

    #[test]
    fn routes_that_others_added_are_not_ours() {
        let peering =
            types::Route::builder().destination_cidr_block(DEFAULT).vpc_peering_connection_id("pcx-1").build();
        let local = types::Route::builder().destination_cidr_block("10.0.0.0/16").gateway_id("local").build();
        let way_out = types::Route::builder().destination_cidr_block(DEFAULT).gateway_id("igw-1").build();
        assert_eq!([&peering, &local, &way_out].map(gateway_of_default), [None, None, Some("igw-1")]);
    }
}
