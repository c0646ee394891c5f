"""Everything of moto that is mended, and the services that are ours. Importing this mends."""

from . import lean  # noqa: F401 - before anything of moto

from . import eks, iam, ssm, trust  # noqa: F401
from .ec2 import images, instances, interfaces  # noqa: F401


def own_services():
    """Services by name that moto has no part in."""
    return {"eks": eks.SERVICE}
