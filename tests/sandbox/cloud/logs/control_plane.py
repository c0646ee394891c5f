"""The log group of a control plane: it appears when logging is on, and comes back when it should not.

EKS flushes what it has buffered after a cluster was deleted. With `late_log_writes`, that makes the
group once more: when the cluster goes if it is missing by then, otherwise right after its deletion.
"""

from moto.logs.models import LogsBackend, logs_backends

from ..clock import after
from ..mend import mend
from ..weather import WEATHER

# (account, region, group) whose cluster is being deleted and has something left to write.
_PENDING = set()
_LATE_BY = 0.5


def group_name(cluster_name):
    """Where a control plane logs to."""
    return f"/aws/eks/{cluster_name}/cluster"


def write(backend, cluster_name):
    """The control plane writes: its group is there from now on."""
    logs = logs_backends[backend.account_id][backend.region_name]
    name = group_name(cluster_name)
    if name not in logs.groups:
        logs.create_log_group(name, {})


def expect_late_writes(backend, cluster):
    """A cluster is being deleted; if it logs, it has something left to write."""
    if WEATHER.now.late_log_writes and cluster.log_types:
        _PENDING.add((backend.account_id, backend.region_name, group_name(cluster.name)))


def after_deletion(backend, cluster):
    """A cluster is gone: its last lines make the group anew if somebody was too quick."""
    key = (backend.account_id, backend.region_name, group_name(cluster.name))
    logs = logs_backends[backend.account_id][backend.region_name]
    if key in _PENDING and key[2] not in logs.groups:
        _PENDING.discard(key)
        write(backend, cluster.name)


def forget():
    """Nothing is left to write."""
    _PENDING.clear()


@mend(LogsBackend, "delete_log_group")
def delete_log_group(original, self, log_group_name):
    """Deleted, and back a moment later when something was still to be written."""
    original(self, log_group_name)
    key = (self.account_id, self.region_name, log_group_name)
    cluster_name = log_group_name.removeprefix("/aws/eks/").removesuffix("/cluster")
    from ..eks.store import eks_backends

    backend = eks_backends[self.account_id][self.region_name]
    if key in _PENDING and cluster_name not in backend.clusters:
        _PENDING.discard(key)
        after(_LATE_BY, lambda: write(backend, cluster_name))
