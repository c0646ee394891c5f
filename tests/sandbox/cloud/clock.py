"""Time inside the cloud: things that become ready or vanish some seconds after a call.

Nothing runs in the background. Whoever looks at the cloud first lets everything happen that is due,
in order, so the cloud is never seen in a state that it should have left, and a test that asks
nothing costs nothing. A test need not wait either: it can put the clock forward.
"""

import heapq
import itertools
import time


class Clock:
    """Deeds that are due at a moment, done in that order when somebody looks."""

    def __init__(self):
        self._due = []
        self._order = itertools.count()
        self._ahead = 0.0

    def now(self):
        """Seconds on this clock; only differences mean anything."""
        return time.monotonic() + self._ahead

    def forward(self, seconds):
        """Let this much time have passed."""
        self._ahead += seconds

    def after(self, seconds, deed):
        """Do `deed` once `seconds` have passed; at once when that is not more than zero."""
        if seconds <= 0:
            deed()
            return
        heapq.heappush(self._due, (self.now() + seconds, next(self._order), deed))

    def catch_up(self):
        """Do everything that is due. A deed that fails does not stop the ones behind it."""
        while self._due and self._due[0][0] <= self.now():
            _, _, deed = heapq.heappop(self._due)
            try:
                deed()
            except Exception as error:  # one broken deed must not wedge the cloud
                import sys
                import traceback

                traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)

    def clear(self):
        """Forget everything that was still to happen."""
        self._due.clear()


CLOCK = Clock()


def after(seconds, deed):
    """Do `deed` after `seconds` of the shared clock."""
    CLOCK.after(seconds, deed)
