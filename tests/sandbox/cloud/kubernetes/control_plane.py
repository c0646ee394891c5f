"""The components of one control plane: their files, their start and their end."""

import json
import os
import time

from . import PROGRAMS, flags, namespace
from .certificates import Authority, private_pem, public_pem
from .namespace import CLOUD_ADDRESS

# Users of the components themselves and of tests that only look; the request log leaves them out.
NODES_USER, OBSERVER_USER = "sandbox:nodes", "sandbox:observer"
_UNLOGGED_USERS = [
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    NODES_USER,
    OBSERVER_USER,
]


class ControlPlane:
    """Files and processes of one control plane. `start` returns once the API server is ready."""

    def __init__(self, place, setup):
        """`setup` is a `planes.Setup`."""
        self._place = place
        self._setup = setup
        self._folder = setup.identifier
        self._processes = {}
        self.authority = Authority("kubernetes")
        self._front_authority = Authority("front-proxy")

    # Files

    def inside(self, name):
        """Where processes inside find a file of this control plane."""
        return f"{self._place.folder}/{self._folder}/{name}"

    def outside(self, name=""):
        """Where the cloud finds it."""
        return self._place.path(f"{self._folder}/{name}")

    def _write(self, name, content):
        if isinstance(content, (dict, list)):
            content = json.dumps(content)
        if isinstance(content, str):
            content = content.encode()
        with open(self.outside(name), "wb") as file:
            file.write(content)

    def _write_pair(self, name, pair):
        self._write(f"{name}.crt", pair[0])
        self._write(f"{name}.key", pair[1])

    def write_files(self):
        """Certificates, kubeconfigs and settings."""
        setup = self._setup
        os.makedirs(self.outside(), mode=0o755, exist_ok=True)
        self._write("authority.crt", self.authority.pem)
        self._write("authority.key", private_pem(self.authority.key))
        self._write("front-authority.crt", self._front_authority.pem)
        self._write_pair("front-proxy", self._front_authority.for_client("front-proxy-client"))
        self._write_pair("server", self.authority.for_server("kube-apiserver", setup.names))
        kubelets = self.authority.for_client("kube-apiserver-kubelet-client", "system:masters")
        self._write_pair("kubelet-client", kubelets)
        self._write_pair("observer", self.authority.for_client(OBSERVER_USER, "system:masters"))
        self._write("service-accounts.key", private_pem(setup.service_account_key))
        self._write("service-accounts.pub", public_pem(setup.service_account_key))
        direct = f"https://{setup.address}:{setup.api_port}"
        for user in ("system:kube-controller-manager", "system:kube-scheduler"):
            # Its controllers have roles as service accounts of their own; one user for all of them
            # starts sooner, and nothing here needs to tell them apart.
            rights = ["system:masters"] if "controller" in user else []
            kubeconfig = self._kubeconfig(user, direct, *rights)
            self._write(f"{user.partition(':')[2]}.kubeconfig", kubeconfig)
        self._write("nodes.kubeconfig", self._kubeconfig(NODES_USER, direct, "system:masters"))
        self._write("token-webhook.kubeconfig", self._webhook("token"))
        self._write("access-webhook.kubeconfig", self._webhook("access"))
        self._write("authentication.json", _AUTHENTICATION)
        self._write("authorization.json", self._authorization())
        self._write("audit.json", _AUDIT)
        self._write("scheduler.json", self._scheduler())

    def _kubeconfig(self, user, server, *groups):
        from base64 import b64encode

        certificate, key = self.authority.for_client(user, *groups)
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [
                {
                    "name": "it",
                    "cluster": {
                        "server": server,
                        "certificate-authority-data": b64encode(self.authority.pem).decode(),
                    },
                }
            ],
            "users": [
                {
                    "name": "it",
                    "user": {
                        "client-certificate-data": b64encode(certificate).decode(),
                        "client-key-data": b64encode(key).decode(),
                    },
                }
            ],
        }

    def observer_kubeconfig(self, server):
        """All rights, unlogged: for a test that looks without being seen."""
        return self._kubeconfig(OBSERVER_USER, server, "system:masters")

    def observer_pair(self):
        """Files with the same user's certificate and key."""
        return self.outside("observer.crt"), self.outside("observer.key")

    def _webhook(self, what):
        server = f"http://{CLOUD_ADDRESS}/sandbox/kubernetes/{what}/{self._setup.identifier}"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {}}],
        }

    def _authorization(self):
        return {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthorizationConfiguration",
            "authorizers": [
                {"type": "Node", "name": "node"},
                {"type": "RBAC", "name": "rbac"},
                {
                    "type": "Webhook",
                    "name": "eks-access-policies",
                    "webhook": {
                        "authorizedTTL": "1s",
                        "unauthorizedTTL": "1s",
                        "timeout": "10s",
                        "subjectAccessReviewVersion": "v1",
                        "matchConditionSubjectAccessReviewVersion": "v1",
                        "failurePolicy": "NoOpinion",
                        "connectionInfo": {
                            "type": "KubeConfigFile",
                            "kubeConfigFile": self.inside("access-webhook.kubeconfig"),
                        },
                        "matchConditions": [
                            # Only who came in by an access entry can have a policy.
                            {"expression": "has(request.extra) && 'arn' in request.extra"}
                        ],
                    },
                },
            ],
        }

    def _scheduler(self):
        return {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {
                "kubeconfig": self.inside("kube-scheduler.kubeconfig"),
                "qps": 1000,
                "burst": 2000,
            },
        }

    # Processes

    def start(self, outside_listener):
        """Start everything; `outside_listener` is the socket that is the cluster's endpoint."""
        self._start("etcd", flags.etcd(self._setup, self.inside))
        self._start("kube-apiserver", flags.api_server(self._setup, self.inside))
        descriptor = outside_listener.fileno()
        front = self._start(
            "front", flags.front(self._setup, self.inside, descriptor), [descriptor]
        )
        if front.stdout.readline().strip() != b"ready":
            raise RuntimeError(self.complaint("front"))

    def start_controllers(self):
        """What wants an API server that answers."""
        self._start("kube-controller-manager", flags.controller_manager(self._setup, self.inside))
        self._start("kube-scheduler", flags.scheduler(self._setup, self.inside))

    def start_program(self, name, arguments, environment):
        """One more program beside the control plane."""
        return self._launch(name, [PROGRAMS[name], *arguments], (), environment)

    def dead(self):
        """The name of a component that has ended by itself, or None."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                return name
        return None

    def complaint(self, name):
        """The last words of a component."""
        return f"{name} did not start:\n{self.log(name)[-4000:]}"

    def log(self, name):
        """What a component has written so far."""
        try:
            with open(self.outside(f"{name}.log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def logs(self):
        """Names of all components that write something."""
        return sorted(self._processes)

    def tell_front(self, mischief):
        """From now on, this mischief at the door."""
        front = self._processes.get("front")
        if front is None or front.poll() is not None:
            return
        try:
            front.stdin.write(json.dumps(mischief).encode() + b"\n")
            front.stdin.flush()
            front.stdout.readline()
        except OSError:
            pass  # It is just being stopped.

    def requests_log(self):
        """Where the API server writes down every request."""
        return self.outside(flags.REQUESTS_LOG)

    def stop(self):
        """End everything, and forget its files."""
        import shutil

        for process in reversed(list(self._processes.values())):
            namespace.stop(process)
        self._processes.clear()
        shutil.rmtree(self.outside(), ignore_errors=True)

    def _start(self, name, arguments, descriptors=()):
        program = [PROGRAMS["control-plane"], name, *arguments]
        return self._launch(name, program, descriptors, {})

    def _launch(self, name, arguments, descriptors, environment):
        log = f"{self._folder}/{name}.log"
        process = self._place.start(arguments, log, descriptors, _FRUGAL | environment)
        self._processes[name] = process
        return process


# Processors are what a cluster here is short of, neither memory nor connections: garbage is collected less often; and
# every watch has a connection of its own. With HTTP/2 all that a component asks for shares one, on which the API server
# writes piece by piece and in turn: while processors are short, watches fall behind, are ended, and begin anew.
_FRUGAL = {"GOGC": "800", "GOMEMLIMIT": "1GiB", "DISABLE_HTTP2": "true"}

# As on EKS: who brings nothing may ask how the server is, and nothing else.
_AUTHENTICATION = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AuthenticationConfiguration",
    "anonymous": {
        "enabled": True,
        "conditions": [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"}],
    },
}
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # A refused caller and a watch are written down as their answer starts.
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        {"level": "None", "users": _UNLOGGED_USERS},
        {"level": "None", "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*"]},
        {"level": "Metadata"},
    ],
}


def wait_until_ready(is_ready, is_dead, patience=120):
    """Wait until `is_ready()`; an error when `is_dead()` tells of one, or it takes too long."""
    deadline = time.monotonic() + patience
    while not is_ready():
        trouble = is_dead()
        if trouble:
            raise RuntimeError(trouble)
        if time.monotonic() > deadline:
            raise RuntimeError(f"the API server was not ready after {patience} s")
        time.sleep(0.05)
