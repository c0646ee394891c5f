"""Putting the cloud together: moto mended, EKS and prices of our own, the gateway in front."""

from . import lean  # noqa: F401 - before anything of moto

from . import kubernetes, services
from .gateway import Gateway
from .server import Server


def build(port=0):
    """A server that listens, with everything loaded that the first calls would wait for."""
    from . import mended

    services.OWN.update(mended.own_services())
    gateway = Gateway()
    server = Server(gateway.answer, port)
    gateway.port = server.port
    if kubernetes.is_on():
        _add_kubernetes(server)
    return server


def _add_kubernetes(server):
    """The place for control planes, in which the cloud answers too."""
    from .kubernetes import web_identity  # noqa: F401 - mends STS
    from .kubernetes.planes import PLANES

    PLANES.serve = server.serve_also
    PLANES.prepare()
