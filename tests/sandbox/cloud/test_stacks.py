"""CloudFormation: a stack of the shape that Karpenter wants, from create to delete."""

from .testing import LONG, CloudTest, client, trust

TEMPLATE = """
Parameters:
  ClusterName: {Type: String}
Resources:
  NodeRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName: !Sub "KarpenterNodeRole-${ClusterName}"
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - {Effect: Allow, Principal: {Service: !Sub "ec2.${AWS::URLSuffix}"}, Action: ["sts:AssumeRole"]}
      ManagedPolicyArns:
        - !Sub "arn:${AWS::Partition}:iam::aws:policy/AmazonEKS_CNI_Policy"
        - !Ref Policy
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      ManagedPolicyName: !Sub "KarpenterControllerNodeLifecyclePolicy-${ClusterName}"
      PolicyDocument: !Sub |
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
         "Resource": "arn:${AWS::Partition}:ec2:${AWS::Region}:*:instance/*",
         "Action": ["ec2:RunInstances"]}]}
  Queue:
    Type: AWS::SQS::Queue
    Properties: {QueueName: !Ref ClusterName, MessageRetentionPeriod: 300, SqsManagedSseEnabled: true}
  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Queue]
      PolicyDocument:
        Statement:
          - Effect: Allow
            Principal: {Service: events.amazonaws.com}
            Action: sqs:SendMessage
            Resource: !GetAtt Queue.Arn
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [aws.ec2], detail-type: ["EC2 Spot Instance Interruption Warning"]}
      Targets: [{Id: KarpenterInterruptionQueueTarget, Arn: !GetAtt Queue.Arn}]
Outputs:
  QueueArn: {Value: !GetAtt Queue.Arn}
"""
ASKED = {
    "StackName": "Karpenter-shop",
    "TemplateBody": TEMPLATE,
    "Parameters": [{"ParameterKey": "ClusterName", "ParameterValue": "shop"}],
    "Capabilities": ["CAPABILITY_NAMED_IAM"],
}


class Stacks(CloudTest):
    def setUp(self):
        super().setUp()
        self.cfn = client("cloudformation")

    def status(self, name="Karpenter-shop"):
        return self.cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]

    def test_a_stack_takes_its_time_and_leaves_nothing(self):
        self.weather(seconds={"stack": LONG})
        stack_id = self.cfn.create_stack(**ASKED, Tags=[{"Key": "a", "Value": "b"}])["StackId"]
        self.assertEqual(self.status(), "CREATE_IN_PROGRESS")
        self.later()
        self.assertTrue(self.status() == "CREATE_COMPLETE")
        stack = self.cfn.describe_stacks(StackName=stack_id)["Stacks"][0]
        self.assertEqual(
            stack["Outputs"][0]["OutputValue"], "arn:aws:sqs:eu-west-1:123456789012:shop"
        )
        self.assertEqual(stack["Tags"], [{"Key": "a", "Value": "b"}])
        self.assertEqual(len(self.inventory()), 5)
        self.cfn.delete_stack(StackName="Karpenter-shop")
        self.assertEqual(self.status(), "DELETE_IN_PROGRESS")
        self.later()
        self.assertTrue(self.status(stack_id) == "DELETE_COMPLETE")
        self.cfn.describe_stacks(StackName=stack_id)
        self.assertEqual(self.inventory(), {})

    def test_what_moto_leaves_out_is_there(self):
        self.cfn.create_stack(**ASKED)
        attached = self.iam.list_attached_role_policies(RoleName="KarpenterNodeRole-shop")
        names = {policy["PolicyName"] for policy in attached["AttachedPolicies"]}
        self.assertEqual(
            names, {"AmazonEKS_CNI_Policy", "KarpenterControllerNodeLifecyclePolicy-shop"}
        )
        sqs = client("sqs")
        url = sqs.get_queue_url(QueueName="shop")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self.assertIn("events.amazonaws.com", attributes["Policy"])
        events = client("events")
        rule = events.list_rules()["Rules"][0]["Name"]
        target = events.list_targets_by_rule(Rule=rule)["Targets"][0]
        self.assertEqual(target["Id"], "KarpenterInterruptionQueueTarget")

    def test_an_update_changes_what_it_says(self):
        self.cfn.create_stack(**ASKED)
        self.refused("ValidationError", "No updates", self.cfn.update_stack, **ASKED)
        body = TEMPLATE.replace(
            "MessageRetentionPeriod: 300", "MessageRetentionPeriod: 400"
        ).replace("RunInstances", "CreateFleet")
        self.cfn.update_stack(**{**ASKED, "TemplateBody": body})
        self.assertEqual(self.status(), "UPDATE_COMPLETE")
        sqs = client("sqs")
        url = sqs.get_queue_url(QueueName="shop")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self.assertEqual(attributes["MessageRetentionPeriod"], "400")
        self.assertIn("Policy", attributes)
        arn = "arn:aws:iam::123456789012:policy/KarpenterControllerNodeLifecyclePolicy-shop"
        version = self.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = self.iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        self.assertIn("CreateFleet", str(document["Document"]))
        self.cfn.delete_stack(StackName="Karpenter-shop")
        self.assertEqual(self.inventory(), {})

    def test_a_failure_is_rolled_back_with_its_reason(self):
        self.iam.create_role(
            RoleName="KarpenterNodeRole-shop", AssumeRolePolicyDocument=trust("ec2.amazonaws.com")
        )
        self.cfn.create_stack(**ASKED)
        stack = self.cfn.describe_stacks(StackName="Karpenter-shop")["Stacks"][0]
        self.assertEqual(stack["StackStatus"], "ROLLBACK_COMPLETE")
        self.assertIn("already exists", stack["StackStatusReason"])
        self.assertEqual(
            set(self.inventory()), {"eu-west-1/cloudformation/stacks", "global/iam/roles"}
        )

    def test_what_hangs_on_a_stack_s_role_stops_its_deletion(self):
        self.cfn.create_stack(**ASKED)
        self.profile("nodes", "KarpenterNodeRole-shop")
        self.cfn.delete_stack(StackName="Karpenter-shop")
        stack = self.cfn.describe_stacks(StackName="Karpenter-shop")["Stacks"][0]
        self.assertEqual(stack["StackStatus"], "DELETE_FAILED")
        self.assertIn("instance profile", stack["StackStatusReason"])

    def test_capabilities_and_protection(self):
        asked = {name: value for name, value in ASKED.items() if name != "Capabilities"}
        self.refused(
            "InsufficientCapabilitiesException",
            "CAPABILITY_NAMED_IAM",
            self.cfn.create_stack,
            **asked,
        )
        self.cfn.create_stack(**ASKED, EnableTerminationProtection=True)
        self.refused(
            "ValidationError",
            "TerminationProtection",
            self.cfn.delete_stack,
            StackName="Karpenter-shop",
        )

    def test_one_stack_per_token_and_name(self):
        first = self.cfn.create_stack(**ASKED, ClientRequestToken="t")["StackId"]
        self.assertEqual(self.cfn.create_stack(**ASKED, ClientRequestToken="t")["StackId"], first)
        self.refused("AlreadyExistsException", "already exists", self.cfn.create_stack, **ASKED)
        self.cfn.delete_stack(StackName="Karpenter-shop")
        again = self.cfn.create_stack(**ASKED, ClientRequestToken="t")["StackId"]
        self.assertNotEqual(again, first)
