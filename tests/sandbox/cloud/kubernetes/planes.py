"""Which cluster of EKS has which control plane, from its start to its end."""

import dataclasses
import itertools
import os
import socket
import sys
import threading
import traceback

from . import PROGRAMS, certificates, http, image_programs
from .control_plane import ControlPlane, wait_until_ready
from .namespace import AGENT_ADDRESS, CLOUD_ADDRESS, Namespace

_FRONT_PORT, _API_PORT, _ETCD_PORT = 443, 6443, 20000


@dataclasses.dataclass
class Setup:
    """Where the parts of a control plane are, and what they are called."""

    identifier: str
    region: str
    cluster_name: str
    version: str
    address: str
    front_port: int
    api_port: int
    etcd_port: int
    service_block: str
    issuer: str
    names: list
    service_account_key: object


class Plane:
    """The control plane of one cluster, from the moment the cluster is made."""

    def __init__(self, place, cluster, number):
        self.cluster = cluster
        self.namespace = place
        self.failure = None
        self.is_ready = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self.port = self._listener.getsockname()[1]
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.setup = _setup(cluster, number)
        self.identifier = self.setup.identifier
        self.control_plane = ControlPlane(place, self.setup)

    @property
    def authority_pem(self):
        """The certificate that the endpoint's certificate is checked against."""
        return self.control_plane.authority.pem

    def start(self, when_over):
        """Start it in the background; `when_over()` is called once it is ready or has failed."""

        def run():
            try:
                self._start()
                self.is_ready.set()
            except Exception as error:
                if not self._over.is_set():
                    traceback.print_exc(file=sys.stderr)
                    self.failure = str(error)
            if not self._over.is_set():
                when_over()

        threading.Thread(target=run, daemon=True).start()

    def _start(self):
        part = self.control_plane
        self.namespace.own(f"{self.setup.address}/32")
        part.write_files()
        with self._lock:
            if self._over.is_set():
                return
            part.start(self._listener)
            # From here on the door answers callers; a listener here would only keep it open for ever.
            self._listener.close()
        wait_until_ready(self._answers, self._trouble)
        with self._lock:
            if not self._over.is_set():
                part.start_controllers()
                self._start_nodes()

    def _start_nodes(self):
        if "nodes" not in PROGRAMS:
            return
        part, setup = self.control_plane, self.setup
        os.makedirs(part.outside("nodes"), exist_ok=True)
        arguments = [
            f"--kubeconfig={part.inside('nodes.kubeconfig')}",
            f"--server=https://{setup.address}:{setup.front_port}",
            f"--cloud=http://{CLOUD_ADDRESS}",
            f"--cluster={setup.cluster_name}",
            f"--region={setup.region}",
            f"--folder={part.inside('nodes')}",
            f"--ca-certificate={part.inside('authority.crt')}",
            f"--ca-key={part.inside('authority.key')}",
        ]
        part.start_program("nodes", arguments, image_programs.environment())

    def _answers(self):
        try:
            return self.request("GET", "/readyz", trusted=False)[0] == 200
        except OSError:
            return False

    def _trouble(self):
        if self._over.is_set():
            return "it was stopped"
        name = self.control_plane.dead()
        return self.control_plane.complaint(name) if name else None

    def request(self, method, path, body=None, trusted=True, content_type="application/json"):
        """A request to the API server with all rights and off the record: status and text."""
        pair = self.control_plane.observer_pair() if trusted else None
        return http.request(self.port, self.authority_pem, pair, method, path, body, content_type)

    def kubeconfig(self):
        """A kubeconfig for callers outside, with all rights and off the record."""
        return self.control_plane.observer_kubeconfig(self.endpoint)

    def stop(self):
        """Ends it. What had connections to it finds them broken."""
        self._over.set()
        with self._lock:
            self._listener.close()
            self.control_plane.stop()

    def describe(self):
        """What a person who looks for it wants to know."""
        state = "starting"
        if self.failure:
            state = "failed"
        elif self.is_ready.is_set():
            state = "ready"
        return {
            "cluster": self.setup.cluster_name,
            "region": self.setup.region,
            "state": state,
            "failure": self.failure,
            "endpoint": self.endpoint,
            "inside": f"https://{self.setup.address}:{self.setup.front_port}",
            "issuer": self.setup.issuer,
            "first_process": self.namespace.process,
            "folder": self.control_plane.outside(),
        }


class Planes:
    """All control planes of this cloud, and the namespace that they share."""

    def __init__(self):
        self._lock = threading.RLock()
        self._place = None
        self._number = itertools.count()
        self._all = {}
        self._former_keys = {}
        self._mischief = {}
        # Set by `cloud.build`: lets the cloud answer on a socket.
        self.serve = lambda listener, tables: None

    def prepare(self):
        """Make the namespace, so that what this machine lacks is said at once."""
        with self._lock:
            self._namespace()

    def start(self, cluster, when_over):
        """A control plane for a new cluster."""
        with self._lock:
            plane = Plane(self._namespace(), cluster, next(self._number))
            self._all[plane.identifier] = plane
            self._former_keys[plane.setup.issuer] = plane.setup.service_account_key

        def over():
            if plane.is_ready.is_set():
                self.tell(plane)
            when_over(plane)

        plane.start(over)
        return plane

    def stop(self, plane):
        """The control plane of a cluster that goes."""
        with self._lock:
            self._all.pop(plane.identifier, None)
        plane.stop()

    def forget_everything(self):
        """Every control plane goes, and the namespace with everything that is in it."""
        with self._lock:
            for plane in self._all.values():
                plane.stop()
            self._all.clear()
            self._former_keys.clear()
            self._mischief = {}
            if self._place is not None:
                self._place.end()
                self._place = None

    def all(self):
        """Every control plane."""
        with self._lock:
            return list(self._all.values())

    def get(self, identifier):
        """The control plane with this identifier, or None."""
        with self._lock:
            return self._all.get(identifier)

    def find(self, cluster_name, region=None):
        """The control plane of a cluster, or None."""
        for plane in self.all():
            if plane.setup.cluster_name == cluster_name and region in (None, plane.setup.region):
                return plane
        return None

    def key_of(self, issuer):
        """The key that an issuer's tokens are signed with, or None."""
        with self._lock:
            return self._former_keys.get(issuer)

    def change(self, mischief):
        """From now on, this at every door; counting for `kill_at` begins anew."""
        with self._lock:
            self._mischief = mischief
        for plane in self.all():
            if plane.is_ready.is_set():
                self.tell(plane)

    def tell(self, plane):
        """Let a door know what it is to do."""
        with self._lock:
            access = plane.cluster.endpoint_access
            private = not access["endpointPublicAccess"]
            wanted = dict(self._mischief)
            wanted["private"] = private
            plane.control_plane.tell_front(wanted)

    def _namespace(self):
        if self._place is None:
            self._place = Namespace()
            tables = self._place.network_tables()
            for address in (CLOUD_ADDRESS, AGENT_ADDRESS):
                self.serve(self._place.listen(address, 80), tables)
        return self._place


def _setup(cluster, number):
    import ipaddress

    network = cluster.kubernetes_network
    block = network.get("serviceIpv4Cidr") or network["serviceIpv6Cidr"]
    address = cluster.interfaces[0].private_ip_address
    service = str(ipaddress.ip_network(block)[1])
    local = "kubernetes.default.svc.cluster.local"
    parts = local.split(".")
    names = [".".join(parts[:count]) for count in range(1, 4)] + [local, "localhost"]
    names += ["127.0.0.1", address, service, cluster.dns_name]
    return Setup(
        identifier=cluster.issuer.rsplit("/", 1)[-1].lower(),
        region=cluster.backend.region_name,
        cluster_name=cluster.name,
        version=cluster.version,
        address=address,
        # Two clusters may have the same address, in two networks that know nothing of each other.
        front_port=_FRONT_PORT + number,
        api_port=_API_PORT + number,
        etcd_port=_ETCD_PORT + 2 * number,
        service_block=block,
        issuer=cluster.issuer,
        names=names,
        service_account_key=certificates.new_service_account_key(),
    )


PLANES = Planes()


def find(cluster_name, region=None):
    """The control plane of a cluster, or None."""
    return PLANES.find(cluster_name, region)
