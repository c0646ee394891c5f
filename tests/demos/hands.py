"""The hands of the demos: asks the API server of a stack's cluster and the local cloud, and waits until something is so.

    hands.py STACK inflate NAME REPLICAS [KEY=VALUE ...] [--tolerate KEY=VALUE]
    hands.py STACK scale NAME REPLICAS
    hands.py STACK delete NAME
    hands.py STACK wait-for-pods NAME COUNT
    hands.py STACK wait-for-nodes [--at-least N] [--at-most N] [--cpu-at-most N] [--all KEY=VALUE] [--without NAME ...]
    hands.py STACK nodes
    hands.py STACK one-node [KEY=VALUE ...]
    hands.py STACK interrupt NODE
"""

import argparse
import base64
import datetime
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

NAMESPACE = "default"
POOL = "karpenter.sh/nodepool"
PATIENCE = 300


class Cluster:
    """The cluster of a stack, reached as eksup reaches it."""

    def __init__(self, stack):
        self.stack = stack
        self.name = output(stack, "name")
        self.region = output(stack, "arn").split(":")[3]
        self.endpoint = output(stack, "endpoint")
        authority = base64.b64decode(output(stack, "certificateAuthority")).decode()
        self.trust = ssl.create_default_context(cadata=authority)
        self.token, self.until = None, 0

    def ask(self, path, method="GET", body=None, content="application/json"):
        """The answer of the API server; None where there is no such thing."""
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": content}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.endpoint + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self.trust, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def _token(self):
        if time.monotonic() > self.until:
            command = ["eksup", "token", "--cluster", self.name, "--region", self.region]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            self.token = json.loads(answer.stdout)["status"]["token"]
            self.until = time.monotonic() + 300
        return self.token

    def nodes(self):
        """The nodes that the autoscaler made, oldest first."""
        found = self.ask(f"/api/v1/nodes?labelSelector={POOL}")["items"]
        return sorted(found, key=lambda node: node["metadata"]["creationTimestamp"])

    def pods(self, app):
        """The pods of a workload that are not on their way out."""
        found = self.ask(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{app}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def output(stack, name):
    """An output of the stack's cluster."""
    command = ["eksup", "outputs", "--get", f"cluster/cluster#{name}", stack]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def deployment(name, replicas, selector, tolerated):
    """Pods that ask for one CPU each and do nothing."""
    container = {
        "name": "pause",
        "image": "public.ecr.aws/eks-distro/kubernetes/pause:3.10",
        "resources": {"requests": {"cpu": "1", "memory": "256Mi"}},
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": selector,
        "tolerations": [{"key": key, "operator": "Equal", "value": value} for key, value in tolerated.items()],
        "containers": [container],
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def is_ready(thing):
    """Whether a pod or a node says so."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in thing["status"].get("conditions", []))


def cpus(node):
    """The processors of a node."""
    text = node["status"].get("capacity", {}).get("cpu", "0")
    return int(text[:-1]) // 1000 if text.endswith("m") else int(text)


def line(node):
    """A node in one line."""
    labels = node["metadata"]["labels"]
    words = [
        node["metadata"]["name"],
        labels.get("node.kubernetes.io/instance-type", "?"),
        f"{cpus(node)} CPU",
        labels.get("karpenter.sh/capacity-type", "?"),
        labels.get("topology.kubernetes.io/zone", "?"),
        labels.get(POOL, "?"),
    ]
    return "  ".join(words) + ("" if is_ready(node) else "  (not ready)")


def until(what, look):
    """Looks until it is so, and says when what there is changes."""
    began, last = time.monotonic(), None
    while True:
        done, seen = look()
        if seen != last:
            print(f"{datetime.datetime.now():%T} {seen}", flush=True)
            last = seen
        if done:
            print(f"{datetime.datetime.now():%T} {what}, after {time.monotonic() - began:.1f} s", flush=True)
            return
        if time.monotonic() - began > PATIENCE:
            raise SystemExit(f"not within {PATIENCE} s: {what}")
        time.sleep(0.25)


def wait_for_pods(cluster, name, count):
    """Waits until a workload has so many pods, all ready."""

    def look():
        pods = cluster.pods(name)
        ready = sum(is_ready(pod) for pod in pods)
        return len(pods) == count and ready == count, f"{name}: {ready} of {count} pods ready"

    until(f"{count} pods of {name} are ready", look)


def wait_for_nodes(cluster, asked):
    """Waits until the autoscaler's nodes are as asked, with none coming or going."""
    wanted = dict([asked.all.split("=", 1)]) if asked.all else {}

    def look():
        nodes = cluster.nodes()
        claims = cluster.ask("/apis/karpenter.sh/v1/nodeclaims")["items"]
        total = sum(map(cpus, nodes))
        settled = len(claims) == len(nodes) and all(map(is_ready, nodes))
        fits = (
            (asked.at_least is None or len(nodes) >= asked.at_least)
            and (asked.at_most is None or len(nodes) <= asked.at_most)
            and (asked.cpu_at_most is None or total <= asked.cpu_at_most)
            and all(node["metadata"]["labels"].get(key) == value for node in nodes for key, value in wanted.items())
            and not any(node["metadata"]["name"] in asked.without for node in nodes)
        )
        return settled and fits, f"{len(nodes)} nodes with {total} CPU, {len(claims)} claims"

    until("the nodes are as they should be", look)


def interrupt(cluster, name):
    """Sends the two-minute warning of a spot node into the queue, in the shape that EventBridge gives it."""
    node = cluster.ask(f"/api/v1/nodes/{name}")
    instance = node["spec"]["providerID"].rsplit("/", 1)[1]
    now = datetime.datetime.now(datetime.timezone.utc)
    account = output(cluster.stack, "arn").split(":")[4]
    event = {
        "version": "0",
        "id": f"{int(now.timestamp())}-{instance}",
        "account": account,
        "region": cluster.region,
        "time": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "source": "aws.ec2",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "resources": [f"arn:aws:ec2:{cluster.region}:{account}:instance/{instance}"],
        "detail": {"instance-id": instance, "instance-action": "terminate"},
    }
    queue = sqs(cluster, "GetQueueUrl", {"QueueName": cluster.name})["QueueUrl"]
    sqs(cluster, "SendMessage", {"QueueUrl": queue, "MessageBody": json.dumps(event)})
    print(f"{datetime.datetime.now():%T} EC2 warns that it takes {instance} back in two minutes", flush=True)


def sqs(cluster, action, body):
    """A call to SQS. The local cloud does not check signatures."""
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"AmazonSQS.{action}",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=sandbox/20260101/{cluster.region}/sqs/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"{}")


def pairs(texts):
    """`KEY=VALUE` as a mapping."""
    return dict(text.split("=", 1) for text in texts)


def arguments():
    """What is to be done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("stack")
    verbs = parser.add_subparsers(dest="verb", required=True)
    inflate = verbs.add_parser("inflate")
    inflate.add_argument("name")
    inflate.add_argument("replicas", type=int)
    inflate.add_argument("selector", nargs="*")
    inflate.add_argument("--tolerate", action="append", default=[])
    for verb in ("scale", "wait-for-pods"):
        counted = verbs.add_parser(verb)
        counted.add_argument("name")
        counted.add_argument("count", type=int)
    verbs.add_parser("delete").add_argument("name")
    waiting = verbs.add_parser("wait-for-nodes")
    for option in ("--at-least", "--at-most", "--cpu-at-most"):
        waiting.add_argument(option, type=int)
    waiting.add_argument("--all")
    waiting.add_argument("--without", nargs="*", default=[])
    verbs.add_parser("nodes")
    verbs.add_parser("one-node").add_argument("selector", nargs="*")
    verbs.add_parser("interrupt").add_argument("node")
    return parser.parse_args()


def main():
    """Does one thing."""
    asked = arguments()
    cluster = Cluster(asked.stack)
    apps = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    if asked.verb == "inflate":
        made = deployment(asked.name, asked.replicas, pairs(asked.selector), pairs(asked.tolerate))
        path = f"{apps}/{asked.name}?fieldManager=demo&force=true"
        cluster.ask(path, "PATCH", made, "application/apply-patch+yaml")
    elif asked.verb == "scale":
        change = {"spec": {"replicas": asked.count}}
        cluster.ask(f"{apps}/{asked.name}/scale", "PATCH", change, "application/merge-patch+json")
    elif asked.verb == "delete":
        cluster.ask(f"{apps}/{asked.name}", "DELETE")
    elif asked.verb == "wait-for-pods":
        wait_for_pods(cluster, asked.name, asked.count)
    elif asked.verb == "wait-for-nodes":
        wait_for_nodes(cluster, asked)
    elif asked.verb == "nodes":
        print("\n".join(map(line, cluster.nodes())) or "no nodes of the autoscaler")
    elif asked.verb == "one-node":
        wanted = pairs(asked.selector).items()
        nodes = [node for node in cluster.nodes() if wanted <= node["metadata"]["labels"].items()]
        if not nodes:
            sys.exit("there is no such node")
        print(nodes[0]["metadata"]["name"])
    elif asked.verb == "interrupt":
        interrupt(cluster, asked.node)


if __name__ == "__main__":
    main()
