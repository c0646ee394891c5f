"""IAM: AWS's own policies, service-linked roles, and deletions that are refused while something hangs on."""

import functools
import json

from moto.core.responses import ActionResult, EmptyResult
from moto.iam import models
from moto.iam.exceptions import DeleteConflictException, InvalidInput, NotFoundException
from moto.iam.models import AWSManagedPolicy, IAMBackend
from moto.iam.responses import IamResponse as IAMResponse
from moto.sts.models import STSBackend

from . import identity
from .mend import add, mend

models.SERVICE_NAME_CONVERSION.update(
    {
        "spot": "EC2Spot",
        "eks": "AmazonEKS",
        "eks-nodegroup": "AmazonEKSNodegroup",
        "elasticloadbalancing": "ElasticLoadBalancing",
        "rds": "RDS",
    }
)


@functools.cache
def _policies_of(account_id, region_name):
    """AWS's managed policies, made once: making them takes longer than anything else in a reset."""
    data = json.loads(models.aws_managed_policies_data)
    return [
        AWSManagedPolicy.from_data(name, account_id, region_name, policy)
        for name, policy in data.items()
    ]


@mend(IAMBackend, "_init_aws_policies")
def _init_aws_policies(original, self):
    """All of AWS's policies, attached to nothing."""
    policies = _policies_of(self.account_id, self.region_name)
    for policy in policies:
        policy.attachment_count = 0
    return policies


@mend(IAMBackend, "create_service_linked_role")
def create_service_linked_role(original, self, service_name, description, suffix):
    """Refused when it is there already, in the words of IAM."""
    service = service_name.split(".")[0]
    role_name = f"AWSServiceRoleFor{models.SERVICE_NAME_CONVERSION.get(service, service)}"
    if suffix:
        role_name += f"_{suffix}"
    if any(role.name == role_name for role in self.roles.values()):
        raise InvalidInput(
            f"Service role name {role_name} has been taken in this account, please try a different "
            "suffix."
        )
    return original(self, service_name, description, suffix)


def ensure_service_linked_role(account_id, partition, service_name):
    """What a service does for itself when it is first used."""
    iam = models.iam_backends[account_id][partition]
    try:
        iam.create_service_linked_role(service_name, "", "")
    except InvalidInput:
        pass  # It is there.


@mend(IAMBackend, "get_role")
def get_role(original, self, role_name):
    """A missing role in the words of IAM."""
    for role in self.roles.values():
        if role.name == role_name:
            return role
    raise NotFoundException(f"The role with name {role_name} cannot be found.")


@mend(IAMBackend, "get_instance_profile")
def get_instance_profile(original, self, profile_name):
    """A missing instance profile in the words of IAM."""
    for profile in self.instance_profiles.values():
        if profile.name == profile_name:
            return profile
    raise NotFoundException(f"Instance Profile {profile_name} cannot be found.")


@mend(IAMBackend, "remove_role_from_instance_profile")
def remove_role_from_instance_profile(original, self, profile_name, role_name):
    """A role that is not in the profile, in the words of IAM."""
    profile = self.get_instance_profile(profile_name)
    if self.get_role(role_name) not in profile.roles:
        raise NotFoundException(
            f"The role with name {role_name} is not in the instance profile {profile_name}."
        )
    return original(self, profile_name, role_name)


@mend(IAMBackend, "delete_policy")
def delete_policy(original, self, policy_arn):
    """Refused while the policy is attached, or has versions beside its default one."""
    policy = self.get_policy(policy_arn)
    if policy.attachment_count:
        raise DeleteConflictException("Cannot delete a policy attached to entities.")
    if len(policy.versions) > 1:
        raise DeleteConflictException(
            "This policy has more than one version. Before you delete a policy, you must delete "
            "the policy's versions. The default version is deleted with the policy."
        )
    return original(self, policy_arn)


@add(IAMResponse)
def list_instance_profile_tags(self):
    """All tags of an instance profile."""
    profile = self.backend.get_instance_profile(self._get_param("InstanceProfileName"))
    return ActionResult({"Tags": list(profile.tags), "IsTruncated": False})


@add(IAMResponse)
def add_client_id_to_open_id_connect_provider(self):
    """One more audience; one that is there already is no matter."""
    provider = self.backend.get_open_id_connect_provider(
        self._get_param("OpenIDConnectProviderArn")
    )
    wanted = self._get_param("ClientID")
    if wanted not in provider.client_id_list:
        provider.client_id_list = [*provider.client_id_list, wanted]
    return EmptyResult()


@add(IAMResponse)
def remove_client_id_from_open_id_connect_provider(self):
    """One audience less; one that is not there is no matter."""
    provider = self.backend.get_open_id_connect_provider(
        self._get_param("OpenIDConnectProviderArn")
    )
    unwanted = self._get_param("ClientID")
    provider.client_id_list = [name for name in provider.client_id_list if name != unwanted]
    return EmptyResult()


@mend(STSBackend, "get_caller_identity")
def get_caller_identity(original, self, access_key_id, region):
    """The user of the local cloud, where moto makes up a user of STS."""
    user_id, arn, account = original(self, access_key_id, region)
    if arn.endswith(":user/moto"):
        return "AIDASANDBOXSANDBOXUSR", identity.caller_arn(access_key_id, region), account
    return user_id, arn, account
