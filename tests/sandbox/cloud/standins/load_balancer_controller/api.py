"""The API server, by the pod's own service account: requests, and lists that are watched."""

import json
import os
import ssl
import threading
import time
import urllib.error
import urllib.request

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# How long a list may be refused before the controller gives up, as the real one does.
_SYNC_SECONDS = 30


class Refused(Exception):
    """An answer of the API server that is not a success."""

    def __init__(self, status, words):
        super().__init__(words)
        self.status = status


class Api:
    """Requests to the API server."""

    def __init__(self):
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        self._server = f"https://{host}:{port}"
        self._context = ssl.create_default_context(cafile=f"{_ACCOUNT}/ca.crt")
        with open(f"{_ACCOUNT}/namespace", encoding="ascii") as file:
            self.namespace = file.read()

    def open(self, method, path, body=None, kind="application/json", timeout=30):
        """The open answer to a request. The token is read anew each time: it is renewed."""
        with open(f"{_ACCOUNT}/token", encoding="ascii") as file:
            headers = {"Authorization": f"Bearer {file.read()}", "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=timeout, context=self._context)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode("utf-8", "replace")
            try:
                text = json.loads(text).get("message", text)
            except ValueError:
                pass
            raise Refused(error.code, text) from error

    def ask(self, method, path, body=None, kind="application/json"):
        """The object that answers a request."""
        with self.open(method, path, body, kind) as answer:
            return json.load(answer)

    def merge(self, path, body):
        """Changes an object."""
        return self.ask("PATCH", path, body, "application/merge-patch+json")


class Watched:
    """All objects of a kind, kept up to date by a watch."""

    def __init__(self, api, path, changed):
        self._api, self._path, self._changed = api, path, changed
        self._objects = {}
        self.synced = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def all(self):
        """Every object, by `namespace/name`."""
        return dict(self._objects)

    def _follow(self):
        began = time.monotonic()
        while True:
            try:
                self._watch(self._list())
                began = time.monotonic()
            except Refused as error:
                say(f"failed to list {self._path}: {error}")
                if not self.synced.is_set() and time.monotonic() - began > _SYNC_SECONDS:
                    say("problem running manager: timed out waiting for caches to sync")
                    os._exit(1)
                time.sleep(1)
            except (OSError, ValueError):
                time.sleep(0.3)

    def _list(self):
        found = self._api.ask("GET", self._path)
        self._objects = {key(item): item for item in found["items"]}
        self.synced.set()
        self._changed.set()
        return found["metadata"]["resourceVersion"]

    def _watch(self, version):
        path = f"{self._path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}"
        with self._api.open("GET", path, timeout=300) as stream:
            for line in stream:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "BOOKMARK":
                    continue
                item = event["object"]
                objects = dict(self._objects)
                if event["type"] == "DELETED":
                    objects.pop(key(item), None)
                else:
                    objects[key(item)] = item
                self._objects = objects
                self._changed.set()


def key(item):
    """`namespace/name` of an object; the name alone where there is no namespace."""
    metadata = item["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else metadata["name"]


def say(words):
    """A line in the pod's log."""
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} stand-in: {words}", flush=True)
