"""The log of requests to the API servers, read from what they write down themselves (audit)."""

import datetime
import json
import threading
import urllib.parse

_MUTATING = ("create", "update", "patch", "delete", "deletecollection")
# Questions that are put as if something was made.
_QUESTIONS = ("reviews", "/token")


class RequestLog:
    """Requests of all clusters, oldest first; those of the control planes themselves are left out."""

    def __init__(self):
        self._lock = threading.Lock()
        # plane -> where in its file the log begins
        self._begin = {}
        self._killed = []

    def killed(self, entry):
        """Remember that the caller of a request was killed."""
        with self._lock:
            self._killed.append(entry)

    def all(self, planes):
        """Every request since `clear`, of the control planes that are there."""
        by_id = {}
        for plane in planes:
            for line in self._lines(plane):
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # The last line may be half written.
                # A watch comes twice: as it starts, and as it ends.
                by_id[event["auditID"]] = _entry(plane, event)
        found = sorted(by_id.values(), key=lambda entry: entry["time"])
        for number, entry in enumerate(found, 1):
            entry["number"] = number
        return found

    def kills(self):
        """Callers that were killed."""
        with self._lock:
            return list(self._killed)

    def clear(self, planes):
        """Forget the requests so far."""
        with self._lock:
            self._killed.clear()
        for plane in planes:
            try:
                with open(plane.control_plane.requests_log(), "rb") as file:
                    self._begin[plane.identifier] = file.seek(0, 2)
            except OSError:
                continue

    def _lines(self, plane):
        try:
            with open(plane.control_plane.requests_log(), "rb") as file:
                file.seek(self._begin.get(plane.identifier, 0))
                return file.read().splitlines()
        except OSError:
            return []


REQUESTS = RequestLog()


def _entry(plane, event):
    uri = event["requestURI"]
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(uri).query)
    what = event.get("objectRef", {})
    resource = "/".join(filter(None, (what.get("resource"), what.get("subresource"))))
    dry_run = "dryRun" in query
    begun, done = _seconds(event["requestReceivedTimestamp"]), _seconds(event["stageTimestamp"])
    question = resource.endswith(_QUESTIONS)
    status = event.get("responseStatus", {})
    return {
        "time": begun,
        "ms": round((done - begun) * 1000, 3),
        "cluster": plane.setup.cluster_name,
        "verb": event["verb"],
        "group": what.get("apiGroup", ""),
        "resource": resource,
        "namespace": what.get("namespace"),
        "name": what.get("name"),
        "uri": uri,
        "dry_run": dry_run,
        "mutating": event["verb"] in _MUTATING and not dry_run and not question,
        "user": event.get("user", {}).get("username", ""),
        "user_agent": event.get("userAgent", ""),
        "status": status.get("code", 0),
        "message": status.get("message"),
    }


def _seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
