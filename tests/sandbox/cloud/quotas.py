"""Service quotas: answered for what stacks run into, and enforced when the weather names them."""

import json

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.servicequotas.resources.default_quotas.vpc import VPC_DEFAULT_QUOTAS
from moto.servicequotas.responses import ServiceQuotasResponse

from .mend import mend
from .weather import WEATHER
from .wire import ServiceError

VPCS, ADDRESSES = "L-F678F1CE", "L-0263D0A3"
INTERNET_GATEWAYS, NAT_GATEWAYS = "L-A4707A72", "L-FE5A380F"

# service -> code -> (name, value)
_OTHERS = {
    "ec2": {
        ADDRESSES: ("EC2-VPC Elastic IPs", 5.0),
        "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 640.0),
        "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 640.0),
    },
    "eks": {
        "L-1194D53C": ("Clusters", 100.0),
        "L-6D54EA21": ("Managed node groups per cluster", 30.0),
        "L-BD136A63": ("Nodes per managed node group", 450.0),
    },
    "rds": {"L-7B6409FD": ("DB instances", 40.0), "L-48C6BF61": ("DB subnet groups", 50.0)},
    "cloudformation": {"L-0485CB21": ("Stack count", 2000.0)},
    "elasticloadbalancing": {
        "L-53DA6B97": ("Application Load Balancers per Region", 50.0),
        "L-69A177A2": ("Network Load Balancers per Region", 50.0),
    },
}
_VPC = {quota["QuotaCode"]: (quota["QuotaName"], quota["Value"]) for quota in VPC_DEFAULT_QUOTAS}


def _quotas_of(service):
    known = _VPC if service == "vpc" else _OTHERS.get(service)
    if known is None:
        raise ServiceError("NoSuchResourceException", f"The service {service} does not exist.", 400)
    return known


def _describe(response, service, code, default):
    name, value = _quotas_of(service)[code]
    if not default:
        value = float(WEATHER.now.quotas.get(code, value))
    region = response.region
    return {
        "ServiceCode": service,
        "ServiceName": service.upper(),
        "QuotaArn": f"arn:aws:servicequotas:{region}:{response.current_account}:{service}/{code}",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


def _one(response, default):
    asked = json.loads(response.body)
    service, code = asked.get("ServiceCode", ""), asked.get("QuotaCode", "")
    if code not in _quotas_of(service):
        raise ServiceError(
            "NoSuchResourceException", f"The request failed because {code} does not exist.", 400
        )
    return json.dumps({"Quota": _describe(response, service, code, default)})


def _all(response, default):
    service = json.loads(response.body).get("ServiceCode", "")
    quotas = [_describe(response, service, code, default) for code in _quotas_of(service)]
    return json.dumps({"Quotas": quotas})


ServiceQuotasResponse.get_service_quota = lambda self: _one(self, default=False)
ServiceQuotasResponse.get_aws_default_service_quota = lambda self: _one(self, default=True)
ServiceQuotasResponse.list_service_quotas = lambda self: _all(self, default=False)
ServiceQuotasResponse.list_aws_default_service_quotas = lambda self: _all(self, default=True)


def _check(code, present, error, message):
    if code in WEATHER.now.quotas and present >= WEATHER.now.quotas[code]:
        raise EC2ClientError(error, message)


def check_addresses(ec2):
    """One more Elastic IP address."""
    _check(
        ADDRESSES,
        len(ec2.addresses),
        "AddressLimitExceeded",
        "The maximum number of addresses has been reached.",
    )


def check_nat_gateways(ec2, zone):
    """One more NAT gateway in a zone."""
    present = sum(
        1
        for nat in ec2.nat_gateways.values()
        if nat.state in ("pending", "available", "deleting")
        and ec2.get_subnet(nat.subnet_id).availability_zone == zone
    )
    _check(
        NAT_GATEWAYS,
        present,
        "NatGatewayLimitExceeded",
        "The maximum number of NAT Gateways has been reached.",
    )


@mend(EC2Backend, "create_vpc")
def create_vpc(original, self, *args, **kwargs):
    """One more VPC."""
    if not kwargs.get("is_default"):
        message = "The maximum number of VPCs has been reached."
        _check(VPCS, len(self.vpcs), "VpcLimitExceeded", message)
    return original(self, *args, **kwargs)


@mend(EC2Backend, "create_internet_gateway")
def create_internet_gateway(original, self, *args, **kwargs):
    """One more internet gateway."""
    _check(
        INTERNET_GATEWAYS,
        len(self.internet_gateways),
        "InternetGatewayLimitExceeded",
        "The maximum number of internet gateways has been reached.",
    )
    return original(self, *args, **kwargs)
