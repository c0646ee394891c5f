"""The log of every call, and what kind of call each one was."""

import itertools
import threading

# Actions that only look. Everything else may change something.
_READING = (
    "Describe",
    "List",
    "Get",
    "Head",
    "Search",
    "Lookup",
    "BatchGet",
    "Filter",
    "Simulate",
    "Validate",
    "Estimate",
    "Decode",
    "AssumeRole",
    "Receive",
    "Query",
    "Scan",
    "Test",
    "Preview",
    "Verify",
)


def is_mutating(action, dry_run=False):
    """Whether a call of this action may change something."""
    return not dry_run and not action.startswith(_READING)


class CallLog:
    """Every call since the last time the log was cleared, oldest first."""

    def __init__(self):
        self._lock = threading.Lock()
        self._calls = []
        self._number = itertools.count(1)

    def add(self, call):
        """Append one call (a dict that JSON can carry)."""
        with self._lock:
            call["number"] = next(self._number)
            self._calls.append(call)

    def all(self):
        """A copy of the log."""
        with self._lock:
            return list(self._calls)

    def clear(self):
        """Forget everything."""
        with self._lock:
            self._calls.clear()
            self._number = itertools.count(1)


CALLS = CallLog()
