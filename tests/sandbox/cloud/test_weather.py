"""The weather, the log and the inventory: bad days in the shape in which AWS has them."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading

import boto3
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, HTTPClientError

from .testing import REGION, CloudTest, client, cloud, trust

# One reading call of every protocol, with what "too many requests" is called there.
READS = (
    ("ec2", "describe_vpcs", {}, "RequestLimitExceeded", 503),
    ("eks", "list_clusters", {}, "ThrottlingException", 429),
    ("iam", "list_roles", {}, "Throttling", 400),
    ("rds", "describe_db_instances", {}, "Throttling", 400),
    ("cloudformation", "describe_stacks", {}, "Throttling", 400),
    ("sts", "get_caller_identity", {}, "Throttling", 400),
    ("ssm", "describe_parameters", {}, "ThrottlingException", 400),
    ("events", "list_rules", {}, "ThrottlingException", 400),
    ("logs", "describe_log_groups", {}, "ThrottlingException", 400),
    ("secretsmanager", "list_secrets", {}, "ThrottlingException", 400),
    ("sqs", "list_queues", {}, "RequestThrottled", 403),
    ("elbv2", "describe_load_balancers", {}, "Throttling", 400),
)


class Weather(CloudTest):
    def test_throttling_has_each_service_s_own_shape(self):
        self.weather(throttled=1)
        for service, method, asked, code, status in READS:
            with self.subTest(service):
                error = self.refused(code, "", getattr(client(service), method), **asked)
                found = error.response["ResponseMetadata"]["HTTPStatusCode"]
                self.assertEqual(found, status)

    def test_mishaps_can_be_for_some_callers_and_some_calls_alone(self):
        arn = self.role("autoscaler", "ec2.amazonaws.com")
        given = client("sts").assume_role(RoleArn=arn, RoleSessionName="s")["Credentials"]
        session = boto3.client(
            "ec2",
            region_name=REGION,
            endpoint_url=cloud().endpoint,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            config=Config(retries={"max_attempts": 0}),
        )
        self.weather(throttled=1, callers=["*:assumed-role/autoscaler/*"], calls=["ec2:*Vpcs"])
        self.ec2.describe_vpcs()
        self.refused("RequestLimitExceeded", "", session.describe_vpcs)
        session.describe_subnets()
        self.weather(throttled=1, callers=["*Boto3/*"])
        self.refused("RequestLimitExceeded", "", self.ec2.describe_vpcs)
        self.assertIn("Boto3/", self.calls()[-1]["agent"])

    def test_server_errors_are_500(self):
        self.weather(server_error=1)
        for service, method, asked, _, _ in READS:
            with self.subTest(service):
                with self.assertRaises(client(service).exceptions.ClientError) as caught:
                    getattr(client(service), method)(**asked)
                meta = caught.exception.response["ResponseMetadata"]
                self.assertEqual(meta["HTTPStatusCode"], 500)

    def test_the_same_seed_makes_the_same_mishaps(self):
        seen = []
        for _ in range(2):
            self.weather(throttled=0.5, seed=7)
            cloud().ask("DELETE", "calls")
            for _ in range(20):
                try:
                    self.ec2.describe_vpcs()
                except self.ec2.exceptions.ClientError:
                    pass
            seen.append([call["status"] for call in self.calls()])
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(set(seen[0]), {200, 503})

    def test_a_share_of_calls_is_about_that_share(self):
        self.weather(throttled=0.1, server_error=0.05, seed=3)
        for _ in range(300):
            try:
                client("sts").get_caller_identity()
            except client("sts").exceptions.ClientError:
                pass
        statuses = [call["status"] for call in self.calls()]
        self.assertTrue(15 <= statuses.count(400) <= 50, statuses.count(400))
        self.assertTrue(4 <= statuses.count(500) <= 30, statuses.count(500))

    def test_a_lost_answer_is_of_a_deed_that_is_done(self):
        self.weather(lost_answer=1)
        with self.assertRaises((ConnectionClosedError, HTTPClientError)):
            self.ec2.create_vpc(CidrBlock="10.0.0.0/16")
        self.assertEqual(len(self.ec2.describe_vpcs()["Vpcs"]), 2)
        self.assertEqual(self.calls()[0]["error"], "lost answer")
        self.weather(lost_answer=1, lost_answer_reads=True)
        with self.assertRaises((ConnectionClosedError, HTTPClientError)):
            self.ec2.describe_vpcs()

    def test_latency_is_added_to_every_call_and_does_not_queue(self):
        self.ec2.describe_vpcs()
        self.weather(latency_ms=1500)
        threads = [threading.Thread(target=self.ec2.describe_vpcs) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        calls = self.calls()[1:]
        self.assertTrue(all(call["ms"] >= 1500 for call in calls))
        # All of them were waiting at the same time.
        first_end = min(call["time"] + call["ms"] / 1000 for call in calls)
        self.assertLess(max(call["time"] for call in calls), first_end)

    def test_denied_actions_name_action_principal_and_resource(self):
        self.weather(
            deny=["ec2:CreateVpc", "eks:*", "iam:CreateRole", "rds:Describe*", "ssm:GetParameter"]
        )
        who = "arn:aws:iam::123456789012:user/sandbox is not authorized to perform: "
        error = self.refused(
            "UnauthorizedOperation",
            f"{who}ec2:CreateVpc on resource: arn:aws:ec2:{REGION}:123456789012:vpc/*",
            self.ec2.create_vpc,
            CidrBlock="10.0.0.0/16",
        )
        self.assertEqual(error.response["ResponseMetadata"]["HTTPStatusCode"], 403)
        self.refused(
            "AccessDeniedException",
            f"{who}eks:DescribeCluster on resource: arn:aws:eks:{REGION}:123456789012:cluster/shop",
            client("eks").describe_cluster,
            name="shop",
        )
        self.refused(
            "AccessDenied",
            f"{who}iam:CreateRole on resource: arn:aws:iam::123456789012:role/r",
            self.iam.create_role,
            RoleName="r",
            AssumeRolePolicyDocument=trust("ec2.amazonaws.com"),
        )
        self.refused("AccessDenied", "rds:Describe", client("rds").describe_db_instances)
        self.refused(
            "AccessDeniedException", "ssm:GetParameter", client("ssm").get_parameter, Name="/a"
        )
        self.ec2.describe_vpcs()

    def test_what_a_call_needs_besides_its_own_action_is_denied_too(self):
        vpc = self.vpc()
        self.weather(deny=["ec2:CreateTags", "iam:PassRole"])
        self.refused(
            "UnauthorizedOperation",
            "ec2:CreateTags",
            self.ec2.create_subnet,
            VpcId=vpc,
            CidrBlock="10.0.0.0/24",
            TagSpecifications=[{"ResourceType": "subnet", "Tags": [{"Key": "a", "Value": "b"}]}],
        )
        self.refused(
            "AccessDeniedException",
            "iam:PassRole on resource: arn:aws:iam::123456789012:role/c",
            client("eks").create_cluster,
            name="c",
            roleArn="arn:aws:iam::123456789012:role/c",
            resourcesVpcConfig={"subnetIds": []},
        )
        self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")

    def test_credentials_that_are_no_good(self):
        for weather, codes in (
            (
                {"expired": True},
                {"ec2": "RequestExpired", "eks": "ExpiredTokenException", "sts": "ExpiredToken"},
            ),
            (
                {"invalid_credentials": True},
                {
                    "ec2": "AuthFailure",
                    "eks": "UnrecognizedClientException",
                    "sts": "InvalidClientTokenId",
                },
            ),
        ):
            self.weather(**weather)
            self.refused(codes["ec2"], "", self.ec2.describe_vpcs)
            self.refused(codes["eks"], "", client("eks").list_clusters)
            self.refused(codes["sts"], "", client("sts").get_caller_identity)

    def test_a_call_can_be_told_to_fail_once(self):
        told = {"call": "ec2:CreateVpc", "code": "Unlucky", "message": "not today", "status": 400}
        self.weather(fail=[told])
        self.refused("Unlucky", "not today", self.ec2.create_vpc, CidrBlock="10.0.0.0/16")
        self.vpc()

    def test_weather_that_does_not_exist_is_refused(self):
        for weather in ({"rain": 1}, {"seconds": {"castle": 1}}, {"throttled": 2}, {"kill_at": 0}):
            connection = http.client.HTTPConnection("127.0.0.1", cloud().port)
            connection.request("PUT", "/sandbox/weather", json.dumps(weather))
            answer = connection.getresponse()
            self.assertEqual(answer.status, 400, weather)
            self.assertIn("error", json.loads(answer.read()))
            connection.close()


class Killing(CloudTest):
    """The calling process is killed at the n-th mutating call."""

    SCRIPT = """
import boto3, sys
ec2 = boto3.client("ec2", region_name="eu-west-1", endpoint_url=sys.argv[1],
                   aws_access_key_id="sandbox", aws_secret_access_key="sandbox")
for index in range(4):
    ec2.describe_vpcs()
    ec2.create_vpc(CidrBlock=f"10.{index}.0.0/16")
print("survived")
"""

    def run_script(self):
        return subprocess.run(
            [sys.executable, "-c", self.SCRIPT, cloud().endpoint],
            capture_output=True,
            text=True,
            timeout=60,
            env=dict(os.environ),
        )

    def vpcs(self):
        return len(self.inventory().get("eu-west-1/ec2/vpcs", []))

    def test_after_the_call_is_done(self):
        self.weather(kill_at=3)
        self.assertEqual(self.run_script().returncode, -signal.SIGKILL)
        self.assertEqual(self.vpcs(), 3)
        last = self.calls()[-1]
        self.assertEqual((last["action"], last["error"]), ("CreateVpc", "killed after"))
        self.assertIsInstance(last["killed"], int)

    def test_before_the_call_is_done(self):
        self.weather(kill_at=3, kill_when="before")
        self.assertEqual(self.run_script().returncode, -signal.SIGKILL)
        self.assertEqual(self.vpcs(), 2)
        self.assertEqual(self.calls()[-1]["error"], "killed before")

    def test_once_only(self):
        self.weather(kill_at=1)
        self.assertEqual(self.run_script().returncode, -signal.SIGKILL)
        self.assertIn("survived", self.run_script().stdout)


class LogAndInventory(CloudTest):
    def test_every_call_is_in_the_log(self):
        self.vpc()
        self.ec2.describe_vpcs()
        self.refused("InvalidVpcID.NotFound", "", self.ec2.delete_vpc, VpcId="vpc-0")
        client("ssm").describe_parameters()
        client("eks").list_clusters()
        found = [
            (call["service"], call["action"], call["mutating"], call["status"], call["error"])
            for call in self.calls()
        ]
        self.assertEqual(
            found,
            [
                ("ec2", "CreateVpc", True, 200, None),
                ("ec2", "DescribeVpcs", False, 200, None),
                ("ec2", "DeleteVpc", True, 400, "InvalidVpcID.NotFound"),
                ("ssm", "DescribeParameters", False, 200, None),
                ("eks", "ListClusters", False, 200, None),
            ],
        )
        self.assertEqual([call["number"] for call in self.calls()], [1, 2, 3, 4, 5])
        cloud().ask("DELETE", "calls")
        self.assertEqual(self.calls(), [])

    def test_a_new_account_is_empty_whoever_looks(self):
        self.ec2.describe_images(Owners=["amazon"])
        self.ec2.describe_vpcs()
        self.iam.list_policies(MaxItems=5)
        client("events").list_event_buses()
        client("ssm").get_parameters_by_path(
            Path="/aws/service/eks/optimized-ami/1.35", Recursive=True
        )
        client("rds").describe_db_engine_versions(Engine="mariadb")
        client("logs").describe_log_groups()
        client("kms").list_keys()
        client("s3").list_buckets()
        client("eks").list_clusters()
        client("cloudformation").describe_stacks()
        self.assertEqual(cloud().ask("GET", "inventory"), {})

    def test_a_thing_of_any_service_and_region_shows_up(self):
        client("sqs", "us-west-2").create_queue(QueueName="q")
        client("s3").create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        client("secretsmanager").create_secret(Name="s", SecretString="x")
        client("ssm").put_parameter(Name="/p", Value="v", Type="String")
        client("logs").create_log_group(logGroupName="g")
        client("kms").create_key()
        client("sns").create_topic(Name="t")
        self.ec2.create_key_pair(KeyName="k")
        self.ec2.allocate_address(Domain="vpc")
        self.ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1)
        kinds = " ".join(self.inventory())
        for kind in (
            "us-west-2/sqs/queues",
            "s3/buckets",
            "secretsmanager/secrets",
            "ssm/parameters",
            "logs/groups",
            "kms/keys",
            "sns/topics",
            "ec2/key_pairs",
            "ec2/addresses",
            "ec2/volumes",
        ):
            self.assertIn(kind, kinds)

    def test_a_reset_makes_everything_new(self):
        self.vpc()
        self.weather(throttled=1)
        cloud().ask("POST", "reset")
        self.assertEqual(self.inventory(), {})
        self.assertEqual(self.calls(), [])
        self.assertEqual(len(self.ec2.describe_vpcs()["Vpcs"]), 1)

    def test_accounts_are_apart(self):
        sts = client("sts")
        arn = "arn:aws:iam::111122223333:role/other"
        given = sts.assume_role(RoleArn=arn, RoleSessionName="s")["Credentials"]
        other = boto3.client(
            "sqs",
            region_name=REGION,
            endpoint_url=cloud().endpoint,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            config=Config(retries={"max_attempts": 0}),
        )
        other.create_queue(QueueName="q")
        self.assertEqual(client("sqs").list_queues().get("QueueUrls", []), [])
        self.assertEqual(list(self.inventory()), ["111122223333:eu-west-1/sqs/queues"])
