"""What the tests of nodes and pods share: one cluster with a control plane, and a way to its API server."""

import base64
import functools
import http.client
import json
import os
import ssl
import tempfile
import time

from .testing import CloudTest, client, cloud

PATIENCE = 90


def until(what, question, patience=PATIENCE):
    """The first answer of `question` that is true; fails naming `what` when there is none in time."""
    deadline = time.monotonic() + patience
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {patience} s; the nodes say:\n{nodes_log()}")
        time.sleep(0.1)


def nodes_log():
    """What the simulated nodes have said."""
    return cloud().ask("GET", "kubernetes/logs?cluster=shop&name=nodes").get("nodes", "")[-3000:]


class Server:
    """The API server, with all rights."""

    def __init__(self):
        config = cloud().ask("GET", "kubernetes/kubeconfig?cluster=shop")
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._host = server["server"].removeprefix("https://")
        authority = base64.b64decode(server["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for name in ("client-certificate-data", "client-key-data"):
                files.append(os.path.join(folder, name))
                with open(files[-1], "wb") as file:
                    file.write(base64.b64decode(user[name]))
            self._context.load_cert_chain(*files)

    def ask(self, method, path, body=None, kind="application/json"):
        """Status and object."""
        connection = http.client.HTTPSConnection(self._host, timeout=30, context=self._context)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode("utf-8", "replace")

    def get(self, path):
        """The object, or None when it is not there."""
        status, content = self.ask("GET", path)
        return content if status == 200 else None

    def items(self, path):
        """The objects of a list."""
        return (self.get(path) or {}).get("items", [])

    def apply(self, *manifests):
        """Server-side apply."""
        for manifest in manifests:
            path = f"{path_of(manifest)}?fieldManager=tests&force=true"
            status, content = self.ask("PATCH", path, manifest, "application/apply-patch+yaml")
            if status not in (200, 201):
                raise AssertionError(f"{manifest['kind']}: {status} {content}")

    def delete(self, manifest):
        """Ask for the end of an object."""
        self.ask("DELETE", path_of(manifest))


_CLUSTER_WIDE = (
    "Node",
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "APIService",
    "IngressClass",
)


def path_of(manifest):
    """The path of an object."""
    version, kind, meta = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = kind.lower() + ("es" if kind.endswith("s") else "s")
    if kind not in _CLUSTER_WIDE:
        prefix += f"/namespaces/{meta.get('namespace', 'default')}"
    return f"{prefix}/{plural}/{meta['name']}"


@functools.cache
def shop():
    """The cluster of a module and its API server, made once: each costs some seconds."""
    cloud().ask("POST", "reset")
    test = CloudTest()
    test.ec2, test.iam = client("ec2"), client("iam")
    cluster = test.cluster()
    eks = client("eks")
    until("the cluster", lambda: eks.describe_cluster(name="shop")["cluster"]["status"] == "ACTIVE")
    eks.create_addon(clusterName="shop", addonName="vpc-cni")
    vpc = cluster["resourcesVpcConfig"]
    for subnet in vpc["subnetIds"]:
        role = {"Key": "kubernetes.io/role/elb", "Value": "1"}
        test.ec2.create_tags(Resources=[subnet], Tags=[role])
    eks.create_nodegroup(
        clusterName="shop",
        nodegroupName="system",
        subnets=vpc["subnetIds"],
        nodeRole=test.node_role(),
        instanceTypes=["m5.large"],
        scalingConfig={"minSize": 1, "maxSize": 9, "desiredSize": 2},
        labels={"role": "system"},
    )
    return eks.describe_cluster(name="shop")["cluster"], Server()


class NodesTest(CloudTest):
    """A test on the cluster that a module shares."""

    def setUp(self):
        self.shop, self.server = shop()
        self.ec2, self.iam, self.eks = client("ec2"), client("iam"), client("eks")
        self.weather()
        cloud().ask("PUT", "pods", [])
        cloud().ask("PUT", "nodes/faults", [])

    def nodes(self):
        """Nodes by the id of their instance."""
        return {
            node["spec"]["providerID"].rsplit("/", 1)[-1]: node
            for node in self.server.items("/api/v1/nodes")
        }

    def ready(self, count):
        """At least so many nodes that are ready."""
        until(
            f"{count} nodes",
            lambda: sum(condition(node, "Ready") == "True" for node in self.nodes().values()) >= count,
        )

    def pods(self, app, namespace="default"):
        """Pods with this label."""
        return self.server.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}")


def condition(item, kind):
    """The status of a condition."""
    for one in item.get("status", {}).get("conditions", []):
        if one["type"] == kind:
            return one["status"]
    return None


def deployment(name, image, namespace="default", replicas=1, annotations=None, **spec):
    """A Deployment of one container; `container` is added to it, the rest to its pods."""
    container = {"name": "app", "image": image, **spec.pop("container", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations or {}},
                "spec": {"containers": [container], **spec},
            },
        },
    }


def account(name, namespace, rules, extra=(), annotations=None):
    """A service account with a cluster role of its own, and bindings to others."""
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    group = "rbac.authorization.k8s.io"

    def binding(kind, role_kind, role, where):
        meta = {"name": f"{name}-{role.replace(':', '-')}", **where}
        reference = {"apiGroup": group, "kind": role_kind, "name": role}
        return {
            "apiVersion": f"{group}/v1",
            "kind": kind,
            "metadata": meta,
            "roleRef": reference,
            "subjects": [subject],
        }

    made = [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [
                {"apiGroups": groups, "resources": resources, "verbs": verbs}
                for groups, resources, verbs in rules
            ],
        },
        binding("ClusterRoleBinding", "ClusterRole", name, {}),
    ]
    for role_kind, role in extra:
        kind = "ClusterRoleBinding" if role_kind == "ClusterRole" else "RoleBinding"
        where = {} if role_kind == "ClusterRole" else {"namespace": namespace}
        made.append(binding(kind, role_kind, role, where))
    return made
