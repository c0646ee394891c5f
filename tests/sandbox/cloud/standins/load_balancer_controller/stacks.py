"""What is wanted: one stack for each Ingress (or group of them) and each Service of type LoadBalancer."""

import dataclasses
import hashlib
import json
import re

ALB_CONTROLLER = "ingress.k8s.aws/alb"
NLB_CLASS = "service.k8s.aws/nlb"
_INGRESS = "alb.ingress.kubernetes.io/"
_SERVICE = "service.beta.kubernetes.io/aws-load-balancer-"


class Unbuildable(Exception):
    """A stack that cannot be built as its objects say; told as an event."""


@dataclasses.dataclass(frozen=True)
class Backend:
    """A port of a Service, which gets a target group."""

    namespace: str
    service: str
    port: object
    target_type: str
    protocol: str
    health_path: str


@dataclasses.dataclass
class Stack:
    """One load balancer and what belongs to it."""

    name: str  # namespace/name, or the name of a group
    kind: str  # ingress or service
    scheme: str
    settings: dict  # annotations without their prefix
    members: list = dataclasses.field(default_factory=list)
    listeners: list = dataclasses.field(default_factory=list)  # (port, protocol, certificates)
    rules: list = dataclasses.field(default_factory=list)  # (host, path, path type, Backend)
    default: object = None

    @property
    def prefix(self):
        """How the stack's tags begin."""
        return f"{self.kind}.k8s.aws"

    @property
    def is_network(self):
        """Whether it is a network load balancer."""
        return self.kind == "service"

    def backends(self):
        """Every backend once."""
        found = [backend for *_, backend in self.rules]
        if self.default:
            found.append(self.default)
        return list(dict.fromkeys(found))


def short_name(namespace, name, *rest):
    """`k8s-NAMESPACE-NAME-HASH`, as the real one cuts it."""
    text = hashlib.sha256("/".join(map(str, (namespace, name, *rest))).encode()).hexdigest()[:10]
    plain = [re.sub(r"[^0-9A-Za-z]", "", part)[:8] for part in (namespace, name)]
    return f"k8s-{plain[0]}-{plain[1]}-{text}"


def annotations(item, prefix):
    """Annotations of an object that begin so, without it."""
    found = item["metadata"].get("annotations") or {}
    return {key[len(prefix) :]: value for key, value in found.items() if key.startswith(prefix)}


def class_of(ingress, classes, own_class):
    """The IngressClass object that makes an Ingress ours, `{}` for the old annotation, or None."""
    name = ingress["spec"].get("ingressClassName")
    if name:
        found = classes.get(name)
        ours = found is not None and found["spec"].get("controller") == ALB_CONTROLLER
        return found if ours else None
    old = (ingress["metadata"].get("annotations") or {}).get("kubernetes.io/ingress.class")
    return {} if old == own_class else None


def group_of(ingress, parameters):
    """The group that an Ingress is in, or None when it stands alone."""
    group = (parameters.get("spec") or {}).get("group") or {}
    return group.get("name") or annotations(ingress, _INGRESS).get("group.name")


def ingress_stack(name, ingresses, parameters, settings):
    """The stack of one Ingress, or of a group of them in order."""
    first = ingresses[0]
    notes = annotations(first, _INGRESS)
    spec = (parameters or {}).get("spec") or {}
    scheme = spec.get("scheme") or notes.get("scheme") or settings.scheme
    stack = Stack(name, "ingress", scheme, notes, members=ingresses)
    certificates = [arn for arn in notes.get("certificate-arn", "").split(",") if arn]
    stack.listeners = _listeners(notes.get("listen-ports"), certificates)
    for ingress in ingresses:
        own = annotations(ingress, _INGRESS)
        default = ingress["spec"].get("defaultBackend")
        if default:
            stack.default = _backend(ingress, default, own, settings)
        for rule in ingress["spec"].get("rules", []):
            for path in (rule.get("http") or {}).get("paths", []):
                backend = _backend(ingress, path["backend"], own, settings)
                stack.rules.append(
                    (rule.get("host"), path.get("path", "/"), path.get("pathType"), backend)
                )
    return stack


def _listeners(text, certificates):
    if not text:
        return [(443, "HTTPS", certificates)] if certificates else [(80, "HTTP", [])]
    try:
        pairs = [
            (protocol, int(port)) for one in json.loads(text) for protocol, port in one.items()
        ]
    except (ValueError, AttributeError) as error:
        raise Unbuildable(f"failed to parse `listen-ports` configuration: {text}") from error
    return [(port, name, certificates if name == "HTTPS" else []) for name, port in pairs]


def _backend(ingress, backend, notes, settings):
    service = backend.get("service")
    if not service:
        raise Unbuildable("only backends that are services are played")
    port = service["port"].get("number") or service["port"].get("name")
    return Backend(
        ingress["metadata"]["namespace"],
        service["name"],
        port,
        notes.get("target-type", settings.target_type),
        notes.get("backend-protocol", "HTTP"),
        notes.get("healthcheck-path", "/"),
    )


def is_ours(service):
    """Whether a Service asks for a load balancer of this controller."""
    spec = service["spec"]
    if spec.get("type") != "LoadBalancer":
        return False
    if spec.get("loadBalancerClass"):
        return spec["loadBalancerClass"] == NLB_CLASS
    return annotations(service, _SERVICE).get("type") in ("external", "nlb-ip")


def service_stack(service, settings):
    """The stack of a Service."""
    metadata, notes = service["metadata"], annotations(service, _SERVICE)
    name = f"{metadata['namespace']}/{metadata['name']}"
    kind = notes.get("nlb-target-type", "ip" if notes.get("type") == "nlb-ip" else None)
    stack = Stack(name, "service", notes.get("scheme", settings.scheme), notes, members=[service])
    for port in service["spec"]["ports"]:
        backend = Backend(
            metadata["namespace"],
            metadata["name"],
            port["port"],
            kind or settings.target_type,
            port.get("protocol", "TCP"),
            "",
        )
        stack.listeners.append((port["port"], port.get("protocol", "TCP"), []))
        stack.rules.append((None, str(port["port"]), None, backend))
    return stack
