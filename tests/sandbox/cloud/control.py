"""The cloud's own paths under `/sandbox/`: weather, time, calls, inventory, reset."""

import json
import os
import threading

from . import inventory, kubernetes, weather
from .calls import CALLS
from .clock import CLOCK
from .nodes import endpoints as nodes
from .nodes.settings import SETTINGS
from .weather import WEATHER

NAME = {"name": None}


def answer(gateway, incoming):
    """Status, headers and body for a request to the cloud itself."""
    what = (incoming.method, incoming.path.removeprefix("/sandbox/"))
    try:
        if kubernetes.is_on() and what[1].startswith("kubernetes/"):
            return _answer_about_kubernetes(incoming)
        if nodes.is_ours(what[1]):
            return _json(*nodes.answer(_state(), *what, incoming.query, incoming.body))
        if what == ("GET", "about"):
            return _json(200, {"pid": os.getpid(), "port": gateway.port, **NAME})
        if what == ("GET", "weather"):
            return _json(200, WEATHER.now.as_dict())
        if what == ("PUT", "weather"):
            WEATHER.change(weather.parse(json.loads(incoming.body or b"{}")))
            _tell_kubernetes()
            return _json(200, WEATHER.now.as_dict())
        if what == ("GET", "calls"):
            return _json(200, CALLS.all())
        if what == ("DELETE", "calls"):
            CALLS.clear()
            return _json(200, {})
        if what == ("POST", "reset"):
            _reset()
            return _json(200, {})
        if what == ("POST", "time"):
            with _state():
                CLOCK.forward(float(json.loads(incoming.body)["forward"]))
                CLOCK.catch_up()
            return _json(200, {})
        if what == ("POST", "end"):
            threading.Timer(0.05, os._exit, (0,)).start()
            return _json(200, {})
        if what == ("GET", "inventory"):
            with _state():
                CLOCK.catch_up()
                return _json(200, inventory.everything("all" in incoming.query))
    except (weather.BadWeather, ValueError, KeyError, TypeError) as error:
        return _json(400, {"error": str(error)})
    return _json(404, {"error": f"no such path: {incoming.method} {incoming.path}"})


def answer_as_issuer(incoming):
    """What an issuer of service-account tokens publishes."""
    from .kubernetes import web_identity

    found = web_identity.published(incoming.path)
    return _json(200, found) if found else _json(404, {"error": "no such issuer"})


def answer_as_agent(incoming):
    """What the agent of pod identities has for a pod."""
    from .kubernetes import pod_identity

    return _json(*pod_identity.answer(_state(), incoming.headers.get("authorization", "")))


def _answer_about_kubernetes(incoming):
    from .kubernetes import answers

    path = incoming.path.removeprefix(f"/sandbox/{answers.PREFIX}")
    return _json(*answers.answer(_state(), incoming.method, path, incoming.query, incoming.body))


def _tell_kubernetes():
    """Let the doors of the clusters know the weather."""
    if kubernetes.is_on():
        from .kubernetes.planes import PLANES

        PLANES.change(WEATHER.now.kubernetes)


def _state():
    from .gateway import STATE

    return STATE


def _reset():
    """A new account: nothing made, fine weather, an empty log."""
    with _state():
        CLOCK.clear()
        if kubernetes.is_on():
            from .kubernetes.planes import PLANES

            PLANES.forget_everything()
        SETTINGS.clear()
        WEATHER.change(weather.Weather())
        inventory.forget_everything()
        CALLS.clear()


def _json(status, content):
    return status, {"Content-Type": "application/json"}, json.dumps(content, default=str)
