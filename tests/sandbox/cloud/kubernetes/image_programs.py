"""What pods of known images run as, told to `nodes` by its environment."""

import os
import sys

from . import PROGRAMS

_PREFIX = "EKSUP_SANDBOX_IMAGE_"


def environment():
    """What the cloud was given, and the images that it knows itself."""
    given = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    known = {}
    if "metrics-server" in PROGRAMS:
        known[f"{_PREFIX}metrics_server"] = PROGRAMS["metrics-server"]
    path = ":".join(entry for entry in sys.path if entry)
    stand_in = f"{sys.executable} -m cloud.standins.load_balancer_controller"
    known[f"{_PREFIX}aws_load_balancer_controller"] = f"/usr/bin/env PYTHONPATH={path} {stand_in}"
    return {**known, **given}
