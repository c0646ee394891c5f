"""Clusters with a real control plane: who gets in, as what, and what is remembered of it."""

import base64
import datetime
import http.client
import json
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from .kubernetes_testing import (
    CONFIGMAPS,
    KEYS,
    NAMESPACES,
    PODS,
    STS,
    KubernetesTest,
    encoded,
    manifest,
    presigned,
    presigned_at,
    token,
)
from .testing import client, cloud

# Makes three things, each after a dry run.
_CHANGES = """
import http.client, json, ssl
connection = http.client.HTTPSConnection("{host}", context=ssl._create_unverified_context())
headers = {{"Authorization": "Bearer {token}", "Content-Type": "application/json"}}
for number in (1, 2, 3):
    body = json.dumps({{"metadata": {{"name": "{when}" + str(number)}}}})
    for query in ("?dryRun=All", ""):
        path = "/api/v1/namespaces/default/configmaps" + query
        connection.request("POST", path, body, headers)
        assert connection.getresponse().read()
"""


class Admission(KubernetesTest):
    def test_the_creator_is_admin_of_a_real_api_server(self):
        status, version = self.ask(token(), "GET", "/version")
        self.assertEqual((status, version["gitVersion"][:3]), (200, "v1."))
        self.assertEqual(self.status(token(), "GET", NAMESPACES), 200)
        self.assertEqual(
            self.status(token(), "POST", CONFIGMAPS.format("default"), manifest("a")), 201
        )
        self.assertEqual(self.status(token(), "GET", "/metrics"), 200)

    def test_who_brings_nothing_hears_nothing_but_that_the_server_is_well(self):
        self.assertEqual(self.status(None, "GET", "/readyz"), 200)
        self.assertEqual(self.status(None, "GET", "/version"), 401)
        self.assertEqual(self.status(None, "GET", NAMESPACES), 401)
        self.assertEqual(self.status("nonsense", "GET", NAMESPACES), 401)

    def test_nobody_becomes_admin_by_saying_so(self):
        said = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
        self.assertEqual(self.ask(None, "GET", NAMESPACES, more_headers=said)[0], 401)
        _, bearer = self.session("pretender")
        self.assertEqual(self.ask(bearer, "GET", NAMESPACES, more_headers=said)[0], 403)
        said = {"Impersonate-User": "admin", "Impersonate-Group": "system:masters"}
        self.assertEqual(self.ask(bearer, "GET", NAMESPACES, more_headers=said)[0], 403)

    def test_every_flaw_of_a_token_is_noticed(self):
        good, now = presigned(), datetime.datetime.now(datetime.timezone.utc)
        minute = datetime.timedelta(minutes=1)
        self.assertEqual(self.status(encoded(presigned_at(now - 14 * minute)), "GET", PODS), 200)
        flawed = {
            "another cluster": token("other"),
            "no cluster": token(headers={}),
            "a wrong secret": token(secret="guessed"),
            "an unknown key": token(key="AKIAUNKNOWN"),
            "another host": token(url=STS.replace("sts.", "sts.example.")),
            "another action": token(url=STS.replace("GetCallerIdentity", "GetSessionToken")),
            "a parameter too many": token(url=f"{STS}&x-id=GetCallerIdentity"),
            "a path": token(url=STS.replace("/?", "/x?")),
            "padding": token() + "=",
            "too old": encoded(presigned_at(now - 16 * minute)),
            "from the future": encoded(presigned_at(now + 16 * minute)),
            "too long a life": token(life=3600),
            "a changed life": encoded(good.replace("X-Amz-Expires=60", "X-Amz-Expires=61")),
            "no prefix": token().removeprefix("k8s-aws-v1."),
        }
        for flaw, bearer in flawed.items():
            with self.subTest(flaw):
                self.assertEqual(self.status(bearer, "GET", NAMESPACES), 401)

    def test_credentials_that_aws_refuses_are_refused(self):
        self.weather(expired=True)
        self.assertEqual(self.status(token(), "GET", NAMESPACES), 401)

    def test_a_role_without_an_entry_is_nobody(self):
        _, bearer = self.session("stranger", entry=False)
        self.assertEqual(self.status(bearer, "GET", NAMESPACES), 401)

    def test_an_entry_alone_allows_nothing(self):
        _, bearer = self.session("guest")
        self.assertEqual(self.status(bearer, "GET", PODS), 403)

    def test_a_viewer_sees_but_changes_nothing_and_reads_no_secret(self):
        arn, bearer = self.session("viewer")
        self.allow(arn, "View")
        self.assertEqual(self.status(bearer, "GET", PODS), 200)
        body = manifest("by-viewer")
        self.assertEqual(self.status(bearer, "POST", CONFIGMAPS.format("default"), body), 403)
        self.assertEqual(self.status(bearer, "GET", "/api/v1/namespaces/default/secrets"), 403)
        self.assertEqual(self.status(bearer, "GET", "/api/v1/nodes"), 403)

    def test_a_policy_counts_in_its_namespaces_only(self):
        arn, bearer = self.session("editor")
        self.allow(arn, "Edit", "default")
        body = manifest("by-editor")
        self.assertEqual(self.status(bearer, "POST", CONFIGMAPS.format("default"), body), 201)
        self.assertEqual(self.status(bearer, "POST", CONFIGMAPS.format("kube-system"), body), 403)

    def test_groups_of_an_entry_are_groups_of_rbac(self):
        _, bearer = self.session("dev", kubernetesGroups=["devs"])
        self.assertEqual(self.status(bearer, "GET", "/api/v1/nodes"), 403)
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
        self.ask(
            token(), "POST", f"{rbac}/clusterroles", {"metadata": {"name": "n"}, "rules": rules}
        )
        binding = {
            "metadata": {"name": "n"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "n",
            },
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}
            ],
        }
        self.ask(token(), "POST", f"{rbac}/clusterrolebindings", binding)
        deadline = time.monotonic() + 10
        while self.status(bearer, "GET", "/api/v1/nodes") != 200:
            self.assertLess(time.monotonic(), deadline)

    def test_sessions_are_called_what_their_entry_says(self):
        _, bearer = self.session("named", kubernetesGroups=["devs"])
        name, groups = self.who_is(bearer)
        self.assertEqual(name, "arn:aws:sts::123456789012:assumed-role/named/me")
        self.assertEqual(groups, ["devs", "system:authenticated"])
        arn = self.role("kubelet", "ec2.amazonaws.com")
        client("eks").create_access_entry(clusterName="shop", principalArn=arn, type="EC2_LINUX")
        instance = self.ec2.run_instances(
            ImageId=self.image(), InstanceType="m5.large", MinCount=1, MaxCount=1
        )["Instances"][0]
        session = client("sts").assume_role(RoleArn=arn, RoleSessionName=instance["InstanceId"])
        keys = [session["Credentials"][name] for name in KEYS]
        name, groups = self.who_is(token("shop", *keys))
        self.assertEqual(name, f"system:node:{instance['PrivateDnsName']}")
        self.assertEqual(groups, ["system:nodes", "system:authenticated"])

    def who_is(self, bearer):
        """What the API server takes the bearer of a token for: name and groups."""
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        status, review = self.ask(bearer, "POST", path, {"metadata": {}})
        self.assertEqual(status, 201, review)
        user = review["status"]["userInfo"]
        return user["username"], user["groups"]

    def test_a_role_made_anew_under_its_old_name_does_not_get_in(self):
        arn, bearer = self.session("reborn")
        self.allow(arn, "View")
        self.iam.delete_role(RoleName="reborn")
        self.role("reborn", "ec2.amazonaws.com")
        self.assertEqual(self.status(bearer, "GET", PODS), 401)


class ServiceAccounts(KubernetesTest):
    def setUp(self):
        super().setUp()
        self.issuer = self.shop["identity"]["oidc"]["issuer"]
        self.sts = client("sts")

    def service_account_token(self, audience="sts.amazonaws.com", name="default"):
        """A token as a pod would have it mounted."""
        spec = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
        path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status, answer = self.ask(token(), "POST", path, spec)
            if status == 201:
                return answer["status"]["token"]
            time.sleep(0.1)  # The account is made by a controller.
        raise AssertionError(answer)

    def trusting(self, name, subject, audience="sts.amazonaws.com"):
        """A role for one service account."""
        bare = self.issuer.removeprefix("https://")
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{bare}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{bare}:sub": subject, f"{bare}:aud": audience}},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        return role["Role"]["Arn"]

    def assume(self, role, bearer):
        """The call that every SDK makes in a pod."""
        return self.sts.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="pod", WebIdentityToken=bearer
        )

    def test_a_role_is_for_the_account_it_trusts_with_a_token_that_is_good(self):
        me = self.trusting("me", "system:serviceaccount:default:default")
        other = self.trusting("other", "system:serviceaccount:default:other")
        bearer = self.service_account_token()
        self.refused("InvalidIdentityToken", "No OpenIDConnect provider", self.assume, me, bearer)
        self.iam.create_open_id_connect_provider(
            Url=self.issuer, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40]
        )
        self.assertIn("AccessKeyId", self.assume(me, bearer)["Credentials"])
        self.refused("AccessDenied", "Not authorized", self.assume, other, bearer)
        wrong = self.service_account_token("https://kubernetes.default.svc")
        self.refused("InvalidIdentityToken", "audience", self.assume, me, wrong)
        head, claims, signature = bearer.split(".")
        forged = f"{head}.{claims}.{signature[:-8]}AAAAAAAA"
        self.refused("InvalidIdentityToken", "signature", self.assume, me, forged)
        self.refused("InvalidIdentityToken", "not a valid JWT", self.assume, me, "nonsense")

    def test_the_agent_gives_a_pod_the_role_that_its_account_is_associated_with(self):
        arn = self.role("pods", "pods.eks.amazonaws.com")
        client("eks").create_pod_identity_association(
            clusterName="shop", namespace="default", serviceAccount="default", roleArn=arn
        )
        good = self.service_account_token("pods.eks.amazonaws.com")
        self.assertEqual(self.ask_agent(good), "200")
        self.assertEqual(self.ask_agent(self.service_account_token()), "400")
        self.assertEqual(self.ask_agent(good[:-8] + "AAAAAAAA"), "400")

    def ask_agent(self, bearer):
        """The status that a process inside gets from the agent of pod identities."""
        first = cloud().ask("GET", "kubernetes/clusters")[0]["first_process"]
        script = f"""
import http.client
agent = http.client.HTTPConnection("169.254.170.23", timeout=10)
agent.request("GET", "/v1/credentials", headers={{"Authorization": "{bearer}"}})
print(agent.getresponse().status)
"""
        enter = ["nsenter", "--preserve-credentials", "-U", "-n", "-t", str(first), "--"]
        process = subprocess.run([*enter, sys.executable, "-c", script], capture_output=True)
        return process.stdout.decode().strip() or process.stderr.decode()

    def test_the_issuer_publishes_the_key_that_tokens_are_signed_with(self):
        path = urllib.parse.urlsplit(self.issuer).path
        with urllib.request.urlopen(f"{cloud().endpoint}{path}/keys") as answer:
            published = json.load(answer)["keys"][0]["kid"]
        head = self.service_account_token().split(".")[0]
        used = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
        self.assertEqual(published, used)


class Controllers(KubernetesTest):
    def test_a_deployment_becomes_pods_that_wait_for_a_node(self):
        labels = {"app": "web"}
        containers = [{"name": "web", "image": "web"}]
        spec = {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        }
        body = {"metadata": {"name": "web"}, "spec": spec}
        path = "/apis/apps/v1/namespaces/default/deployments"
        self.assertEqual(self.status(token(), "POST", path, body), 201)
        reasons, deadline = [], time.monotonic() + 30
        while reasons != ["Unschedulable"] * 2:
            self.assertLess(time.monotonic(), deadline, reasons)
            time.sleep(0.05)
            pods = self.ask(token(), "GET", PODS)[1]["items"]
            conditions = [pod["status"].get("conditions", []) for pod in pods]
            reasons = [entry.get("reason") for entries in conditions for entry in entries]


class TheLog(KubernetesTest):
    def test_every_request_is_remembered_with_who_and_whether_it_was_a_dry_run(self):
        cloud().ask("DELETE", "kubernetes/requests")
        path = CONFIGMAPS.format("default")
        self.ask(token(), "POST", f"{path}?dryRun=All", manifest("logged"))
        self.ask(token(), "POST", path, manifest("logged"))
        self.ask(token(), "GET", f"{path}/missing")
        found = [
            (entry["verb"], entry["name"], entry["dry_run"], entry["mutating"], entry["status"])
            for entry in cloud().ask("GET", "kubernetes/requests")
        ]
        wanted = [
            ("create", "logged", True, False, 201),
            ("create", "logged", False, True, 201),
            ("get", "missing", False, False, 404),
        ]
        self.assertEqual(found, wanted)
        users = {entry["user"] for entry in cloud().ask("GET", "kubernetes/requests")}
        self.assertEqual(users, {"arn:aws:iam::123456789012:user/sandbox"})


class TheDoor(KubernetesTest):
    def test_requests_fail_when_they_are_told_to(self):
        self.weather(kubernetes={"throttled": 1.0})
        self.assertEqual(self.status(token(), "GET", NAMESPACES), 429)
        self.weather(kubernetes={"server_error": 1.0})
        self.assertEqual(self.status(token(), "GET", NAMESPACES), 500)
        self.weather(kubernetes={"lost_answer": 1.0})
        path = CONFIGMAPS.format("default")
        with self.assertRaises((http.client.HTTPException, ConnectionError)):
            self.ask(token(), "POST", path, manifest("unheard"))
        self.weather()
        self.assertEqual(self.status(token(), "GET", f"{path}/unheard"), 200)

    def test_mischief_can_be_for_some_callers_alone(self):
        shy = {"User-Agent": "shy/1"}
        self.weather(kubernetes={"server_error": 1.0, "callers": ["agent:shy"]})
        self.assertEqual(self.status(token(), "GET", NAMESPACES), 200)
        self.assertEqual(self.ask(token(), "GET", NAMESPACES, more_headers=shy)[0], 500)
        self.weather(kubernetes={"server_error": 1.0, "callers": ["inside"]})
        self.assertEqual(self.status(token(), "GET", NAMESPACES), 200)

    def test_who_cannot_reach_the_server_any_more_loses_its_watches_too(self):
        host = self.shop["endpoint"].removeprefix("https://")
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, timeout=1, context=context)
        headers = {"User-Agent": "shy/1", "Authorization": f"Bearer {token()}"}
        connection.request("GET", f"{NAMESPACES}?watch=true", headers=headers)
        watch = connection.getresponse()
        self.assertIn(b"ADDED", watch.readline())
        self.weather(kubernetes={"unreachable": True, "callers": ["agent:shy"]})
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            watch.read()
        watch.close()
        connection.close()
        again = http.client.HTTPSConnection(host, timeout=0.3, context=context)
        with self.assertRaises(TimeoutError):
            again.request("GET", NAMESPACES, headers=headers)
            again.getresponse()
        again.close()
        self.assertEqual(self.status(token(), "GET", NAMESPACES), 200)
        self.weather()
        self.assertEqual(self.ask(token(), "GET", NAMESPACES, more_headers=headers)[0], 200)

    def test_a_caller_dies_at_its_second_change_before_or_after_it_is_done(self):
        host = self.shop["endpoint"].removeprefix("https://")
        for when, survives in (("before", 404), ("after", 200)):
            self.weather(kubernetes={"kill_at": 2, "kill_when": when})
            script = _CHANGES.format(host=host, token=token(), when=when)
            process = subprocess.Popen([sys.executable, "-c", script])
            self.assertEqual(process.wait(30), -9)
            self.assertEqual(cloud().ask("GET", "kubernetes/kills")[-1]["killed"], process.pid)
            path = CONFIGMAPS.format("default")
            found = [self.status(token(), "GET", f"{path}/{when}{n}") for n in (1, 2, 3)]
            self.assertEqual(found, [200, survives, 404])

    def test_a_private_endpoint_leaves_who_comes_from_outside_waiting(self):
        def update(public):
            network = {"endpointPublicAccess": public, "endpointPrivateAccess": not public}
            client("eks").update_cluster_config(name="shop", resourcesVpcConfig=network)

        update(False)
        host, _, port = self.shop["endpoint"].removeprefix("https://").partition(":")
        with self.assertRaises(TimeoutError):
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(host, int(port), timeout=0.3, context=context)
            connection.request("GET", "/readyz")
        update(True)
        self.assertEqual(self.status(token(), "GET", "/readyz"), 200)


class ZTheEnd(KubernetesTest):
    """Runs last, by its name: it takes the cluster away."""

    def test_a_deleted_cluster_answers_no_more(self):
        client("eks").delete_cluster(name="shop")
        with self.assertRaises(ConnectionError):
            self.ask(token(), "GET", "/readyz")
        self.assertEqual(cloud().ask("GET", "kubernetes/clusters"), [])
        cloud().ask("POST", "reset")
