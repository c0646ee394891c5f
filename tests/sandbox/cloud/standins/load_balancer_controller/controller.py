"""The loop: what is wanted is compared with what is there, for every stack, whenever something changes."""

import datetime
import time

from botocore.exceptions import BotoCoreError, ClientError

from . import stacks
from .api import Refused, say
from .network import Network
from .balancers import Balancers
from .stacks import Unbuildable
from .webhooks import gate_of

_BINDINGS = "/apis/elbv2.k8s.aws/v1beta1"
_INGRESSES = "/apis/networking.k8s.io/v1"
KINDS = {
    "ingresses": f"{_INGRESSES}/ingresses",
    "ingressclasses": f"{_INGRESSES}/ingressclasses",
    "ingressclassparams": f"{_BINDINGS}/ingressclassparams",
    "targetgroupbindings": f"{_BINDINGS}/targetgroupbindings",
    "services": "/api/v1/services",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
}
_BINDING_FINALIZER = "elbv2.k8s.aws/resources"
# How often everything is looked at although nothing has changed here; AWS may have.
_LOOK_SECONDS = 15
_RETRY_SECONDS = 1


class Controller:
    """Does the work of the leader."""

    def __init__(self, api, watched, changed, ec2, elb, settings):
        self._api, self._watched, self._changed = api, watched, changed
        self._settings = settings
        self._network = Network(ec2, settings)
        self._balancers = Balancers(elb, self._network, settings)
        # What was said about an object last, so that it is said once.
        self._said = {}

    def run(self):
        """For ever."""
        for one in self._watched.values():
            one.synced.wait()
        while True:
            self._changed.clear()
            busy = self._look()
            self._changed.wait(_RETRY_SECONDS if busy else _LOOK_SECONDS)
            # Changes come in flocks.
            time.sleep(0.1)

    def _look(self):
        """Every stack once. Whether something is left to be done soon."""
        busy = False
        for work in (self._ingresses, self._services, self._bindings):
            try:
                busy |= work()
            except (Refused, ClientError, BotoCoreError, OSError) as error:
                say(f"Reconciler error: {error}")
                busy = True
        return busy

    # Ingresses

    def _ingresses(self):
        groups, classes = {}, self._watched["ingressclasses"].all()
        for ingress in self._watched["ingresses"].all().values():
            found = stacks.class_of(ingress, classes, self._settings.ingress_class)
            group = self._group_that_holds(ingress)
            if found is None and group is None:
                continue
            parameters = self._parameters(found or {})
            name = group or stacks.group_of(ingress, parameters)
            meta = ingress["metadata"]
            key = name or f"{meta['namespace']}/{meta['name']}"
            live = found is not None and not meta.get("deletionTimestamp")
            groups.setdefault(key, (bool(name), parameters, [], []))[2 if live else 3].append(
                ingress
            )
        busy = False
        for key, (grouped, parameters, live, dying) in sorted(groups.items()):
            finalizer = f"group.ingress.k8s.aws/{key}" if grouped else "ingress.k8s.aws/resources"
            live.sort(key=lambda one: (_order(one), one["metadata"]["name"]))
            busy |= self._each(
                live,
                dying,
                finalizer,
                lambda: stacks.ingress_stack(key, live, parameters, self._settings),
                lambda: stacks.Stack(key, "ingress", "", {}),
                f"{_INGRESSES}/namespaces/{{}}/ingresses/{{}}",
            )
        return busy

    @staticmethod
    def _group_that_holds(ingress):
        """The name of the group whose finalizer an Ingress has; "" for its own; None for none."""
        for finalizer in ingress["metadata"].get("finalizers", []):
            if finalizer.startswith("group.ingress.k8s.aws/"):
                return finalizer.partition("/")[2]
            if finalizer == "ingress.k8s.aws/resources":
                return ""
        return None

    def _parameters(self, ingress_class):
        reference = ingress_class.get("spec", {}).get("parameters") or {}
        if reference.get("kind") != "IngressClassParams":
            return {}
        return self._watched["ingressclassparams"].all().get(reference["name"], {})

    # Services

    def _services(self):
        busy = False
        for key, service in sorted(self._watched["services"].all().items()):
            meta = service["metadata"]
            held = "service.k8s.aws/resources" in meta.get("finalizers", [])
            ours = stacks.is_ours(service) and not meta.get("deletionTimestamp")
            if not ours and not held:
                continue
            busy |= self._each(
                [service] if ours else [],
                [] if ours else [service],
                "service.k8s.aws/resources",
                lambda one=service: stacks.service_stack(one, self._settings),
                lambda name=key: stacks.Stack(name, "service", "", {}),
                "/api/v1/namespaces/{}/services/{}",
            )
        return busy

    # Both

    def _each(self, live, dying, finalizer, build, shell, path):
        """One stack: built, or taken away, with the finalizers of its members."""
        members = live or dying
        try:
            if live:
                for item in live:
                    self._hold(item, finalizer, path)
                stack = build()
                address, targets, extra = self._balancers.ensure(stack)
                self._bind(stack, targets)
                self._unbind(stack, keep=set(targets.values()))
                for arn in extra:
                    self._balancers.remove_targets(arn)
                for item in live:
                    self._tell_address(item, address, path)
                    self._event(item, "Normal", "SuccessfullyReconciled", "Successfully reconciled")
            elif not self._take_away(shell()):
                return True
            for item in dying:
                self._let_go(item, finalizer, path)
        except Unbuildable as error:
            self._event(members[0], "Warning", "FailedBuildModel", f"Failed build model due to {error}")
            return True
        except (ClientError, BotoCoreError) as error:
            self._event(members[0], "Warning", "FailedDeployModel", f"Failed deploy model due to {error}")
            return True
        except Refused as error:
            if error.status in (404, 409):
                return True  # It changed meanwhile.
            raise
        return False

    def _take_away(self, stack):
        """Whether nothing of a stack is left."""
        groups = self._balancers.remove_balancer(stack)
        if not self._unbind(stack, keep=set()):
            return False
        for arn in groups:
            self._balancers.remove_targets(arn)
        front = self._network.find_group(**self._balancers.group_tags(stack))
        if front and not self._network.delete_group(front):
            return False
        return self._release_shared(stack)

    def _release_shared(self, stack):
        """The shared security group goes with the last stack."""
        group = self._network.find_group(**self._network.back_tags())
        if not group or self._others(stack):
            return True
        self._network.close_nodes(group)
        return self._network.delete_group(group)

    def _others(self, stack):
        """Whether another stack still needs what all share."""
        for kind in ("ingresses", "services"):
            for key, item in self._watched[kind].all().items():
                held = any("k8s.aws" in one for one in item["metadata"].get("finalizers", []))
                if held and not item["metadata"].get("deletionTimestamp") and key != stack.name:
                    return True
        return False

    def _hold(self, item, finalizer, path):
        meta = item["metadata"]
        if finalizer not in meta.get("finalizers", []):
            self._finalizers(item, meta.get("finalizers", []) + [finalizer], path)

    def _let_go(self, item, finalizer, path):
        kept = [one for one in item["metadata"].get("finalizers", []) if one != finalizer]
        if len(kept) != len(item["metadata"].get("finalizers", [])):
            self._finalizers(item, kept, path)

    def _finalizers(self, item, wanted, path):
        meta = item["metadata"]
        changed = self._api.merge(
            path.format(meta["namespace"], meta["name"]),
            {"metadata": {"finalizers": wanted}},
        )
        meta["finalizers"] = changed["metadata"].get("finalizers", [])

    def _tell_address(self, item, address, path):
        present = item.get("status", {}).get("loadBalancer", {}).get("ingress", [])
        if [one.get("hostname") for one in present] != [address]:
            meta = item["metadata"]
            self._api.merge(
                path.format(meta["namespace"], meta["name"]) + "/status",
                {"status": {"loadBalancer": {"ingress": [{"hostname": address}]}}},
            )

    # Target group bindings

    def _bind(self, stack, targets):
        """A TargetGroupBinding for each target group."""
        present = self._watched["targetgroupbindings"].all().values()
        bound = {one["spec"]["targetGroupARN"] for one in present}
        for backend, arn in targets.items():
            if arn in bound:
                continue
            namespace, _, name = stack.name.partition("/")
            labels = {f"{stack.prefix}/stack": namespace}
            if name:
                labels = {
                    f"{stack.prefix}/stack-namespace": namespace,
                    f"{stack.prefix}/stack-name": name,
                }
            path = f"{_BINDINGS}/namespaces/{backend.namespace}/targetgroupbindings"
            body = {
                "apiVersion": "elbv2.k8s.aws/v1beta1",
                "kind": "TargetGroupBinding",
                "metadata": {
                    "name": stacks.short_name(
                        backend.namespace, backend.service, stack.name, backend.port
                    ).lower(),
                    "namespace": backend.namespace,
                    "labels": labels,
                },
                "spec": {
                    "targetGroupARN": arn,
                    "targetType": backend.target_type,
                    "serviceRef": {"name": backend.service, "port": backend.port},
                    "ipAddressType": "ipv4",
                    "vpcID": self._settings.vpc,
                },
            }
            try:
                self._api.ask("POST", path, body)
            except Refused as error:
                if error.status != 409:
                    raise

    def _unbind(self, stack, keep):
        """Whether the bindings of a stack are gone, but for those whose target groups are kept."""
        namespace, _, name = stack.name.partition("/")
        label, value = f"{stack.prefix}/stack", namespace
        if name:
            label, value = f"{stack.prefix}/stack-name", name
        gone = True
        for binding in self._watched["targetgroupbindings"].all().values():
            meta = binding["metadata"]
            mine = meta.get("labels", {}).get(label) == value
            if name:
                mine &= meta.get("labels", {}).get(f"{stack.prefix}/stack-namespace") == namespace
            if not mine or binding["spec"]["targetGroupARN"] in keep:
                continue
            gone = False
            if not meta.get("deletionTimestamp"):
                self._api.ask(
                    "DELETE",
                    f"{_BINDINGS}/namespaces/{meta['namespace']}/targetgroupbindings/{meta['name']}",
                )
        return gone

    def _bindings(self):
        busy = False
        for binding in self._watched["targetgroupbindings"].all().values():
            meta = binding["metadata"]
            path = f"{_BINDINGS}/namespaces/{{}}/targetgroupbindings/{{}}"
            arn = binding["spec"]["targetGroupARN"]
            try:
                if meta.get("deletionTimestamp"):
                    self._empty(arn)
                    self._let_go(binding, _BINDING_FINALIZER, path)
                    busy = True
                    continue
                self._hold(binding, _BINDING_FINALIZER, path)
                targets, pods, instances = self._targets(binding)
                self._balancers.set_targets(arn, targets)
                if instances:
                    self._network.open_nodes(instances, self._network.back_group())
                self._pass_gates(binding, pods)
            except Unbuildable as error:
                self._event(binding, "Warning", "FailedNetworkReconcile", str(error))
                busy = True
            except ClientError as error:
                self._event(binding, "Warning", "BackendNotFound", str(error))
                busy = True
            except Refused as error:
                if error.status not in (404, 409):
                    raise
        return busy

    def _empty(self, arn):
        try:
            self._balancers.set_targets(arn, set())
        except ClientError as error:
            if error.response["Error"]["Code"] != "TargetGroupNotFound":
                raise

    def _targets(self, binding):
        """Targets, the pods behind them, and the instances that these run on."""
        namespace = binding["metadata"]["namespace"]
        reference = binding["spec"]["serviceRef"]
        service = self._watched["services"].all().get(f"{namespace}/{reference['name']}")
        if service is None:
            return set(), [], set()
        port = next(
            one
            for one in service["spec"]["ports"] + [None]
            if one is None or reference["port"] in (one["port"], one.get("name"))
        )
        if port is None:
            raise Unbuildable(f"unable to find port {reference['port']} on service {reference['name']}")
        nodes = {
            name: node["spec"].get("providerID", "").rsplit("/", 1)[-1]
            for name, node in self._watched["nodes"].all().items()
        }
        if binding["spec"].get("targetType") == "instance":
            if "nodePort" not in port:
                raise Unbuildable("TargetGroup targetType is instance, but the service has no node port")
            return {(one, port["nodePort"]) for one in nodes.values()}, [], set(nodes.values())
        targets, pods, instances = set(), [], set()
        for piece in self._watched["endpointslices"].all().values():
            labels = piece["metadata"].get("labels", {})
            here = piece["metadata"]["namespace"] == namespace
            if not here or labels.get("kubernetes.io/service-name") != reference["name"]:
                continue
            numbers = [
                one["port"]
                for one in piece.get("ports") or []
                if (one.get("name") or "") == (port.get("name") or "")
            ]
            for endpoint in piece.get("endpoints") or []:
                # A pod that only waits for its gate is a target already.
                name = (endpoint.get("targetRef") or {}).get("name")
                pod = self._watched["pods"].all().get(f"{namespace}/{name}")
                ready = endpoint.get("conditions", {}).get("ready") or pod and _waits_for_gate(pod)
                if not ready or not numbers:
                    continue
                targets.update((address, numbers[0]) for address in endpoint["addresses"])
                if pod:
                    pods.append(pod)
                if endpoint.get("nodeName") in nodes:
                    instances.add(nodes[endpoint["nodeName"]])
        return targets, pods, instances

    def _pass_gates(self, binding, pods):
        """Pods whose address is a target have passed their gate."""
        gate = gate_of(binding)
        for pod in pods:
            gates = [one["conditionType"] for one in pod["spec"].get("readinessGates", [])]
            passed = any(
                one["type"] == gate and one["status"] == "True"
                for one in pod.get("status", {}).get("conditions", [])
            )
            if gate in gates and not passed:
                meta = pod["metadata"]
                self._api.ask(
                    "PATCH",
                    f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status",
                    {"status": {"conditions": [{"type": gate, "status": "True"}]}},
                    "application/strategic-merge-patch+json",
                )

    def _event(self, item, kind, reason, words):
        """An event about an object, unless it was said just now."""
        meta = item["metadata"]
        if self._said.get(meta["uid"]) == (reason, words):
            return
        self._said[meta["uid"]] = (reason, words)
        say(f"{meta['namespace']}/{meta['name']}: {reason}: {words}")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        owner = "service" if "clusterIP" in item["spec"] else "ingress"
        if "targetGroupARN" in item["spec"]:
            owner = "targetGroupBinding"
        kinds = {
            "service": ("v1", "Service"),
            "ingress": ("networking.k8s.io/v1", "Ingress"),
            "targetGroupBinding": ("elbv2.k8s.aws/v1beta1", "TargetGroupBinding"),
        }
        body = {
            "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": kinds[owner][0],
                "kind": kinds[owner][1],
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": words,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": owner},
        }
        try:
            self._api.ask("POST", f"/api/v1/namespaces/{meta['namespace']}/events", body)
        except Refused as error:
            say(f"the event could not be written: {error}")


def _order(ingress):
    notes = ingress["metadata"].get("annotations") or {}
    return int(notes.get("alb.ingress.kubernetes.io/group.order", 0))


def _waits_for_gate(pod):
    conditions = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", [])}
    return (
        bool(pod["spec"].get("readinessGates"))
        and conditions.get("ContainersReady") == "True"
        and not pod["metadata"].get("deletionTimestamp")
    )
