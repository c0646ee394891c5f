"""Putting the cloud together: moto mended, EKS and prices of our own, the gateway in front."""

from . import lean  # noqa: F401 - before anything of moto

from . import services
from .gateway import Gateway
from .server import Server


def build(port=0):
    """A server that listens, with everything loaded that the first calls would wait for."""
    from . import mended

    services.OWN.update(mended.own_services())
    gateway = Gateway()
    server = Server(gateway.answer, port)
    gateway.port = server.port
    return server
