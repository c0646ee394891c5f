"""Subnets, routes and network ACLs where moto takes what EC2 refuses or forgets what it shows."""

from moto.core.responses import ActionResult
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidAssociationIdError,
    InvalidNetworkAclIdError,
    InvalidSubnetIdError,
)
from moto.ec2.models import EC2Backend
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.route_tables import Route
from moto.ec2.responses import EC2Response

from ..mend import mend
from . import tokens


@mend(EC2Backend, "create_subnet")
def create_subnet(
    original,
    self,
    vpc_id,
    cidr_block,
    ipv6_cidr_block=None,
    availability_zone=None,
    availability_zone_id=None,
    **kwargs,
):
    """In a zone of this region; the first one when none is named."""
    zones = [zone.name for zone in RegionsAndZonesBackend.zones.get(self.region_name, [])]
    if zones and not availability_zone and not availability_zone_id:
        availability_zone = zones[0]
    if zones and availability_zone and availability_zone not in zones:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({availability_zone}) for parameter availabilityZone is invalid. Subnets can "
            f"currently only be created in the following availability zones: {', '.join(zones)}.",
        )
    return original(
        self,
        vpc_id,
        cidr_block,
        ipv6_cidr_block,
        availability_zone,
        availability_zone_id,
        **kwargs,
    )


@mend(EC2Backend, "describe_subnets")
def describe_subnets(original, self, subnet_ids=None, filters=None):
    """Names the subnet that is missing; moto compares ids with objects."""
    for subnet_id in subnet_ids or []:
        if not any(subnet_id in zone for zone in self.subnets.values()):
            raise InvalidSubnetIdError(subnet_id)
    return original(self, subnet_ids, filters)


def _state(self):
    """A route into nothing is a black hole."""
    nat, gateway, eni = self.nat_gateway, self.gateway, self.interface
    dead_nat = nat is not None and nat.state in ("deleting", "deleted", "failed")
    detached = gateway is not None and getattr(gateway, "vpc", True) is None
    gone = eni is not None and eni.id not in eni.ec2_backend.enis
    return "blackhole" if dead_nat or detached or gone else "active"


Route.state = property(_state)


@mend(EC2Backend, "create_route")
def create_route(original, self, route_table_id, destination_cidr_block, *args, **kwargs):
    """The target must be there; moto makes a route to nowhere."""
    nat_id = kwargs.get("nat_gateway_id")
    if nat_id is not None:
        nat = self.nat_gateways.get(nat_id)
        if nat is None or nat.state in ("deleting", "deleted", "failed"):
            raise EC2ClientError(
                "InvalidNatGatewayID.NotFound", f"The natGateway ID '{nat_id}' does not exist"
            )
    gateway_id = kwargs.get("gateway_id")
    if gateway_id and gateway_id.startswith("igw-") and gateway_id in self.internet_gateways:
        table, gateway = self.get_route_table(route_table_id), self.internet_gateways[gateway_id]
        if gateway.vpc is None or gateway.vpc.id != table.vpc_id:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"route table {route_table_id} and network gateway {gateway_id} belong to different "
                "networks",
            )
    return original(self, route_table_id, destination_cidr_block, *args, **kwargs)


@mend(EC2Backend, "associate_route_table")
def associate_route_table(original, self, route_table_id, gateway_id=None, subnet_id=None):
    """A subnet that is associated with another table keeps it; moto says yes and does nothing."""
    for table in self.route_tables.values():
        if subnet_id in table._associations.values() and table.id != route_table_id:
            raise EC2ClientError(
                "Resource.AlreadyAssociated",
                f"The specified association for route table {route_table_id} conflicts with an "
                "existing association",
            )
    return original(self, route_table_id, gateway_id, subnet_id)


@mend(EC2Response, "create_route_table")
def create_route_table(original, self):
    """One table per client token."""
    vpc_id, tags = self._get_param("VpcId"), _tags(self)
    table = tokens.once(
        self.ec2_backend,
        "CreateRouteTable",
        self._get_param("ClientToken"),
        {"vpc": vpc_id, "tags": tags},
        lambda: self.ec2_backend.create_route_table(vpc_id, tags),
    )
    return ActionResult({"RouteTable": table, "ClientToken": self._get_param("ClientToken")})


@mend(EC2Response, "create_network_acl")
def create_network_acl(original, self):
    """One ACL per client token, with the rules at the end that deny the rest."""
    vpc_id, tags = self._get_param("VpcId"), _tags(self)

    def make():
        acl = self.ec2_backend.create_network_acl(vpc_id, tags=tags)
        for egress in (True, False):
            self.ec2_backend.create_network_acl_entry(
                network_acl_id=acl.id,
                rule_number=32767,
                protocol="-1",
                rule_action="deny",
                egress=egress,
                cidr_block="0.0.0.0/0",
                icmp_code=None,
                icmp_type=None,
                port_range_from=None,
                port_range_to=None,
                ipv6_cidr_block=None,
            )
        return acl

    acl = tokens.once(
        self.ec2_backend,
        "CreateNetworkAcl",
        self._get_param("ClientToken"),
        {"vpc": vpc_id, "tags": tags},
        make,
    )
    return ActionResult({"NetworkAcl": acl, "ClientToken": self._get_param("ClientToken")})


def _tags(response):
    specifications = response._get_param("TagSpecifications", [])
    return specifications[0].get("Tags", []) if specifications else []


@mend(EC2Backend, "describe_network_acls")
def describe_network_acls(original, self, network_acl_ids=None, filters=None):
    """A missing ACL has the error of a missing ACL, not of a route table."""
    for name in network_acl_ids or []:
        self.get_network_acl(name)
    return original(self, network_acl_ids, filters)


@mend(EC2Backend, "get_network_acl")
def get_network_acl(original, self, network_acl_id):
    """The same wherever an ACL is named."""
    if network_acl_id not in self.network_acls:
        raise InvalidNetworkAclIdError(network_acl_id)
    return self.network_acls[network_acl_id]


@mend(EC2Backend, "replace_network_acl_association")
def replace_network_acl_association(original, self, association_id, network_acl_id):
    """An association that is not there has an error; moto breaks."""
    if not any(association_id in acl._associations for acl in self.network_acls.values()):
        raise InvalidAssociationIdError(association_id)
    self.get_network_acl(network_acl_id)
    return original(self, association_id, network_acl_id)


@mend(EC2Backend, "delete_network_acl_entry")
def delete_network_acl_entry(original, self, network_acl_id, rule_number, egress):
    """An entry that is not there has an error; moto breaks."""
    acl = self.get_network_acl(network_acl_id)
    if not any(
        e.egress == egress and e.rule_number == rule_number for e in acl.network_acl_entries
    ):
        raise EC2ClientError(
            "InvalidNetworkAclEntry.NotFound",
            f"The {'egress' if egress else 'ingress'} entry with rule number '{rule_number}' does "
            f"not exist in network ACL {network_acl_id}",
        )
    return original(self, network_acl_id, rule_number, egress)


@mend(EC2Backend, "modify_instance_security_groups")
def modify_instance_security_groups(original, self, instance_id, new_group_id_list):
    """The groups of an instance are those of its first interface."""
    instance = original(self, instance_id, new_group_id_list)
    if 0 in instance.nics:
        instance.nics[0]._group_set = list(instance.security_groups)
    return instance


@mend(EC2Backend, "modify_network_interface_attribute")
def modify_network_interface_attribute(original, self, eni_id, group_ids, *args, **kwargs):
    """The groups of a first interface are those of its instance."""
    original(self, eni_id, group_ids, *args, **kwargs)
    eni = self.get_network_interface(eni_id)
    if group_ids and eni.instance and eni.device_index == 0:
        eni.instance.security_groups = list(eni._group_set)
