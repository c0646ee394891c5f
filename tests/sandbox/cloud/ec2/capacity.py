"""What there is room for, and what it costs."""

import csv
import fnmatch
import functools
import pathlib
import zlib

from moto.ec2.exceptions import EC2ClientError

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

from ..weather import WEATHER

_PRICES = pathlib.Path(__file__).parent.parent / "data" / "prices-us-east-1.csv"


@functools.cache
def on_demand_prices():
    """US dollars per hour by instance type (Linux, us-east-1; the same figures in every region)."""
    with open(_PRICES, encoding="utf-8") as file:
        return {
            row["instance_type"]: float(row["on_demand_usd_per_hour"])
            for row in csv.DictReader(file)
        }


def price(instance_type, zone, spot):
    """US dollars per hour; very dear when there is no price."""
    on_demand = on_demand_prices().get(instance_type, 1e6)
    return on_demand * spot_share(instance_type, zone) if spot else on_demand


def spot_share(instance_type, zone):
    """What spot costs of the on-demand price: 25 to 55 per cent, always the same for a pool."""
    return 0.25 + zlib.crc32(f"{instance_type}/{zone}".encode()) % 3000 / 10000


def spareness(instance_type, zone):
    """How much spot room a pool has, from 0 to 1, always the same for a pool."""
    return zlib.crc32(f"room {instance_type} {zone}".encode()) % 1000 / 999


@functools.cache
def _offered(region):
    offers = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return {(offer["InstanceType"], offer["Location"]) for offer in offers}


def is_offered(region, instance_type, zone):
    """Whether a zone has this type at all; in a region without a list, every zone has."""
    offered = _offered(region)
    return not offered or (instance_type, zone) in offered


def is_missing(instance_type, zone, spot):
    """Whether the weather has taken the capacity of this pool away."""
    kind = "spot" if spot else "on-demand"
    for entry in WEATHER.now.insufficient_capacity:
        wanted = (str(entry).split("/") + ["*", "*"])[:3]
        if all(map(fnmatch.fnmatchcase, (instance_type, zone, kind), wanted)):
            return True
    return False


def check_spot_role(ec2, spot):
    """Spot needs its service-linked role in the account."""
    if not spot:
        return
    from moto.iam.models import iam_backends

    roles = iam_backends[ec2.account_id][ec2.partition].roles.values()
    if not any(role.name == "AWSServiceRoleForEC2Spot" for role in roles):
        raise EC2ClientError(
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "The provided credentials do not have permission to create the service-linked role for "
            "EC2 Spot Instances.",
        )
