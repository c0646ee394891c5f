"""A user, network, mount and process namespace of the cloud's own, and processes in it.

The cloud itself stays outside. Inside, API servers, nodes and pods have the addresses that AWS would
have given them, and nothing beyond is touched. Sockets cross the border: one that was made inside
and handed out lets the cloud listen there, one that was made outside and inherited lets a process
inside answer callers outside. When the cloud ends, however it does, the kernel ends every process of
the namespace, and its files are gone with it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

from . import NoNamespace

# Where processes inside find the cloud: what `AWS_ENDPOINT_URL` is for them.
CLOUD_ADDRESS = "169.254.171.1"
# Where they find the agent of pod identities, as on EKS.
AGENT_ADDRESS = "169.254.170.23"

_HELP = (
    "the local cloud's Kubernetes half needs user namespaces: {}. "
    "As root it works without further ado; otherwise allow them "
    "(`sysctl kernel.unprivileged_userns_clone=1`, and on Ubuntu "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`)"
)


class Namespace:
    """The place, once it is made."""

    def __init__(self):
        for tool in ("unshare", "nsenter"):
            if shutil.which(tool) is None:
                raise NoNamespace(f"the local cloud's Kubernetes half needs `{tool}` (util-linux)")
        self._lock = threading.Lock()
        self._blocks = set()
        self.folder = _mount_point()
        self._control, theirs = socket.socketpair()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
        self._holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid"]
            + [sys.executable, "-I", "-S", script, str(theirs.fileno()), self.folder],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        theirs.close()
        answer, _ = self._hear()
        if answer is None:
            words = self._holder.stderr.read().decode("utf-8", "replace").strip()
            raise NoNamespace(_HELP.format(words.splitlines()[-1] if words else "no reason given"))
        self.process = answer["first_process"]
        self.own(f"{CLOUD_ADDRESS}/32")
        self.own(f"{AGENT_ADDRESS}/32")

    def own(self, block):
        """From now on, every address of this block belongs to the namespace."""
        with self._lock:
            if block not in self._blocks:
                self._ask({"addresses": block})
                self._blocks.add(block)

    def listen(self, address, port):
        """A socket that listens inside."""
        with self._lock:
            _, descriptors = self._ask({"listen": [address, port]})
        return socket.socket(fileno=descriptors[0])

    def path(self, name):
        """Where the cloud finds a file that is `folder/name` inside."""
        return f"/proc/{self.process}/root{self.folder}/{name}"

    def network_tables(self):
        """The folder of `/proc` that lists the sockets inside."""
        return f"/proc/{self.process}/net"

    def start(self, arguments, log, descriptors=(), environment=None):
        """Start a program inside. `log` is a file name in `folder`; its input and output are pipes."""
        enter = ["nsenter", "--preserve-credentials", "-U", "-n", "-m", "-p"]
        with open(self.path(log), "ab") as errors:
            return subprocess.Popen(
                [*enter, "-t", str(self.process), "--", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": self.folder}
                | (environment or {}),
                pass_fds=list(descriptors),
                start_new_session=True,
            )

    def end(self):
        """Every process in it ends, every file in it is gone."""
        self._control.close()
        self._holder.wait()
        self._holder.stderr.close()

    def _ask(self, what):
        self._control.sendall(json.dumps(what).encode() + b"\n")
        answer, descriptors = self._hear()
        if answer is None or "error" in answer:
            raise OSError(f"the namespace: {(answer or {}).get('error', 'it is gone')}")
        return answer, descriptors

    def _hear(self):
        try:
            words, descriptors, _, _ = socket.recv_fds(self._control, 65536, 4)
        except ConnectionError:
            words, descriptors = b"", []
        return (json.loads(words) if words else None), descriptors


def stop(process):
    """End a process that `Namespace.start` started, with what it started itself."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            try:
                pipe.close()
            except OSError:
                pass


def _mount_point():
    """An empty folder; in each namespace, a file system of its own is mounted on it."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(cache, "eksup-sandbox", "inside")
    os.makedirs(folder, exist_ok=True)
    return folder
