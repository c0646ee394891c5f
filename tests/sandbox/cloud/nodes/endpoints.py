"""The paths under `/sandbox/` that are about nodes, pods and their load."""

import json
import urllib.parse

from . import credentials, view
from .settings import SETTINGS

_PATHS = ("nodes", "nodes/faults", "nodes/credentials", "load", "pods")


def is_ours(path):
    """Whether a path below `/sandbox/` is answered here."""
    return path in _PATHS


def answer(state, method, path, query, body):
    """Status and content for a request. `state` is the lock of everything."""
    asked = {key: values[0] for key, values in urllib.parse.parse_qs(query).items()}
    if (method, path) == ("GET", "nodes"):
        return _nodes(state, asked)
    content = json.loads(body or b"null")
    with state:
        if (method, path) == ("POST", "nodes/credentials"):
            return credentials.for_pod(content)
        if method == "PUT":
            change = {
                "nodes/faults": SETTINGS.set_faults,
                "load": SETTINGS.set_load,
                "pods": SETTINGS.set_rules,
            }.get(path)
            if change is None:
                return 404, {"error": f"no such path: PUT /sandbox/{path}"}
            change(content)
        elif (method, path) == ("DELETE", "load"):
            SETTINGS.clear_load()
        elif method != "GET":
            return 404, {"error": f"no such path: {method} /sandbox/{path}"}
        return 200, {
            "nodes/faults": lambda: [fault.as_dict() for fault in SETTINGS.faults],
            "load": lambda: list(SETTINGS.load.values()),
            "pods": lambda: SETTINGS.rules,
        }.get(path, dict)()


def _nodes(state, asked):
    if "cluster" not in asked:
        return 400, {"error": "`cluster` is missing: GET /sandbox/nodes?cluster=NAME"}
    seconds = min(float(asked.get("wait", 0)), 30)
    found = view.wait(state, asked["cluster"], asked.get("region"), asked.get("known"), seconds)
    return 200, found
