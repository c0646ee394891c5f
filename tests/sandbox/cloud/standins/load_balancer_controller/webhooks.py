"""The webhooks on port 9443, with the certificate that is mounted, and the health checks."""

import base64
import http.server
import json
import os
import ssl
import threading

from .api import say

CERTIFICATES = "/tmp/k8s-webhook-server/serving-certs"
_NLB_CLASS = "service.k8s.aws/nlb"


def serve(watched, port=9443, health_port=61779, folder=CERTIFICATES):
    """Start both servers. `watched` has the lists that the webhooks look into."""
    _Health.ready = threading.Event()
    _start(http.server.ThreadingHTTPServer(("", health_port), _Health))
    certificate, private = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    _Hooks.watched = watched
    server = _Server(("", port), _Hooks)
    server.context, server.files, server.seen = context, (certificate, private), 0
    _start(server)
    _Health.ready.set()
    say(f"serving webhooks on {port} with {certificate}")


def _start(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()


class _Server(http.server.ThreadingHTTPServer):
    """TLS for each connection in its own thread; a renewed certificate is taken up."""

    daemon_threads = True

    def finish_request(self, request, client_address):
        changed = os.stat(self.files[0]).st_mtime
        if changed != self.seen:
            self.context.load_cert_chain(*self.files)
            self.seen = changed
        try:
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except (OSError, ssl.SSLError) as error:
            say(f"TLS handshake error: {error}")


class _Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nothing."""

    def reply(self, status, body, kind="text/plain"):
        """One answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Health(_Quiet):
    def do_GET(self):
        """`/healthz` always, `/readyz` once the webhooks are served."""
        good = self.path == "/healthz" or self.path == "/readyz" and self.ready.is_set()
        self.reply(200 if good else 500, b"ok" if good else b"not ready")


class _Hooks(_Quiet):
    def do_POST(self):
        """An AdmissionReview."""
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        hook = _HOOKS.get(self.path.split("?")[0])
        if hook is None:
            self.reply(404, b"no such webhook")
            return
        response = {"uid": request["uid"], "allowed": True, **(hook(request, self.watched) or {})}
        body = {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}
        self.reply(200, json.dumps(body).encode(), "application/json")


def _denied(words):
    return {"allowed": False, "status": {"code": 403, "message": words}}


def _patched(*operations):
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"patch": text, "patchType": "JSONPatch"}


def _mutate_service(request, _):
    """Services of type LoadBalancer without a class are the controller's."""
    spec = request["object"]["spec"]
    if spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass"):
        return _patched({"op": "add", "path": "/spec/loadBalancerClass", "value": _NLB_CLASS})
    return None


def _mutate_pod(request, watched):
    """A readiness gate for each target group that the pod will be a target in."""
    pod = request["object"]
    labels = pod["metadata"].get("labels", {})
    gates = []
    for binding in watched["targetgroupbindings"].all().values():
        if binding["metadata"]["namespace"] != request["namespace"]:
            continue
        name = f"{request['namespace']}/{binding['spec']['serviceRef']['name']}"
        service = watched["services"].all().get(name)
        selector = (service or {}).get("spec", {}).get("selector")
        if selector and all(labels.get(key) == value for key, value in selector.items()):
            gates.append({"conditionType": gate_of(binding)})
    if not gates:
        return None
    present = pod["spec"].get("readinessGates", [])
    return _patched({"op": "add", "path": "/spec/readinessGates", "value": present + gates})


def gate_of(binding):
    """The readiness gate that stands for a target group."""
    return f"target-health.elbv2.k8s.aws/{binding['metadata']['name']}"


def _validate_ingress(request, watched):
    """An ingress class that is named must exist; a group's name must be one."""
    ingress = request["object"]
    name = ingress["spec"].get("ingressClassName")
    if name and name not in watched["ingressclasses"].all():
        return _denied(f'invalid ingress class: IngressClass.networking.k8s.io "{name}" not found')
    group = ingress["metadata"].get("annotations", {}).get("alb.ingress.kubernetes.io/group.name")
    if group is not None and (not group or len(group) > 63 or group.lower() != group):
        return _denied(f"invalid ingress group: groupName must be a valid DNS label: {group}")
    return None


def _validate_binding(request, _):
    """A target group binding keeps its target group."""
    old = request.get("oldObject")
    new = request["object"]["spec"]
    for field in ("targetGroupARN", "targetType"):
        if old and field in old["spec"] and old["spec"][field] != new.get(field):
            return _denied(f"TargetGroupBinding update may not change these fields: spec.{field}")
    return None


def _allow(*_):
    return None


_HOOKS = {
    "/mutate-v1-pod": _mutate_pod,
    "/mutate-v1-service": _mutate_service,
    "/mutate-elbv2-k8s-aws-v1beta1-targetgroupbinding": _allow,
    "/validate-elbv2-k8s-aws-v1beta1-targetgroupbinding": _validate_binding,
    "/validate-elbv2-k8s-aws-v1beta1-ingressclassparams": _allow,
    "/validate-networking-v1-ingress": _validate_ingress,
    "/mutate-v1-pod-server-id": _allow,
    "/validate-elbv2-k8s-aws-v1beta1-albtargetcontrolconfig": _allow,
    "/mutate-v1-pod-alb-target-control-agent": _allow,
    "/validate-aga-k8s-aws-v1beta1-globalaccelerator": _allow,
}
