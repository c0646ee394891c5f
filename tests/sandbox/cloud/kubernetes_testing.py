"""What tests on a cluster with a real control plane share: the cluster, tokens, requests."""

import base64
import functools
import http.client
import json
import ssl
import time
from unittest import mock

import botocore.session
from botocore.credentials import Credentials
from botocore.model import ServiceId
from botocore.signers import RequestSigner

from .testing import REGION, CloudTest, client, cloud

POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKS{}Policy"
NAMESPACES, PODS = "/api/v1/namespaces", "/api/v1/namespaces/default/pods"
CONFIGMAPS = "/api/v1/namespaces/{}/configmaps"
STS = f"https://sts.{REGION}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"


KEYS = ("AccessKeyId", "SecretAccessKey", "SessionToken")
# A signer holds its events by a weak reference.
SESSION = botocore.session.get_session()


def presigned(
    cluster="shop", key="sandbox", secret="sandbox", session=None, url=STS, headers=None, life=60
):
    """A presigned call of STS, made by botocore as `aws eks get-token` makes it."""
    events = SESSION.get_component("event_emitter")
    credentials = Credentials(key, secret, session)
    signer = RequestSigner(ServiceId("sts"), REGION, "sts", "v4", credentials, events)
    headers = {"x-k8s-aws-id": cluster} if headers is None else headers
    request = {"method": "GET", "url": url, "body": {}, "headers": headers, "context": {}}
    return signer.generate_presigned_url(
        request, region_name=REGION, expires_in=life, operation_name=""
    )


def presigned_at(moment):
    """The same, made at another time."""
    with mock.patch("botocore.auth.get_current_datetime", lambda: moment):
        return presigned()


def encoded(url):
    """A URL as a token."""
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def token(*args, **kwargs):
    """A token for the API server."""
    return encoded(presigned(*args, **kwargs))


def manifest(name):
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


@functools.cache
def shop():
    """The cluster of this module, made once: each costs some seconds."""
    cloud().ask("POST", "reset")
    test = CloudTest()
    test.ec2, test.iam = client("ec2"), client("iam")
    test.cluster()
    return active("shop")


def active(name):
    """A cluster once it is no longer being made."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        cluster = client("eks").describe_cluster(name=name)["cluster"]
        if cluster["status"] != "CREATING":
            return cluster
        time.sleep(0.05)
    raise AssertionError(f"{name} is still being made")


class KubernetesTest(CloudTest):
    """A test on the cluster that this module shares."""

    def setUp(self):
        self.shop = shop()
        self.ec2, self.iam = client("ec2"), client("iam")
        self.weather()

    def ask(self, bearer, method, path, body=None, more_headers=None):
        """One request: status and what came back."""
        authority = base64.b64decode(self.shop["certificateAuthority"]["data"]).decode()
        host = self.shop["endpoint"].removeprefix("https://")
        context = ssl.create_default_context(cadata=authority)
        connection = http.client.HTTPSConnection(host, timeout=30, context=context)
        headers = {"Content-Type": "application/json", **(more_headers or {})}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(text) if is_json else text.decode()
        finally:
            connection.close()

    def status(self, bearer, method, path, body=None):
        """The status of one request."""
        return self.ask(bearer, method, path, body)[0]

    def session(self, name, **entry):
        """A role with a session of it, and an access entry unless that is `None`: key, secret, session."""
        arn = self.role(name, "ec2.amazonaws.com")
        if entry.pop("entry", True):
            client("eks").create_access_entry(clusterName="shop", principalArn=arn, **entry)
        session = client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
        return arn, token("shop", *(session[name] for name in KEYS))

    def allow(self, arn, policy, *namespaces):
        """Associate an access policy."""
        scope = (
            {"type": "namespace", "namespaces": namespaces} if namespaces else {"type": "cluster"}
        )
        client("eks").associate_access_policy(
            clusterName="shop",
            principalArn=arn,
            policyArn=POLICY.format(policy),
            accessScope=scope,
        )
