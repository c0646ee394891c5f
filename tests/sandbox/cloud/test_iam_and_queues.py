"""IAM, STS, SQS, EventBridge and service quotas where moto is too kind or does not know."""

import json
import threading

from .testing import LONG, CloudTest, client, trust

DOCUMENT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    }
)
WORKER = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"


class Iam(CloudTest):
    def test_policies_of_aws_are_known_and_others_are_not(self):
        self.role("r", "ec2.amazonaws.com")
        for name in (
            "AmazonEKSClusterPolicy",
            "AmazonEKSWorkerNodePolicy",
            "AmazonEKS_CNI_Policy",
            "AmazonEC2ContainerRegistryPullOnly",
            "AmazonSSMManagedInstanceCore",
            "service-role/AmazonEBSCSIDriverPolicy",
        ):
            self.iam.attach_role_policy(RoleName="r", PolicyArn=f"arn:aws:iam::aws:policy/{name}")
        self.refused(
            "NoSuchEntity",
            "does not exist or is not attachable",
            self.iam.attach_role_policy,
            RoleName="r",
            PolicyArn="arn:aws:iam::aws:policy/NoSuchPolicy",
        )

    def test_the_log_says_who_called_and_what_permissions_that_takes(self):
        self.role("r", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy")
        self.profile("p", "r")
        adding = next(call for call in self.calls() if call["action"] == "AddRoleToInstanceProfile")
        self.assertTrue(adding["caller"].endswith(":user/sandbox"))
        self.assertEqual(adding["needs"], ["iam:AddRoleToInstanceProfile", "iam:PassRole"])

    def test_a_role_goes_when_nothing_hangs_on_it(self):
        self.role("r", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy")
        self.profile("p", "r")
        self.iam.put_role_policy(RoleName="r", PolicyName="inline", PolicyDocument=DOCUMENT)
        delete = self.iam.delete_role
        self.refused("DeleteConflict", "instance profile", delete, RoleName="r")
        self.refused(
            "DeleteConflict",
            "remove roles",
            self.iam.delete_instance_profile,
            InstanceProfileName="p",
        )
        self.iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
        self.iam.delete_instance_profile(InstanceProfileName="p")
        self.refused("DeleteConflict", "detach all policies", delete, RoleName="r")
        self.iam.detach_role_policy(RoleName="r", PolicyArn=WORKER)
        self.refused("DeleteConflict", "delete policies", delete, RoleName="r")
        self.iam.delete_role_policy(RoleName="r", PolicyName="inline")
        delete(RoleName="r")
        self.assertEqual(self.inventory(), {})

    def test_a_policy_goes_when_it_is_attached_nowhere_and_has_one_version(self):
        arn = self.iam.create_policy(PolicyName="p", PolicyDocument=DOCUMENT)["Policy"]["Arn"]
        self.role("r", "ec2.amazonaws.com")
        self.iam.attach_role_policy(RoleName="r", PolicyArn=arn)
        self.refused("DeleteConflict", "attached", self.iam.delete_policy, PolicyArn=arn)
        self.iam.detach_role_policy(RoleName="r", PolicyArn=arn)
        self.iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT)
        self.refused("DeleteConflict", "version", self.iam.delete_policy, PolicyArn=arn)
        self.iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
        self.iam.delete_policy(PolicyArn=arn)

    def test_a_service_linked_role_is_made_once(self):
        made = self.iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")["Role"]
        self.assertEqual(made["RoleName"], "AWSServiceRoleForEC2Spot")
        self.refused(
            "InvalidInput",
            "has been taken",
            self.iam.create_service_linked_role,
            AWSServiceName="spot.amazonaws.com",
        )
        self.assertEqual(self.inventory(), {})

    def test_an_oidc_provider_needs_no_thumbprint(self):
        url = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"
        arn = self.iam.create_open_id_connect_provider(Url=url, ClientIDList=["sts.amazonaws.com"])
        arn = arn["OpenIDConnectProviderArn"]
        found = self.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        self.assertEqual(found["ClientIDList"], ["sts.amazonaws.com"])
        self.refused(
            "EntityAlreadyExists",
            "",
            self.iam.create_open_id_connect_provider,
            Url=url,
            ClientIDList=["sts.amazonaws.com"],
        )
        self.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        self.assertEqual(self.inventory(), {})

    def test_the_caller_is_a_user_of_iam(self):
        who = client("sts").get_caller_identity()
        self.assertEqual(who["Arn"], "arn:aws:iam::123456789012:user/sandbox")
        self.assertEqual(who["Account"], "123456789012")

    def test_tags_of_roles_and_policies_are_kept(self):
        tags = [{"Key": "a", "Value": "b"}]
        self.iam.create_role(
            RoleName="r", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"), Tags=tags
        )
        self.iam.create_instance_profile(InstanceProfileName="p", Tags=tags)
        self.assertEqual(self.iam.get_role(RoleName="r")["Role"]["Tags"], tags)
        shown = self.iam.get_instance_profile(InstanceProfileName="p")["InstanceProfile"]
        self.assertEqual(shown["Tags"], tags)


class Queues(CloudTest):
    def test_a_policy_stays_when_something_else_is_set(self):
        sqs = client("sqs")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        allowed = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}
        policy = json.dumps({"Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "300"})
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self.assertEqual((found["Policy"], found["MessageRetentionPeriod"]), (policy, "300"))

    def test_a_name_is_not_free_at_once_when_the_weather_says_so(self):
        sqs = client("sqs")
        self.weather(queue_name_seconds=LONG)
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        sqs.delete_queue(QueueUrl=url)
        with self.assertRaises(sqs.exceptions.QueueDeletedRecently):
            sqs.create_queue(QueueName="q")

        self.later()
        sqs.create_queue(QueueName="q")

    def test_waiting_for_a_message_holds_nobody_up(self):
        sqs = client("sqs")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        got = []

        def wait():
            answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
            got.extend(answer.get("Messages", []))

        waiting = threading.Thread(target=wait)
        waiting.start()
        self.ec2.describe_vpcs()
        sqs.send_message(QueueUrl=url, MessageBody="hello")
        waiting.join()
        self.assertEqual([message["Body"] for message in got], ["hello"])
        # Others were answered while it was waiting.
        receive = next(call for call in self.calls() if call["action"] == "ReceiveMessage")
        send = next(call for call in self.calls() if call["action"] == "SendMessage")
        self.assertLessEqual(send["time"], receive["time"] + receive["ms"] / 1000)

    def test_messages_are_counted_as_they_stand(self):
        sqs = client("sqs")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]

        def counts():
            kinds = ["", "NotVisible", "Delayed"]
            names = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            return [int(found[name]) for name in names]

        for body in ["a", "b", "c"]:
            sqs.send_message(QueueUrl=url, MessageBody=body)
        sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=600)
        self.assertEqual(counts(), [3, 0, 1])
        [received] = sqs.receive_message(QueueUrl=url)["Messages"]
        self.assertEqual(counts(), [2, 1, 1])
        sqs.delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])
        self.assertEqual(counts(), [2, 0, 1])
        with self.assertRaises(sqs.exceptions.ReceiptHandleIsInvalid):
            sqs.delete_message(QueueUrl=url, ReceiptHandle="nobody's")

    def test_a_rule_goes_when_it_has_no_targets(self):
        events = client("events")
        events.put_rule(Name="r", EventPattern='{"source": ["aws.ec2"]}', State="ENABLED")
        arn = "arn:aws:sqs:eu-west-1:123456789012:q"
        events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": arn}])
        self.refused("ValidationException", "targets", events.delete_rule, Name="r")
        self.assertEqual(self.inventory(), {"eu-west-1/events/rules": ["r"]})
        events.remove_targets(Rule="r", Ids=["t"])
        events.delete_rule(Name="r")
        self.assertEqual(self.inventory(), {})


class Quotas(CloudTest):
    def test_quotas_are_answered(self):
        quotas = client("service-quotas")
        vpcs = quotas.get_service_quota(ServiceCode="vpc", QuotaCode="L-F678F1CE")["Quota"]
        addresses = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-0263D0A3")["Quota"]
        self.assertEqual((vpcs["Value"], addresses["Value"]), (5.0, 5.0))
        self.refused(
            "NoSuchResourceException",
            "L-NOTHING",
            quotas.get_service_quota,
            ServiceCode="ec2",
            QuotaCode="L-NOTHING",
        )

    def test_quotas_of_the_weather_are_answered_and_enforced(self):
        self.weather(quotas={"L-F678F1CE": 2, "L-0263D0A3": 1})
        quotas = client("service-quotas")
        shown = quotas.get_service_quota(ServiceCode="vpc", QuotaCode="L-F678F1CE")["Quota"]
        default = quotas.get_aws_default_service_quota(ServiceCode="vpc", QuotaCode="L-F678F1CE")
        self.assertEqual((shown["Value"], default["Quota"]["Value"]), (2.0, 5.0))
        self.vpc()  # The default one is there already.
        self.refused(
            "VpcLimitExceeded",
            "maximum number of VPCs",
            self.ec2.create_vpc,
            CidrBlock="10.1.0.0/16",
        )
        self.ec2.allocate_address(Domain="vpc")
        self.refused(
            "AddressLimitExceeded",
            "maximum number of addresses",
            self.ec2.allocate_address,
            Domain="vpc",
        )
