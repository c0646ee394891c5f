"""Nodes and pods on a real control plane: who may join, what becomes ready, metrics, load balancers."""

import base64
import json

from .testing import client, cloud
from .testing_kubernetes import (
    NodesTest,
    account,
    condition,
    deployment,
    until,
)

_READ = ["get", "list", "watch"]


def node_config(cluster, name="extra"):
    """User data for AL2023 that joins a cluster."""
    return f"""apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: {cluster["name"]}
    apiServerEndpoint: {cluster["endpoint"]}
    certificateAuthority: {cluster["certificateAuthority"]["data"]}
    cidr: {cluster["kubernetesNetworkConfig"]["serviceIpv4Cidr"]}
  kubelet:
    config:
      maxPods: 12
      registerWithTaints: [{{key: {name}, effect: NoSchedule}}]
    flags: ["--node-labels=pool={name}"]
"""


class TestNodes(NodesTest):
    """Instances that become nodes, and go."""

    def test_a_node_group_becomes_ready_nodes_with_its_labels(self):
        self.ready(2)
        node = next(iter(self.nodes().values()))
        labels = node["metadata"]["labels"]
        self.assertEqual(labels["eks.amazonaws.com/nodegroup"], "system")
        self.assertEqual(labels["role"], "system")
        self.assertEqual(labels["node.kubernetes.io/instance-type"], "m5.large")
        self.assertEqual(labels["topology.kubernetes.io/region"], "eu-west-1")
        self.assertEqual(node["status"]["allocatable"]["cpu"], "1930m")
        self.assertEqual(node["status"]["allocatable"]["pods"], "29")
        until(
            "nodes without taints",
            lambda: not any(node["spec"].get("taints") for node in self.nodes().values()),
        )
        lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node['metadata']['name']}"
        self.assertIsNotNone(self.server.get(lease))

    def test_an_instance_joins_once_its_role_has_an_entry_and_goes_with_its_end(self):
        role = self.role("pool", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy")
        self.profile("pool", "pool")
        instance = self.ec2.run_instances(
            ImageId=self.image(),
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.shop["resourcesVpcConfig"]["subnetIds"][0],
            IamInstanceProfile={"Name": "pool"},
            UserData=node_config(self.shop),
        )["Instances"][0]["InstanceId"]
        told = cloud().ask("GET", "nodes?cluster=shop")["instances"]
        refused = next(one["refused"] for one in told if one["id"] == instance)
        self.assertIn("no access entry", refused)
        self.assertNotIn(instance, self.nodes())
        self.eks.create_access_entry(clusterName="shop", principalArn=role, type="EC2_LINUX")
        node = until("the node", lambda: self.nodes().get(instance))
        self.assertEqual(node["metadata"]["labels"]["pool"], "extra")
        self.assertEqual(node["status"]["capacity"]["pods"], "12")
        self.assertIn("extra", [taint["key"] for taint in node["spec"]["taints"]])
        self.ec2.terminate_instances(InstanceIds=[instance])
        until("the end of the node", lambda: instance not in self.nodes())


class TestPods(NodesTest):
    """Pods that become ready, or do not."""

    def test_a_deployment_becomes_ready_and_goes(self):
        self.server.apply(deployment("plain", "example/plain:1", replicas=3))
        until("three pods", lambda: self._ready("plain") == 3)
        addresses = {pod["status"]["podIP"] for pod in self.pods("plain")}
        self.assertEqual(len(addresses), 3)
        self.server.delete(deployment("plain", "example/plain:1"))
        until("no pod", lambda: not self.pods("plain"))

    def test_failures_on_request_are_told_as_a_kubelet_does(self):
        cloud().ask("PUT", "pods", [{"workload": "deployment/gone", "fail": "image"}])
        crash = {"sandbox.eksup.dev/fail": "crash"}
        missing = {"envFrom": [{"secretRef": {"name": "nowhere"}}]}
        self.server.apply(
            deployment("gone", "example/gone:1"),
            deployment("crash", "example/crash:1", annotations=crash),
            deployment("missing", "example/missing:1", container=missing),
        )
        for name, reason in (
            ("gone", "ImagePullBackOff"),
            ("crash", "CrashLoopBackOff"),
            ("missing", "CreateContainerConfigError"),
        ):
            until(reason, lambda: reason in [self._waiting(pod) for pod in self.pods(name)])
        cloud().ask("PUT", "pods", [])
        until("the image is found", lambda: self._ready("gone") == 1)
        for name in ("gone", "crash", "missing"):
            self.server.delete(deployment(name, ""))

    def _ready(self, name):
        return sum(condition(pod, "Ready") == "True" for pod in self.pods(name))

    @staticmethod
    def _waiting(pod):
        for status in pod["status"].get("containerStatuses", []):
            return status["state"].get("waiting", {}).get("reason")
        return None


def metrics_server(verbs):
    """The real metrics-server, with these rights on `nodes/metrics`."""
    space = "kube-system"
    https = {"path": "/readyz", "port": 10250, "scheme": "HTTPS"}
    container = {
        "args": [
            "--cert-dir=/tmp",
            "--secure-port=10250",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=9s",
            "--kubelet-preferred-address-types=InternalIP",
        ],
        "readinessProbe": {"httpGet": https},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return [
        *account(
            "metrics-server",
            space,
            [([""], ["nodes/metrics"], verbs), ([""], ["pods", "nodes"], _READ)],
            [
                ("ClusterRole", "system:auth-delegator"),
                ("Role", "extension-apiserver-authentication-reader"),
            ],
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "metrics-server", "namespace": space},
            "spec": {
                "selector": {"app": "metrics-server"},
                "ports": [{"port": 443, "targetPort": 10250}],
            },
        },
        deployment(
            "metrics-server",
            "registry.k8s.io/metrics-server/metrics-server:v0.9.0",
            space,
            serviceAccountName="metrics-server",
            container=container,
            volumes=[{"name": "tmp", "emptyDir": {}}],
        ),
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": "metrics-server", "namespace": space},
            },
        },
    ]


class TestMetrics(NodesTest):
    """metrics-server and the autoscaler of pods, for real."""

    def test_load_is_read_by_metrics_server_and_scales_a_deployment(self):
        self.ready(2)
        self.server.apply(*metrics_server(verbs=["list"]))
        log = "/api/v1/namespaces/kube-system/pods/{}/log"
        until(
            "a scrape that is refused",
            lambda: any(
                "403 Forbidden" in str(self.server.ask("GET", log.format(pod["metadata"]["name"]))[1])
                for pod in self.pods("metrics-server", "kube-system")
            ),
        )
        self.server.apply(*metrics_server(verbs=["get"]))
        requests = {"resources": {"requests": {"cpu": "100m"}}}
        self.server.apply(
            deployment("backend", "example/backend:1", replicas=2, container=requests),
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "backend"},
                "spec": {
                    "scaleTargetRef": {
                        "apiVersion": "apps/v1",
                        "kind": "Deployment",
                        "name": "backend",
                    },
                    "minReplicas": 2,
                    "maxReplicas": 4,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {
                                "name": "cpu",
                                "target": {"type": "Utilization", "averageUtilization": 50},
                            },
                        }
                    ],
                },
            },
        )
        load = {"namespace": "default", "workload": "deployment/backend", "cpuTotal": "400m"}
        cloud().ask("PUT", "load", load)
        until("four replicas", lambda: len(self.pods("backend")) == 4)
        usage = until("metrics of pods", self._usage)
        self.assertTrue(all(millicores > 50 for millicores in usage), usage)
        self.server.delete(deployment("backend", ""))

    def _usage(self):
        path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=app%3Dbackend"
        return [
            int(pod["containers"][0]["usage"]["cpu"].rstrip("n")) / 1e6
            for pod in self.server.items(path)
        ]


def _crd(kind, scope):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    plural = kind.lower() + ("" if kind.endswith("s") else "s")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.elbv2.k8s.aws"},
        "spec": {
            "group": "elbv2.k8s.aws",
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": "v1beta1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


class TestLoadBalancers(NodesTest):
    """The stand-in for the AWS Load Balancer Controller."""

    def test_an_ingress_gets_a_load_balancer_and_loses_it(self):
        self.ready(2)
        self._install()
        self.server.apply(*self._web())
        path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/web"

        def address():
            status = self.server.get(path)["status"].get("loadBalancer", {})
            return [one["hostname"] for one in status.get("ingress", [])]

        (name,) = until("an address", address)
        balancers = client("elbv2").describe_load_balancers()["LoadBalancers"]
        self.assertEqual([one["DNSName"] for one in balancers], [name])
        targets = until("targets", self._targets)
        self.assertEqual(targets, {pod["status"]["podIP"] for pod in self.pods("web")})
        self.server.delete(self._web()[-1])
        until("the end of the Ingress", lambda: self.server.get(path) is None)
        self.assertEqual(client("elbv2").describe_load_balancers()["LoadBalancers"], [])
        self.assertEqual(client("elbv2").describe_target_groups()["TargetGroups"], [])
        left = self.ec2.describe_security_groups()["SecurityGroups"]
        self.assertEqual([one for one in left if one["GroupName"].startswith("k8s-")], [])

    def _targets(self):
        elb = client("elbv2")
        found = set()
        for group in elb.describe_target_groups()["TargetGroups"]:
            health = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
            found |= {one["Target"]["Id"] for one in health["TargetHealthDescriptions"]}
        return found if len(found) == 2 else None

    @staticmethod
    def _web():
        backend = {"service": {"name": "web", "port": {"number": 80}}}
        path = {"path": "/", "pathType": "Prefix", "backend": backend}
        notes = {
            "alb.ingress.kubernetes.io/scheme": "internet-facing",
            "alb.ingress.kubernetes.io/target-type": "ip",
        }
        return [
            deployment("web", "example/web:1", replicas=2),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
            },
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": "web", "annotations": notes},
                "spec": {"ingressClassName": "alb", "rules": [{"http": {"paths": [path]}}]},
            },
        ]

    def _role(self, space, name):
        """A role that the service account gets by web identity."""
        issuer = self.shop["identity"]["oidc"]["issuer"]
        provider = self.iam.create_open_id_connect_provider(
            Url=issuer, ClientIDList=["sts.amazonaws.com"]
        )["OpenIDConnectProviderArn"]
        host = issuer.removeprefix("https://")
        subject = f"system:serviceaccount:{space}:{name}"
        wanted = {f"{host}:sub": subject, f"{host}:aud": "sts.amazonaws.com"}
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": wanted},
        }
        document = {"Version": "2012-10-17", "Statement": [statement]}
        return self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))[
            "Role"
        ]["Arn"]

    def _install(self):
        space, name = "kube-system", "aws-load-balancer-controller"
        certificate, key = _self_signed()
        rules = [
            ([""], ["endpoints", "namespaces", "nodes", "pods"], _READ),
            ([""], ["services"], [*_READ, "patch", "update"]),
            ([""], ["events"], ["create", "patch"]),
            ([""], ["pods/status", "services/status"], ["patch", "update"]),
            (["networking.k8s.io"], ["ingressclasses"], _READ),
            (["networking.k8s.io"], ["ingresses"], [*_READ, "patch", "update"]),
            (["networking.k8s.io"], ["ingresses/status"], ["patch", "update"]),
            (["discovery.k8s.io"], ["endpointslices"], _READ),
            (["elbv2.k8s.aws"], ["ingressclassparams"], _READ),
            (["elbv2.k8s.aws"], ["targetgroupbindings"], ["*"]),
            (["coordination.k8s.io"], ["leases"], ["create", "get", "update", "patch"]),
        ]
        role = {"eks.amazonaws.com/role-arn": self._role(space, name)}
        mount = "/tmp/k8s-webhook-server/serving-certs"
        container = {
            "args": [
                "--cluster-name=shop",
                "--aws-region=eu-west-1",
                f"--aws-vpc-id={self.shop['resourcesVpcConfig']['vpcId']}",
            ],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 61779}},
            "volumeMounts": [{"name": "certificate", "mountPath": mount}],
        }
        secret = {"name": "certificate", "secret": {"secretName": "certificate"}}
        self.server.apply(
            _crd("TargetGroupBinding", "Namespaced"),
            _crd("IngressClassParams", "Cluster"),
            *account(name, space, rules, annotations=role),
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "certificate", "namespace": space},
                "data": {"tls.crt": certificate, "tls.key": key},
            },
            deployment(
                name,
                f"public.ecr.aws/eks/{name}:v3.5.0",
                space,
                serviceAccountName=name,
                container=container,
                volumes=[secret],
            ),
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IngressClass",
                "metadata": {"name": "alb"},
                "spec": {"controller": "ingress.k8s.aws/alb"},
            },
        )


def _self_signed():
    """A certificate and its key, as a Secret has them."""
    from .kubernetes.certificates import Authority

    pair = Authority("webhooks").for_server("webhooks", ["localhost"])
    return [base64.b64encode(part).decode() for part in pair]
