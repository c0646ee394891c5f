"""The paths under `/sandbox/kubernetes/`: questions of the API server, of its door, and of tests."""

import json
import urllib.parse

from ..caller import kill_caller
from . import access
from .planes import PLANES
from .requests import REQUESTS

PREFIX = "kubernetes/"


def answer(state, method, path, query, body):
    """Status and content for a request. `path` is what follows the prefix; `state` locks the cloud."""
    asked = {name: values[0] for name, values in urllib.parse.parse_qs(query).items()}
    what, _, identifier = path.partition("/")
    if method == "POST" and what in ("token", "access"):
        return _review(state, what, identifier, json.loads(body))
    if method == "POST" and what == "kill":
        return _kill(identifier, json.loads(body))
    if (method, path) == ("GET", "clusters"):
        return 200, [plane.describe() for plane in PLANES.all()]
    if (method, path) == ("GET", "requests"):
        return 200, REQUESTS.all(PLANES.all())
    if (method, path) == ("DELETE", "requests"):
        REQUESTS.clear(PLANES.all())
        return 200, {}
    if (method, path) == ("GET", "kills"):
        return 200, REQUESTS.kills()
    if method == "GET" and path in ("kubeconfig", "logs"):
        plane = PLANES.find(asked.get("cluster", ""), asked.get("region"))
        if plane is None:
            return 404, {"error": f"no control plane for a cluster `{asked.get('cluster', '')}`"}
        if path == "kubeconfig":
            return 200, plane.kubeconfig()
        part = plane.control_plane
        names = [asked["name"]] if "name" in asked else part.logs()
        return 200, {name: part.log(name) for name in names}
    return 404, {"error": f"no such path: {method} /sandbox/{PREFIX}{path}"}


def _review(state, what, identifier, review):
    plane = PLANES.get(identifier)
    if plane is None:
        return 404, {"error": "no such control plane"}
    with state:
        judge = access.review_token if what == "token" else access.review_access
        review["status"] = judge(plane, review)
    return 200, review


def _kill(identifier, told):
    plane = PLANES.get(identifier)
    if plane is None:
        return 404, {"error": "no such control plane"}
    if told["outside"]:
        killed = kill_caller(int(told["client_port"]), plane.port)
    else:
        pod = told["client_address"]
        killed = kill_caller(int(told["client_port"]), plane.setup.front_port, address=pod)
    REQUESTS.killed({"method": told["method"], "uri": told["uri"], "killed": killed})
    return 200, {"killed": killed}
