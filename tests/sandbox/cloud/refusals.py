"""Calls that are refused before anything is done: by credentials, permissions or the weather."""

import fnmatch
import json

from . import identity, wire

# What a call also needs permission for, besides its own action.
_IMPLIED = {
    ("ec2", "CreateFleet"): ["ec2:RunInstances", "iam:PassRole"],
    ("eks", "CreateCluster"): ["iam:PassRole"],
    ("eks", "CreateNodegroup"): ["iam:PassRole"],
    ("eks", "CreatePodIdentityAssociation"): ["iam:PassRole"],
    ("iam", "AddRoleToInstanceProfile"): ["iam:PassRole"],
}
# Calls that need the permission of another one.
_ANOTHER_NAME = {
    ("sqs", "DeleteMessageBatch"): "sqs:DeleteMessage",
    ("sqs", "SendMessageBatch"): "sqs:SendMessage",
}
# The kind of thing that an action of EC2 is about, where its name does not say it.
_EC2_RESOURCES = {
    "RunInstances": "instance/*",
    "TerminateInstances": "instance/*",
    "AllocateAddress": "elastic-ip/*",
    "CreateNatGateway": "natgateway/*",
    "CreateFleet": "fleet/*",
    "CreateTags": "*/*",
}


def check(call, request, weather):
    """Raise the error that this call gets without being done, if there is one."""
    _check_credentials(call, weather)
    _check_permissions(call, request, weather)
    _fail_as_told(call, weather)
    if weather.strikes(weather.throttled):
        raise wire.throttled(call.service, call.protocol)
    if weather.strikes(weather.server_error):
        raise wire.internal_error(call.service, call.protocol)


def _check_credentials(call, weather):
    if not call.signed and call.service != "s3" and call.action != "AssumeRoleWithWebIdentity":
        code = "MissingAuthenticationToken" + ("Exception" if _is_json(call) else "")
        raise wire.ServiceError(code, "Missing Authentication Token", 403)
    if weather.expired:
        message = "The security token included in the request is expired"
        if call.service == "ec2":
            raise wire.ServiceError("RequestExpired", "Request has expired.", 400)
        code = "ExpiredTokenException" if _is_json(call) else "ExpiredToken"
        raise wire.ServiceError(code, message, 400 if call.protocol == "json" else 403)
    if weather.invalid_credentials:
        message = "The security token included in the request is invalid."
        if call.service == "ec2":
            message = "AWS was not able to validate the provided access credentials"
            raise wire.ServiceError("AuthFailure", message, 401)
        if _is_json(call):
            raise wire.ServiceError("UnrecognizedClientException", message, 403)
        raise wire.ServiceError("InvalidClientTokenId", message, 403)


def needed(call, request):
    """The actions, as IAM writes them, that a call needs permission for: its own first."""
    prefix = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing"}.get(
        call.service, call.service
    )
    own = _ANOTHER_NAME.get((call.service, call.action), f"{prefix}:{call.action}")
    return [own] + _implied(call, request)


def _check_permissions(call, request, weather):
    if not weather.deny:
        return
    for action in needed(call, request):
        if any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in weather.deny):
            raise _denied(call, request, action)


def _implied(call, request):
    """Actions that a call needs besides its own, going by what it asks for."""
    needed = list(_IMPLIED.get((call.service, call.action), []))
    names = " ".join(call.parameters)
    if call.service == "ec2" and "TagSpecification" in names and call.action != "CreateTags":
        needed.append("ec2:CreateTags")
    if call.service == "ec2" and "IamInstanceProfile" in names:
        needed.append("iam:PassRole")
    if call.service == "eks" and call.action.startswith("Create") and b'"tags"' in request.data:
        needed.append("eks:TagResource")
    if call.service == "iam" and call.action.startswith("Create") and "Tags.member" in names:
        needed.append("iam:Tag" + call.action.removeprefix("Create"))
    return needed


def _denied(call, request, action):
    arn = identity.caller_arn(call.access_key, call.region)
    resource = _resource(call, request, action)
    message = (
        f"User: {arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )
    if call.service == "ec2":
        message = f"You are not authorized to perform this operation. {message}."
        return wire.ServiceError("UnauthorizedOperation", message, 403)
    if _is_json(call):
        return wire.ServiceError(
            "AccessDeniedException", message, 403 if call.protocol == "rest-json" else 400
        )
    return wire.ServiceError("AccessDenied", message, 403)


def _resource(call, request, action):
    """The ARN that a refusal names."""
    account = identity.account_of(call.access_key)
    partition = identity.partition_of(call.region)
    regional = f"arn:{partition}:{call.service}:{call.region}:{account}"
    asked = _asked(request)
    if action == "iam:PassRole":
        role = asked.get("roleArn") or asked.get("nodeRole") or call.parameters.get("RoleName")
        return role or f"arn:{partition}:iam::{account}:role/*"
    if call.service == "ec2":
        kind = _EC2_RESOURCES.get(call.action)
        return f"{regional}:{kind or _kebab(call.action) + '/*'}"
    if call.service == "iam":
        for kind in ("RoleName", "PolicyName", "InstanceProfileName", "UserName"):
            if kind in call.parameters:
                name = _kebab(f"Create{kind.removesuffix('Name')}")
                return f"arn:{partition}:iam::{account}:{name}/{call.parameters[kind]}"
        return call.parameters.get("PolicyArn") or f"arn:{partition}:iam::{account}:*"
    if call.service == "eks":
        name = asked.get("name") if call.action == "CreateCluster" else None
        parts = request.path.strip("/").split("/")
        name = name or (parts[1] if len(parts) > 1 else "*")
        return f"{regional}:cluster/{name}"
    if call.service == "rds":
        for kind, prefix in (("DBInstanceIdentifier", "db"), ("DBSubnetGroupName", "subgrp")):
            if kind in call.parameters:
                return f"{regional}:{prefix}:{call.parameters[kind]}"
        return f"{regional}:db:*"
    name = asked.get("QueueName") or asked.get("Name") or "*"
    return f"{regional}:{name}"


def _asked(request):
    """The members of a JSON request."""
    try:
        asked = json.loads(request.data or b"{}")
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _kebab(action):
    """`CreateRouteTable` -> `route-table`."""
    words, word = [], ""
    for letter in action:
        if letter.isupper() and word:
            words.append(word)
            word = ""
        word += letter.lower()
    return "-".join((words + [word])[1:]).removesuffix("s")


def _fail_as_told(call, weather):
    """Errors that the weather has in store for particular calls, one call each."""
    name = f"{call.service}:{call.action}"
    for told in list(weather.fail):
        if fnmatch.fnmatchcase(name.lower(), str(told.get("call", "")).lower()):
            weather.fail.remove(told)
            raise wire.ServiceError(
                told.get("code", "InternalError"),
                told.get("message", "told to fail"),
                int(told.get("status", 400)),
            )


def _is_json(call):
    return call.protocol in ("json", "rest-json")
