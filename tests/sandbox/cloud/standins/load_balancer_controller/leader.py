"""Which replica does the work: the holder of a Lease, as with the real controller."""

import datetime
import threading
import time

from .api import Refused, say


class Leader:
    """The lease that one replica holds."""

    _NAME, _SECONDS = "aws-load-balancer-controller-leader", 15

    def __init__(self, api, identity):
        self._api, self._identity = api, identity
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{api.namespace}/leases"
        self.lost = threading.Event()

    def wait(self):
        """Until the lease is ours; then it is kept in the background."""
        while not self._try():
            time.sleep(1)
        threading.Thread(target=self._keep, daemon=True).start()

    def release(self):
        """Let the next one have it at once."""
        try:
            self._write(self._get(), holder="")
        except (Refused, OSError, TypeError):
            pass

    def _keep(self):
        while True:
            time.sleep(3)
            if not self._try():
                self.lost.set()
                return

    def _try(self):
        try:
            lease = self._get()
            if lease is None:
                meta = {"name": self._NAME, "namespace": self._api.namespace}
                self._api.ask("POST", self._path, {"metadata": meta, "spec": self._spec()})
                return True
            spec = lease["spec"]
            holder = spec.get("holderIdentity")
            if holder and holder != self._identity and not _expired(spec):
                return False
            self._write(lease, self._identity)
            return True
        except Refused as error:
            if error.status != 409:
                say(f"error retrieving resource lock {self._api.namespace}/{self._NAME}: {error}")
            return False
        except OSError as error:
            say(f"the API server cannot be reached: {error}")
            return False

    def _get(self):
        try:
            return self._api.ask("GET", f"{self._path}/{self._NAME}")
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def _write(self, lease, holder):
        lease["spec"] = {**self._spec(), "holderIdentity": holder}
        self._api.ask("PUT", f"{self._path}/{self._NAME}", lease)

    def _spec(self):
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._SECONDS,
            "renewTime": datetime.datetime.now(datetime.timezone.utc).strftime(
                "%Y-%m-%dT%H:%M:%S.%fZ"
            ),
        }


def _expired(spec):
    renewed = datetime.datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
    age = datetime.datetime.now(datetime.timezone.utc) - renewed
    return age.total_seconds() > spec["leaseDurationSeconds"]
