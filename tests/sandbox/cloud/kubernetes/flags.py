"""The command lines of a control plane's components.

`setup` is a `planes.Setup`; `inside(name)` is where a file of the control plane is for them.
"""

from .namespace import CLOUD_ADDRESS

# The file in which the API server writes down every request.
REQUESTS_LOG = "requests.log"
# Controllers that nothing here can need: no disks, no devices, no bootstrap tokens.
_IDLE_CONTROLLERS = (
    "bootstrap-signer-controller",
    "token-cleaner-controller",
    "node-ipam-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "selinux-warning-controller",
    "resourceclaim-controller",
    "device-taint-eviction-controller",
    "podcertificaterequest-cleaner-controller",
    "volumeattributesclass-protection-controller",
)

# The minor version that the components were built from, and the first that they can behave as.
_BUILT, _FIRST = 35, 32


def _behaviour(setup):
    """The features that a component has: those of the cluster's version, as far as it knows them."""
    minor = max(int(setup.version.partition(".")[2]), _FIRST)
    return [f"--emulated-version=1.{minor}"] if minor < _BUILT else []


def etcd(setup, inside):
    """The store: in memory, and in no hurry to be safe."""
    client, peer = (f"http://127.0.0.1:{setup.etcd_port + n}" for n in (0, 1))
    return [
        f"--data-dir={inside('etcd')}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
    ]


def api_server(setup, inside):
    """The API server: EKS's webhooks, issuer and restrictions."""
    return [
        f"--etcd-servers=http://127.0.0.1:{setup.etcd_port}",
        "--etcd-compaction-interval=0",
        f"--bind-address={setup.address}",
        f"--advertise-address={setup.address}",
        f"--secure-port={setup.api_port}",
        f"--tls-cert-file={inside('server.crt')}",
        f"--tls-private-key-file={inside('server.key')}",
        f"--client-ca-file={inside('authority.crt')}",
        f"--service-cluster-ip-range={setup.service_block}",
        f"--service-account-issuer={setup.issuer}",
        f"--service-account-jwks-uri={setup.issuer}/keys",
        f"--service-account-key-file={inside('service-accounts.pub')}",
        f"--service-account-signing-key-file={inside('service-accounts.key')}",
        "--api-audiences=https://kubernetes.default.svc",
        f"--authentication-config={inside('authentication.json')}",
        f"--authentication-token-webhook-config-file={inside('token-webhook.kubeconfig')}",
        "--authentication-token-webhook-version=v1",
        "--authentication-token-webhook-cache-ttl=1s",
        f"--authorization-config={inside('authorization.json')}",
        "--enable-admission-plugins=NodeRestriction",
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={inside('front-authority.crt')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={inside('front-proxy.crt')}",
        f"--proxy-client-key-file={inside('front-proxy.key')}",
        f"--kubelet-client-certificate={inside('kubelet-client.crt')}",
        f"--kubelet-client-key={inside('kubelet-client.key')}",
        f"--kubelet-certificate-authority={inside('authority.crt')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={inside('audit.json')}",
        f"--audit-log-path={inside(REQUESTS_LOG)}",
        "--audit-log-maxsize=100",
        # Requests wait for a processor, as they wait for their turn on EKS: none is refused for being too many.
        "--enable-priority-and-fairness=false",
        "--max-requests-inflight=0",
        "--max-mutating-requests-inflight=0",
        "--profiling=false",
        "--allow-privileged=true",
        *_behaviour(setup),
    ]


def front(setup, inside, descriptor):
    """The door."""
    return [
        f"--outside-descriptor={descriptor}",
        f"--inside={setup.address}:{setup.front_port}",
        f"--upstream={setup.address}:{setup.api_port}",
        f"--cloud=http://{CLOUD_ADDRESS}/sandbox/kubernetes/kill/{setup.identifier}",
        f"--authority={inside('authority.crt')}",
        f"--certificate={inside('server.crt')}",
        f"--key={inside('server.key')}",
        f"--proxy-certificate={inside('front-proxy.crt')}",
        f"--proxy-key={inside('front-proxy.key')}",
    ]


def controller_manager(setup, inside):
    """The controllers: quick, and without those that have nothing to do."""
    return [
        f"--kubeconfig={inside('kube-controller-manager.kubeconfig')}",
        "--secure-port=0",
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        f"--service-account-private-key-file={inside('service-accounts.key')}",
        f"--root-ca-file={inside('authority.crt')}",
        f"--cluster-signing-cert-file={inside('authority.crt')}",
        f"--cluster-signing-key-file={inside('authority.key')}",
        "--controllers=*," + ",".join(f"-{name}" for name in _IDLE_CONTROLLERS),
        "--horizontal-pod-autoscaler-sync-period=3s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=5s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=2s",
        "--profiling=false",
        *_behaviour(setup),
    ]


def scheduler(setup, inside):
    """The scheduler."""
    return ["--config", inside("scheduler.json"), "--secure-port=0", *_behaviour(setup)]
