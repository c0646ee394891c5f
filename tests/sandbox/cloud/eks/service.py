"""EKS as a service: which operation a path means, what was asked, and JSON back.

Paths and parameters come from the API model that botocore ships, so an operation that is missing
here is missing by name, not by a forgotten path.
"""

import datetime
import json
import re
import urllib.parse

from moto.core.utils import get_service_model

from .. import identity
from ..wire import ServiceError
from .store import eks_backends

_OPERATIONS = {}


def operation(name):
    """Decorator: `function(backend, asked, caller)` answers this operation of the API.

    `asked` holds the members of the request; the function returns the members of the answer.
    """

    def register(function):
        _OPERATIONS[name] = function
        return function

    return register


class Caller:
    """Who asks, where."""

    def __init__(self, call):
        self.access_key = call.access_key
        self.region = call.region

    @property
    def principal_arn(self):
        """The IAM principal behind the call."""
        return identity.principal_arn(self.access_key, self.region)


class EksService:
    """Routes and answers the calls of EKS."""

    def __init__(self):
        self._routes = None

    def action_of(self, method, raw_path):
        """The operation that a method and a path mean; the path itself when there is none."""
        found = self._find(method, raw_path)
        return found[0].name if found else f"{method} {raw_path}"

    def handle(self, call, request):
        """Answer a call. Errors are raised as `ServiceError`."""
        found = self._find(request.method, request.raw_path)
        if found is None:
            raise ServiceError("NotFoundException", "no such path", 404)
        model, in_path = found
        function = _OPERATIONS.get(model.name)
        if function is None:
            raise NotImplementedError(f"eks:{model.name}")
        asked = _members(model, request, in_path)
        for member in model.input_shape.required_members if model.input_shape else []:
            if member not in asked:
                raise ServiceError("InvalidParameterException", f"{member} can't be blank", 400)
        backend = eks_backends[identity.account_of(call.access_key)][call.region]
        answer = function(backend, asked, Caller(call)) or {}
        headers = {"Content-Type": "application/json"}
        return 200, headers, json.dumps(_plain(answer))

    def _find(self, method, raw_path):
        if self._routes is None:
            self._routes = _build_routes()
        for route_method, pattern, model in self._routes:
            if route_method == method:
                match = pattern.fullmatch(raw_path)
                if match:
                    in_path = {k: urllib.parse.unquote(v) for k, v in match.groupdict().items()}
                    return model, in_path
        return None


def _build_routes():
    routes = []
    service = get_service_model("eks")
    for name in service.operation_names:
        model = service.operation_model(name)
        uri = model.http["requestUri"]
        # The ARN of a tagging call may come with its slashes unescaped.
        label = "(?P<{}>.+)" if uri.startswith("/tags/") else "(?P<{}>[^/]+)"
        pattern = re.sub(r"\{(\w+)\+?\}", lambda found: label.format(found.group(1)), uri)
        routes.append((model.http["method"], re.compile(pattern), model))
    return routes


def _members(model, request, in_path):
    """The members of a request, wherever the protocol puts them."""
    asked = dict(json.loads(request.data)) if request.data else {}
    shape = model.input_shape
    for member, inner in (shape.members if shape else {}).items():
        place = inner.serialization.get("location")
        name = inner.serialization.get("name", member)
        if place == "uri" and name in in_path:
            asked[member] = in_path[name]
        elif place == "querystring" and name in request.args:
            values = request.args.getlist(name)
            asked[member] = values if inner.type_name == "list" else _scalar(inner, values[0])
    return {name: value for name, value in asked.items() if value is not None}


def _scalar(shape, text):
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "boolean":
        return text == "true"
    return text


def _plain(value):
    """What JSON can carry; times as seconds since 1970, absent members left out."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime.datetime):
        return round(value.timestamp(), 3)
    return value
