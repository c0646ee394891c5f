"""Rules of security groups: all or nothing, all of them answered, compared and changed as EC2 does."""

from moto.core.responses import ActionResult
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidSecurityGroupNotFoundError,
    InvalidSecurityGroupRuleIdNotFoundError,
)
from moto.ec2.models import EC2Backend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses import EC2Response

from ..mend import mend

_KINDS = ("CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId")


def _key(rule):
    """What makes a rule the same rule: all but its description and its tags."""
    ports = (None, None) if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
    return (
        rule.ip_protocol,
        *ports,
        rule.ip_range.get("CidrIp"),
        rule.ip_range.get("CidrIpv6"),
        rule.source_group.get("GroupId"),
        rule.prefix_list_id,
    )


SecurityGroupRule.__eq__ = lambda self, other: _key(self) == _key(other)
SecurityGroupRule.group_owner_id = property(lambda self: self.ec2_backend.account_id)
SecurityGroupRule.description = property(
    lambda self: self.ip_range.get("Description") or self.source_group.get("Description")
)


def _group(response):
    wanted = response._get_param("GroupId") or response._get_param("GroupName")
    group = response.ec2_backend.get_security_group_by_name_or_id(wanted)
    if group is None:
        raise InvalidSecurityGroupNotFoundError(wanted)
    return group


def _all_or_nothing(response, each):
    """Do `each` for every part of a request; when one fails, none was done."""
    group = _group(response)
    before = list(group.ingress_rules), list(group.egress_rules)
    try:
        return [each(part) for part in response._process_rules_from_querystring()]
    except Exception:
        group.ingress_rules, group.egress_rules = before
        raise


def _authorize(response, method):
    response.error_on_dryrun()
    added = _all_or_nothing(response, lambda part: method(**part)[0])
    rules = [rule for part in added for rule in part]
    return ActionResult({"Return": True, "SecurityGroupRules": rules})


def _revoke(response, method):
    response.error_on_dryrun()

    def each(part):
        del part["sgrule_tags"]
        method(**part)

    _all_or_nothing(response, each)
    return ActionResult({"Return": True})


@mend(EC2Response, "authorize_security_group_ingress")
def authorize_ingress(original, self):
    """Answers with all rules that it made, where moto answers with those of the last permission."""
    return _authorize(self, self.ec2_backend.authorize_security_group_ingress)


@mend(EC2Response, "authorize_security_group_egress")
def authorize_egress(original, self):
    """The same outwards."""
    return _authorize(self, self.ec2_backend.authorize_security_group_egress)


@mend(EC2Response, "revoke_security_group_ingress")
def revoke_ingress(original, self):
    """All or nothing."""
    return _revoke(self, self.ec2_backend.revoke_security_group_ingress)


@mend(EC2Response, "revoke_security_group_egress")
def revoke_egress(original, self):
    """All or nothing, outwards."""
    return _revoke(self, self.ec2_backend.revoke_security_group_egress)


@mend(EC2Backend, "modify_security_group_rules")
def modify_security_group_rules(original, self, group_id, rules):
    """Every kind of rule, with any protocol; moto changes CIDR rules with ports alone."""
    group = self.get_security_group_by_name_or_id(group_id)
    if group is None:
        raise InvalidSecurityGroupNotFoundError(group_id)
    for rule_id, wanted in rules.items():
        rule = group.get_rule(rule_id)
        if rule is None:
            raise InvalidSecurityGroupRuleIdNotFoundError(rule_id)
        _change(self, rule, wanted)


def _change(ec2, rule, wanted):
    given = [kind for kind in _KINDS if wanted.get(kind) is not None]
    if len(given) != 1:
        raise EC2ClientError(
            "MissingParameter" if not given else "InvalidParameterCombination",
            "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or "
            "referencedGroupId",
        )
    made = SecurityGroupRule(
        ec2,
        wanted.get("IpProtocol"),
        rule.group_id,
        wanted.get("FromPort"),
        wanted.get("ToPort"),
        None,
        is_egress=rule.is_egress,
    )
    kind, value, words = given[0], wanted[given[0]], wanted.get("Description")
    if kind == "ReferencedGroupId" and ec2.get_security_group_from_id(value) is None:
        raise InvalidSecurityGroupNotFoundError(value)
    description = {"Description": words} if words else {}
    rule.ip_protocol, rule.from_port, rule.to_port = made.ip_protocol, made.from_port, made.to_port
    rule.ip_range, rule.source_group, rule.prefix_list_id = {}, {}, None
    if kind == "CidrIpv4":
        rule.ip_range = {"CidrIp": value, **description}
    elif kind == "CidrIpv6":
        rule.ip_range = {"CidrIpv6": value, **description}
    elif kind == "ReferencedGroupId":
        account = ec2.account_id
        rule.source_group = {"GroupId": value, "UserId": account, "OwnerId": account, **description}
    else:
        rule.prefix_list_id = value
