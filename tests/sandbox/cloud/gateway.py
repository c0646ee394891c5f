"""The way of a call: identified, weathered, done, logged."""

import fnmatch
import json
import sys
import threading
import time
import traceback

from . import control, identity, kubernetes, refusals, services, wire
from .caller import kill_caller
from .calls import CALLS, is_mutating
from .clock import CLOCK
from .identify import identify
from .identity import caller_arn
from .server import Hangup
from .weather import WEATHER, Weather

from moto.core.exceptions import ServiceException

# moto was not made for threads: one call at a time touches its state.
STATE = threading.RLock()
_FINE = Weather()


class Gateway:
    """Answers every request of the server; counts mutating calls for `kill_at`."""

    def __init__(self):
        self.port = 0
        self._mutations = 0
        self._weather_counted = None

    def answer(self, incoming):
        """Status, headers and body for a request."""
        if incoming.path.startswith("/sandbox/"):
            return control.answer(self, incoming)
        if kubernetes.is_on() and incoming.path.startswith("/id/"):
            return control.answer_as_issuer(incoming)
        if kubernetes.is_on() and incoming.path == "/v1/credentials":
            return control.answer_as_agent(incoming)
        started = time.time()
        clock = time.perf_counter()
        request = services.IncomingRequest(incoming.environ(self.port))
        call = identify(
            incoming.method, incoming.raw_path, incoming.query, incoming.headers, incoming.body
        )
        call.action = services.action_of(call, request)
        mutating = is_mutating(call.action, call.parameters.get("DryRun") == "true")
        if incoming.method in ("GET", "HEAD") and call.protocol.startswith("rest"):
            mutating = False
        entry = {
            "time": started,
            "service": call.service,
            "action": call.action,
            "region": call.region,
            "mutating": mutating,
            "connection": incoming.client_port,
            "agent": incoming.headers.get("user-agent", ""),
            "caller": identity.principal_arn(call.access_key, call.region) if call.signed else "",
            "needs": refusals.needed(call, request),
        }
        weather = _weather_for(call, entry["agent"])
        if weather.latency_ms:
            time.sleep(weather.latency_ms / 1000)
        doomed = mutating and self._reaches_its_doom(weather)
        if doomed and weather.kill_when == "before":
            self._kill(entry, incoming, clock, "killed before")
        status, headers, body = self._do(call, request, incoming, weather)
        if doomed:
            self._kill(entry, incoming, clock, "killed after", status)
        if (mutating or weather.lost_answer_reads) and weather.strikes(weather.lost_answer):
            self._log(entry, clock, status, "lost answer")
            raise Hangup
        self._log(entry, clock, status, None if status < 400 else _error_code(headers, body))
        return status, headers, body

    def _do(self, call, request, incoming, weather):
        """Do a call, or answer with the error that the weather or the service has for it."""
        try:
            refusals.check(call, request, weather)
            if call.service == "sqs" and call.action == "ReceiveMessage":
                return self._receive(call, request, incoming)
            with STATE:
                CLOCK.catch_up()
                return services.perform(call, request)
        except wire.ServiceError as error:
            return _with_sqs_header(call, error)
        except ServiceException as error:
            # An error of one service of moto inside another of ours.
            return wire.answer(wire.ServiceError(error.code, error.message), call.protocol)
        except NotImplementedError as error:
            refused = wire.ServiceError(
                "InvalidAction", f"the local cloud does not play it: {error}"
            )
            return wire.answer(refused, call.protocol)
        except Exception as error:  # a fault of the cloud is told to the caller
            traceback.print_exc(file=sys.stderr)
            broken = wire.ServiceError(
                "SandboxFault",
                f"{call.service}:{call.action}: {type(error).__name__}: {error}",
                400,
            )
            return wire.answer(broken, call.protocol)

    def _receive(self, call, request, incoming):
        """Long polling without holding up everybody else while the queue is empty."""
        asked = json.loads(incoming.body or b"{}") if call.protocol == "json" else call.parameters
        deadline = time.monotonic() + float(asked.get("WaitTimeSeconds") or 0)
        if call.protocol == "json":
            asked["WaitTimeSeconds"] = 0
            incoming.body = json.dumps(asked).encode()
        while True:
            request = services.IncomingRequest(incoming.environ(self.port))
            with STATE:
                CLOCK.catch_up()
                status, headers, body = services.perform(call, request)
            empty = b"ReceiptHandle" not in (body if isinstance(body, bytes) else body.encode())
            if not empty or status >= 400 or time.monotonic() >= deadline:
                return status, headers, body
            time.sleep(0.05)

    def _reaches_its_doom(self, weather):
        """Count a mutating call; whether it is the one at which the caller is to be killed."""
        if weather.kill_at is None:
            return False
        with STATE:
            if weather is not self._weather_counted:
                self._weather_counted, self._mutations = weather, 0
            self._mutations += 1
            return self._mutations == weather.kill_at

    def _kill(self, entry, incoming, clock, what, status=0):
        # Inside the namespace of a cluster, the cloud has a port of its own.
        if incoming.tables == "/proc/net":
            entry["killed"] = kill_caller(incoming.client_port, self.port)
        else:
            pod = incoming.client_address
            entry["killed"] = kill_caller(incoming.client_port, 80, incoming.tables, pod)
        self._log(entry, clock, status, what)
        raise Hangup

    @staticmethod
    def _log(entry, clock, status, error=None):
        entry["status"] = status
        entry["ms"] = round((time.perf_counter() - clock) * 1000, 3)
        entry["error"] = error
        CALLS.add(entry)


def _weather_for(call, agent):
    """The weather for a call: fine when it is meant for other callers, or other calls."""
    weather = WEATHER.now
    if weather.calls and not _any(weather.calls, [f"{call.service}:{call.action}"]):
        return _FINE
    if weather.callers:
        with STATE:
            arn = caller_arn(call.access_key, call.region) if call.access_key else ""
        if not _any(weather.callers, [agent, arn]):
            return _FINE
    return weather


def _any(patterns, texts):
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns for text in texts)


def _with_sqs_header(call, error):
    status, headers, body = wire.answer(error, call.protocol)
    if call.service == "sqs" and call.protocol == "json":
        code = error.code
        if code == "QueueDeletedRecently":
            code = "AWS.SimpleQueueService.QueueDeletedRecently"
        headers["x-amzn-query-error"] = f"{code};Sender"
    return status, headers, body


def _error_code(headers, body):
    """The code of an error answer, for the log."""
    for name, value in headers.items():
        if name.lower() == "x-amzn-errortype" and value:
            return str(value).split(":")[0]
    text = body if isinstance(body, str) else (body or b"").decode("utf-8", "replace")
    if "<Code>" in text:
        return text.split("<Code>", 1)[1].split("<", 1)[0]
    try:
        return str(json.loads(text).get("__type", "")).split("#")[-1] or "error"
    except (ValueError, AttributeError):
        return "error"
