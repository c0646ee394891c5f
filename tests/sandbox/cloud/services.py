"""Handing an identified call to the service that answers it: ours, or moto's."""

import functools
import importlib
import re

from . import lean
from .wire import ServiceError

from moto.core.request import Request
from moto.core.routing import NotFound, get_service_router


class IncomingRequest(Request):
    """moto's request; the server, not moto, writes the date."""

    from_wsgi_server = True


# Services that are ours altogether: name -> object with `route(method, path)` and `handle(…)`.
OWN = {}


def action_of(call, request):
    """The action of a call whose protocol says it by method and path."""
    if call.action:
        return call.action
    own = OWN.get(call.service)
    if own:
        return own.action_of(request.method, request.raw_path)
    try:
        operation, _ = get_service_router(call.service).match(request)
        return operation.name
    except (NotFound, NotImplementedError, Exception):  # an unknown path has no name
        return f"{request.method.title()}Object"


# Calls of EC2 that answer the same however often they are asked, and take long to write down.
_ALWAYS_THE_SAME = (
    "DescribeInstanceTypes",
    "DescribeInstanceTypeOfferings",
    "DescribeSpotPriceHistory",
)
_WRITTEN_DOWN = {}


def perform(call, request):
    """Do the call. Returns status, headers and body as moto gives them."""
    if call.service == "ec2" and call.action in _ALWAYS_THE_SAME:
        key = (call.region, *sorted(call.parameters.items()))
        if key not in _WRITTEN_DOWN:
            answer = _perform(call, request)
            if answer[0] != 200:
                return answer
            _WRITTEN_DOWN[key] = answer
        return _WRITTEN_DOWN[key]
    return _perform(call, request)


def _perform(call, request):
    own = OWN.get(call.service)
    if own:
        return own.handle(call, request)
    handler = _handler(call.service, request.path)
    result = handler(request, request.raw_url, dict(request.headers))
    if len(result) == 3:
        return result
    return 200, {}, result


def _handler(service, path):
    for pattern, handler in _routes(service):
        if pattern.match(path):
            return handler
    raise ServiceError("InvalidAction", f"`{path}` is no path of `{service}`", 404)


@functools.cache
def _routes(service):
    """Path patterns and handlers of a service of moto."""
    try:
        if service == "cloudformation":
            lean.import_cloudformation()
            from . import cloudformation, cloudformation_resources  # noqa: F401 - mend it
        urls = importlib.import_module(f"moto.{service}.urls")
    except ImportError as error:
        raise ServiceError(
            "InvalidAction", f"the local cloud does not play the service `{service}`: {error}", 404
        ) from error
    routes = []
    for template, handler in urls.url_paths.items():
        routes.append((re.compile(template.replace("{0}", "", 1)), handler))
    return routes
