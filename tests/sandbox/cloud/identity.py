"""Who is calling, and the names that IAM has for things."""

from moto.core import DEFAULT_ACCOUNT_ID

USER_NAME = "sandbox"


def account_of(access_key):
    """The account that an access key belongs to."""
    import moto.iam.models as iam

    return iam.get_account_id_from(access_key or "")


def partition_of(region):
    """`aws`, `aws-cn`, …"""
    from moto.utilities.utils import get_partition

    return get_partition(region)


def caller_arn(access_key, region):
    """The ARN of who is calling: a role session, an IAM user, or the user of the local cloud."""
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    account = account_of(access_key)
    partition = partition_of(region)
    session = sts_backends[account][partition].get_assumed_role_from_access_key(access_key)
    if session:
        return session.arn
    user = iam_backends[account][partition].get_user_from_access_key_id(access_key)
    if user:
        return user.arn
    return f"arn:{partition}:iam::{account}:user/{USER_NAME}"


def principal_arn(access_key, region):
    """The IAM principal behind a caller: a role session's role, otherwise the caller itself."""
    arn = caller_arn(access_key, region)
    if ":assumed-role/" in arn:
        head, _, rest = arn.partition(":assumed-role/")
        role = rest.split("/")[0]
        return f"{head.replace(':sts:', ':iam:')}:role/{role}"
    return arn


def find_role(role_arn):
    """moto's role with this ARN, or None."""
    from moto.iam.models import iam_backends

    parts = role_arn.split(":", 5)
    if len(parts) != 6 or not parts[5].startswith("role/"):
        return None
    account = iam_backends[parts[4] or DEFAULT_ACCOUNT_ID]
    for role in account[parts[1]].roles.values():
        if role.arn == role_arn:
            return role
    return None


def find_instance_profile(account, region, name=None, arn=None):
    """moto's instance profile of this name or ARN, or None."""
    from moto.iam.models import iam_backends

    for profile in iam_backends[account][partition_of(region)].instance_profiles.values():
        if (name and profile.name == name) or (arn and profile.arn == arn):
            return profile
    return None


def attached_policy_names(role):
    """The names of the managed policies that a role has."""
    return {arn.rsplit("/", 1)[-1] for arn in role.managed_policies}
