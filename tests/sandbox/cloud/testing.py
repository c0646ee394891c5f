"""What the tests of the cloud share: a cloud of their own, clients for it, a network to build in."""

import atexit
import functools
import json
import os
import subprocess
import sys
import unittest
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "eu-west-1"
# Names the programs of the Kubernetes half, for modules of tests that want it.
PROGRAMS = "SANDBOX_TEST_PROGRAMS"
ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")


class Cloud:
    """A cloud that lives as long as the test process."""

    def __init__(self):
        command = [sys.executable, "-m", "cloud", "--with-parent", "SANDBOX_TESTS=python"]
        if PROGRAMS in os.environ:
            command += ["--kubernetes", os.environ[PROGRAMS]]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        )
        self.port = int(self.process.stdout.readline().split()[1])
        self.endpoint = f"http://127.0.0.1:{self.port}"
        atexit.register(self.end)

    def end(self):
        """End it, and wait until it has ended."""
        self.process.stdin.close()
        self.process.wait(10)

    def ask(self, method, path, body=None):
        """One of the cloud's own paths."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/sandbox/{path}", data, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


@functools.cache
def cloud():
    """The cloud of this process."""
    return Cloud()


@functools.cache
def client(service, region=REGION):
    """A client that does not retry."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=cloud().endpoint,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
        config=Config(retries={"max_attempts": 0}, parameter_validation=False),
    )


def trust(*services):
    """A trust policy for services."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": list(services)},
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                }
            ],
        }
    )


# Longer than any test takes, shorter than what `later` lets pass.
LONG = 1800


def tags(**pairs):
    """Tags as EC2 and RDS write them."""
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def tagged(kind, **pairs):
    """A tag specification of EC2."""
    return [{"ResourceType": kind, "Tags": tags(**pairs)}]


class CloudTest(unittest.TestCase):
    """A test in an empty cloud with fine weather."""

    def setUp(self):
        cloud().ask("POST", "reset")
        self.ec2, self.iam = client("ec2"), client("iam")

    def weather(self, **weather):
        """From now on, this weather."""
        cloud().ask("PUT", "weather", weather)

    def inventory(self):
        """What exists, without service-linked roles."""
        found = cloud().ask("GET", "inventory")
        return {kind: ids for kind, ids in found.items() if "service_linked" not in kind}

    def calls(self):
        """The log."""
        return cloud().ask("GET", "calls")

    def refused(self, code, contains, function, *args, **kwargs):
        """The call fails with this code and these words. Returns the error."""
        with self.assertRaises(ClientError) as caught:
            function(*args, **kwargs)
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], code, error)
        self.assertIn(contains, error["Message"])
        return caught.exception

    def later(self, seconds=3600):
        """Let time pass in the cloud, without waiting for it."""
        cloud().ask("POST", "time", {"forward": seconds})

    # Things to build with

    def vpc(self, cidr="10.0.0.0/16"):
        """A VPC."""
        return self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]

    def subnets(self, vpc, count=2):
        """Subnets of a VPC, each in a zone of its own."""
        return [
            self.ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=ZONES[index]
            )["Subnet"]["SubnetId"]
            for index in range(count)
        ]

    def gateway(self, vpc):
        """An internet gateway that is attached."""
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        return gateway

    def group(self, vpc, name="group"):
        """A security group."""
        return self.ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc)["GroupId"]

    def role(self, name, service, *policies):
        """A role with managed policies of AWS; its ARN."""
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(service))["Role"][
            "Arn"
        ]
        for policy in policies:
            self.iam.attach_role_policy(
                RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}"
            )
        return arn

    def node_role(self, name="nodes"):
        """A role for nodes."""
        return self.role(
            name,
            "ec2.amazonaws.com",
            "AmazonEKSWorkerNodePolicy",
            "AmazonEC2ContainerRegistryPullOnly",
            "AmazonSSMManagedInstanceCore",
        )

    def profile(self, name, role_name):
        """An instance profile with a role in it."""
        self.iam.create_instance_profile(InstanceProfileName=name)
        self.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role_name)

    def image(self, architecture="x86_64"):
        """The id of the plain Amazon Linux image."""
        name = f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"
        return client("ssm").get_parameter(Name=name)["Parameter"]["Value"]

    def cluster(self, name="shop", **more):
        """A cluster in a VPC of its own; returns it as described, once it is there."""
        eks = client("eks")
        vpc = self.vpc()
        subnets = self.subnets(vpc)
        asked = {
            "name": name,
            "roleArn": self.role(f"{name}-cluster", "eks.amazonaws.com", "AmazonEKSClusterPolicy"),
            "resourcesVpcConfig": {"subnetIds": subnets},
            "accessConfig": {"authenticationMode": "API"},
            "bootstrapSelfManagedAddons": False,
            **more,
        }
        eks.create_cluster(**asked)
        return eks.describe_cluster(name=name)["cluster"]
