"""Ending a process together with everything that it started."""

import os
import signal


def end_tree(pid):
    """SIGKILL `pid` and its descendants, parents first so that nothing is started anew."""
    children = _children()
    waiting = [pid]
    while waiting:
        process = waiting.pop(0)
        waiting += children.get(process, [])
        try:
            os.kill(process, signal.SIGKILL)
        except OSError:
            continue


def _children():
    """Process id -> ids of its children, as /proc has them."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        found.setdefault(parent, []).append(int(entry))
    return found
