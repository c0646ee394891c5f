"""EKS, played altogether by us: moto has clusters and node groups without any of their behaviour."""

from . import absent, access, addons, cluster_updates, clusters, nodegroups, podidentity, tagging  # noqa: F401
from . import nodegroup_updates, updates, versions  # noqa: F401
from .service import EksService

SERVICE = EksService()
