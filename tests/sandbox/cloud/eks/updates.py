"""Updates of clusters, node groups and add-ons: one at a time, each with an id to ask about."""

import json

from ..clock import after
from ..weather import WEATHER
from .errors import in_use, not_found
from .service import operation
from .store import new_uuid, now, page

IN_PROGRESS, SUCCESSFUL = "InProgress", "Successful"


class Update:
    """One change that was asked for. `params` is what EKS repeats of the request."""

    def __init__(self, kind, params):
        self.id = new_uuid()
        self.kind = kind
        self.params = [{"type": name, "value": _text(value)} for name, value in params.items()]
        self.created_at = now()
        self.status = IN_PROGRESS
        self.errors = []

    def describe(self, status=None):
        """The update as the API shows it."""
        return {
            "id": self.id,
            "status": status or self.status,
            "type": self.kind,
            "params": self.params,
            "createdAt": self.created_at,
            "errors": self.errors,
        }


def refuse_while_updating(thing, wanted):
    """Raise the error of EKS when `thing` (cluster, node group, add-on) has an update under way."""
    for update in thing.updates.values():
        if update.status == IN_PROGRESS:
            raise in_use(
                f"Cannot {wanted} because {thing.words} currently has update {update.id} in progress",
                clusterName=getattr(thing, "cluster_name", thing.name),
            )


def start(thing, kind, params, change, seconds=None):
    """Begin an update: `thing` is UPDATING, and after some time `change` is done and it is ACTIVE.

    Returns a function that renders the answer of the call.
    """
    update = Update(kind, params)
    thing.updates[update.id] = update
    thing.status = "UPDATING"

    def finish():
        change()
        update.status = SUCCESSFUL
        if thing.status == "UPDATING":
            thing.status = "ACTIVE"
        thing.modified_at = now()

    after(WEATHER.now.to_be_ready("update") if seconds is None else seconds, finish)
    return lambda: {"update": update.describe(IN_PROGRESS)}


def _text(value):
    """Parameters of an update are text; what is not, is JSON in it."""
    return value if isinstance(value, str) else json.dumps(value)


@operation("DescribeUpdate")
def describe_update(backend, asked, caller):
    """One update by its id, of a cluster or of what is named beside it."""
    updates = _thing(backend, asked).updates
    if asked["updateId"] not in updates:
        raise not_found(f"No update found for ID: {asked['updateId']}")
    return {"update": updates[asked["updateId"]].describe()}


@operation("ListUpdates")
def list_updates(backend, asked, caller):
    """The ids of all updates of a cluster, or of what is named beside it."""
    return page(_thing(backend, asked).updates, asked, "updateIds")


def _thing(backend, asked):
    cluster = backend.cluster(asked["name"])
    if asked.get("nodegroupName"):
        return cluster.nodegroup(asked["nodegroupName"])
    if asked.get("addonName"):
        return cluster.addon(asked["addonName"])
    return cluster
