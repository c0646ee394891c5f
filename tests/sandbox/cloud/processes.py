"""Ending the commands that were given this cloud, and everything that they started.

They carry a marker in their environment, which their own children inherit. So nothing has to be
announced, and nothing escapes by being too quick: not even a command whose parent was killed in the
moment of starting it.
"""

import os
import signal
import time

# What is just being started has its environment a moment later.
_LATE_STARTERS_SECONDS = 0.5


def end_marked(marker, patiently=False):
    """SIGKILL every process with `marker` (`NAME=value`) in its environment.

    `patiently` looks again for a moment, for what was being started.
    """
    if "=" not in marker:
        raise ValueError(f"`{marker}` would match anything")
    deadline = time.monotonic() + (_LATE_STARTERS_SECONDS if patiently else 0)
    while True:
        ended = [pid for pid in _marked(marker.encode()) if _kill(pid)]
        if not ended and time.monotonic() >= deadline:
            return
        time.sleep(0.02)


def _marked(marker):
    """Ids of the processes with the marker, but for this one."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if marker in file.read().split(b"\0"):
                    yield int(entry)
        except OSError:
            continue  # Gone, or somebody else's.


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except OSError:
        return False
