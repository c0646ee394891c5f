"""Whether other services believe in a role yet, and whether its trust policy lets them use it.

IAM answers at once about what was just made; EC2, EKS and RDS learn of it some seconds later
(`role_delay_seconds` of the weather).
"""

import json
import urllib.parse

from moto.iam.models import IAMBackend

from .clock import CLOCK
from .mend import mend
from .weather import WEATHER


def is_believed(thing):
    """Whether a role or an instance profile has been there for long enough."""
    return CLOCK.now() - getattr(thing, "made_at", 0) >= WEATHER.now.role_delay_seconds


def believed_policies(role):
    """Names of managed policies that have been attached to a role for long enough."""
    attached_at = getattr(role, "attached_at", {})
    old_enough = CLOCK.now() - WEATHER.now.role_delay_seconds
    return {
        arn.rsplit("/", 1)[-1]
        for arn in role.managed_policies
        if attached_at.get(arn, 0) <= old_enough
    }


def trusts(role, service, actions=("sts:AssumeRole",)):
    """Whether the trust policy of a role lets a service (`eks.amazonaws.com`) do these actions."""
    document = role.assume_role_policy_document
    if isinstance(document, str):
        try:
            document = json.loads(urllib.parse.unquote(document))
        except ValueError:
            return False
    allowed = set()
    for statement in _list(document.get("Statement", [])):
        principal = statement.get("Principal", {})
        services = _list(principal.get("Service", [])) if isinstance(principal, dict) else []
        if statement.get("Effect") == "Allow" and service in services:
            allowed.update(action.lower() for action in _list(statement.get("Action", [])))
    return all(_covered(action.lower(), allowed) for action in actions)


def _covered(action, allowed):
    return action in allowed or "sts:*" in allowed or "*" in allowed


def _list(value):
    return value if isinstance(value, list) else [value]


@mend(IAMBackend, "create_role")
def create_role(original, self, *args, **kwargs):
    """Remembers when a role was made."""
    role = original(self, *args, **kwargs)
    role.made_at = CLOCK.now()
    return role


@mend(IAMBackend, "create_instance_profile")
def create_instance_profile(original, self, *args, **kwargs):
    """Remembers when an instance profile was made."""
    profile = original(self, *args, **kwargs)
    profile.made_at = CLOCK.now()
    return profile


@mend(IAMBackend, "add_role_to_instance_profile")
def add_role_to_instance_profile(original, self, profile_name, role_name):
    """A profile that got a role is news again to everybody else."""
    original(self, profile_name, role_name)
    self.get_instance_profile(profile_name).made_at = CLOCK.now()


@mend(IAMBackend, "attach_role_policy")
def attach_role_policy(original, self, policy_arn, role_name):
    """Remembers when a policy was attached."""
    original(self, policy_arn, role_name)
    role = self.get_role(role_name)
    role.attached_at = {**getattr(role, "attached_at", {}), policy_arn: CLOCK.now()}
