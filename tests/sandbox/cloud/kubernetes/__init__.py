"""The Kubernetes half: a real control plane per cluster, in a namespace of the cloud's own.

Off unless the cloud is started with programs for it (`--kubernetes`); then nothing here is loaded.
`namespace.py` makes the place, `control_plane.py` runs the components in it, `planes.py` ties them to
the clusters of EKS, `answers.py` is what the API server and tests ask the cloud.
"""

# Paths of the programs by name: `control-plane`, and what else is to run in the namespace.
PROGRAMS = {}


class NoNamespace(Exception):
    """A namespace cannot be had on this machine; the message says what to do."""


def is_on():
    """Whether clusters of this cloud have a control plane."""
    return "control-plane" in PROGRAMS
