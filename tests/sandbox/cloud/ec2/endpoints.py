"""VPC endpoints: they take time, and interface endpoints own an interface per subnet."""

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.vpcs import VPCEndPoint
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_vpc_ep_id

from ..clock import after
from ..mend import mend
from ..weather import WEATHER
from . import interfaces, tokens

_ASKED = (
    "VpcId",
    "ServiceName",
    "VpcEndpointType",
    "RouteTableIds",
    "SubnetIds",
    "SecurityGroupIds",
    "PolicyDocument",
    "PrivateDnsEnabled",
    "TagSpecifications",
)


@mend(EC2Response, "create_vpc_endpoint")
def create_vpc_endpoint(original, self):
    """One endpoint per client token."""
    ec2 = self.ec2_backend
    asked = {name: self._get_param(name) for name in _ASKED}
    token = self._get_param("ClientToken")
    self.error_on_dryrun()
    endpoint = tokens.once(ec2, "CreateVpcEndpoint", token, asked, lambda: _make(ec2, asked))
    return ActionResult({"VpcEndpoint": endpoint, "ClientToken": token})


def _make(ec2, asked):
    vpc = ec2.get_vpc(asked["VpcId"])
    kind = asked["VpcEndpointType"] or "Gateway"
    subnets = [ec2.get_subnet(name) for name in asked["SubnetIds"] or []]
    groups = asked["SecurityGroupIds"] or []
    for table_id in asked["RouteTableIds"] or []:
        ec2.get_route_table(table_id)
    _check_unique(ec2, asked, kind)
    if len({subnet.availability_zone for subnet in subnets}) < len(subnets):
        raise EC2ClientError(
            "DuplicateSubnetsInSameZone",
            "Found another VPC endpoint subnet in the availability zone of one of the subnets",
        )
    endpoint = VPCEndPoint(
        ec2,
        random_vpc_ep_id(),
        vpc.id,
        asked["ServiceName"],
        kind,
        asked["PolicyDocument"],
        list(asked["RouteTableIds"] or []),
        [subnet.id for subnet in subnets],
        dns_entries=_dns_entries(asked, kind),
        security_group_ids=list(groups) if kind == "Interface" else [],
        tags=_tags(asked),
        private_dns_enabled=bool(asked["PrivateDnsEnabled"]) if kind == "Interface" else False,
    )
    if kind == "Interface" and not groups:
        endpoint.security_group_ids = [ec2.get_default_security_group(vpc.id).id]
    endpoint.state = "pending"
    endpoint.enis = {}
    _fit_interfaces(ec2, endpoint)
    ec2.vpc_end_points[endpoint.id] = endpoint
    after(WEATHER.now.to_be_ready("endpoint"), lambda: _become_available(endpoint))
    return endpoint


def _check_unique(ec2, asked, kind):
    """Two endpoints with the same private name cannot be in one VPC, nor two routes in one table."""
    for other in ec2.vpc_end_points.values():
        same = other.service_name == asked["ServiceName"] and other.vpc_id == asked["VpcId"]
        if not same or other.state in ("deleting", "deleted"):
            continue
        if kind == "Interface" and asked["PrivateDnsEnabled"] and other.private_dns_enabled:
            raise EC2ClientError(
                "InvalidParameter",
                f"private-dns-enabled cannot be set because there is already a conflicting DNS "
                f"domain for {asked['ServiceName']} in the VPC {asked['VpcId']}",
            )
        taken = set(other.route_table_ids or []) & set(asked["RouteTableIds"] or [])
        if kind == "Gateway" and taken:
            raise EC2ClientError(
                "RouteAlreadyExists",
                f"route table {sorted(taken)[0]} already has a route with destination-prefix-list-id",
            )


def _dns_entries(asked, kind):
    if kind != "Interface":
        return []
    parts = asked["ServiceName"].split(".")
    return [
        {
            "DnsName": f"{'.'.join(parts[3:])}.{parts[2]}.vpce.amazonaws.com",
            "HostedZoneId": "Z7HUB22UULQXV",
        }
    ]


def _tags(asked):
    for specification in asked["TagSpecifications"] or []:
        return {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])}
    return {}


def _fit_interfaces(ec2, endpoint):
    """An interface in every subnet of an interface endpoint, with its groups, and none elsewhere."""
    if endpoint.vpc_endpoint_type != "Interface":
        return
    for subnet_id in [name for name in endpoint.enis if name not in endpoint.subnet_ids]:
        interfaces.remove(ec2, endpoint.enis.pop(subnet_id))
    for subnet_id in endpoint.subnet_ids:
        if subnet_id not in endpoint.enis:
            endpoint.enis[subnet_id] = interfaces.create(
                ec2,
                ec2.get_subnet(subnet_id),
                f"VPC Endpoint Interface {endpoint.id}",
                endpoint.id,
                endpoint.security_group_ids,
                kind="vpc_endpoint",
            )
    groups = [ec2.get_security_group_from_id(name) for name in endpoint.security_group_ids]
    for eni in endpoint.enis.values():
        eni._group_set = groups
    endpoint.network_interface_ids = [eni.id for eni in endpoint.enis.values()]


def _become_available(endpoint):
    if endpoint.state == "pending":
        endpoint.state = "available"


@mend(EC2Backend, "modify_vpc_endpoint")
def modify_vpc_endpoint(original, self, vpc_id, *args, **kwargs):
    """Interfaces follow the subnets and groups."""
    original(self, vpc_id, *args, **kwargs)
    _fit_interfaces(self, self.vpc_end_points[vpc_id])


@mend(EC2Response, "modify_vpc_endpoint")
def modify_vpc_endpoint_call(original, self):
    """Private names can be switched on and off, which moto does not read."""
    answer = original(self)
    wanted = self._get_param("PrivateDnsEnabled")
    if wanted is not None:
        self.ec2_backend.vpc_end_points[
            self._get_param("VpcEndpointId")
        ].private_dns_enabled = wanted
    return answer


@mend(EC2Response, "delete_vpc_endpoints")
def delete_vpc_endpoints(original, self):
    """They are deleting for a while, and hold on to their interfaces until they are gone."""
    unsuccessful = []
    for name in self._get_param("VpcEndpointIds", []):
        endpoint = self.ec2_backend.vpc_end_points.get(name)
        if endpoint is None:
            unsuccessful.append(
                {
                    "ResourceId": name,
                    "Error": {
                        "Code": "InvalidVpcEndpoint.NotFound",
                        "Message": f"The Vpc Endpoint Id '{name}' does not exist",
                    },
                }
            )
        elif endpoint.state not in ("deleting", "deleted"):
            endpoint.state = "deleting"
            after(WEATHER.now.to_be_gone("endpoint"), _forget(self.ec2_backend, endpoint))
    return ActionResult({"Unsuccessful": unsuccessful})


def _forget(ec2, endpoint):
    def gone():
        for eni in endpoint.enis.values():
            interfaces.remove(ec2, eni)
        endpoint.state = "deleted"
        ec2.vpc_end_points.pop(endpoint.id, None)
        ec2.tags.pop(endpoint.id, None)

    return gone
