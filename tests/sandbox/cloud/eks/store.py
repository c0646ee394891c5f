"""What EKS remembers, per account and region, and small helpers that every kind of thing uses."""

import datetime
import hashlib
import json
import random
import string
import uuid

from moto.core.base_backend import BackendDict, BaseBackend

from .errors import not_found

_RANDOM = random.SystemRandom()


class EksBackend(BaseBackend):
    """Clusters by name; everything else hangs off its cluster."""

    def __init__(self, region_name, account_id):
        super().__init__(region_name, account_id)
        self.clusters = {}
        # (operation, client request token) -> (fingerprint of the request, how to answer it again)
        self.tokens = {}

    def cluster(self, name):
        """The cluster of this name, or the error that EKS has for a missing one."""
        if name not in self.clusters:
            raise not_found(f"No cluster found for name: {name}.", clusterName=name)
        return self.clusters[name]

    def arn(self, rest):
        """An ARN of EKS in this region and account."""
        return f"arn:{self.partition}:eks:{self.region_name}:{self.account_id}:{rest}"

    def once(self, operation, asked, make):
        """Do `make` once per client request token; a repeated request gets the same thing again.

        `make` returns a function that renders the answer. A token that comes back with another
        request, or after its thing is gone, is a request like any other.
        """
        token = asked.get("clientRequestToken")
        if not token:
            return make()()
        others = {name: value for name, value in asked.items() if name != "clientRequestToken"}
        fingerprint = hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()
        known = self.tokens.get((operation, token))
        if known and known[0] == fingerprint:
            again = known[1]()
            if again is not None:
                return again
        render = make()
        self.tokens[(operation, token)] = (fingerprint, render)
        return render()


eks_backends = BackendDict(EksBackend, "eks")


def now():
    """The moment, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def new_uuid():
    """An id as EKS puts it into ARNs of node groups and add-ons."""
    return str(uuid.uuid4())


def new_hex(length):
    """Upper-case hexadecimal, as in endpoints and issuers."""
    return "".join(_RANDOM.choice("0123456789ABCDEF") for _ in range(length))


def new_short_id(length=17):
    """Lower-case letters and digits, as in association ids."""
    return "".join(_RANDOM.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def page(items, asked, member, key=str):
    """One page of a list: `{member: […], nextToken: …}`."""
    size = int(asked.get("maxResults") or 100)
    items = sorted(items, key=key)
    start = int(asked.get("nextToken") or 0)
    answer = {member: items[start : start + size]}
    if start + size < len(items):
        answer["nextToken"] = str(start + size)
    return answer
