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

    Looks again for a moment while a process is just becoming another program; `patiently`, in any
    case, for what was being started.
    """
    if "=" not in marker:
        raise ValueError(f"`{marker}` would match anything")
    deadline = time.monotonic() + _LATE_STARTERS_SECONDS
    while True:
        marked, unclear = _marked(marker.encode())
        ended = [pid for pid in marked if _kill(pid)]
        if not ended and (time.monotonic() >= deadline or not (patiently or unclear)):
            return
        time.sleep(0.02)


def _marked(marker):
    """Ids of the processes with the marker, but for this one; whether some may have it in a moment."""
    marked, unclear = [], False
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                environment = file.read()
            if marker in environment.split(b"\0"):
                marked.append(int(entry))
            elif not environment:
                # A program without an environment, or one whose exec has not come to it yet. What
                # has no program either is of the kernel's own, or has ended.
                os.readlink(f"/proc/{entry}/exe")
                unclear = True
        except OSError:
            continue  # Gone, or somebody else's.
    return marked, unclear


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except OSError:
        return False
