"""What was started for a cloud ends with it, however quick it was."""

import signal
import subprocess
import sys
import unittest

from .processes import end_marked

MARKER = "SANDBOX_TEST_PROCESSES=1"

# Has no environment at first, as any program in the middle of its exec, and the marker in the end.
STARTING = f"""
import os, time
print("here", flush=True)
time.sleep(0.1)
os.execve("/bin/sleep", ["sleep", "1000"], dict([{MARKER!r}.split("=")]))
"""


class Processes(unittest.TestCase):
    def test_what_is_just_being_started_is_ended_too(self):
        starting = subprocess.Popen(
            [sys.executable, "-c", STARTING], env={}, stdout=subprocess.PIPE
        )
        self.addCleanup(starting.wait)
        self.addCleanup(starting.kill)
        self.addCleanup(starting.stdout.close)
        self.assertEqual(starting.stdout.readline(), b"here\n")
        end_marked(MARKER)
        self.assertEqual(starting.wait(timeout=10), -signal.SIGKILL)

    def test_a_marker_that_would_match_anything_is_refused(self):
        with self.assertRaises(ValueError):
            end_marked("")
