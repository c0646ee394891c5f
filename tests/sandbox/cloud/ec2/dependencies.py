"""What holds on to what in a VPC: deletions are refused with `DependencyViolation` as EC2 does."""

from moto.ec2.exceptions import (
    DependencyViolationError,
    EC2ClientError,
    InvalidInternetGatewayIdError,
    InvalidSecurityGroupNotFoundError,
    InvalidVPCIdError,
)
from moto.ec2.models import EC2Backend

from ..mend import mend


@mend(EC2Backend, "delete_subnet")
def delete_subnet(original, self, subnet_id):
    """Refused while an interface is in the subnet; its associations go with it."""
    self.get_subnet(subnet_id)
    if any(eni.subnet.id == subnet_id for eni in self.enis.values()):
        raise DependencyViolationError(
            f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
        )
    subnet = original(self, subnet_id)
    for table in self.route_tables.values():
        table._associations = {
            name: target for name, target in table._associations.items() if target != subnet_id
        }
    for acl in self.network_acls.values():
        acl._associations = {
            name: association
            for name, association in acl._associations.items()
            if association.subnet_id != subnet_id
        }
    self.tags.pop(subnet_id, None)
    return subnet


@mend(EC2Backend, "delete_security_group")
def delete_security_group(original, self, name=None, group_id=None):
    """Refused while an interface has the group or a rule of another group names it."""
    group = self.get_security_group_from_id(group_id) if group_id else None
    if group is None and name:
        group = self.get_security_group_by_name_or_id(name)
    if group is None:
        raise InvalidSecurityGroupNotFoundError(group_id or name)
    if group.name == "default":
        raise EC2ClientError(
            "CannotDelete",
            f'the specified group: "{group.id}" name: "default" cannot be deleted by a user',
        )
    if _group_is_used(self, group):
        raise DependencyViolationError(f"resource {group.id} has a dependent object")
    _drop_group(self, group)


def _group_is_used(ec2, group):
    if any(one.id == group.id for eni in ec2.enis.values() for one in eni.group_set):
        return True
    return any(
        rule.source_group and rule.source_group.get("GroupId") == group.id
        for others in ec2.groups.values()
        for other in others.values()
        if other.id != group.id
        for rule in [*other.ingress_rules, *other.egress_rules]
    )


def _drop_group(ec2, group):
    ec2.groups[group.vpc_id].pop(group.id, None)
    ec2.tags.pop(group.id, None)
    for rule in [*group.ingress_rules, *group.egress_rules]:
        ec2.tags.pop(rule.id, None)


@mend(EC2Backend, "delete_vpc")
def delete_vpc(original, self, vpc_id):
    """Refused while anything but what came with the VPC is left in it; that goes with it."""
    vpc = self.vpcs.get(vpc_id)
    if vpc is None:
        raise InvalidVPCIdError(vpc_id)
    if _is_used(self, vpc_id):
        raise DependencyViolationError(
            f"The vpc '{vpc_id}' has dependencies and cannot be deleted."
        )
    for group in list(self.groups.get(vpc_id, {}).values()):
        _drop_group(self, group)
    self.groups.pop(vpc_id, None)
    for held in (self.route_tables, self.network_acls):
        for name in [name for name, thing in held.items() if thing.vpc_id == vpc_id]:
            del held[name]
            self.tags.pop(name, None)
    for endpoint_id in [
        name for name, endpoint in self.vpc_end_points.items() if endpoint.vpc_id == vpc_id
    ]:
        del self.vpc_end_points[endpoint_id]
    if vpc.dhcp_options:
        vpc.dhcp_options.vpc = None
    self.tags.pop(vpc_id, None)
    return self.vpcs.pop(vpc_id)


def _is_used(ec2, vpc_id):
    """Whether a VPC holds anything that did not come with it."""
    in_vpc = [
        *(subnet for zone in ec2.subnets.values() for subnet in zone.values()),
        *ec2.enis.values(),
        *(table for table in ec2.route_tables.values() if table.main_association_id is None),
        *(acl for acl in ec2.network_acls.values() if not acl.default),
        *(group for group in ec2.groups.get(vpc_id, {}).values() if group.name != "default"),
        *(end for end in ec2.vpc_end_points.values() if end.state != "deleted"),
        *ec2.egress_only_internet_gateways.values(),
        *(nat for nat in ec2.nat_gateways.values() if nat.state != "deleted"),
    ]
    if any(thing.vpc_id == vpc_id for thing in in_vpc):
        return True
    if any(igw.vpc and igw.vpc.id == vpc_id for igw in ec2.internet_gateways.values()):
        return True
    if any(
        vpc_id in gateway.attachments and gateway.attachments[vpc_id].state == "attached"
        for gateway in ec2.vpn_gateways.values()
    ):
        return True
    return any(
        vpc_id in (peering.vpc.id, peering.peer_vpc.id)
        for peering in ec2.vpc_pcxs.values()
        if peering._status.code in ("active", "pending-acceptance", "provisioning")
    )


@mend(EC2Backend, "detach_internet_gateway")
def detach_internet_gateway(original, self, internet_gateway_id, vpc_id):
    """Refused while an interface in the VPC has a public address."""
    gateway = self.internet_gateways.get(internet_gateway_id)
    if gateway is None:
        raise InvalidInternetGatewayIdError(internet_gateway_id)
    if gateway.vpc and gateway.vpc.id == vpc_id:
        if any(eni.public_ip and eni.vpc_id == vpc_id for eni in self.enis.values()):
            raise DependencyViolationError(
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public "
                "address(es) before detaching the gateway."
            )
    return original(self, internet_gateway_id, vpc_id)


@mend(EC2Backend, "delete_internet_gateway")
def delete_internet_gateway(original, self, internet_gateway_id):
    """Refused while attached, in the words of EC2."""
    gateway = self.internet_gateways.get(internet_gateway_id)
    if gateway is not None and gateway.vpc:
        raise DependencyViolationError(
            f"The internetGateway '{internet_gateway_id}' has dependencies and cannot be deleted."
        )
    original(self, internet_gateway_id)
    self.tags.pop(internet_gateway_id, None)


@mend(EC2Backend, "delete_route_table")
def delete_route_table(original, self, route_table_id):
    """Never the main one."""
    if self.get_route_table(route_table_id).main_association_id is not None:
        raise DependencyViolationError(
            f"The routeTable '{route_table_id}' has dependencies and cannot be deleted."
        )
    original(self, route_table_id)
    self.tags.pop(route_table_id, None)


@mend(EC2Backend, "delete_network_acl")
def delete_network_acl(original, self, network_acl_id):
    """Never the default one."""
    acl = self.network_acls.get(network_acl_id)
    if acl is not None and acl.default:
        raise EC2ClientError(
            "InvalidParameterValue", f"cannot delete default network ACL {network_acl_id}"
        )
    self.tags.pop(network_acl_id, None)
    return original(self, network_acl_id)
