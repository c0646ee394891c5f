"""Resources of stacks that moto makes by half, updates by half or does not remove."""

import json

from moto.core.common_models import CloudFormationModel
from moto.events.models import Rule, events_backends
from moto.iam.models import ManagedPolicy, Role, iam_backends
from moto.sqs.models import Queue, sqs_backends
from moto.utilities.utils import get_partition


def _text(document):
    return document if isinstance(document, str) else json.dumps(document)


def _iam(account_id, region_name):
    return iam_backends[account_id][get_partition(region_name)]


def _replace(owner, name):
    """Decorator: a class method of ours in the place of moto's, which it gets as `original`."""
    original = getattr(owner, name)

    def put_in_place(function):
        def replaced(cls, *args, **kwargs):
            return function(original, cls, *args, **kwargs)

        setattr(owner, name, classmethod(replaced))
        return function

    return put_in_place


# Roles


@_replace(Role, "create_from_cloudformation_json")
def _create_role(
    original, cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
):
    """With its managed policies, and its inline policies as text."""
    properties = cloudformation_json["Properties"]
    for policy in properties.get("Policies", []):
        policy["PolicyDocument"] = _text(policy["PolicyDocument"])
    role = original(resource_name, cloudformation_json, account_id, region_name, **kwargs)
    role.tags = {tag["Key"]: tag for tag in properties.get("Tags", [])}
    # Remembered here: to the deletion, moto hands the template as it was written.
    role.attached_by_stack = list(properties.get("ManagedPolicyArns", []))
    for arn in role.attached_by_stack:
        _iam(account_id, region_name).attach_role_policy(arn, role.name)
    return role


@_replace(Role, "update_from_cloudformation_json")
def _update_role(
    original,
    cls,
    original_resource,
    new_resource_name,
    cloudformation_json,
    account_id,
    region_name,
):
    """Trust, policies and description of the same role."""
    iam, role = _iam(account_id, region_name), original_resource
    properties = cloudformation_json["Properties"]
    role.assume_role_policy_document = _text(properties["AssumeRolePolicyDocument"])
    role.description = properties.get("Description", "")
    role.max_session_duration = properties.get("MaxSessionDuration", 3600)
    wanted = set(properties.get("ManagedPolicyArns", []))
    for arn in set(role.managed_policies) - wanted:
        iam.detach_role_policy(arn, role.name)
    for arn in wanted - set(role.managed_policies):
        iam.attach_role_policy(arn, role.name)
    role.attached_by_stack = list(wanted)
    role.policies = {
        policy["PolicyName"]: _text(policy["PolicyDocument"])
        for policy in properties.get("Policies", [])
    }
    return role


@_replace(Role, "delete_from_cloudformation_json")
def _delete_role(original, cls, resource_name, cloudformation_json, account_id, region_name):
    """With what the stack put on it; an instance profile that holds it keeps it there."""
    iam = _iam(account_id, region_name)
    role = next((role for role in iam.roles.values() if role.name == resource_name), None)
    if role is None:
        return
    for arn in getattr(role, "attached_by_stack", []):
        if arn in role.managed_policies:
            iam.detach_role_policy(arn, role.name)
    role.policies = {}
    iam.delete_role(role.name)


# Managed policies


@_replace(ManagedPolicy, "create_from_cloudformation_json")
def _create_policy(
    original, cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
):
    """Remembers the roles to which the stack attached it."""
    policy = original(resource_name, cloudformation_json, account_id, region_name, **kwargs)
    policy.roles_of_stack = list(cloudformation_json["Properties"].get("Roles", []))
    return policy


@_replace(ManagedPolicy, "update_from_cloudformation_json")
def _update_policy(
    original,
    cls,
    original_resource,
    new_resource_name,
    cloudformation_json,
    account_id,
    region_name,
):
    """A new default version of the same policy; the old one goes."""
    iam, policy = _iam(account_id, region_name), original_resource
    document = _text(cloudformation_json["Properties"]["PolicyDocument"])
    old = policy.default_version_id
    iam.create_policy_version(policy.arn, document, "true")
    iam.delete_policy_version(policy.arn, old)
    return policy


@_replace(ManagedPolicy, "delete_from_cloudformation_json")
def _delete_policy(original, cls, resource_name, cloudformation_json, account_id, region_name):
    """From where the stack attached it; attached elsewhere, it stays and the stack says so."""
    iam = _iam(account_id, region_name)
    policy = iam.managed_policies.get(resource_name)
    if policy is None:
        return
    for role_name in getattr(policy, "roles_of_stack", []):
        role = next((role for role in iam.roles.values() if role.name == role_name), None)
        if role and policy.arn in role.managed_policies:
            iam.detach_role_policy(policy.arn, role_name)
    iam.delete_policy(policy.arn)


# Queues and their policies

_QUEUE_ATTRIBUTES = (
    "DelaySeconds",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "VisibilityTimeout",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
)


@_replace(Queue, "update_from_cloudformation_json")
def _update_queue(
    original,
    cls,
    original_resource,
    new_resource_name,
    cloudformation_json,
    account_id,
    region_name,
):
    """Every attribute that a queue has."""
    queue = sqs_backends[account_id][region_name].get_queue(original_resource.name)
    properties = cloudformation_json["Properties"]
    asked = {name: properties[name] for name in _QUEUE_ATTRIBUTES if name in properties}
    queue._set_attributes(asked)
    return queue


class QueuePolicy(CloudFormationModel):
    """AWS::SQS::QueuePolicy, which moto does not have."""

    def __init__(self, name, queues):
        self.physical_resource_id = name
        self.queues = queues

    @staticmethod
    def cloudformation_name_type():
        """It has no name property."""
        return ""

    @staticmethod
    def cloudformation_type():
        """The type in templates."""
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def has_cfn_attr(cls, attr):
        """It has no attributes."""
        return False

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        """The policy goes onto its queues."""
        properties = cloudformation_json["Properties"]
        backend = sqs_backends[account_id][region_name]
        queues = [backend.get_queue(url.split("/")[-1]) for url in properties["Queues"]]
        for queue in queues:
            queue.policy = _text(properties["PolicyDocument"])
        return cls(resource_name, queues)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        """The same, once more."""
        made = cls.create_from_cloudformation_json(
            original_resource.physical_resource_id, cloudformation_json, account_id, region_name
        )
        for queue in original_resource.queues:
            if queue not in made.queues:
                queue.policy = None
        return made

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name
    ):
        """It goes with its queues."""

    def delete(self, account_id, region_name):
        """Its queues are without a policy."""
        for queue in self.queues:
            queue.policy = None


# Rules


@_replace(Rule, "update_from_cloudformation_json")
def _update_rule(
    original,
    cls,
    original_resource,
    new_resource_name,
    cloudformation_json,
    account_id,
    region_name,
):
    """The same rule with another pattern and other targets; moto makes one with another name."""
    backend = events_backends[account_id][region_name]
    bus = original_resource.event_bus_name
    ids = [target["Id"] for target in original_resource.targets]
    if ids:
        backend.remove_targets(original_resource.name, bus, ids)
    return cls.create_from_cloudformation_json(
        original_resource.name, cloudformation_json, account_id, region_name
    )
