"""Everything of moto that is mended, and the services that are ours. Importing this mends."""

from . import lean  # noqa: F401 - before anything of moto

from . import eks, iam, loadbalancers, queues, quotas, rds, ssm, trust  # noqa: F401
from . import pricing
from .ec2 import (  # noqa: F401
    addresses,
    dependencies,
    endpoints,
    fleet,
    images,
    instances,
    interfaces,
    nat,
    network,
    offers,
    placement,
    reservations,
    rules,
    tags,
)
from .nodes import health, leftovers  # noqa: F401


def own_services():
    """Services by name that moto has no part in."""
    return {"eks": eks.SERVICE, "pricing": pricing.PricingService()}
