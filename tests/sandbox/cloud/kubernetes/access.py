"""What the API server asks about its callers: who is it (TokenReview), may it (SubjectAccessReview)."""

from .. import identity
from ..weather import WEATHER
from . import access_policies, tokens

_BOTH = ("CONFIG_MAP", "API_AND_CONFIG_MAP")


def review_token(plane, review):
    """The `status` of a TokenReview."""
    try:
        if WEATHER.now.expired:
            raise tokens.Refused("the security token included in the request is expired")
        if WEATHER.now.invalid_credentials:
            raise tokens.Refused("the security token included in the request is invalid")
        caller = tokens.caller_of(review["spec"].get("token", ""), plane.setup.cluster_name)
        username, groups = _mapped(plane.cluster, caller)
    except tokens.Refused as refused:
        return {"authenticated": False, "error": str(refused)}
    extra = {
        "accessKeyId": [caller.access_key],
        "arn": [caller.arn],
        "canonicalArn": [caller.principal_arn],
        "sessionName": [caller.session_name],
    }
    user = {
        "username": username,
        "uid": f"aws-iam-authenticator:{caller.account}",
        "groups": groups,
    }
    return {"authenticated": True, "user": {**user, "extra": extra}}


def review_access(plane, review):
    """The `status` of a SubjectAccessReview for a caller with an access entry."""
    spec = review["spec"]
    principal = (spec.get("extra", {}).get("canonicalArn") or [""])[0]
    entry = _entry(plane.cluster, principal)
    name = access_policies.allowing_policy(entry.policies, spec) if entry else None
    if name is None:
        return {"allowed": False}
    return {"allowed": True, "reason": f"EKS Access Policy: allowed by {name} for {principal}"}


def _mapped(cluster, caller):
    entry = _entry(cluster, caller.principal_arn)
    if entry is not None:
        return _filled_in(entry.username, caller), list(entry.groups)
    # Without the API, EKS remembers the creator and tells nobody.
    mode = cluster.access_config["authenticationMode"]
    if mode in _BOTH and caller.principal_arn == cluster.creator_arn:
        return "kubernetes-admin", ["system:masters"]
    raise tokens.Refused(f"{caller.principal_arn} has no access entry")


def _entry(cluster, principal_arn):
    if cluster.access_config["authenticationMode"] == "CONFIG_MAP":
        return None
    entry = cluster.access_entries.get(principal_arn)
    if entry is None or entry.role_id is None:
        return entry
    role = identity.find_role(principal_arn)
    return entry if role is not None and role.id == entry.role_id else None


def _filled_in(username, caller):
    values = {
        "{{SessionName}}": caller.session_name.replace("@", "-"),
        "{{SessionNameRaw}}": caller.session_name,
        "{{AccountID}}": caller.account,
        "{{AccessKeyID}}": caller.access_key,
    }
    if "{{EC2PrivateDNSName}}" in username:
        values["{{EC2PrivateDNSName}}"] = _private_name(caller)
    for placeholder, value in values.items():
        username = username.replace(placeholder, value)
    return username


def _private_name(caller):
    """The name of the instance that a role session is named after."""
    from moto.ec2.models import ec2_backends

    instance_id = caller.session_name
    for reservation in ec2_backends[caller.account][caller.region].reservations.values():
        for instance in reservation.instances:
            if instance.id == instance_id:
                return instance.private_dns_name
    raise tokens.Refused(f"the session `{instance_id}` is named after no instance")
