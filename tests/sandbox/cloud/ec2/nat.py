"""NAT gateways: they take time, own an interface and hold on to their address."""

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.responses import EC2Response
from moto.ec2.utils import add_tag_specification, random_nat_gateway_id

from .. import quotas
from ..clock import after
from ..mend import mend
from ..weather import WEATHER
from . import interfaces, tokens


class SlowNatGateway(NatGateway):
    """A NAT gateway with moto's face and a life of its own."""

    def __init__(self, ec2, subnet, allocation, tags, connectivity):
        from moto.core.utils import utcnow

        self.id = random_nat_gateway_id()
        self.subnet_id = subnet.id
        self.vpc_id = subnet.vpc_id
        self.ec2_backend = ec2
        self.connectivity_type = connectivity
        self.state = "pending"
        self.failure_code = None
        self.failure_message = None
        self.delete_time = None
        self._created_at = utcnow()
        self.eni = interfaces.create(
            ec2, subnet, f"Interface for NAT Gateway {self.id}", self.id, kind="nat_gateway"
        )
        self.private_ip = self.eni.private_ip_address
        self.allocation_id = allocation.allocation_id if allocation else None
        if allocation:
            ec2.associate_address(eni=self.eni, allocation_id=allocation.allocation_id)
        self.address_set = [_address(self.eni, allocation)]
        self.add_tags(tags)

    def get_filter_value(self, filter_name, method_name=None):
        """What DescribeNatGateways filters by."""
        values = {
            "nat-gateway-id": self.id,
            "vpc-id": self.vpc_id,
            "subnet-id": self.subnet_id,
            "state": self.state,
        }
        if filter_name in values:
            return values[filter_name]
        return super().get_filter_value(filter_name, "DescribeNatGateways")


def _address(eni, allocation):
    address = {
        "NetworkInterfaceId": eni.id,
        "PrivateIp": eni.private_ip_address,
        "IsPrimary": True,
        "Status": "succeeded",
    }
    if allocation:
        address["AllocationId"] = allocation.allocation_id
        address["PublicIp"] = allocation.public_ip
        address["AssociationId"] = allocation.association_id
    return address


@mend(EC2Response, "create_nat_gateway")
def create_nat_gateway(original, self):
    """One gateway per client token, in a subnet and with an address that are there and free."""
    subnet_id = self._get_param("SubnetId")
    allocation_id = self._get_param("AllocationId")
    connectivity = self._get_param("ConnectivityType") or "public"
    tags = add_tag_specification(self._get_param("TagSpecifications", []))
    self.error_on_dryrun()
    ec2 = self.ec2_backend
    asked = {"subnet": subnet_id, "address": allocation_id, "kind": connectivity, "tags": tags}

    def make():
        return _make(ec2, subnet_id, allocation_id, connectivity, tags)

    token = self._get_param("ClientToken")
    gateway = tokens.once(ec2, "CreateNatGateway", token, asked, make)
    return ActionResult({"NatGateway": gateway, "ClientToken": token})


def _make(ec2, subnet_id, allocation_id, connectivity, tags):
    subnet = ec2.get_subnet(subnet_id)
    quotas.check_nat_gateways(ec2, subnet.availability_zone)
    allocation = None
    if connectivity == "public":
        if not allocation_id:
            raise EC2ClientError(
                "MissingParameter", "The request must contain the parameter AllocationId"
            )
        allocation = ec2.address_by_allocation([allocation_id])[0]
        if allocation.association_id:
            raise EC2ClientError(
                "Resource.AlreadyAssociated",
                f"Elastic IP address [{allocation_id}] is already associated",
            )
    gateway = SlowNatGateway(ec2, subnet, allocation, tags, connectivity)
    ec2.nat_gateways[gateway.id] = gateway
    after(WEATHER.now.to_be_ready("nat"), lambda: _settle(ec2, gateway))
    return gateway


def _settle(ec2, gateway):
    """Available, unless its network has no way out."""
    if gateway.state != "pending":
        return
    has_way_out = any(
        igw.vpc and igw.vpc.id == gateway.vpc_id for igw in ec2.internet_gateways.values()
    )
    if gateway.connectivity_type == "public" and not has_way_out:
        gateway.state = "failed"
        gateway.failure_code = "Gateway.NotAttached"
        gateway.failure_message = f"Network {gateway.vpc_id} has no Internet gateway attached"
        _let_go(ec2, gateway)
        return
    gateway.state = "available"


def _let_go(ec2, gateway):
    """The interface goes and the address is free again."""
    interfaces.remove(ec2, gateway.eni)


@mend(EC2Backend, "delete_nat_gateway")
def delete_nat_gateway(original, self, nat_gateway_id):
    """It is deleting for a while, and holds on to its interface and its address until it is gone."""
    gateway = self.nat_gateways.get(nat_gateway_id)
    if gateway is None:
        raise EC2ClientError(
            "NatGatewayNotFound", f"The Nat Gateway {nat_gateway_id} was not found"
        )
    if gateway.state not in ("deleting", "deleted"):
        gateway.state = "deleting"

        def gone():
            from moto.core.utils import utcnow

            _let_go(self, gateway)
            gateway.state = "deleted"
            gateway.delete_time = utcnow()

        after(WEATHER.now.to_be_gone("nat"), gone)
    return gateway


@mend(EC2Backend, "describe_nat_gateways")
def describe_nat_gateways(original, self, filters, nat_gateway_ids):
    """With filters by tag, and an error for an id that is not there."""
    from moto.ec2.utils import generic_filter

    for name in nat_gateway_ids or []:
        if name not in self.nat_gateways:
            raise EC2ClientError("NatGatewayNotFound", f"The Nat Gateway {name} was not found")
    found = [
        gateway
        for gateway in self.nat_gateways.values()
        if not nat_gateway_ids or gateway.id in nat_gateway_ids
    ]
    return generic_filter(filters, found)
